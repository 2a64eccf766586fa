"""One recording of a batch job: read, recognised as ``lexitune transcribe`` does, written as a document for the store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.biasing.phrases import Phrase, PhraseReport, PhraseSet, PhraseState
from asr.errors import AudioError, OptionError
from asr.results import Segment, Transcript
from asr.streaming.messages import MAX_CHANNELS
from asr.text.languages import AUTO, known_code
from server.jobs.inputs import Inputs, Source
from server.jobs.options import JobsOptions
from server.jobs.records import Document, Lease
from server.jobs.worker import Held

if TYPE_CHECKING:
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer

MAX_LOADED = 2  # models of one worker; another takes the place of the one that was used longest ago


class Recognizers:
    """Models in this process, loaded when they are first needed. Safe to use from several threads.

    Args:
        load: from an immutable reference.
    """

    def __init__(self, load: Callable[[str], Recognizer]) -> None:
        self._load = load
        self._loaded: OrderedDict[str, Recognizer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, reference: str) -> Recognizer:
        """The recogniser of a version; one load at a time."""
        with self._lock:
            if reference not in self._loaded:
                self._loaded[reference] = self._load(reference)
                while len(self._loaded) > MAX_LOADED:
                    self._loaded.popitem(last=False)  # freed once no other thread decodes with it
            self._loaded.move_to_end(reference)
            return self._loaded[reference]


class BatchWork:
    """Transcribes recordings. Safe to use from several threads.

    Args:
        recognizers: models in memory.
        inputs: where files are.
        beam_size: of the search.
        options: limits of a recording.
    """

    def __init__(
        self, recognizers: Recognizers, inputs: Inputs, *, beam_size: int, options: JobsOptions
    ) -> None:
        self._recognizers = recognizers
        self._inputs = inputs
        self._beam_size = beam_size
        self._max_recording_s = options.max_recording_s
        self.max_s = options.max_work_s

    def __call__(self, held: Held) -> tuple[Document, float]:
        """See :class:`server.jobs.worker.Work`."""
        lease = held.lease
        path = self._inputs.path(lease.tenant, Source.of(lease.document["file"]))
        channels = self._channels(path, separate=lease.spec["separate_channels"])
        recognizer = self._recognizers.get(lease.spec["model"])
        options, phrases = self._options(recognizer, lease.spec), read_phrases(lease.spec["phrases"])
        transcripts = [  # one channel after another: only one of them is in memory
            recognizer.transcribe(self._read(path, channel), options, phrases=phrases) for channel in channels
        ]
        return transcript_document(transcripts), transcripts[0].duration_s

    def kept(self, lease: Lease) -> None:
        """See :class:`server.jobs.worker.Work`: nothing is kept for another attempt."""

    def _channels(self, path: Path, *, separate: bool) -> Sequence[int | None]:
        """Which channels are recognised, each by itself; None is the mean of all."""
        from asr.audio.files import audio_duration_s, count_channels

        with _nameless(path):
            if (duration_s := audio_duration_s(path)) > self._max_recording_s:
                raise OptionError(
                    f"the recording has {duration_s:.0f} s, and {self._max_recording_s:g} are the limit; cut it, or have "
                    "jobs.max_recording_s raised"
                )
            if not separate:
                return (None,)
            if (number := count_channels(path)) > MAX_CHANNELS:
                raise OptionError(
                    f"the recording has {number} channels, and {MAX_CHANNELS} are recognised by themselves; send fewer, "
                    "or leave separate_channels out"
                )
            return range(number)

    def _read(self, path: Path, channel: int | None) -> Any:
        """Samples (T,) at 16 kHz of a channel."""
        from asr.audio.files import read_bounded

        with _nameless(path):
            return read_bounded(path, max_s=self._max_recording_s, channel=channel)

    def _options(self, recognizer: Recognizer, spec: Document) -> DecodingOptions:
        from asr.models.base import DecodingOptions

        language = spec["language"] or AUTO
        code = None if language == AUTO else known_code(language, recognizer.languages, recognizer.reference)
        return DecodingOptions(beam_size=self._beam_size, language=code)


@contextmanager
def _nameless(path: Path) -> Iterator[None]:
    """A block whose errors do not name the file: the server's own path is nothing to a client."""
    try:
        yield
    except AudioError as error:
        raise AudioError(str(error).replace(str(path), "the recording")) from error


def transcript_document(channels: Sequence[Transcript]) -> Document:
    """The transcripts of a recording's channels as one document; segments in the order of their times."""
    segments = [
        (segment.start_s, channel, segment)
        for channel, transcript in enumerate(channels)
        for segment in transcript.segments
    ]
    return {
        "duration_s": channels[0].duration_s,
        "segments": [
            _segment(segment, channel) for _, channel, segment in sorted(segments, key=lambda one: one[:2])
        ],
    }


def _segment(segment: Segment, channel: int) -> Document:
    return {
        "text": segment.text,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "confidence": segment.confidence,
        "channel": channel,
        "words": [[word.text, word.start_s, word.end_s, word.confidence] for word in segment.words],
    }


def phrases_document(phrases: PhraseSet | None) -> list[list[Any]]:
    """Phrases as a job's spec holds them."""
    return [[one.text, one.boost, list(one.sounds_like), one.critical] for one in phrases or ()]


def read_phrases(document: Sequence[Sequence[Any]]) -> PhraseSet | None:
    """Phrases as a job's spec holds them; None for none."""
    phrases = tuple(
        Phrase(text=text, boost=boost, sounds_like=tuple(sounds_like), critical=critical)
        for text, boost, sounds_like, critical in document
    )
    return PhraseSet(phrases) if phrases else None


def reports_document(reports: Sequence[PhraseReport]) -> list[list[str]]:
    """What became of a job's phrases, as its spec holds it, to be told again when the job is asked for again."""
    return [[one.text, one.state.value, one.reason] for one in reports]


def read_reports(spec: Document) -> list[PhraseReport]:
    """As it was kept."""
    return [
        PhraseReport(text=text, state=PhraseState(state), reason=reason)
        for text, state, reason in spec["reports"]
    ]
