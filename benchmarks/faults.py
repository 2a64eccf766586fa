"""What the service survives, measured on a server that is a child process: five shows, each a subcommand.

- cancels: connect and cancel at random instants, thousands of times. Memory and descriptors meanwhile and after; then
  a call that must be served.
- ramp: as many paced streams as there are slots, alone and then beside twice as many that are refused without end.
- drain: SIGTERM while many streams are open, each inside its utterance. Every one must get its final.
- voices: groups of streams that say different things at the same time, in mixed batches. What each gets must be what its
  utterances give alone; a word that only other groups say is a foreign word.
- cost: processor time of the server over the engine in one process, on the same recordings, in turn.

    python benchmarks/faults.py cancels --manifest M --cycles 10000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from asr.data.manifest import Utterance
    from benchmarks.measure.server_process import ServerProcess

Samples = NDArray[np.float32]
CHUNK_SAMPLES = 1600  # 100 ms


def percentile(values: Sequence[float], rank: float) -> float | None:
    """Of what was measured; None of nothing."""
    return float(np.percentile(values, rank)) if values else None


def recordings_of(arguments: argparse.Namespace) -> tuple[list[Utterance], list[Samples]]:
    """The utterances drawn by the seed, and their samples."""
    from asr.data.manifest import load_samples
    from benchmarks.measure.recordings import drawn

    rows = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    return rows, [load_samples(row) for row in rows]


async def cut(samples: Samples) -> AsyncIterator[Samples]:
    """A recording in chunks, as fast as it is taken."""
    for start in range(0, len(samples), CHUNK_SAMPLES):
        yield samples[start : start + CHUNK_SAMPLES]


# --- cancels


async def _cancel_once(client: AsyncSpeechClient, samples: Samples, after_s: float) -> None:
    """One stream that its client gives up after ``after_s``."""
    from asr.client import StreamConfig
    from asr.errors import LimitError

    config = StreamConfig(interim_results=True, interim_interval_s=0.1)

    async def follow() -> None:
        try:
            async for _update in client.stream(cut(samples), config):
                pass
        except LimitError:  # all slots are taken by streams that end soon
            await asyncio.sleep(after_s)

    following = asyncio.create_task(follow())
    await asyncio.sleep(after_s)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def _cancels(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    from asr.client import AsyncSpeechClient

    rng = random.Random(options.seed)
    points: list[dict[str, Any]] = []
    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        left = iter(range(options.cycles))

        async def cycle() -> None:
            for number in left:
                await _cancel_once(
                    client, recordings[number % len(recordings)], rng.uniform(0, options.longest)
                )
                if number % max(1, options.cycles // 10) == 0:
                    point = {"resident_mb": server.resident_mb(), "descriptors": server.num_descriptors()}
                    points.append({"cycles": number, **point})

        began_s = time.monotonic()
        await asyncio.gather(*(cycle() for _ in range(options.together)))
        took_s = time.monotonic() - began_s
        answer = await client.recognize(recordings[0])
    after = {"resident_mb": server.resident_mb(), "descriptors": server.num_descriptors()}
    gauges = await asyncio.to_thread(_gauges, options.metrics)
    return {
        "cycles": options.cycles,
        "together": options.together,
        "seconds": took_s,
        "points": points,
        "after": after,
        "gauges": gauges,
        "text": answer.text,
    }


def _gauges(address: str) -> dict[str, float]:
    """What the server's metrics say is still held."""
    import urllib.request

    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    names = ("lexitune_streams_active", "lexitune_queue_waiting")
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(names)}


# --- ramp


async def _refused(client: AsyncSpeechClient, until: asyncio.Event, rng: random.Random) -> list[float]:
    """Ask again and again for a slot that is not free: how long each refusal took, s."""
    from asr.errors import LimitError

    took: list[float] = []
    silence = np.zeros(CHUNK_SAMPLES, np.float32)
    while not until.is_set():
        began_s = time.monotonic()
        try:
            async for _update in client.stream(cut(silence)):
                pass
        except LimitError:
            took.append(time.monotonic() - began_s)
        await asyncio.sleep(rng.uniform(0, 0.4))
    return took


