"""One stream's work: plain messages in, plain updates out, on the event loop.

Three tasks: one reads into a bounded inbox, one turns audio into events and events into decodes, one sends in
order and waits for the finals. What is decoded, and of which channel, is ``server.leg``'s; gRPC is unknown here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from asr.biasing.phrases import PhraseSet
from asr.errors import LexituneError, LimitError, ProtocolError
from asr.streaming.messages import (
    Finalize,
    Goodbye,
    LagPolicy,
    Marker,
    MarkerReached,
    Progress,
    StreamConfig,
    StreamEvent,
    StreamUpdate,
)
from asr.streaming.pcm_session import ChannelEvent, PcmSession
from asr.streaming.session import DecodeRequest, SpeechStarted
from server.inbox import Inbox, Source
from server.leg import Leg, Model, Pending, StreamServices
from server.stream_metrics import StreamMetrics
from server.vocabulary import PhraseChange, ServedInput

SHED_INTERIMS_SHARE = 0.25  # of the audio that may wait; with more, a stream that sheds has no interims
MAX_PENDING_FINALS = 2  # for each leg; then audio waits, and at last its client
MAX_MARKERS = 10_000  # that wait at once
GIVE_UP_S = 60.0
_MAX_UNSENT = 64

_LOG = logging.getLogger(__name__)


class RecognitionStream:
    """Recognises one stream.

    Args:
        config: what the client asked for.
        model: of this stream, to its end.
        services: what streams share.
        send: sends an update; called by one task only.
        metrics: measures this stream; without one, it is measured nowhere.
        phrases: that its utterances may hold until a ``PhraseChange`` comes.
    """

    def __init__(
        self,
        config: StreamConfig,
        model: Model,
        services: StreamServices,
        send: Callable[[StreamUpdate], Awaitable[None]],
        metrics: StreamMetrics | None = None,
        phrases: PhraseSet | None = None,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._services = services
        self._send = send
        self._bytes_per_s = config.sample_rate_hz * config.frame_bytes
        self._inbox = Inbox(int(services.max_queued_s * self._bytes_per_s))
        self._outbox: asyncio.Queue[StreamEvent | Pending | None] = asyncio.Queue(_MAX_UNSENT)
        self._pcm = PcmSession(config, early_finals=True)
        self._legs = [Leg(channel, config, model, services) for channel in range(config.num_legs)]
        self._use(phrases)
        self._final_slots = asyncio.Semaphore(MAX_PENDING_FINALS * config.num_legs)
        self._pending_finals: list[Pending] = []
        self._markers: list[tuple[float, Marker]] = []
        self._searched_s = 0.0
        self._skipped_s = 0.0
        self._sheds = config.lag_policy is LagPolicy.SHED
        self._source: Source | None = None
        self._patience: asyncio.Timeout | None = None
        self._has_all = False
        self._ended_by: LexituneError | None = None

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

    async def run(self, messages: AsyncIterator[ServedInput], source: Source | None = None) -> None:
        """Recognise until ``messages`` end and all finals were sent.

        Args:
            messages: in their order.
            source: what they come from, where something is done to them on their way; ended with the stream.

        Raises:
            LexituneError: what ``messages`` raised, audio that cannot be decoded, or what ended the stream;
                alone or in an exception group.
        """
        if source is None:
            source = Source(messages)
            messages = aiter(source)
        self._source = source
        if self._ended_by is not None:  # before it began
            source.end()
        try:
            async with asyncio.timeout(None) as self._patience, asyncio.TaskGroup() as group:
                self._be_patient()
                group.create_task(self._read(messages))
                group.create_task(self._work(group))
                group.create_task(self._write())
        except TimeoutError:
            if self._ended_by is None:
                raise
        finally:
            for leg in self._legs:
                leg.close()
            for pending in self._pending_finals:
                pending.future.cancel()
            self._count_skipped()
        if self._ended_by is not None:
            raise self._ended_by

    def announce(self, goodbye: Goodbye) -> None:
        """Tell the client that the stream will end soon, unless it does not even read what it was sent."""
        with contextlib.suppress(asyncio.QueueFull):
            self._outbox.put_nowait(goodbye)

    def end(self, error: LexituneError) -> None:
        """Read no more; what was received becomes final and is sent; then ``run`` raises ``error``.

        A client that takes nothing of that for ``GIVE_UP_S`` is given up.
        """
        if self._ended_by is None and not self._has_all:
            self._ended_by = error
            if self._source is not None:
                self._source.end()
            self._be_patient()

    def _be_patient(self) -> None:
        if self._ended_by is not None and self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + GIVE_UP_S)

    async def _read(self, messages: AsyncIterator[ServedInput]) -> None:
        async for message in messages:
            if self._sheds and self._inbox.is_full:
                self.end(_lagging(self._services.max_queued_s))
            await self._inbox.put(message)
        self._has_all = True
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
                        self._mark(message)
                        events = []
                    case PhraseChange():
                        await self._change(message)
                        events = []
                    case None:
                        await self._finish(group)
                        return
                await self._apply(events, group)
                await self._release_markers(self._pcm.settled_s)

    def _use(self, phrases: PhraseSet | None) -> None:
        """In utterances that begin from now on."""
        for leg in self._legs:
            leg.next_phrases = phrases

    async def _change(self, change: PhraseChange) -> None:
        if not change.applied.error:
            self._use(change.phrases)
        await self._outbox.put(change.applied)

    def _mark(self, marker: Marker) -> None:
        if len(self._markers) >= MAX_MARKERS:
            raise ProtocolError(
                f"{MAX_MARKERS} markers wait for their audio already; wait for some of them, or send finalize",
                field="marker",
            )
        self._markers.append((self._pcm.received_s, marker))

    async def _finish(self, group: asyncio.TaskGroup) -> None:
        # A cancelled call shows as a plain end of its messages; its CancelledError comes with the next await.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        await self._apply(await loop.run_in_executor(self._services.front, self._pcm.flush), group)
        await self._release_markers(float("inf"))
        await self._outbox.put(None)

    async def _apply(self, events: list[ChannelEvent], group: asyncio.TaskGroup) -> None:
        for channel, event in events:
            leg = self._legs[channel]
            if isinstance(event, SpeechStarted):
                leg.open_utterance()
                if self._metrics is not None:
                    self._metrics.speech_started(channel, event)
            if not isinstance(event, DecodeRequest):
                await self._outbox.put(replace(event, channel=channel))
            elif event.is_final:
                await self._submit_final(leg, event)
            elif event.is_early:
                leg.begin_early(event)
            elif self._sheds and self.progress.lag_s > SHED_INTERIMS_SHARE * self._services.max_queued_s:
                leg.num_skipped += 1
            elif (pending := leg.offer_interim(event)) is not None:
                leg.delivers(group.create_task(self._deliver_interim(pending)))
        self._searched_s, self._skipped_s = self._pcm.received_s, self._pcm.skipped_s

    async def _release_markers(self, settled_s: float) -> None:
        """Echo, behind the finals that are due, the markers whose audio is settled."""
        while self._markers and self._markers[0][0] <= settled_s:
            _, marker = self._markers.pop(0)
            await self._outbox.put(MarkerReached(id=marker.id))

    async def _submit_final(self, leg: Leg, request: DecodeRequest) -> None:
        leg.close_utterance(request)
        if self._metrics is not None:
            self._metrics.final_asked(leg.channel, request)
        await self._final_slots.acquire()
        pending = leg.final(request)
        self._pending_finals.append(pending)
        await self._outbox.put(pending)

    async def _deliver_interim(self, pending: Pending) -> None:
        try:
            hypotheses = await asyncio.wrap_future(pending.future)
        except Exception as error:  # an interim is worth no stream
            _LOG.warning("an interim result was skipped: %s", type(error).__name__)
            return
        result = pending.leg.interim_result(pending, hypotheses)
        if result is not None:
            await self._outbox.put(result)

    async def _write(self) -> None:
        while (unsent := await self._outbox.get()) is not None:
            if isinstance(unsent, Pending):
                hypotheses = await asyncio.wrap_future(unsent.future)
                self._pending_finals.remove(unsent)
                self._final_slots.release()
                final = unsent.final_result(hypotheses)
                event: StreamEvent = final
            else:
                event = unsent
            update = StreamUpdate(event=event, progress=self.progress)
            await self._send(update)
            self._be_patient()
            if self._metrics is not None:
                self._metrics.sent(update)
            if isinstance(unsent, Pending):
                self._count_skipped()
                if self._services.keep is not None:
                    self._services.keep(unsent.request, final)

    def _count_skipped(self) -> None:
        if self._metrics is not None:
            self._metrics.skipped(self._skipped_s, sum(leg.num_skipped for leg in self._legs))


def _lagging(limit_s: float) -> LimitError:
    return LimitError(
        f"more than {limit_s:g} s of audio waits, and the stream's lag policy is SHED: what was received is final; send "
        "audio as it is spoken, or choose BLOCK",
        reason="LAG",
    )
