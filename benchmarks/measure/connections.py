"""Clients that give up their connections at random instants, each in a phase of its own; what the server holds after.

The show ``cancels`` of ``benchmarks/faults.py``. Every cycle is a connection that no other cycle uses: gRPC shares one
between channels of the same address unless it is told not to, and keeps it open until the last call on it is collected,
which lies in a reference cycle.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks.measure.abuse import CHUNK_SAMPLES, Samples, flac
from benchmarks.measure.scrape import gauges_of_calls

if TYPE_CHECKING:
    from asr.client import StreamConfig
    from benchmarks.measure.server_process import ServerProcess

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
HANDSHAKE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    (0, 0, 0, 4, 0, 0, 0, 0, 0)
)  # RFC 9113, 3.4: and no settings
COMPRESSED_EVERY = 25  # cycles
CONNECT_S = 0.01  # a connection on one machine takes less
RESULT_WITHIN_S = 30.0
QUIET_WITHIN_S = 30.0


class Phase(enum.StrEnum):
    """What a connection is in when it is given up."""

    HANDSHAKE = "handshake"  # cut and reset inside HTTP/2's first bytes
    CONNECT = "connect"  # no call yet
    CONFIG = "config"  # a stream, no audio yet
    AUDIO = "audio"  # audio without end, as fast as it is taken
    RESULTS = "results"  # a recording was sent and its first result read


WEIGHTS = {Phase.HANDSHAKE: 1, Phase.CONNECT: 2, Phase.CONFIG: 2, Phase.AUDIO: 4, Phase.RESULTS: 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cycle:
    """One connection.

    Attributes:
        phase: that it is given up in.
        after_s: for how long it was in it.
        samples: (T,) what it sends.
        config: of its stream.
        cancels: whether its stream is cancelled first, or the connection closed under it.
        cut: bytes of the handshake that are sent.
    """

    phase: Phase
    after_s: float
    samples: Samples
    config: StreamConfig
    cancels: bool
    cut: int

    async def run(self, address: str) -> str:
        """Connect and give up; what the server or the connection said by then if it was no OK, else ""."""
        if self.phase is Phase.HANDSHAKE:
            return await self._reset(address)
        async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
            if self.phase is Phase.CONNECT:
                channel.get_state(try_to_connect=True)
                await asyncio.sleep(self.after_s)
                return ""
            try:
                async with asyncio.timeout(RESULT_WITHIN_S):
                    await self._stream(channel)
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            except TimeoutError:
                return "no result"
        return ""

    async def _reset(self, address: str) -> str:
        host, _, port = address.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            return type(error).__name__
        writer.write(HANDSHAKE[: self.cut])
        await asyncio.sleep(self.after_s)
        writer.transport.abort()
        return ""

    async def _stream(self, channel: grpc.aio.Channel) -> None:
        """Up to the phase, and so long in it; what is open is for the channel's end."""
        from asr.v1 import speech_pb2_grpc

        call = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(self._requests())  # type: ignore[no-untyped-call]
        if self.phase is not Phase.CONFIG:
            async for response in call:
                if self.phase is Phase.AUDIO or response.WhichOneof("event") == "result":
                    break
        await asyncio.sleep(self.after_s)
        if self.cancels:
            call.cancel()

    async def _requests(self) -> AsyncIterator[Any]:
        from asr.client import wire

        yield wire.config_request(self.config)
        if self.phase is not Phase.CONFIG:
            for message in self._audio():
                yield wire.input_request(message, self.config)
                await asyncio.sleep(0)
        await asyncio.Event().wait()  # it never ends by itself

    def _audio(self) -> Iterator[Any]:
        from asr.client import Finalize

        if self.config.container is not None:
            yield flac(self.samples)
            return
        while True:
            for start in range(0, len(self.samples), CHUNK_SAMPLES):
                yield self.samples[start : start + CHUNK_SAMPLES]
            if self.phase is Phase.RESULTS:
                yield Finalize()
                return


def drawn_cycles(
    count: int, recordings: Sequence[Samples], rng: random.Random, longest_s: float
) -> Iterator[Cycle]:
    """So many cycles, each drawn when it is taken."""
    from asr.client import Container, StreamConfig

    raw = StreamConfig(interim_results=True, interim_interval_s=0.1)
    compressed = replace(raw, container=Container.FLAC, sample_rate_hz=0, channel_count=0)
    for number in range(count):
        (phase,) = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
        connects = phase in (Phase.HANDSHAKE, Phase.CONNECT)
        yield Cycle(
            phase=phase,
            after_s=rng.uniform(0.0, CONNECT_S if connects else longest_s),
            samples=recordings[number % len(recordings)],
            config=compressed if number % COMPRESSED_EVERY == 0 and phase is not Phase.RESULTS else raw,
            cancels=rng.random() < 0.5,
            cut=rng.randrange(len(HANDSHAKE) + 1),
        )


async def cancels(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    """Connections that are given up at random instants: what the server holds before, meanwhile and after."""
    cycles = drawn_cycles(options.cycles, recordings, random.Random(options.seed), options.longest)
    await _warm(server, recordings[: options.together])
    before, _ = await _served(server, recordings[0])
    points: list[dict[str, Any]] = []
    phases: Counter[str] = Counter()
    errors: Counter[str] = Counter()

    async def follow() -> None:
        for cycle in cycles:
            if phases.total() % max(1, options.cycles // 10) == 0:
                points.append({"cycles": phases.total(), **_resources(server)})
            phases[cycle.phase] += 1
            errors[await cycle.run(server.address)] += 1
            gc.collect()

    gc.freeze()  # so that collecting is quick
    began_s = time.monotonic()
    await asyncio.gather(*(follow() for _ in range(options.together)))
    took_s = time.monotonic() - began_s
    gauges, quiet_s = await _quiet(options.metrics)
    after, text = await _served(server, recordings[0])
    del errors[""]
    return {
        "cycles": options.cycles,
        "together": options.together,
        "phases": dict(phases),
        "seconds": took_s,
        "before": before,
        "points": points,
        "after": after,
        "errors": dict(errors),
        "gauges": gauges,
        "gauges_at_0_after_s": quiet_s,
        "text": text,
    }


def _resources(server: ServerProcess) -> dict[str, Any]:
    return {"resident_mb": server.resident_mb(), "descriptors": server.num_descriptors()}


async def _warm(server: ServerProcess, recordings: Sequence[Samples]) -> None:
    """Batches of every size, so that what the workers' first ones take does not look like a leak."""
    from asr.client import AsyncSpeechClient

    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        for _ in range(3):
            await asyncio.gather(*(client.recognize(samples) for samples in recordings))


async def _served(server: ServerProcess, samples: Samples) -> tuple[dict[str, Any], str]:
    """What the server holds while its only connection is idle that has just recognised something, and the text."""
    from asr.client import AsyncSpeechClient

    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        text = (await client.recognize(samples)).text
        return _resources(server), text


async def _quiet(address: str) -> tuple[dict[str, float], float | None]:
    """The gauges of what calls hold, once all are at 0, and after how long; None if some never are."""
    began_s = time.monotonic()
    while True:
        gauges = await asyncio.to_thread(gauges_of_calls, address)
        waited_s = time.monotonic() - began_s
        if not any(gauges.values()):
            return gauges, waited_s
        if waited_s > QUIET_WITHIN_S:
            return gauges, None
        await asyncio.sleep(0.1)
