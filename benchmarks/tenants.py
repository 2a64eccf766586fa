"""Two tenants at twice what the server can do: is what is decoded shared, however many streams one of them opens?

Each tenant alone asks for more than the server serves, so that both together ask for twice as much. Its streams send
synthesised speech as fast as they are read. Served is the audio of the finals that arrive while it is measured.
Run ``python benchmarks/tenants.py``; exit code 1 if one tenant gets more than 1.2 times what the other does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.client import Credentials, StreamConfig
    from benchmarks.measure.pacing import Samples

LIMIT = 1.2
"""Most that the better served tenant may have of what the other has."""

TENANTS = ("flood", "other")
SENTENCES = (
    "Please send forty two boxes of aspirin by Tuesday.",
    "The train to the coast leaves at half past seven, and the last one back is at ten.",
    "Could you tell me where the library is?",
    "We moved the meeting to the second floor because the room downstairs was too small.",
)
PAUSE_S = 1.0  # ends an utterance
WARM_S = 60.0  # of audio served; two batches or so
POLL_S = 0.05

Rates = dict[str, float]
"""By tenant, audio served in a second of time, s."""


def speech() -> Samples:
    """(T,) of all sentences with a pause behind each, 16 kHz."""
    import numpy as np

    from asr.units import SAMPLE_RATE_HZ
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    parts: list[Any] = []
    for index, text in enumerate(SENTENCES):
        voice = engine.voices[index % len(engine.voices)]
        parts += [engine.synthesize(text, voice=voice, speed=1.0, pitch=1.0, seed=index), pause]
    return np.concatenate(parts).astype(np.float32)


def write_config(folder: Path, workers: int) -> tuple[Path, dict[str, str]]:
    """A server's configuration with both tenants, and their tokens."""
    from benchmarks.measure.tenancy import write_tenants

    tenants = folder / "tenants.toml"
    tokens = write_tenants(tenants, TENANTS)
    config = folder / "server.toml"
    config.write_text(f'tenants = "{tenants}"\ndecode_workers = {workers}\n[limits]\nmax_streams = 1000\n')
    return config, tokens


class Demand:
    """Streams that always have more to send; counts the audio of their finals, s."""

    def __init__(self, samples: Samples, config: StreamConfig) -> None:
        self._samples = samples
        self._config = config
        self.served_s = 0.0

    async def run(self, address: str, credentials: Credentials, streams: int) -> None:
        """Stream until cancelled."""
        from asr.client import AsyncSpeechClient

        async with AsyncSpeechClient(address, credentials) as client, asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(self._stream(client))

    async def _stream(self, client: Any) -> None:
        from asr.client import RecognitionResult

        async for update in client.stream(self._audio(), self._config):
            if isinstance(update.event, RecognitionResult) and update.event.is_final:
                self.served_s += update.event.end_s - update.event.start_s

    async def _audio(self) -> AsyncIterator[Samples]:
        step = 3200
        while True:
            for start in range(0, len(self._samples), step):
                yield self._samples[start : start + step]
                await asyncio.sleep(0)


async def served(
    address: str, tokens: dict[str, str], streams: dict[str, int], audio_s: float, samples: Samples
) -> Rates:
    """Audio served to each tenant in a second while both together are served ``audio_s``.

    Measured from when each has had ``WARM_S``, for turns are of whole batches: who comes first has the first one.
    """
    from asr.client import Credentials, StreamConfig

    demands = {name: Demand(samples, StreamConfig(word_times=False)) for name in streams}
    tasks = [
        asyncio.create_task(demand.run(address, Credentials(token=tokens[name]), streams[name]))
        for name, demand in demands.items()
    ]

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            done, _ = await asyncio.wait(tasks, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended it: a demand never ends by itself

    try:
        await until(lambda: all(demand.served_s >= WARM_S for demand in demands.values()))
        began_s, before = time.monotonic(), {name: demand.served_s for name, demand in demands.items()}
        goal_s = sum(before.values()) + audio_s
        await until(lambda: sum(demand.served_s for demand in demands.values()) >= goal_s)
        seconds = time.monotonic() - began_s
        return {name: (demand.served_s - before[name]) / seconds for name, demand in demands.items()}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def figures_of(alone: Rates, together: Rates) -> dict[str, Any]:
    """Everything measured, JSON-ready."""
    least = min(together.values())
    return {
        "alone_audio_s_per_s": alone,
        "together_audio_s_per_s": together,
        "overload": sum(alone.values()) / max(alone.values()),
        "ratio": max(together.values()) / least if least else None,
        "share_of_alone": {name: rate / alone[name] for name, rate in together.items()},
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    rows = [["audio s a second", "streams", "alone", "together", "share of alone"]]
    figures = ("alone_audio_s_per_s", "together_audio_s_per_s", "share_of_alone")
    rows += [
        [name, str(document["streams"][name]), *(shown(document[one][name], 2) for one in figures)]
        for name in TENANTS
    ]
    return [
        *table(rows),
        f"overload {shown(document['overload'], 2)}; the better served has {shown(document['ratio'], 3)} times what the "
        f"other has (at most {LIMIT})",
    ]


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=float, default=600.0, help="served, s, of each of three runs [600]")
    parser.add_argument("--flood", type=int, default=24, help="streams of the tenant that floods [24]")
    parser.add_argument("--other", type=int, default=6, help="streams of the other [6]")
    parser.add_argument("--workers", type=int, default=1, help="processes that decode [1]")
    parser.add_argument("--model", default="bundled:tiny.en", help="[bundled:tiny.en]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure each alone, then both, and print it."""
    arguments = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.server_process import serving

    samples = speech()
    streams = {"flood": arguments.flood, "other": arguments.other}
    with tempfile.TemporaryDirectory() as temporary:
        config, tokens = write_config(Path(temporary), arguments.workers)
        with serving([arguments.model], config) as server:

            async def measure(*names: str) -> Rates:
                asked = {name: streams[name] for name in names}
                return await served(server.address, tokens, asked, arguments.audio, samples)

            async def measure_all() -> tuple[Rates, Rates]:
                alone = await measure("other") | await measure("flood")
                return alone, await measure(*TENANTS)

            alone, together = asyncio.run(measure_all())
    document = {
        "benchmark": "tenants",
        "model": arguments.model,
        "streams": streams,
        "served_audio_s": arguments.audio,
        **figures_of(alone, together),
        "facts": facts(),
    }
    emit(document, lines_of(document), as_json=arguments.json)
    if document["ratio"] is None or document["ratio"] > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
