"""Calls, whatever protocol they come in: slot, model and stream held for as long as a call lasts; drained together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from asr.biasing.phrases import PhraseReport
from asr.errors import ExpiredError, LimitError, OptionError, ProtocolError, UnavailableError
from asr.streaming.messages import (
    Goodbye,
    ModelIdentity,
    Progress,
    Ready,
    RecognitionResult,
    StreamConfig,
    StreamUpdate,
    Vocabulary,
)
from asr.text.languages import language_code
from server.call_audio import IN_PARTS, at_most, check_length, length_s, pieces, watched
from server.caller import Caller, current_caller
from server.candidates.keeper import Keeper
from server.catalog import Catalog
from server.deadlines import Deadlines
from server.errors import first_leaf
from server.inbox import Source
from server.leg import StreamServices
from server.limits import Admission, Limits
from server.pool import ModelPool
from server.quotas import TenantQuotas
from server.stream import GIVE_UP_S, RecognitionStream
from server.stream_metrics import StreamMetrics
from server.unpacking import Unpacked, settled, unpacker
from server.vocabulary import PhraseChange, Resolved, ServedInput, written_by
from server.workers import ServedModel

FLUSH_S = GIVE_UP_S  # within which one more of the streams that a drain has ended must have sent its finals

_M = TypeVar("_M")
Send = Callable[[StreamUpdate], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognized:
    """One recording's finals in the order of their times, and what became of each phrase."""

    results: list[RecognitionResult]
    model: ModelIdentity
    duration_s: float
    phrases: tuple[PhraseReport, ...]
    keeps_candidates: bool