async def _ramp(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    from asr.client import AsyncSpeechClient
    from benchmarks.measure.client import Pace, live_config, run_streams
    from benchmarks.measure.latency import add_up, as_document, measure

    config = live_config("", interim_interval_s=None, end_silence_s=None)
    pace = Pace(seed=options.seed, chunk_ms=(20, 100), jitter_s=0.0)
    sides: dict[str, Any] = {}
    refusals: list[float] = []
    for side in ("alone", "beside refusals") * options.rounds:
        done, rng = asyncio.Event(), random.Random(options.seed)
        async with AsyncSpeechClient(server.address) as client:
            asking = []
            if side != "alone":
                asking = [
                    asyncio.create_task(_refused(client, done, rng)) for _ in range(2 * options.streams)
                ]
            logs = await run_streams(server.address, recordings[: options.streams], config, pace, ramp_s=0.5)
            done.set()
            refusals += [one for took in await asyncio.gather(*asking) for one in took]
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


# --- drain


async def _drain(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    from asr.client import AsyncSpeechClient, RecognitionResult, SpeechStarted
    from asr.errors import UnavailableError

    told = asyncio.Event()
    started: list[int] = []
    finals: list[list[str]] = [[] for _ in range(options.streams)]
    ends: list[str] = []

    async def held(samples: Samples) -> AsyncIterator[Samples]:
        async for chunk in cut(samples):
            yield chunk
        await told.wait()  # for ever, as far as this client is concerned
        await asyncio.Event().wait()

    async def one(number: int, client: AsyncSpeechClient) -> None:
        try:
            async for update in client.stream(held(recordings[number % len(recordings)])):
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
        while len(started) < options.streams:  # noqa: ASYNC110  # what other tasks see, one by one
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


# --- voices


def _by_terms(
    rows: Sequence[Utterance], recordings: Sequence[Samples], groups: int
) -> list[list[tuple[Utterance, Samples]]]:
    """Utterances in groups of which no two share a term."""
    places: dict[str, int] = {}
    found: list[list[tuple[Utterance, Samples]]] = [[] for _ in range(groups)]
    for row, samples in zip(rows, recordings, strict=True):
        terms = [term.casefold() for term in row.terms or ()]
        owners = {places[term] for term in terms if term in places}
        if not terms or len(owners) > 1:
            continue
        smallest = min(range(groups), key=lambda index: len(found[index]))
        group = owners.pop() if owners else smallest
        places |= dict.fromkeys(terms, group)
        found[group].append((row, samples))
    return found


async def _voices(
    server: ServerProcess, rows: Sequence[Utterance], recordings: Sequence[Samples], options: Any
) -> dict[str, Any]:
    from asr.client import AsyncSpeechClient

    groups = [group for group in _by_terms(rows, recordings, options.groups) if group]
    async with AsyncSpeechClient(server.address) as client:
        await client.wait_until_serving()
        alone = [[(await client.recognize(samples)).text for _, samples in group] for group in groups]
        vocabularies = [{word for text in texts for word in _words(text)} for texts in alone]
        until_s = time.monotonic() + 60 * options.minutes
        counts = {"utterances": 0, "as_alone": 0, "words": 0, "foreign_words": 0}

        async def speak(index: int) -> None:
            own = vocabularies[index]
            others = set().union(*(words for place, words in enumerate(vocabularies) if place != index)) - own
            turn = 0
            while time.monotonic() < until_s:
                place = turn % len(groups[index])
                text = (await client.recognize(groups[index][place][1])).text
                counts["utterances"] += 1
                counts["as_alone"] += text == alone[index][place]
                counts["words"] += len(_words(text))
                counts["foreign_words"] += sum(word in others for word in _words(text))
                turn += 1

        await asyncio.gather(*(speak(index) for index in range(len(groups)) for _ in range(2)))
    return {"groups": [len(group) for group in groups], "minutes": options.minutes, **counts}


def _words(text: str) -> list[str]:
    return ["".join(letter for letter in word.casefold() if letter.isalnum()) for word in text.split()]


# --- cost


def _engine_cost(model: str, recordings: Sequence[Samples]) -> float:
    """Processor time of the engine in a process of its own, s, loading not counted."""
    import multiprocessing

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


async def _cost(server: ServerProcess, recordings: Sequence[Samples], options: Any) -> dict[str, Any]:
    rounds = []
    for _ in range(options.rounds):
        engine_s = await asyncio.to_thread(_engine_cost, options.model, recordings)
        rounds.append(
            {
                "engine_s": engine_s,
                "server_1_s": await _server_cost(server, recordings, 1),
                "server_8_s": await _server_cost(server, recordings, 8),
            }
        )
    audio_s = sum(len(samples) for samples in recordings) / 16_000
    sums = {name: sum(one[name] for one in rounds) for name in rounds[0]}
    return {
        "audio_s": audio_s,
        "rounds": rounds,
        "over_engine_one_stream": sums["server_1_s"] / sums["engine_s"] - 1,
        "over_engine_eight_streams": sums["server_8_s"] / sums["engine_s"] - 1,
    }


# --- all


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/faults.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shows = parser.add_subparsers(dest="show", required=True)
    for name in ("cancels", "ramp", "drain", "voices", "cost"):
        show = shows.add_parser(name)
        show.add_argument("--manifest", type=Path, required=True)
        show.add_argument("--limit", type=int, default=40, help="utterances [40]")
        show.add_argument("--model", default="bundled:tiny.en")
        show.add_argument("--seed", type=int, default=0)
        show.add_argument("--json", action="store_true")
    shows.choices["cancels"].add_argument("--cycles", type=int, default=10_000)
    shows.choices["cancels"].add_argument("--together", type=int, default=20)
    shows.choices["cancels"].add_argument("--longest", type=float, default=0.3, help="s until a cancel [0.3]")
    shows.choices["ramp"].add_argument("--streams", type=int, default=16, help="slots of the server [16]")
    shows.choices["ramp"].add_argument("--rounds", type=int, default=2)
    shows.choices["ramp"].add_argument("--duration", type=float, default=20.0, help="of a stream, s [20]")
    shows.choices["drain"].add_argument("--streams", type=int, default=100)
    shows.choices["drain"].add_argument("--grace", type=float, default=5.0, help="s [5]")
    shows.choices["voices"].add_argument("--groups", type=int, default=8)
    shows.choices["voices"].add_argument("--minutes", type=float, default=5.0)
    shows.choices["cost"].add_argument("--rounds", type=int, default=3)
    return parser


def config_of(options: argparse.Namespace) -> list[str]:
    """The server's TOML for a show."""
    match options.show:
        case "cancels":
            return [f'metrics_address = "{options.metrics}"', "[limits]", "max_streams = 100"]
        case "ramp":
            return ["[limits]", f"max_streams = {options.streams}"]
        case "drain":
            return [f"drain_grace_s = {options.grace}", "[limits]", f"max_streams = {options.streams + 1}"]
        case "cost":
            return ["decode_workers = 1"]
        case _:
            return []


async def measured(
    options: argparse.Namespace, server: ServerProcess, rows: Sequence[Utterance], recordings: list[Samples]
) -> dict[str, Any]:
    """The figures of one show."""
    match options.show:
        case "cancels":
            return await _cancels(server, recordings, options)
        case "ramp":
            from benchmarks.measure.recordings import joined_recordings

            with tempfile.TemporaryDirectory() as folder:
                joined = joined_recordings(
                    rows, Path(folder), length_s=options.duration, seed=options.seed, count=options.streams
                )
                return await _ramp(server, [one.samples for one in joined], options)
        case "drain":
            return await _drain(server, recordings, options)
        case "voices":
            return await _voices(server, rows, recordings, options)
        case _:
            return await _cost(server, recordings, options)


def _free_address() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def main() -> None:
    """Run one show and print it."""
    options = parser_of().parse_args()
    options.metrics = _free_address()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.server_process import serving

    rows, recordings = recordings_of(options)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "server.toml"
        config.write_text("\n".join(config_of(options)) + "\n", encoding="utf-8")
        with serving([options.model], config) as server:
            found = asyncio.run(measured(options, server, rows, recordings))
    document = {
        "benchmark": f"faults {options.show}",
        "manifest": str(options.manifest),
        **found,
        "facts": facts(),
    }
    lines = [f"{name}: {value}" for name, value in found.items()]
    emit(document, lines, as_json=options.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
