"""Many live streams on our server: latency percentiles, churn, lag, refusals, and the most streams it carries.

The client sends 20 to 100 ms chunks when they would have been spoken, with network jitter, on a schedule that the seed
fixes; what it sends late is reported. Every stream is utterances of the manifest with pauses between them, in an order of
its own. The server is a child process unless ``--server`` names one; the client takes its share of the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.data.manifest import Utterance
    from benchmarks.measure.latency import StreamLog, TimedWord
    from benchmarks.measure.recordings import Recording
    from benchmarks.measure.server_process import ServerProcess

LIMIT_S = 2.0
"""p95 of word commit that a carried load stays under."""

Probe = Callable[[int], dict[str, Any]]


def is_carried(figures: dict[str, Any], limit_s: float = LIMIT_S) -> bool:
    """Whether p95 of word commit is under the limit, and every stream was taken and answered to its end."""
    p95 = figures["word_commit_s"]["p95"]
    return p95 is not None and p95 < limit_s and figures["completed"] == figures["streams"]


def find_capacity(probe: Probe, *, start: int, most: int) -> tuple[int, list[dict[str, Any]]]:
    """The largest number of streams that :func:`is_carried`: doubling until one is not, then halving the gap.

    Args:
        probe: measures a number of streams.
        start: the first number.
        most: never more.

    Returns:
        The number, 0 if not even one is carried, and the figures of all probes in their order.
    """
    probes: list[dict[str, Any]] = []

    def holds(streams: int) -> bool:
        probes.append(probe(streams))
        return is_carried(probes[-1])

    low, high = 0, most + 1
    streams = max(1, min(start, most))
    while high - low > 1:
        if holds(streams):
            low = streams
        else:
            high = streams
        streams = min(2 * low, most) if low and high > most else (low + high) // 2
    return low, probes


class Load:
    """Streams of one manifest against one server."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        utterances: Sequence[Utterance],
        server: ServerProcess,
        folder: Path,
    ) -> None:
        from benchmarks.measure.recordings import glossary_of

        self._arguments = arguments
        self._server = server
        self._folder = folder
        self._utterances = utterances
        self._terms = glossary_of(utterances, arguments.terms)

    def probe(self, streams: int) -> dict[str, Any]:
        """The figures of so many streams."""
        from benchmarks.measure.client import Pace, live_config, run_streams
        from benchmarks.measure.recordings import joined_recordings

        options = self._arguments
        recordings = joined_recordings(
            self._utterances, self._folder, length_s=options.duration, seed=options.seed, count=streams,
            pause_s=tuple(options.pause), tail_s=options.tail,
        )  # fmt: skip
        config = live_config(
            options.stream_model,
            interim_interval_s=options.interim_interval,
            end_silence_s=options.end_silence,
        )
        pace = Pace(seed=options.seed, chunk_ms=tuple(options.chunk_ms), jitter_s=options.jitter_ms / 1000)
        before_s = self._server.processor_s()
        samples = [recording.samples for recording in recordings]
        logs = asyncio.run(run_streams(self._server.address, samples, config, pace, ramp_s=options.ramp))
        after_s = self._server.processor_s()
        figures = figures_of(logs, recordings, self._terms)
        if before_s is not None and after_s is not None:
            figures["server_processor_s_per_audio_s"] = (after_s - before_s) / figures["audio_s"]
            figures["server_resident_mb"] = self._server.resident_mb()
        return figures


