"""The facade that the command line and the server recognise with: a model, its engine, and how long audio is cut.

Recordings go through the same streaming session as a live call, so that offline and streaming finals are the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from asr.biasing.phrases import combined
from asr.errors import OptionError
from asr.models.base import DecodingOptions, Samples, SpeechModel, batch_segments
from asr.models.checkpoint import WAV2VEC2, check_folder
from asr.models.resolve import ResolvedModel, resolve_model, serving_folder
from asr.results import Guarded, Hypothesis, Segment, Transcript, shift_words
from asr.units import to_seconds

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseSet
    from asr.streaming.ctc_partials import CtcPartials
    from asr.streaming.session import DecodeRequest, SessionOptions

ENGINES = ("ctranslate2", "torch")
GROUP_S = 600.0  # of audio in a group that is decoded, and as much that is cut ahead, beside the recording that passes it

__all__ = ["DecodingOptions", "Recognizer"]


class Recognizer:
    """A loaded model that turns samples into transcripts. Safe to use from several threads."""

    def __init__(
        self, resolved: ResolvedModel, model: SpeechModel, *, device: str, num_workers: int = 1
    ) -> None:
        self.resolved = resolved
        self._model = model
        self._batch_segments = batch_segments(device)
        self._num_workers = num_workers

    @classmethod
    def load(
        cls,
        reference: str,
        *,
        engine: str = "ctranslate2",
        device: str = "cpu",
        num_threads: int = 1,
        num_workers: int = 1,
    ) -> Recognizer:
        """Resolve and load a model.

        Args:
            reference: any form of :mod:`asr.models.reference`.
            engine: "ctranslate2" is the one that serves the model's family: CTranslate2 for Whisper (int8 on CPU, float16
                on GPU), torch for Wav2Vec2 (bfloat16 where the processor has it); "torch" is the reference, float32.
            device: "cpu" or "cuda".
            num_threads: per worker.
            num_workers: decodings at the same time.

        Raises:
            LexituneError: the reference cannot be resolved or the model cannot be loaded.
        """
        _check_engine(engine)
        resolved = resolve_model(reference)
        return cls.open(
            resolved, engine=engine, device=device, num_threads=num_threads, num_workers=num_workers
        )

    @classmethod
    def open(
        cls,
        resolved: ResolvedModel,
        *,
        engine: str = "ctranslate2",
        device: str = "cpu",
        num_threads: int = 1,
        num_workers: int = 1,
    ) -> Recognizer:
        """As :meth:`load`, of a model that was resolved before, perhaps in another process.

        Raises:
            OptionError: the engine is not known.
            ModelError: it cannot be loaded.
        """
        _check_engine(engine)
        if check_folder(resolved.transformers_dir) == WAV2VEC2:
            from asr.models.ctc_torch import TorchCtc

            dtype = "float32" if engine == "torch" else "auto"
            ctc = TorchCtc(resolved.transformers_dir, device=device, dtype=dtype, num_threads=num_threads)
            return cls(resolved, ctc, device=device, num_workers=num_workers)
        if engine == "torch":
            from asr.models.whisper_torch import TorchWhisper

            whisper = TorchWhisper(resolved.transformers_dir, device=device, own_length=resolved.own_length)
            return cls(resolved, whisper, device=device)
        from asr.models.whisper_ct2 import CTranslate2Whisper

        folder = serving_folder(resolved)
        model = CTranslate2Whisper(
            folder,
            device=device,
            num_threads=num_threads,
            num_workers=num_workers,
            own_length=resolved.own_length,
            sha256=resolved.served_sha256,
        )
        return cls(resolved, model, device=device, num_workers=num_workers)

    @property
    def name(self) -> str:
        """The model's short name."""
        return self.resolved.name

    @property
    def version(self) -> str:
        """The registry's version, or "bundled", "local", "hub"."""
        return self.resolved.version

    @property
    def reference(self) -> str:
        """The immutable reference."""
        return self.resolved.reference

    @property
    def sha256(self) -> str:
        """Identifies the model's content."""
        return self.resolved.sha256

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes that a request may name."""
        return self._model.languages

    @property
    def partials(self) -> CtcPartials | None:
        """Open utterances of a model that hears only what is new of them, made anew; None for any other."""
        from asr.models.ctc_torch import TorchCtc
        from asr.streaming.ctc_partials import CtcPartials

        return CtcPartials(self._model) if isinstance(self._model, TorchCtc) else None

    def warm(self) -> None:
        """Decode a moment of silence, so that the first caller does not wait for what is made at first use."""
        self._model.warm()

    def close(self) -> None:
        """Free the model's memory."""
        self._model.close()

    def decode(
        self,
        segments: Sequence[Samples],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
    ) -> list[list[Hypothesis]]:
        """Decode segments of at most 30 s each, with the phrases that each may hold; alternatives best first.

        Those that the version carries come behind a segment's own.
        """
        return self._model.decode(segments, options, self._with_carried(segments, phrases))

    def _with_carried(
        self, segments: Sequence[Samples], phrases: Sequence[PhraseSet | None] | None
    ) -> Sequence[PhraseSet | None] | None:
        carried = self.resolved.phrases
        if carried is None:
            return phrases
        return [combined(one, carried) if one else carried for one in phrases or [None] * len(segments)]

    def transcribe(
        self,
        samples: Samples,
        options: DecodingOptions | None = None,
        session_options: SessionOptions | None = None,
        phrases: PhraseSet | None = None,
    ) -> Transcript:
        """Transcribe a whole recording of any length: 16 kHz samples (T,) to segments with times."""
        return next(self.transcribe_many([samples], options, session_options, phrases))

    def transcribe_many(
        self,
        recordings: Iterable[Samples],
        options: DecodingOptions | None = None,
        session_options: SessionOptions | None = None,
        phrases: PhraseSet | None = None,
    ) -> Iterator[Transcript]:
        """Transcribe recordings in order, several segments at a time on ``num_workers`` workers.

        Any of them may hold the phrases.

        Recordings are read ahead only as far as the workers need, so an iterator over many is fine.
        """
        options = options or DecodingOptions()
        with ThreadPoolExecutor(self._num_workers) as workers:
            cut = _cut_ahead(workers, recordings, session_options, 2 * self._num_workers)
            for group in _in_groups(cut, 2 * self._num_workers * self._batch_segments):
                requests = [request for segments, _ in group for request in segments]
                hypotheses = iter(self._decode_all(workers, requests, options, phrases))
                for segments, duration_s in group:
                    yield _as_transcript(segments, [next(hypotheses) for _ in segments], duration_s)

    def _decode_all(
        self,
        workers: ThreadPoolExecutor,
        requests: Sequence[DecodeRequest],
        options: DecodingOptions,
        phrases: PhraseSet | None,
    ) -> list[Hypothesis]:
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].samples))
        size = min(self._batch_segments, math.ceil(len(order) / self._num_workers) or 1)
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        futures: list[Future[list[list[Hypothesis]]]] = [
            workers.submit(
                self.decode, [requests[index].samples for index in batch], options, [phrases] * len(batch)
            )
            for batch in batches
        ]
        best: dict[int, Hypothesis] = {}
        for batch, future in zip(batches, futures, strict=True):
            best.update(zip(batch, (row[0] for row in future.result()), strict=True))
        return [best[index] for index in range(len(requests))]