class Calls:
    """Runs calls.

    Args:
        admission: the server's slots.
        limits: what one client may use.
        catalog: resolves selectors.
        pool: the models in memory.
        services: what streams share.
        quotas: what tenants use.
        keeper: of candidates.

    Attributes:
        limits: what one client may use.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        limits: Limits,
        catalog: Catalog,
        pool: ModelPool[ServedModel],
        services: StreamServices,
        quotas: TenantQuotas,
        keeper: Keeper,
    ) -> None:
        self.limits = limits
        self._admission = admission
        self._catalog = catalog
        self._pool = pool
        self._services = services
        self._quotas = quotas
        self._keeper = keeper
        self._streams: dict[RecognitionStream, asyncio.Task[Any] | None] = {}
        self._waiting: set[asyncio.Task[Any]] = set()
        self._is_draining = False

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot of the server and of the caller, from before anything of a call is read.

        Raises:
            UnavailableError: the server loads or drains.
            LimitError: all slots are taken, or the caller has used what it may.
        """
        with self._admission.slot(), self._quotas.slots(current_caller(), 1):
            yield

    def check_room(self, caller: Caller) -> None:
        """Refuse what would find no slot now.

        Raises:
            UnavailableError: the server loads or drains.
            LimitError: all slots of the server or of the caller are taken.
        """
        with self._admission.slot(), self._quotas.slots(caller, 1):
            pass

    def check_serving(self) -> None:
        """Refuse what needs no slot while the server loads or drains.

        Raises:
            UnavailableError: it does.
        """
        self._admission.check_serving()

    async def first(self, messages: AsyncIterator[_M]) -> _M:
        """A stream's first message, in time.

        Raises:
            ProtocolError: there is none, or not in time.
        """
        try:
            async with self.waiting(), asyncio.timeout(self.limits.first_message_s):
                return await anext(messages)
        except StopAsyncIteration:
            message = "the stream ended without a message; send config first"
            raise ProtocolError(message, field="config") from None
        except TimeoutError:
            message = (
                f"no config within {self.limits.first_message_s:g} s; send it as the first message, at once"
            )
            raise ProtocolError(message, field="config") from None

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """A block in which a call waits before its stream has begun, for its client or its model; a drain ends it.

        Raises:
            UnavailableError: the server drains.
        """
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._waiting or task.uncancel() > 0:  # not the drain, or not it alone
                raise
            raise _draining() from None
        finally:
            self._waiting.discard(task)

    async def recognize(self, config: StreamConfig, audio: bytes) -> Recognized:
        """Recognise one whole recording; the caller holds a slot.

        Raises:
            LexituneError: the recording is too long or cannot be decoded, or there is no such model.
        """
        self._check_recording(config, audio)
        contained = config.container is not None
        results: list[RecognitionResult] = []

        async def collect(update: StreamUpdate) -> None:
            if isinstance(update.event, RecognitionResult) and update.event.is_final:
                results.append(update.event)

        source, max_s = Source(pieces(config, audio)), self.limits.max_unary_s
        asked = await self._resolved(config)
        async with (
            self._lease(config) as model,
            self._unpacked(config, aiter(source), max_s) as (config, samples),
        ):
            asked = asked.by(model.tokens)
            caller = current_caller()
            stream = self._recognition(config, model, collect, asked, is_live=False)
            if not contained:
                self._quotas.take(caller, length_s(config, len(audio)) * config.num_legs)
            else:  # how much there is shows while it is decoded
                samples = self._charged(samples, config, caller, stream)
            with self._open(stream):
                try:
                    await stream.run(at_most(samples, config, max_s), source)
                except Exception as error:
                    if contained and isinstance(
                        first_leaf(error), LimitError
                    ):  # what was counted is given back
                        self._quotas.charge(caller, -stream.received_s * config.num_legs)
                    raise
        results.sort(key=lambda result: (result.start_s, result.channel))
        return Recognized(
            results=results,
            model=model.identity,
            duration_s=stream.received_s,
            phrases=asked.reports,
            keeps_candidates=self._keeper.has_consent(caller),
        )

    async def stream(
        self,
        config: StreamConfig,
        inputs: AsyncIterator[ServedInput],
        send: Send,
        ignored_fields: tuple[str, ...] = (),
    ) -> None:
        """Recognise while audio comes, ``Ready`` first; the caller holds a slot.

        Raises:
            LexituneError: alone or in an exception group; see :meth:`server.stream.RecognitionStream.run`.
        """
        source, asked = Source(inputs), await self._resolved(config)
        async with self._lease(config) as model:
            asked = asked.by(model.tokens)
            ready = Ready(
                model=model.identity,
                limits=self.limits,
                ignored_fields=ignored_fields,
                phrases=asked.reports,
                keeps_candidates=self._keeper.has_consent(current_caller()),
            )
            greeting, is_raw = StreamUpdate(event=ready, progress=Progress()), config.container is None
            if not is_raw:  # its format comes with its audio, and that after this
                await send(greeting)
            async with self._unpacked(config, aiter(source), self.limits.max_stream_s) as (config, samples):
                stream = self._recognition(config, model, send, asked)
                deadlines = Deadlines(self.limits)
                watcher = asyncio.create_task(deadlines.watch(stream))
                try:
                    with self._open(stream):
                        if is_raw:  # only now: a drain says goodbye to every stream that is ready
                            await send(greeting)
                        if model.tokens is not None:
                            samples = written_by(model.tokens, samples)
                        charged = self._charged(samples, config, current_caller(), stream)
                        await stream.run(watched(charged, deadlines), source)
                finally:
                    watcher.cancel()

    async def change(self, vocabulary: Vocabulary) -> PhraseChange:
        """What the caller's stream does with a vocabulary that came on it; never an error."""
        return await self._services.vocabularies.change(vocabulary, current_caller().name)

    async def drain(self, grace_s: float) -> None:
        """Say goodbye to all streams; end those still open after ``grace_s``, their finals sent."""
        self._is_draining = True
        waiting, self._waiting = self._waiting, set()
        for task in waiting:
            task.cancel()
        for stream in self._streams:
            stream.announce(Goodbye(reason="DRAINING", time_left_s=grace_s))
        if tasks := self._open_tasks():
            await asyncio.wait(tasks, timeout=grace_s)
        for stream in self._streams:
            stream.end(_draining())
        while tasks := self._open_tasks():
            done, _ = await asyncio.wait(tasks, timeout=FLUSH_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break

    async def _resolved(self, config: StreamConfig) -> Resolved:
        """What the call's vocabulary means now."""
        if config.vocabulary is None:
            return Resolved()
        async with self.waiting():
            return await self._services.vocabularies.resolve(config.vocabulary, current_caller().name)

    def _open_tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task in self._streams.values() if task is not None}

    @asynccontextmanager
    async def _lease(self, config: StreamConfig) -> AsyncIterator[ServedModel]:
        """The model that the selector means now, pinned until the call ends, and slots for further legs."""
        caller, further = current_caller(), config.num_legs - 1
        with self._admission.further(further), self._quotas.slots(caller, further):
            async with AsyncExitStack() as held:
                async with self.waiting():
                    reference = await asyncio.to_thread(self._catalog.resolve, config.model, caller.may_use)
                    model = await held.enter_async_context(self._pool.lease(reference))
                _check_language(config.language, model)
                yield model

    @asynccontextmanager
    async def _unpacked(
        self, config: StreamConfig, inputs: AsyncIterator[ServedInput], max_s: float
    ) -> AsyncIterator[tuple[StreamConfig, AsyncIterator[ServedInput]]]:
        """The inputs with raw samples, and the config with their format: where a container states it, once it came.

        Raises:
            ExpiredError: it does not come in time.
            LexituneError: it is not served, or not what the client said.
        """
        if config.container is None:
            yield config, inputs
            return
        async with unpacker(config.container, max_s=max_s) as one:
            unpacked = Unpacked(inputs, one)
            try:
                async with self.waiting(), asyncio.timeout(self.limits.idle_s):
                    found = settled(config, await unpacked.begin())
            except TimeoutError:
                message = f"no audio within {self.limits.idle_s:g} s; send it, silence too, as it comes"
                raise ExpiredError(message, reason="IDLE") from None
            further = found.num_legs - config.num_legs
            with self._admission.further(further), self._quotas.slots(current_caller(), further):
                yield found, aiter(unpacked)

    def _recognition(
        self, config: StreamConfig, model: ServedModel, send: Send, asked: Resolved, *, is_live: bool = True
    ) -> RecognitionStream:
        """The caller's stream, measured, its unsure finals kept if the caller has consented."""
        keep = self._keeper.of(current_caller(), model.identity, config)
        services = replace(self._services, tenant=current_caller().name, keep=keep)
        measured = StreamMetrics(config, services.metrics.model(model.reference), is_live=is_live)
        return RecognitionStream(config, model, services, send, measured, asked.phrases)

    async def _charged(
        self,
        inputs: AsyncIterator[ServedInput],
        config: StreamConfig,
        caller: Caller,
        stream: RecognitionStream,
    ) -> AsyncIterator[ServedInput]:
        """The inputs, their audio counted; what uses up the caller's quota is the last that is served."""
        async for one in inputs:
            if isinstance(one, bytes):
                error = self._quotas.charge(caller, length_s(config, len(one)) * config.num_legs)
                if error is not None:
                    stream.end(error)
            yield one

    def _check_recording(self, config: StreamConfig, audio: bytes) -> None:
        """Refuse what is too large; how long a container's audio is shows while it is decoded."""
        if len(audio) > self.limits.max_unary_bytes:
            message = f"{len(audio)} bytes of audio; at most {self.limits.max_unary_bytes}: {IN_PARTS}"
            raise ProtocolError(message, field="audio")
        if config.container is None:
            check_length(length_s(config, len(audio)), self.limits.max_unary_s)

    @contextmanager
    def _open(self, stream: RecognitionStream) -> Iterator[None]:
        """Let a drain know of the stream and of the task that serves it.

        Raises:
            UnavailableError: the drain has begun, and would not know of it.
        """
        if self._is_draining:
            raise _draining()
        self._streams[stream] = asyncio.current_task()
        try:
            yield
        finally:
            del self._streams[stream]


def _draining() -> UnavailableError:
    return UnavailableError("the server is shutting down; open the stream again", reason="DRAINING")


def _check_language(language: str, model: ServedModel) -> None:
    code = language_code(language)
    if code and code not in model.languages:
        known = ", ".join(sorted(model.languages))
        message = f"{model.name} does not know the language {language!r}; it knows {known}"
        raise OptionError(message, field="config.language_code")
