"""One leg of a stream, which is all of it unless channels are separate: its segments as work for the decode queue.

What is open has at most one interim and one early final on the way. Tasks and order are ``server.stream``'s.
"""

from __future__ import annotations

import uuid
from asyncio import Task
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from asr.biasing.phrases import PhraseSet
from asr.errors import LimitError
from asr.models.base import DecodingOptions, Samples
from asr.phrase_store import PhraseStore
from asr.results import Hypothesis, shift_words
from asr.streaming.messages import Limits, RecognitionResult, StreamConfig
from asr.streaming.session import DecodeRequest
from asr.streaming.stabilizer import Stabilizer
from asr.text.languages import language_code
from server.batching import DecodeQueue, DecodeWork, Urgency
from server.metrics import Metrics
from server.vocabulary import Vocabularies

INTERIM_WITHIN_S, FINAL_WITHIN_S = 0.5, 0.2  # what is late goes first among equals

Decoded = list[Hypothesis]


class Model(Protocol):
    """What a stream needs of a served model."""

    def work(
        self,
        samples: Samples,
        options: DecodingOptions,
        utterance: tuple[str, int] | None = None,
        phrases: PhraseSet | None = None,
    ) -> DecodeWork:
        """A segment, or an open utterance so far, as work for the queue, with the phrases that it may hold."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamServices:
    """What streams share.

    Attributes:
        decodes: the decode queue.
        front: threads that decode PCM, resample and search for speech.
        beam_size: of final results.
        max_queued_s: audio of a stream that may wait.
        tenant: whose streams they are, for the queue's turns.
        metrics: what is measured.
        vocabularies: what callers' vocabularies mean.
        keep: takes each final that was sent, with its audio; None without the tenant's consent.
    """

    decodes: DecodeQueue
    front: Executor
    beam_size: int
    max_queued_s: float
    tenant: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    vocabularies: Vocabularies = field(default_factory=lambda: Vocabularies(Limits(), PhraseStore.open))
    keep: Callable[[DecodeRequest, RecognitionResult], None] | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A segment that is being decoded, and of which leg."""

    leg: Leg
    request: DecodeRequest
    future: Future[Decoded]

    def final_result(self, hypotheses: Decoded) -> RecognitionResult:
        """The answer."""
        return self.leg.result(self.request, hypotheses, 1.0)


class Leg:
    """Submits what one session asks for and makes results of what comes back.

    Args:
        channel: index of it.
        config: of the stream.
        model: of the stream.
        services: what streams share.

    Attributes:
        channel: index of it.
        num_skipped: interims that were not decoded, for another was in work or there was no room.
        next_phrases: that utterances may hold which have not begun.
    """

    def __init__(self, channel: int, config: StreamConfig, model: Model, services: StreamServices) -> None:
        self.channel = channel
        self.num_skipped = 0
        self.next_phrases: PhraseSet | None = None
        self._phrases: PhraseSet | None = None  # of the open utterance
        self._name = uuid.uuid4().hex
        self._model = model
        self._decodes = services.decodes
        self._tenant = services.tenant
        self._stabilizer = Stabilizer()
        self._interim: Pending | None = None
        self._delivery: Task[None] | None = None
        self._early: Pending | None = None
        self._last_final_id = 0
        language = language_code(config.language) or None
        self._interim_options = DecodingOptions(beam_size=1, word_times=False, language=language)
        self._final_options = DecodingOptions(
            beam_size=max(services.beam_size, config.max_alternatives),
            word_times=config.word_times,
            language=language,
            max_alternatives=config.max_alternatives,
        )

    def open_utterance(self) -> None:
        """An utterance has begun; it keeps to its end the phrases that there are now."""
        self._phrases = self.next_phrases

    def close_utterance(self, request: DecodeRequest) -> None:
        """A final is asked for: interims of its utterance come too late from now on."""
        self._last_final_id = request.utterance_id
        self._stabilizer.reset()
        self._drop_interim()

    def final(self, request: DecodeRequest) -> Pending:
        """Decode a segment for good, or take the decoding of exactly this audio that has begun already."""
        early, self._early = self._early, None
        if early is not None:
            is_same = (early.request.start_s, early.request.end_s) == (request.start_s, request.end_s)
            if not early.future.cancel() and is_same:  # it runs, or is done
                return Pending(self, request, early.future)
        return self._submit(request, self._final_options, Urgency.FINAL)

    def begin_early(self, request: DecodeRequest) -> None:
        """Decode what will be the final if nothing more is said; only where nobody else waits."""
        self._drop_early()
        if not self._decodes.num_waiting:
            self._early = self._submit(request, self._final_options, Urgency.EARLY)

    def offer_interim(self, request: DecodeRequest) -> Pending | None:
        """Decode an interim unless one is on its way or there is no room; one that only waits is stale and makes way.

        Who delivers it says so with :meth:`delivers`.
        """
        if self._interim is not None and self._delivery is not None and not self._delivery.done():
            self.num_skipped += 1  # this one, or the one that waits
            future = self._interim.future
            if future.running() or future.done():
                return None
        self._drop_interim()
        try:
            self._interim = self._submit(request, self._interim_options, Urgency.INTERIM)
        except LimitError:  # an interim is worth no stream: the next one may find room
            self.num_skipped += 1
            return None
        return self._interim

    def delivers(self, delivery: Task[None]) -> None:
        """The newest interim is delivered by this task, which ends when it comes too late."""
        self._delivery = delivery

    def interim_result(self, pending: Pending, hypotheses: Decoded) -> RecognitionResult | None:
        """What is shown of an interim; None if its utterance is closed."""
        if pending.request.utterance_id <= self._last_final_id:
            return None
        stable = self._stabilizer.update(hypotheses[0])
        shown = [replace(hypotheses[0], text=stable.text), *hypotheses[1:]]
        return self.result(pending.request, shown, stable.stability)

    def result(self, request: DecodeRequest, hypotheses: Decoded, stability: float) -> RecognitionResult:
        """The answer to a request, its words on the stream's clock."""
        return RecognitionResult(
            utterance_id=request.utterance_id,
            is_final=request.is_final,
            stability=stability,
            start_s=request.start_s,
            end_s=request.end_s,
            alternatives=tuple(
                replace(one, words=shift_words(one.words, request.start_s)) for one in hypotheses
            ),
            final_reason=request.final_reason,
            channel=self.channel,
        )

    def close(self) -> None:
        """Take back what waits."""
        self._drop_interim()
        self._drop_early()

    def _drop_interim(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None
        if self._interim is not None:
            self._interim.future.cancel()
            self._interim = None

    def _drop_early(self) -> None:
        if self._early is not None:
            self._early.future.cancel()
            self._early = None

    def _submit(self, request: DecodeRequest, options: DecodingOptions, urgency: Urgency) -> Pending:
        within_s = FINAL_WITHIN_S if urgency is Urgency.FINAL else INTERIM_WITHIN_S
        is_open = urgency is Urgency.INTERIM
        utterance = (self._name, request.utterance_id) if is_open else None
        work = self._model.work(request.samples, options, utterance, self._phrases)
        future = self._decodes.submit(
            work, urgency, within_s=within_s, tenant=self._tenant, stream=self._name
        )
        return Pending(self, request, future)