def segment_recording(samples: Samples, options: SessionOptions | None = None) -> list[DecodeRequest]:
    """The final segments of a recording, exactly those that a stream of it would decode."""
    from asr.audio.vad import VoiceActivityDetector
    from asr.streaming.session import DecodeRequest, Session, SessionOptions

    session = Session(options or SessionOptions(interim_results=False), VoiceActivityDetector())
    events = [*session.push(samples), *session.flush()]
    return [event for event in events if isinstance(event, DecodeRequest) and event.is_final]


def _cut_ahead(
    workers: ThreadPoolExecutor, recordings: Iterable[Samples], options: SessionOptions | None, ahead: int
) -> Iterator[tuple[list[DecodeRequest], float]]:
    """Segments and duration (s) of each recording, in order.

    At most ``ahead`` more are cut while one is worked on, and no more audio than ``GROUP_S``.
    """
    cutting: deque[tuple[Future[list[DecodeRequest]], float]] = deque()
    for samples in recordings:
        cutting.append((workers.submit(segment_recording, samples, options), to_seconds(len(samples))))
        while len(cutting) > ahead or sum(duration_s for _, duration_s in cutting) >= GROUP_S:
            future, duration_s = cutting.popleft()
            yield future.result(), duration_s
    for future, duration_s in cutting:
        yield future.result(), duration_s


def _as_transcript(
    requests: Sequence[DecodeRequest], hypotheses: Sequence[Hypothesis], duration_s: float
) -> Transcript:
    pairs = list(zip(requests, hypotheses, strict=True))
    guarded = tuple(
        Guarded(start_s=request.start_s, end_s=request.end_s, guard=hypothesis.guard)
        for request, hypothesis in pairs
        if hypothesis.guard
    )
    segments = tuple(_as_segment(request, hypothesis) for request, hypothesis in pairs if hypothesis.text)
    return Transcript(segments=segments, duration_s=duration_s, guarded=guarded)


def _as_segment(request: DecodeRequest, hypothesis: Hypothesis) -> Segment:
    return Segment(
        text=hypothesis.text,
        start_s=request.start_s,
        end_s=request.end_s,
        words=shift_words(hypothesis.words, request.start_s),
        confidence=hypothesis.confidence,
    )


def _in_groups(
    cut: Iterator[tuple[list[DecodeRequest], float]], enough: int
) -> Iterator[list[tuple[list[DecodeRequest], float]]]:
    """Groups of recordings that hold ``enough`` segments to keep the workers busy, and no more audio than that needs."""
    group: list[tuple[list[DecodeRequest], float]] = []
    for one in cut:
        group.append(one)
        is_full = sum(len(segments) for segments, _ in group) >= enough
        if is_full or sum(duration_s for _, duration_s in group) >= GROUP_S:
            yield group
            group = []
    if group:
        yield group


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} is not known; there are {', '.join(ENGINES)}", field="engine")
