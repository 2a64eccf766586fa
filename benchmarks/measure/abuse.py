"""Clients that behave badly, shown to a server: they flood it, never read, and ask for more than there is.

Shows of ``benchmarks/faults.py``.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

    from asr.client import AsyncSpeechClient, StreamConfig
    from benchmarks.measure.client import Pace
    from benchmarks.measure.server_process import ServerProcess

Samples = NDArray[np.float32]
CHUNK_SAMPLES = 1600  # 100 ms


def percentile(values: Sequence[float], rank: float) -> float | None:
    """Of what was measured; None of nothing."""
    return float(np.percentile(values, rank)) if values else None


async def cut(samples: Samples) -> AsyncIterator[Samples]:
    """A recording in chunks, as fast as it is taken."""
    for start in range(0, len(samples), CHUNK_SAMPLES):
        yield samples[start : start + CHUNK_SAMPLES]


def flac(samples: Samples) -> bytes:
    """A recording as a FLAC file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


async def _flood(client: AsyncSpeechClient, samples: Samples, *, reads: bool, until: asyncio.Event) -> float:
    """One stream that writes without end: the audio that the server took of it, s."""
    from asr.client import StreamConfig

    sent_s = 0.0

    async def endless() -> AsyncIterator[Samples]:
        nonlocal sent_s
        while not until.is_set():
            sent_s += len(samples) / 16_000
            yield samples

    updates = client.stream(endless(), StreamConfig(interim_results=True, interim_interval_s=0.1))
    await anext(updates)
    while reads and not until.is_set():
        await anext(updates)
    await until.wait()
    await updates.aclose()
    return sent_s


