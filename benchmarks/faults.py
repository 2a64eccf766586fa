"""What the service survives, measured on a server that is a child process: six shows, each a subcommand.

- cancels: thousands of connections, each given up at a random instant of its handshake, before its call, behind its
  config, in its audio or behind its first result, some with FLAC. Memory and descriptors before, meanwhile and after, and
  every gauge of what calls hold, which has to be at 0; then a call that must be served.
- floods: streams that write as fast as they can, then streams that also never read: the server's memory a stream.
- ramp: as many paced streams as there are slots, alone and then beside twice as many that are refused without end. The
  slots are the capacity, measured first as bench load does, so that three times of it is asked for; or --streams.
- drain: SIGTERM while many streams are open, each inside its utterance. Every one must get its final.
- voices: tenants, each with a token and two streams, that say different things at the same time, in mixed batches. What
  each gets must be what its utterances give alone; a word that only other tenants say is a foreign word.
- cost: processor time of the server over the engine in one process, on the same recordings, in turn.

    python benchmarks/faults.py cancels --manifest M --cycles 10000
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.data.manifest import Utterance
    from benchmarks.measure.abuse import Samples
    from benchmarks.measure.server_process import ServerProcess


def recordings_of(arguments: argparse.Namespace) -> tuple[list[Utterance], list[Samples]]:
    """The utterances drawn by the seed, and their samples."""
    from asr.data.manifest import load_samples
    from benchmarks.measure.recordings import drawn

    rows = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    return rows, [load_samples(row) for row in rows]


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/faults.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shows = parser.add_subparsers(dest="show", required=True)
    for name in ("cancels", "floods", "ramp", "drain", "voices", "cost"):
        show = shows.add_parser(name)
        show.add_argument("--manifest", type=Path, required=True)
        show.add_argument("--limit", type=int, default=40, help="utterances [40]")
        show.add_argument("--model", default="bundled:tiny.en")
        show.add_argument("--seed", type=int, default=0)
        show.add_argument("--json", action="store_true")
    shows.choices["cancels"].add_argument("--cycles", type=int, default=10_000)
    shows.choices["cancels"].add_argument("--together", type=int, default=20)
    shows.choices["cancels"].add_argument("--longest", type=float, default=0.3, help="s in a phase [0.3]")
    shows.choices["floods"].add_argument("--streams", type=int, default=20)
    shows.choices["floods"].add_argument("--seconds", type=float, default=30.0, help="of each flood [30]")
    shows.choices["ramp"].add_argument("--streams", type=int, help="slots of the server [what it carries]")
    shows.choices["ramp"].add_argument("--most", type=int, default=48, help="slots that are tried [48]")
    shows.choices["ramp"].add_argument("--rounds", type=int, default=2)
    shows.choices["ramp"].add_argument("--duration", type=float, default=20.0, help="of a stream, s [20]")
    shows.choices["drain"].add_argument("--streams", type=int, default=100)
    shows.choices["drain"].add_argument("--grace", type=float, default=5.0, help="s [5]")
    shows.choices["voices"].add_argument("--groups", type=int, default=8, help="tenants [8]")
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
        case "voices":
            return [f'metrics_address = "{options.metrics}"', f'tenants = "{options.tenants}"']
        case "cost":
            return ["decode_workers = 1"]
        case _:
            return []


async def measured(
    options: argparse.Namespace, server: ServerProcess, rows: Sequence[Utterance], recordings: list[Samples]
) -> dict[str, Any]:
    """The figures of one show."""
    from benchmarks.measure.abuse import floods, ramp
    from benchmarks.measure.connections import cancels
    from benchmarks.measure.shares import cost, drain
    from benchmarks.measure.voices import voices

    match options.show:
        case "cancels":
            return await cancels(server, recordings, options)
        case "floods":
            return await floods(server, recordings, options)
        case "ramp":
            return await ramp(server, joined(rows, options, options.streams), options)
        case "drain":
            return await drain(server, recordings, options)
        case "voices":
            return await voices(server, rows, recordings, options)
        case _:
            return await cost(server, recordings, options)


def joined(rows: Sequence[Utterance], options: argparse.Namespace, count: int) -> list[Samples]:
    """Recordings of the duration that is asked for, joined from utterances."""
    from benchmarks.measure.recordings import joined_recordings

    with tempfile.TemporaryDirectory() as folder:
        made = joined_recordings(
            rows, Path(folder), length_s=options.duration, seed=options.seed, count=count
        )
        return [one.samples for one in made]


def prepare(options: argparse.Namespace, rows: Sequence[Utterance], folder: Path) -> None:
    """What a show's server is configured with that has to be made or measured first."""
    from benchmarks.measure.abuse import capacity
    from benchmarks.measure.server_process import serving
    from benchmarks.measure.tenancy import write_tenants

    options.metrics = _free_address()
    if options.show == "voices":
        options.tenants = folder / "tenants.toml"
        options.tokens = write_tenants(
            options.tenants, [f"tenant-{number}" for number in range(options.groups)]
        )
    if options.show == "ramp" and options.streams is None:
        with serving([options.model], None) as server:
            options.streams = capacity(server.address, joined(rows, options, options.most), options.seed)


def _free_address() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def main() -> None:
    """Run one show and print it."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.server_process import serving

    rows, recordings = recordings_of(options)
    with tempfile.TemporaryDirectory() as folder:
        prepare(options, rows, Path(folder))
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