def figures_of(
    logs: Sequence[StreamLog],
    recordings: Sequence[Recording],
    terms: Sequence[str],
    reference: Sequence[Sequence[TimedWord]] = (),
) -> dict[str, Any]:
    """Everything about one load, JSON-ready; with ``reference``, by which every stream's words are timed."""
    from benchmarks.measure.accuracy import Accuracy
    from benchmarks.measure.latency import add_up, as_document, measure

    failures = sorted({log.failure for log in logs if log.failure})
    timed = reference or [()] * len(logs)
    accuracy = Accuracy(recordings, terms).rates([log.text for log in logs])
    return {
        "streams": len(logs),
        "completed": sum(log.is_complete for log in logs),
        "refused": sum(log.is_refused for log in logs),
        "failures": failures,
        "audio_s": sum(log.duration_s for log in logs),
        **as_document(add_up(measure(log, words) for log, words in zip(logs, timed, strict=True))),
        **accuracy,
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    latencies = {
        "first interim": "first_interim_s",
        "word commit": "word_commit_s",
        "word promise": "word_promise_s",
        "final after speech": "final_after_speech_s",
        "final after half-close": "final_after_half_close_s",
        "lag": "lag_s",
        "sent late": "sent_late_s",
    }
    lines = []
    for one in document["loads"]:
        rows = [["s", "p50", "p90", "p95", "p99", "n"]]
        for label, name in latencies.items():
            found = one[name]
            rows.append(
                [label, *(shown(found[rank], 3) for rank in ("p50", "p90", "p95", "p99")), str(found["n"])]
            )
        cost = one.get("server_processor_s_per_audio_s")
        lines += [
            f"{one['streams']} streams, {one['audio_s']:.0f} s of which {one['speech_s']:.0f} s speech: "
            f"{one['completed']} completed, {one['refused']} refused",
            *(f"  {failure}" for failure in one["failures"]),
            *table(rows),
            f"churn {shown(one['churn'], percent=True)}, {one['promises_broken']} of {one['promised_early']} words "
            f"promised early changed, interims {shown(one['interims_per_speech_s'])} a second of speech",
            f"WER {shown(one['wer'], percent=True)}, term recall {shown(one['term_recall'], 3)}, server "
            f"{shown(cost, 3)} CPU s an audio s",
            "",
        ]
    if "capacity" in document:
        lines.append(
            f"capacity: {document['capacity']} streams with p95 of word commit under {LIMIT_S} s, nothing dropped"
        )
    return lines


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_pace_options, add_set_options

    parser = argparse.ArgumentParser(
        prog="lexitune bench load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_set_options(parser, limit=120)
    add_pace_options(parser)
    parser.add_argument("--model", default="bundled:tiny.en", help="that the server is started with")
    parser.add_argument("--config", type=Path, help="TOML of the server that is started")
    parser.add_argument("--server", help="HOST:PORT of a running one; none is started then")
    parser.add_argument(
        "--stream-model", default="", help="selector that streams name; default: the server's"
    )
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 4], help="loads, one after the other [1 4]"
    )
    parser.add_argument(
        "--find-capacity", action="store_true", help="search the most streams carried instead"
    )
    parser.add_argument("--most", type=int, default=128, help="never more streams than this [128]")
    parser.add_argument("--duration", type=float, default=40.0, help="of a stream, s [40]")
    parser.add_argument(
        "--pause", type=float, nargs=2, default=[0.5, 3.0], help="between utterances, s [0.5 3]"
    )
    parser.add_argument("--ramp", type=float, default=5.0, help="streams begin within so many seconds [5]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Run the loads and print them."""
    arguments = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.recordings import drawn
    from benchmarks.measure.server_process import ServerProcess, serving

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    named = ServerProcess(address=arguments.server) if arguments.server else None
    with (
        tempfile.TemporaryDirectory() as temporary,
        nullcontext(named) if named else serving([arguments.model], arguments.config) as server,
    ):
        load = Load(arguments, utterances, server, Path(temporary))
        load.probe(1)  # warm; not counted
        document: dict[str, Any] = {
            "benchmark": "load",
            "server": arguments.server or f"started with {arguments.model}",
            "manifest": str(arguments.manifest),
            "seed": arguments.seed,
            "chunk_ms": arguments.chunk_ms,
            "jitter_ms": arguments.jitter_ms,
        }
        if arguments.find_capacity:
            start = max(arguments.streams)
            document["capacity"], document["loads"] = find_capacity(
                load.probe, start=start, most=arguments.most
            )
        else:
            document["loads"] = [load.probe(streams) for streams in arguments.streams]
        document["facts"] = facts()
    emit(document, lines_of(document), as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
