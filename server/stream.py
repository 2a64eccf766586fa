"""One stream's work: plain messages in, plain updates out, on the event loop.

Three tasks: one reads into a bounded inbox, one turns audio into events and events into decodes, one sends in
order and waits for the finals. Model work runs elsewhere; gRPC is unknown here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Protocol

from asr.audio.pcm import bytes_per_sample
from asr.errors import LexituneError, LimitError
from asr.models.base import DecodingOptions, Samples
from asr.results import Hypothesis, shift_words
from asr.streaming.endpointer import FinalReason
from asr.streaming.messages import (
    Finalize,
    Goodbye,
    Marker,
    MarkerReached,
    Progress,
    RecognitionResult,
    StreamConfig,
    StreamEvent,
    StreamInput,
    StreamUpdate,
)
from asr.streaming.pcm_session import PcmSession
from asr.streaming.session import DecodeRequest, Event
from asr.streaming.stabilizer import Stabilizer
from asr.text.languages import language_code
from server.batching import DecodeQueue, DecodeWork, Urgency
from server.inbox import Inbox

MAX_PENDING_FINALS = 2  # of one stream; then its audio waits, and at last its client
_MAX_UNSENT = 64

INTERIM_WITHIN_S, FINAL_WITHIN_S = 0.5, 0.2  # what is late goes first among equals

Decoded = list[Hypothesis]
_LOG = logging.getLogger(__name__)


class Model(Protocol):
    """What a stream needs of a served model."""

    def work(
        self, samples: Samples, options: DecodingOptions, utterance: tuple[str, int] | None = None
    ) -> DecodeWork:
        """A segment, or an open utterance so far, as work for the queue."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamServices:
    """What streams share.

    Attributes:
        decodes: the decode queue.
        front: threads that decode PCM, resample and search for speech.
        beam_size: of final results.
        max_queued_s: audio of a stream that may wait.
    """

    decodes: DecodeQueue
    front: Executor
    beam_size: int
    max_queued_s: float


@dataclass(frozen=True, slots=True)
class _PendingFinal:
    request: DecodeRequest
    future: Future[Decoded]


