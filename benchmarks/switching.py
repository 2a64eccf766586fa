"""What it costs to serve a stream with another model than the one before: resident, cold, and for those who stream on.

- resident: from opening a stream to its ``ready``, with the model changing from stream to stream and with one model.
- cold: the same with a model that is not in memory, against loading the same files with CTranslate2 alone, in turn. Ours
  resolves the version, loads it into every worker, and decodes once to warm it.
- beside: final and word commit of paced streams with the first model, alone and while the other is unloaded and loaded
  without end.

    python benchmarks/switching.py --manifest M --model models:/A/1 --other models:/B/1
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from asr.data.manifest import Utterance

BETWEEN_LOADS_S = 0.5


async def ready_s(client: AsyncSpeechClient, model: str) -> float:
    """Time from opening a stream to its ``ready``; the stream has no audio."""
    from asr.client import Ready, StreamConfig

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    began_s, took_s = time.perf_counter(), None
    async for update in client.stream(nothing(), StreamConfig(model=model)):
        if isinstance(update.event, Ready):
            took_s = time.perf_counter() - began_s
    assert took_s is not None
    return took_s


async def resident(client: AsyncSpeechClient, models: tuple[str, str], streams: int) -> dict[str, Any]:
    """Streams one after the other, the model changing with each and not, in turn."""
    from benchmarks.measure.abuse import percentile

    took: dict[str, list[float]] = {"same": [], "changing": []}
    for number in range(streams):
        took["same"].append(await ready_s(client, models[0]))
        took["changing"].append(await ready_s(client, models[1 - number % 2]))
    return {side: {f"p{rank}_s": percentile(some, rank) for rank in (50, 99)} for side, some in took.items()}


async def cold(
    client: AsyncSpeechClient, admin: AsyncSpeechClient, model: str, rounds: int
) -> dict[str, Any]:
    """A model that has to be loaded, and its files loaded by CTranslate2 alone, in turn."""
    import ctranslate2

    from asr.models.resolve import resolve_model, serving_folder

    folder = str(serving_folder(resolve_model(model)))
    ours, raw = [], []
    for _ in range(rounds):
        await admin.unload_model(model)
        ours.append(await ready_s(client, model))
        began_s = time.perf_counter()
        await asyncio.to_thread(ctranslate2.models.Whisper, folder, compute_type="int8", intra_threads=1)
        raw.append(time.perf_counter() - began_s)
    ours_s, raw_s = (sorted(some)[len(some) // 2] for some in (ours, raw))
    return {"median_s": ours_s, "raw_load_s": raw_s, "over_raw_load": ours_s / raw_s}


async def beside(
    address: str, admin: AsyncSpeechClient, rows: list[Utterance], options: argparse.Namespace
) -> dict[str, Any]:
    """Paced streams with the first model, with and without loads of the other beside them."""
    from benchmarks.measure.client import Pace, live_config, run_streams
    from benchmarks.measure.latency import add_up, as_document, measure
    from benchmarks.measure.recordings import joined_recordings

    pace = Pace(seed=options.seed, chunk_ms=(20, 100), jitter_s=0.0)
    config = live_config(options.model, interim_interval_s=None, end_silence_s=None)
    sides: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        joined = joined_recordings(
            rows, Path(folder), length_s=options.duration, seed=options.seed, count=options.streams
        )
        recordings = [one.samples for one in joined]
        for side in ("alone", "beside loads") * options.rounds:
            loads = asyncio.create_task(_load_on(admin, options.other)) if side != "alone" else None
            logs = await run_streams(address, recordings, config, pace, ramp_s=0.5)
            if loads is not None:
                loads.cancel()
                await asyncio.gather(loads, return_exceptions=True)
            figures = as_document(add_up(measure(log, ()) for log in logs))
            one = sides.setdefault(side, {"completed": 0, "final_p95_s": [], "commit_p95_s": []})
            one["completed"] += sum(log.is_complete for log in logs)
            one["final_p95_s"].append(figures["final_after_speech_s"]["p95"])
            one["commit_p95_s"].append(figures["word_commit_s"]["p95"])
    for name in ("final_p95_s", "commit_p95_s"):
        sides[f"{name.removesuffix('_s')}_ratio"] = sum(sides["beside loads"][name]) / sum(
            sides["alone"][name]
        )
    return sides


async def _load_on(admin: AsyncSpeechClient, model: str) -> None:
    while True:
        await admin.load_model(model)
        await admin.unload_model(model)
        await asyncio.sleep(BETWEEN_LOADS_S)


async def measured(address: str, admin_address: str, options: argparse.Namespace) -> dict[str, Any]:
    """All three."""
    from asr.client import AsyncSpeechClient
    from benchmarks.measure.recordings import drawn

    rows = drawn(options.manifest, limit=options.limit, seed=options.seed)
    async with AsyncSpeechClient(address) as client, AsyncSpeechClient(admin_address) as admin:
        await client.wait_until_serving()
        await admin.load_model(options.other)
        return {
            "resident": await resident(client, (options.model, options.other), options.opens),
            "cold": await cold(client, admin, options.other, options.loads),
            "beside": await beside(address, admin, list(rows), options),
        }


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_set_options

    parser = argparse.ArgumentParser(
        prog="python benchmarks/switching.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=60)
    parser.add_argument("--model", required=True, help="that the server is started with")
    parser.add_argument("--other", required=True, help="that streams change to")
    parser.add_argument("--opens", type=int, default=200, help="streams of each kind [200]")
    parser.add_argument("--loads", type=int, default=10, help="cold starts [10]")
    parser.add_argument("--streams", type=int, default=4, help="paced ones [4]")
    parser.add_argument("--duration", type=float, default=15.0, help="of a paced stream, s [15]")
    parser.add_argument("--rounds", type=int, default=2, help="of paced streams [2]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure and print."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.server_process import free_address, serving

    admin_address = free_address()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "server.toml"
        config.write_text(f'admin_address = "{admin_address}"\n', encoding="utf-8")
        with serving([options.model, options.other], config) as server:
            found = asyncio.run(measured(server.address, admin_address, options))
    document = {
        "benchmark": "switching",
        "model": options.model,
        "other": options.other,
        **found,
        "facts": facts(),
    }
    emit(document, [f"{name}: {value}" for name, value in found.items()], as_json=options.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