async def floods(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    """Streams that write without end, and that never read: the server's memory."""
    from asr.client import AsyncSpeechClient

    found: dict[str, Any] = {"streams": options.streams}
    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        for samples in recordings[:8]:
            await client.recognize(samples)
        for name, reads in (("writes", True), ("never reads", False)):
            before_mb, most_mb, until = server.resident_mb() or 0.0, 0.0, asyncio.Event()
            streams = [
                asyncio.create_task(
                    _flood(client, recordings[number % len(recordings)], reads=reads, until=until)
                )
                for number in range(options.streams)
            ]
            ends_s = time.monotonic() + options.seconds
            while time.monotonic() < ends_s:
                await asyncio.sleep(0.25)
                most_mb = max(most_mb, server.resident_mb() or 0.0)
            until.set()
            taken = await asyncio.gather(*streams)
            found[name] = {
                "before_mb": before_mb,
                "most_mb": most_mb,
                "mb_a_stream": (most_mb - before_mb) / options.streams,
                "audio_taken_s": sum(taken),
            }
    return found


async def _refused(client: AsyncSpeechClient, until: Event, rng: random.Random) -> list[float]:
    """Ask again and again for a slot that is not free: how long each refusal took, s."""
    from asr.errors import LimitError

    took: list[float] = []
    silence = np.zeros(CHUNK_SAMPLES, np.float32)
    await asyncio.sleep(rng.uniform(0.0, 1.0))  # they do not all come at one instant
    while not until.is_set():
        began_s = time.monotonic()
        try:
            async for _update in client.stream(cut(silence)):
                pass
        except LimitError:
            took.append(time.monotonic() - began_s)
        await asyncio.sleep(rng.uniform(0.5, 1.5))  # the server says 1 s
    return took


def _ask_in_vain(address: str, clients: int, seed: int, until: Event, pipe: Connection) -> None:
    """The refused clients, in a process of their own: a clock that shares its loop with streams measures them, too."""
    from asr.client import AsyncSpeechClient

    async def ask() -> list[float]:
        rng = random.Random(seed)
        async with AsyncSpeechClient(address) as client:
            lists = await asyncio.gather(*(_refused(client, until, rng) for _ in range(clients)))
        return [one for took in lists for one in took]

    pipe.send(asyncio.run(ask()))


@contextmanager
def _refused_beside(address: str, clients: int, seed: int) -> Iterator[list[float]]:
    """A block beside which so many clients ask for slots in vain; the list has their times behind it."""
    found: list[float] = []
    if not clients:
        yield found
        return
    context = multiprocessing.get_context("spawn")
    until, (ours, theirs) = context.Event(), context.Pipe()
    process = context.Process(target=_ask_in_vain, args=(address, clients, seed, until, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield found
    finally:
        until.set()
        found += ours.recv()
        process.join()


def capacity(address: str, recordings: Sequence[Samples], seed: int) -> int:
    """The most streams, one of each recording at most, that a server without a limit of slots carries.

    As ``lexitune bench load --find-capacity`` means it: p95 of word commit under 2 s, every stream answered to its end.
    """
    from benchmarks.load import find_capacity
    from benchmarks.measure.client import run_streams
    from benchmarks.measure.latency import add_up, as_document, measure

    config, pace = _spoken(seed)

    def probe(streams: int) -> dict[str, Any]:
        logs = asyncio.run(run_streams(address, recordings[:streams], config, pace, ramp_s=0.5))
        figures = as_document(add_up(measure(log, ()) for log in logs))
        return {"streams": streams, "completed": sum(log.is_complete for log in logs), **figures}

    probe(1)  # warm; not counted
    most, _ = find_capacity(probe, start=16, most=len(recordings))
    return max(most, 1)


def _spoken(seed: int) -> tuple[StreamConfig, Pace]:
    """Streams with interims, sent as they would be spoken."""
    from benchmarks.measure.client import Pace, live_config

    config = live_config("", interim_interval_s=None, end_silence_s=None)
    return config, Pace(seed=seed, chunk_ms=(20, 100), jitter_s=0.0)


async def ramp(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    """Streams in all slots, which are what the machine carries, alone and beside twice as many clients that are refused.

    Three times the capacity is asked for: by the accepted streams for as long as they last, and at any instant by two
    clients for each slot, which come again a second after each refusal.
    """
    from benchmarks.measure.client import run_streams
    from benchmarks.measure.latency import add_up, as_document, measure

    config, pace = _spoken(options.seed)
    sides: dict[str, Any] = {}
    refusals: list[float] = []
    for side in ("alone", "beside refusals") * options.rounds:
        running = asyncio.create_task(
            run_streams(server.address, recordings[: options.streams], config, pace, ramp_s=0.5)
        )
        await asyncio.sleep(1.0)  # by then all of them have their slots
        clients = 2 * options.streams if side != "alone" else 0
        with _refused_beside(server.address, clients, options.seed) as took:
            logs = await running
        refusals += took
        figures = as_document(add_up(measure(log, ()) for log in logs))
        one = sides.setdefault(
            side, {"completed": 0, "final_after_speech_p95_s": [], "word_commit_p95_s": []}
        )
        one["completed"] += sum(log.is_complete for log in logs)
        one["final_after_speech_p95_s"].append(figures["final_after_speech_s"]["p95"])
        one["word_commit_p95_s"].append(figures["word_commit_s"]["p95"])
    return {
        "slots": options.streams,
        "sides": sides,
        "final_p95_ratio": _ratio(sides, "final_after_speech_p95_s"),
        "commit_p95_ratio": _ratio(sides, "word_commit_p95_s"),
        "refusals": len(refusals),
        "refused_within_s": {f"p{rank}": percentile(refusals, rank) for rank in (50, 95, 99)},
    }


def _ratio(sides: dict[str, Any], name: str) -> float | None:
    """Of the means over all rounds, beside refusals to alone; None where a stream had none."""
    both = [sides[side][name] for side in ("beside refusals", "alone")]
    if any(value is None for values in both for value in values):
        return None
    return float(np.mean(both[0]) / np.mean(both[1]))
