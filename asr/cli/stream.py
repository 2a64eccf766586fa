"""``lexitune stream``: a live client; interim results rewrite their line on stderr, finals stay on stdout."""

from __future__ import annotations

import contextlib
import queue
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from asr.audio.pcm import Encoding, bytes_per_sample
from asr.cli import connection
from asr.cli.console import message, print_json, stderr
from asr.cli.phrases import Phrases, as_rows, phrases_of, tell_refused
from asr.errors import MissingDependencyError, OptionError

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseReport
    from asr.client import RecognitionResult, StreamConfig, StreamUpdate

MICROPHONE_RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Audio to send: its chunks, and what their bytes mean."""

    chunks: Iterator[bytes]
    encoding: Encoding
    sample_rate_hz: int


def stream(
    file: Annotated[Path | None, typer.Argument(help="A recording to stream.")] = None,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Stream the microphone; Ctrl-C ends it.")
    ] = False,
    server: Annotated[str, typer.Option(help="HOST:PORT of a running lexitune serve.")] = "127.0.0.1:50051",
    model: Annotated[
        str, typer.Option(help="NAME, NAME@ALIAS, NAME@VERSION or models:/...; default: the server's.")
    ] = "",
    realtime: Annotated[bool, typer.Option("--realtime", help="Send no faster than it was spoken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end.")] = False,
    chunk_ms: Annotated[int, typer.Option(min=1, max=10_000, help="Audio of one message.")] = 20,
    encoding: Annotated[
        Encoding | None, typer.Option(help="How to send it; default: a telephone file's own, else linear16.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=8000, max=48_000, help="Rate to send at, Hz; default: the file's.")
    ] = None,
    language: Annotated[str, typer.Option(help="BCP-47 code; default: left to the model.")] = "",
    tls: connection.Tls = False,
    ca: connection.Ca = None,
    certificate: connection.Certificate = None,
    private_key: connection.PrivateKey = None,
    token_file: connection.TokenFile = None,
    phrases: Phrases = None,
) -> None:
    """Stream a recording or the microphone to a server and show what it understands, as it does."""
    from asr.client import SpeechClient, StreamConfig, Vocabulary

    if (file is None) == (not microphone):
        raise OptionError("give a recording or --microphone, one of the two")
    credentials = connection.credentials_of(
        tls=tls, ca=ca, certificate=certificate, private_key=private_key, token_file=token_file
    )
    wanted, reports = phrases_of(phrases)
    screen = Screen(is_quiet=as_json, phrases=[one for one in reports if one.reason])
    with contextlib.ExitStack() as stack:
        if file is None:
            source = stack.enter_context(microphone_source(chunk_ms))
        else:
            source = file_source(file, chunk_ms, encoding, rate)
        config = StreamConfig(
            model=model,
            encoding=source.encoding,
            sample_rate_hz=source.sample_rate_hz,
            language=language,
            interim_results=not as_json,
            vocabulary=Vocabulary(phrases=tuple(wanted)) if wanted else None,
        )
        chunks = paced(source, config) if realtime and file is not None else source.chunks
        client = stack.enter_context(SpeechClient(server, credentials))
        for update in client.stream(chunks, config):
            screen.show(update)
    screen.finish()
    if as_json:
        print_json(screen.document())


class Screen:
    """What the user sees: the interim line on a terminal, finals, and a summary.

    Args:
        is_quiet: whether finals are kept for the document alone.
        phrases: what became of those that were not sent.
    """

    def __init__(self, *, is_quiet: bool, phrases: Sequence[PhraseReport] = ()) -> None:
        self._is_quiet = is_quiet
        self._phrases = list(phrases)
        self._finals: list[RecognitionResult] = []
        self._model: dict[str, str] = {}
        self._duration_s = 0.0

    def show(self, update: StreamUpdate) -> None:
        """Show one message of the server."""
        from asr.client import Goodbye, Ready, RecognitionResult

        self._duration_s = update.progress.received_s
        match update.event:
            case Ready() as ready:
                self._greet(ready)
            case RecognitionResult(is_final=True) as result:
                self._finals.append(result)
                self._print_final(result)
            case RecognitionResult() as result:
                self._rewrite(result.text)
            case Goodbye(reason=reason, time_left_s=time_left_s):
                message(f"the server ends this stream in {time_left_s:.0f} s: {reason}")
            case _:
                pass

    def finish(self) -> None:
        """Clear the interim line; say how much was heard."""
        self._rewrite("")
        message(f"{self._duration_s:.1f} s of audio, {len(self._finals)} utterances")

    def document(self) -> dict[str, Any]:
        """All finals, for --json."""
        return {
            "model": self._model,
            "duration": self._duration_s,
            "text": " ".join(result.text for result in self._finals if result.text),
            "results": [_as_row(result) for result in self._finals],
            **({"phrases": as_rows(self._phrases)} if self._phrases else {}),
        }

    def _greet(self, ready: Any) -> None:
        self._model = {
            "name": ready.model.name,
            "version": ready.model.version,
            "reference": ready.model.reference,
            "sha256": ready.model.sha256,
        }
        message(f"model {ready.model.reference}")
        for field in ready.ignored_fields:
            message(f"the server ignores {field}")
        tell_refused(ready.phrases)
        self._phrases += ready.phrases

    def _print_final(self, result: RecognitionResult) -> None:
        self._rewrite("")
        if result.text and not self._is_quiet:
            typer.echo(f"[{_clock(result.start_s)}] {result.text}")

    def _rewrite(self, text: str) -> None:
        """Put ``text`` in place of the interim line, its end if it is too long; a terminal only."""
        if not stderr.is_terminal:
            return
        stderr.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
        if text:
            stderr.print(Text(text[-(stderr.width - 1) :], style="dim"), end="")


def file_source(path: Path, chunk_ms: int, encoding: Encoding | None, rate_hz: int | None) -> Source:
    """A recording as bytes in chunks: as the file has it, unless another encoding or rate is asked for.

    Raises:
        AudioError: the file cannot be read.
    """
    from asr.audio.files import read_native
    from asr.audio.pcm import encode_pcm
    from asr.streaming.messages import MAX_RATE_HZ, MIN_RATE_HZ

    audio = read_native(path)
    samples = audio.samples
    served_rate_hz = min(max(audio.sample_rate_hz, MIN_RATE_HZ), MAX_RATE_HZ)
    sent_rate_hz = rate_hz or served_rate_hz
    if sent_rate_hz != audio.sample_rate_hz:
        import soxr

        samples = soxr.resample(samples, audio.sample_rate_hz, sent_rate_hz)
    sent_encoding = encoding or audio.encoding
    payload = encode_pcm(samples, sent_encoding)
    step = max(1, sent_rate_hz * chunk_ms // 1000) * bytes_per_sample(sent_encoding)
    chunks = (payload[start : start + step] for start in range(0, len(payload), step))
    return Source(chunks=chunks, encoding=sent_encoding, sample_rate_hz=sent_rate_hz)


def paced(source: Source, config: StreamConfig) -> Iterator[bytes]:
    """The chunks, each once its audio would have been spoken."""
    bytes_per_s = config.sample_rate_hz * bytes_per_sample(config.encoding)
    due = time.monotonic()
    for chunk in source.chunks:
        due += len(chunk) / bytes_per_s
        time.sleep(max(0.0, due - time.monotonic()))
        yield chunk


@contextlib.contextmanager
def microphone_source(chunk_ms: int) -> Iterator[Source]:
    """The default microphone until Ctrl-C, which ends the audio and lets its last words be recognised.

    Raises:
        MissingDependencyError: sounddevice is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"the microphone needs sounddevice and PortAudio ({error}): pip install 'lexitune[microphone]'"
        ) from error
    recorded: queue.Queue[bytes | None] = queue.Queue()

    def on_audio(buffer: Any, _num_frames: int, _time: Any, _status: Any) -> None:
        recorded.put(bytes(buffer))

    previous = signal.signal(signal.SIGINT, lambda _signal, _frame: recorded.put(None))
    try:
        with sounddevice.RawInputStream(
            samplerate=MICROPHONE_RATE_HZ,
            channels=1,
            dtype="int16",
            blocksize=MICROPHONE_RATE_HZ * chunk_ms // 1000,
            callback=on_audio,
        ):
            chunks = (chunk for chunk in iter(recorded.get, None))
            yield Source(chunks=chunks, encoding=Encoding.LINEAR16, sample_rate_hz=MICROPHONE_RATE_HZ)
    finally:
        signal.signal(signal.SIGINT, previous)


def _as_row(result: RecognitionResult) -> dict[str, Any]:
    words = [
        {"text": word.text, "start": word.start_s, "end": word.end_s, "confidence": word.confidence}
        for word in result.alternatives[0].words
    ]
    return {
        "start": result.start_s,
        "end": result.end_s,
        "text": result.text,
        "confidence": result.alternatives[0].confidence,
        "final_reason": str(result.final_reason),
        "words": words,
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):02d}:{rest:05.2f}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(stream)
