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
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.measure.demand import Rates

LIMIT = 1.2
"""Most that the better served tenant may have of what the other has."""

TENANTS = ("flood", "other")


def write_config(folder: Path, workers: int) -> tuple[Path, dict[str, str]]:
    """A server's configuration with both tenants, and their tokens."""
    from benchmarks.measure.tenancy import write_tenants

    tenants = folder / "tenants.toml"
    tokens = write_tenants(tenants, TENANTS)
    config = folder / "server.toml"
    config.write_text(f'tenants = "{tenants}"\ndecode_workers = {workers}\n[limits]\nmax_streams = 1000\n')
    return config, tokens


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
    from benchmarks.measure.options import positive

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=float, default=600.0, help="served, s, of each of three runs [600]")
    parser.add_argument("--flood", type=positive, default=24, help="streams of the tenant that floods [24]")
    parser.add_argument("--other", type=positive, default=6, help="streams of the other [6]")
    parser.add_argument("--workers", type=positive, default=1, help="processes that decode [1]")
    parser.add_argument("--model", default="bundled:tiny.en", help="[bundled:tiny.en]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure each alone, then both, and print it."""
    arguments = parser_of().parse_args()
    from asr.client import Credentials, StreamConfig
    from benchmarks.measure.demand import Party, served, speech
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.server_process import serving

    samples = speech()
    streams = {"flood": arguments.flood, "other": arguments.other}
    with tempfile.TemporaryDirectory() as temporary:
        config, tokens = write_config(Path(temporary), arguments.workers)
        with serving([arguments.model], config) as server:

            async def measure(*names: str) -> Rates:
                parties = {
                    name: Party(
                        config=StreamConfig(word_times=False),
                        streams=streams[name],
                        credentials=Credentials(token=tokens[name]),
                    )
                    for name in names
                }
                return await served(server.address, parties, arguments.audio, samples)

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
