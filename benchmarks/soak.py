"""A server under steady load for an hour: do memory, descriptors or latency grow?

Rounds of paced streams, one after the other, on one server; behind each round the server's memory and descriptors and the
round's latencies. The slopes are least squares over all rounds but the first quarter, while caches and allocators fill.

    lexitune bench is for comparisons; this one is run as a script:
    python benchmarks/soak.py --manifest M --model REF --streams 10 --minutes 60
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.load import parser_of as load_parser

WARM_SHARE = 0.25  # of the rounds


def slope_per_hour(hours: Sequence[float], values: Sequence[float]) -> float:
    """Least squares; in the unit of ``values`` an hour."""
    mean_hours, mean = sum(hours) / len(hours), sum(values) / len(values)
    spread = sum((hour - mean_hours) ** 2 for hour in hours)
    return sum((h - mean_hours) * (v - mean) for h, v in zip(hours, values, strict=True)) / spread


def one_round(load: Load, server: Any, streams: int, began_s: float) -> dict[str, Any]:
    """What a round left behind."""
    figures = load.probe(streams)
    return {
        "hours": (time.monotonic() - began_s) / 3600,
        "resident_mb": server.resident_mb(),
        "descriptors": server.num_descriptors(),
        "word_commit_p95_s": figures["word_commit_s"]["p95"],
        "final_after_speech_p95_s": figures["final_after_speech_s"]["p95"],
        "completed": figures["completed"],
        "audio_s": figures["audio_s"],
        "cpu_s_per_audio_s": figures["server_processor_s_per_audio_s"],
    }


def main() -> None:
    """Run the rounds, print one JSON document."""
    parser = load_parser()
    parser.prog, parser.description = "python benchmarks/soak.py", __doc__
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.set_defaults(streams=[10], duration=120.0)
    arguments = parser.parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.recordings import drawn
    from benchmarks.measure.server_process import serving

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    (streams,) = arguments.streams
    rounds: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as temporary,
        serving([arguments.model], arguments.config) as server,
    ):
        load = Load(arguments, utterances, server, Path(temporary))
        began_s = time.monotonic()
        while time.monotonic() - began_s < 60 * arguments.minutes:
            rounds.append(one_round(load, server, streams, began_s))
    kept = rounds[int(WARM_SHARE * len(rounds)) :]
    hours = [one["hours"] for one in kept]
    names = ("resident_mb", "descriptors", "word_commit_p95_s", "final_after_speech_p95_s")
    document = {
        "benchmark": "soak",
        "streams": streams,
        "minutes": arguments.minutes,
        "completed": sum(one["completed"] for one in rounds),
        "rounds": rounds,
        "per_hour": {name: slope_per_hour(hours, [one[name] for one in kept]) for name in names},
        "facts": facts(),
    }
    lines = [
        f"{name}: {value:+.3f} an hour, last {kept[-1][name]}" for name, value in document["per_hour"].items()
    ]
    lines.append(
        f"{document['completed']} of {streams * len(rounds)} streams completed in {len(rounds)} rounds"
    )
    emit(document, lines, as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