class RecognitionStream:
    """Recognises one stream.

    Args:
        config: what the client asked for.
        model: of this stream, to its end.
        services: what streams share.
        send: sends an update; called by one task only.
    """

    def __init__(
        self,
        config: StreamConfig,
        model: Model,
        services: StreamServices,
        send: Callable[[StreamUpdate], Awaitable[None]],
    ) -> None:
        self._config = config
        self._name = uuid.uuid4().hex
        self._model = model
        self._services = services
        self._send = send
        self._bytes_per_s = config.sample_rate_hz * bytes_per_sample(config.encoding)
        self._inbox = Inbox(int(services.max_queued_s * self._bytes_per_s))
        self._outbox: asyncio.Queue[StreamEvent | _PendingFinal | None] = asyncio.Queue(_MAX_UNSENT)
        self._pcm = PcmSession(config, early_finals=True)
        self._final_slots = asyncio.Semaphore(MAX_PENDING_FINALS)
        self._pending_finals: list[_PendingFinal] = []
        self._markers: list[tuple[float, Marker]] = []
        self._stabilizer = Stabilizer()
        self._interim: tuple[Future[Decoded], asyncio.Task[None]] | None = None
        self._early: _PendingFinal | None = None
        self._last_final_id = 0
        self._searched_s = 0.0
        self._skipped_s = 0.0
        self._reader: asyncio.Task[None] | None = None
        self._ended_by: LexituneError | None = None
        language = language_code(config.language) or None
        self._interim_options = DecodingOptions(beam_size=1, word_times=False, language=language)
        self._final_options = DecodingOptions(
            beam_size=max(services.beam_size, config.max_alternatives),
            word_times=config.word_times,
            language=language,
            max_alternatives=config.max_alternatives,
        )

    @property
    def received_s(self) -> float:
        """Audio received, s."""
        return self._inbox.received_bytes / self._bytes_per_s

    @property
    def progress(self) -> Progress:
        """How far the stream is; what waits for its final is not processed."""
        oldest_s = min((one.request.start_s for one in self._pending_finals), default=float("inf"))
        processed_s = min(self._searched_s, oldest_s - self._config.start_offset_s, self.received_s)
        return Progress(
            received_s=self.received_s, processed_s=processed_s, skipped_silence_s=self._skipped_s
        )

    async def run(self, messages: AsyncIterator[StreamInput]) -> None:
        """Recognise until ``messages`` end and all finals were sent.

        Raises:
            LexituneError: what ``messages`` raised, audio that cannot be decoded, or what ended the stream;
                alone or in an exception group.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._reader = group.create_task(self._read(messages))
                group.create_task(self._work(group))
                group.create_task(self._write())
        finally:
            self._cancel_decodes()
        if self._ended_by is not None:
            raise self._ended_by

    def announce(self, goodbye: Goodbye) -> None:
        """Tell the client that the stream will end soon, unless it does not even read what it was sent."""
        with contextlib.suppress(asyncio.QueueFull):
            self._outbox.put_nowait(goodbye)

    def end(self, error: LexituneError) -> None:
        """Read no more; what was received becomes final and is sent; then ``run`` raises ``error``."""
        if self._ended_by is None and self._reader is not None and not self._reader.done():
            self._ended_by = error
            self._reader.cancel()

    async def _read(self, messages: AsyncIterator[StreamInput]) -> None:
        unput: StreamInput | None = None
        try:
            async for message in messages:
                unput = message
                await self._inbox.put(message)
                unput = None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._ended_by is None or (task is not None and task.uncancel() > 0):
                raise
        if unput is not None:  # the stream was ended while its inbox was full: audio is never dropped
            await self._inbox.put(unput)
        await self._inbox.put(None)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for message in await self._inbox.take():
                match message:
                    case bytes():
                        events = await loop.run_in_executor(self._services.front, self._pcm.push, message)
                    case Finalize():
                        events = self._pcm.finalize()
                    case Marker():
                        self._markers.append((self._pcm.session.received_s, message))
                        events = []
                    case None:
                        await self._finish(group)
                        return
                await self._apply(events, group)
                await self._release_markers(self._pcm.session.settled_s)

    async def _finish(self, group: asyncio.TaskGroup) -> None:
        # A cancelled call shows as a plain end of its messages; its CancelledError comes with the next await.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        await self._apply(await loop.run_in_executor(self._services.front, self._pcm.flush), group)
        await self._release_markers(float("inf"))
        await self._outbox.put(None)

    async def _apply(self, events: list[Event], group: asyncio.TaskGroup) -> None:
        for event in events:
            if not isinstance(event, DecodeRequest):
                await self._outbox.put(event)
            elif event.is_final:
                await self._submit_final(event)
            elif event.is_early:
                self._begin_early(event)
            else:
                self._offer_interim(event, group)
        session = self._pcm.session
        self._searched_s, self._skipped_s = session.received_s, session.skipped_s

    async def _release_markers(self, settled_s: float) -> None:
        """Echo, behind the finals that are due, the markers whose audio is settled."""
        while self._markers and self._markers[0][0] <= settled_s:
            _, marker = self._markers.pop(0)
            await self._outbox.put(MarkerReached(id=marker.id))

    async def _submit_final(self, request: DecodeRequest) -> None:
        self._last_final_id = request.utterance_id
        self._stabilizer.reset()
        self._drop_interim()
        await self._final_slots.acquire()
        future = self._take_early(request) or self._submit(request, self._final_options, Urgency.FINAL)
        pending = _PendingFinal(request, future)
        self._pending_finals.append(pending)
        await self._outbox.put(pending)

    def _begin_early(self, request: DecodeRequest) -> None:
        """Decode what will be the final if nothing more is said; only where nobody else waits."""
        self._drop_early()
        if not self._services.decodes.num_waiting:
            future = self._submit(request, self._final_options, Urgency.EARLY)
            self._early = _PendingFinal(request, future)

    def _take_early(self, request: DecodeRequest) -> Future[Decoded] | None:
        """The decoding of exactly this audio that has begun already, if there is one."""
        early, self._early = self._early, None
        if early is None:
            return None
        is_same = (early.request.start_s, early.request.end_s) == (request.start_s, request.end_s)
        if is_same and not early.future.cancel():  # it runs, or is done
            return early.future
        early.future.cancel()
        return None

    def _drop_early(self) -> None:
        if self._early is not None:
            self._early.future.cancel()
            self._early = None

    def _offer_interim(self, request: DecodeRequest, group: asyncio.TaskGroup) -> None:
        """Decode an interim unless one is in flight; one that only waits is stale and makes way."""
        if self._interim is not None:
            future, delivery = self._interim
            if not delivery.done() and (future.running() or future.done()):
                return
        self._drop_interim()
        try:
            future = self._submit(request, self._interim_options, Urgency.INTERIM)
        except LimitError:  # an interim is worth no stream: the next one may find room
            return
        self._interim = future, group.create_task(self._deliver_interim(request, future))

    def _drop_interim(self) -> None:
        if self._interim is not None:
            self._interim[1].cancel()
            self._interim[0].cancel()
            self._interim = None

    async def _deliver_interim(self, request: DecodeRequest, future: Future[Decoded]) -> None:
        try:
            hypotheses = await asyncio.wrap_future(future)
        except Exception as error:  # an interim is worth no stream
            _LOG.warning("an interim result was skipped: %s", type(error).__name__)
            return
        if request.utterance_id > self._last_final_id:
            stable = self._stabilizer.update(hypotheses[0])
            shown = [replace(hypotheses[0], text=stable.text), *hypotheses[1:]]
            await self._outbox.put(_result(request, shown, stable.stability))

    def _submit(self, request: DecodeRequest, options: DecodingOptions, urgency: Urgency) -> Future[Decoded]:
        within_s = FINAL_WITHIN_S if urgency is Urgency.FINAL else INTERIM_WITHIN_S
        is_open = urgency is Urgency.INTERIM
        work = self._model.work(
            request.samples, options, (self._name, request.utterance_id) if is_open else None
        )
        return self._services.decodes.submit(work, urgency, within_s=within_s)

    async def _write(self) -> None:
        while (unsent := await self._outbox.get()) is not None:
            if isinstance(unsent, _PendingFinal):
                hypotheses = await asyncio.wrap_future(unsent.future)
                self._pending_finals.remove(unsent)
                self._final_slots.release()
                event: StreamEvent = _result(unsent.request, hypotheses, 1.0)
            else:
                event = unsent
            await self._send(StreamUpdate(event=event, progress=self.progress))

    def _cancel_decodes(self) -> None:
        self._drop_interim()
        self._drop_early()
        for pending in self._pending_finals:
            pending.future.cancel()


def _result(request: DecodeRequest, hypotheses: list[Hypothesis], stability: float) -> RecognitionResult:
    """The answer to a decode request, its words on the stream's clock."""
    reason: FinalReason | None = request.final_reason
    return RecognitionResult(
        utterance_id=request.utterance_id,
        is_final=request.is_final,
        stability=stability,
        start_s=request.start_s,
        end_s=request.end_s,
        alternatives=tuple(replace(one, words=shift_words(one.words, request.start_s)) for one in hypotheses),
        final_reason=reason,
    )
