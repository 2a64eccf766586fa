"""What a server does for its streams when it is stopped, and what it takes compared with the engine alone.

Shows of ``benchmarks/faults.py``.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.measure.abuse import Samples, cut

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from benchmarks.measure.server_process import ServerProcess

STREAMS_AT_ONCE = (1, 2, 4, 8)  # of which the cost is measured


async def drain(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    """SIGTERM while every stream is inside its utterance: how many get all their words."""
    from asr.client import AsyncSpeechClient, RecognitionResult, SpeechStarted
    from asr.errors import UnavailableError

    sent: list[int] = []
    started: list[int] = []
    finals: list[list[str]] = [[] for _ in range(options.streams)]
    ends: list[str] = []

    async def held(number: int) -> AsyncIterator[Samples]:
        async for chunk in cut(recordings[number % len(recordings)]):
            yield chunk
        sent.append(number)
        await asyncio.Event().wait()  # for ever, as far as this client is concerned

    async def one(number: int, client: AsyncSpeechClient) -> None:
        try:
            async for update in client.stream(held(number)):
                if isinstance(update.event, SpeechStarted) and number not in started:
                    started.append(number)
                if isinstance(update.event, RecognitionResult) and update.event.is_final:
                    finals[number].append(update.event.text)
            ends.append("OK")
        except UnavailableError as error:
            ends.append(error.reason)

    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        expected = [(await client.recognize(samples)).text for samples in recordings]
        streams = [asyncio.create_task(one(number, client)) for number in range(options.streams)]
        while min(len(started), len(sent)) < options.streams:  # noqa: ASYNC110  # what other tasks see, one by one
            await asyncio.sleep(0.01)
        os.kill(server.pid, signal.SIGTERM)
        began_s = time.monotonic()
        await asyncio.gather(*streams)
    complete = sum(
        " ".join(filter(None, finals[number])) == expected[number % len(expected)]
        for number in range(options.streams)
    )
    return {
        "streams": options.streams,
        "with_all_their_words": complete,
        "ends": {reason: ends.count(reason) for reason in set(ends)},
        "seconds": time.monotonic() - began_s,
    }


def _engine_cost(model: str, recordings: Sequence[Samples]) -> float:
    """Processor time of the engine in a process of its own, s, loading not counted."""
    import multiprocessing

    os.environ["OMP_NUM_THREADS"] = (
        "1"  # as the server's workers have it: threads that wait for each other cost, too
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_engine, args=(model, list(recordings), theirs))
    process.start()
    theirs.close()
    cost_s = float(ours.recv())
    process.join()
    return cost_s


def _engine(model: str, recordings: list[Samples], pipe: Any) -> None:
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer

    recognizer = Recognizer.load(model, num_workers=1)
    options = DecodingOptions(beam_size=5, word_times=True)
    recognizer.transcribe(recordings[0], options)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for samples in recordings:
        recognizer.transcribe(samples, options)
    after = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


async def _server_cost(server: ServerProcess, recordings: Sequence[Samples], streams: int) -> float:
    """Processor time of the server and its workers, s: the same recordings as streams, so many at once."""
    from asr.client import AsyncSpeechClient

    async with AsyncSpeechClient(server.address) as client:
        await client.recognize(recordings[0])
        before_s = server.processor_s()
        left = iter(recordings)

        async def follow() -> None:
            for samples in left:
                async for _update in client.stream(cut(samples)):
                    pass

        await asyncio.gather(*(follow() for _ in range(streams)))
        after_s = server.processor_s()
    assert before_s is not None and after_s is not None
    return after_s - before_s


async def cost(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    """Processor time of the server over that of the engine, by how many streams there are at once; in turn."""
    rounds = []
    for _ in range(options.rounds):
        one = {"engine_s": await asyncio.to_thread(_engine_cost, options.model, recordings)}
        for streams in STREAMS_AT_ONCE:
            one[f"server_{streams}_s"] = await _server_cost(server, recordings, streams)
        rounds.append(one)
    audio_s = sum(len(samples) for samples in recordings) / 16_000
    sums = {name: sum(one[name] for one in rounds) for name in rounds[0]}
    return {
        "audio_s": audio_s,
        "rounds": rounds,
        "over_engine": {
            streams: sums[f"server_{streams}_s"] / sums["engine_s"] - 1 for streams in STREAMS_AT_ONCE
        },
    }
