"""How many recordings are transcribed by one process: failures apart, progress, and what is still to come.

``LocalEngine`` reads ahead only as far as its workers need. Many machines are ``asr.cli.cluster``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asr.biasing.phrases import PhraseSet
from asr.cli.console import Stage, reporting
from asr.cli.failures import MISSING, UNDECODED, UNREADABLE, Failure, FailureList
from asr.cli.places import is_url
from asr.cli.sinks import Sink
from asr.cli.sources import Samples, Source
from asr.errors import AudioError
from asr.models.base import DecodingOptions
from asr.recognizer import Recognizer
from asr.results import Transcript, merge_legs


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a source: a transcript with the recording's digest from before it was read, or a failure."""

    source: Source
    recording: str = ""
    transcript: Transcript | None = None
    failure: Failure | None = None


Deliver = Callable[[Outcome], None]


class Engine(Protocol):
    """Transcribes sources."""

    def run(self, sources: Sequence[Source], deliver: Deliver) -> None:
        """Hand over the outcome of every source, in any order, each once, from this thread."""
        ...


class LocalEngine:
    """A recogniser in this process.

    Args:
        recognizer: with as many workers as shall decode at the same time.
        options: of the search.
        phrases: that every recording may hold.
        finish: what is done to a transcript before it is handed over.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        options: DecodingOptions,
        phrases: PhraseSet | None = None,
        finish: Callable[[Transcript], Transcript] = lambda transcript: transcript,
    ) -> None:
        self._recognizer, self._options, self._phrases, self._finish = recognizer, options, phrases, finish

    def run(self, sources: Sequence[Source], deliver: Deliver) -> None:
        """See :class:`Engine`. If decoding fails, what was decoded together is tried again one by one."""
        waiting = deque(sources)
        while waiting:
            reading: deque[tuple[Source, str]] = deque()  # read, and not yet handed over
            unread: deque[Outcome] = deque()  # likewise, what could not be read
            try:
                self._run_together(waiting, reading, unread, deliver)
            except _DecodingError:
                _deliver_all(unread, deliver)
                for source, recording in reading:
                    deliver(self._alone(source, recording))

    def _run_together(
        self,
        waiting: deque[Source],
        reading: deque[tuple[Source, str]],
        unread: deque[Outcome],
        deliver: Deliver,
    ) -> None:
        def streams() -> Iterator[Samples]:
            while waiting:
                source = waiting.popleft()
                try:
                    recording = source.digest()
                    samples = source.read()
                except Exception as error:  # the batch boundary: it is listed
                    # delivered below: what goes wrong with the list must not look like a decoder's fault
                    unread.append(Outcome(source=source, failure=failure_of(source, error)))
                    continue
                reading.append((source, recording))
                yield from streams_of(samples)

        transcripts = self._transcripts(streams())
        for first in transcripts:
            source, recording = reading[0]
            legs = [first, *(next(transcripts) for _ in source.legs[1:])]
            deliver(self._outcome(source, recording, legs))
            reading.popleft()
            _deliver_all(unread, deliver)
        _deliver_all(unread, deliver)

    def _transcripts(self, streams: Iterator[Samples]) -> Iterator[Transcript]:
        try:
            yield from self._recognizer.transcribe_many(streams, self._options, phrases=self._phrases)
        except Exception as error:  # the batch boundary: one recording must not end the others
            raise _DecodingError from error

    def _alone(self, source: Source, recording: str) -> Outcome:
        try:
            legs = [
                self._recognizer.transcribe(stream, self._options, phrases=self._phrases)
                for stream in streams_of(source.read())
            ]
        except Exception as error:  # the batch boundary: it is listed
            return Outcome(source=source, failure=failure_of(source, error))
        return self._outcome(source, recording, legs)

    def _outcome(self, source: Source, recording: str, legs: Sequence[Transcript]) -> Outcome:
        whole = merge_legs(dict(zip(source.legs, legs, strict=True))) if source.legs else legs[0]
        try:
            finished = self._finish(whole)
        except Exception as error:  # the batch boundary; what a step could not do is not shown without it
            return Outcome(source=source, failure=failure_of(source, error))
        return Outcome(source=source, recording=recording, transcript=finished)


def _deliver_all(outcomes: deque[Outcome], deliver: Deliver) -> None:
    while outcomes:
        deliver(outcomes.popleft())


class _DecodingError(Exception):
    """Something went wrong with one of several recordings, and it is not known which."""


def streams_of(samples: Samples) -> list[Samples]:
    """(T,) as it is, (T, C) as C streams (T,)."""
    if samples.ndim == 1:
        return [samples]
    return [np.ascontiguousarray(column) for column in samples.T]


def failure_of(source: Source, error: Exception) -> Failure:
    """Why a source has no transcript."""
    code, reason = UNDECODED, f"{type(error).__name__}: {error}"
    if isinstance(error, AudioError):
        is_missing = not is_url(source.audio_filepath) and not Path(source.audio_filepath).exists()
        code, reason = MISSING if is_missing else UNREADABLE, str(error)
    return Failure(id=source.id, path=source.audio_filepath, code=code, reason=reason)


def run_batch(engine: Engine, sources: Sequence[Source], sink: Sink, failures: FailureList) -> None:
    """Transcribe the sources into the sink, with progress: RTFx, hours of audio left, failures."""
    left = _AudioLeft(sources)
    started = time.monotonic()

    def deliver(outcome: Outcome) -> None:
        if outcome.transcript is not None:
            sink.write(outcome.source, outcome.recording, outcome.transcript)
            left.done(outcome.source, outcome.transcript.duration_s)
        elif outcome.failure is not None:
            failures.add(outcome.failure)
            left.failed(outcome.source)
        _advance(stage, left, time.monotonic() - started, len(failures.failures))

    try:
        with reporting() as reporter, reporter.stage("transcribing", len(sources)) as stage:
            engine.run(sources, deliver)
    finally:
        failures.close()


def _advance(stage: Stage, left: _AudioLeft, elapsed_s: float, num_failed: int) -> None:
    parts = [f"RTFx {left.done_s / max(1e-6, elapsed_s):.1f}"]
    if (left_s := left.left_s) is not None:
        parts.append(f"{left_s / 3600:.1f} h left")
    if num_failed:
        parts.append(f"{num_failed} failed")
    stage.advance(", ".join(parts))


class _AudioLeft:
    """How much audio is left: as rows declare it, else by the size of the files and what those that are done held."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.done_s = 0.0
        self._declared_s = sum(source.duration_s or 0.0 for source in sources)
        self._num_bytes = {source.id: source.size() for source in sources if source.duration_s is None}
        self._bytes_left = sum(self._num_bytes.values())
        self._measured_s = self._measured_bytes = 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds; None while there is nothing to judge by."""
        if not self._bytes_left:
            return max(0.0, self._declared_s)
        if not self._measured_bytes:
            return None
        return max(0.0, self._declared_s + self._bytes_left * self._measured_s / self._measured_bytes)

    def done(self, source: Source, duration_s: float) -> None:
        """A source was transcribed."""
        self.done_s += duration_s
        if source.duration_s is None:
            self._measured_s += duration_s
            self._measured_bytes += self._num_bytes[source.id]
        self.failed(source)

    def failed(self, source: Source) -> None:
        """A source is over."""
        self._declared_s -= source.duration_s or 0.0
        self._bytes_left -= self._num_bytes.get(source.id, 0)
