"""Live streams on our server against whisper-streaming and WhisperLive's server, on the same weights in one run.

By default one stream at a time, recording by recording in turn: latencies of words and finals. ``--find-capacity``
searches the most streams that each side carries with p95 of word commit under 2 s and nothing dropped. Words are timed
for all sides by one offline pass of our recogniser over the same recording. Every side has the same cores and the same
schedule of chunks; recordings end a moment after their last speech, so that the half-close asks for the final.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.measure.latency import StreamLog, TimedWord
    from benchmarks.measure.recordings import Recording

PEERS = ("whisper-streaming", "whisper-live")
OURS = "lexitune"

Stream = Callable[[Sequence["Recording"], Sequence[float], int], list["StreamLog"]]
"""Streams recordings at the same time, begun at these instants (s), on the schedule of a seed."""


@dataclass(kw_only=True)
class Side:
    """A running system, how it is set, and what its streams saw."""

    name: str
    settings: str
    stream: Stream
    logs: list[StreamLog] = field(default_factory=list)


@contextmanager
def our_side(arguments: argparse.Namespace) -> Iterator[Side]:
    """Our server with its client."""
    from benchmarks.measure.client import Pace, PacedStream, live_config
    from benchmarks.measure.server_process import serving

    config = live_config(
        "", interim_interval_s=arguments.interim_interval, end_silence_s=arguments.end_silence
    )

    def stream(recordings: Sequence[Recording], starts_s: Sequence[float], seed: int) -> list[StreamLog]:
        from asr.client import AsyncSpeechClient

        async def one(client: AsyncSpeechClient, number: int) -> StreamLog:
            await asyncio.sleep(starts_s[number])
            pace = Pace(
                seed=seed + number, chunk_ms=tuple(arguments.chunk_ms), jitter_s=arguments.jitter_ms / 1000
            )
            return await PacedStream(recordings[number].samples, config, pace).run(client)

        async def together() -> list[StreamLog]:
            async with AsyncSpeechClient(server.address) as client:
                return list(await asyncio.gather(*(one(client, n) for n in range(len(recordings)))))

        return asyncio.run(together())

    with serving([arguments.model], arguments.config) as server:
        yield Side(name=OURS, settings=f"lexitune serve --model {arguments.model}", stream=stream)


@contextmanager
def peer_side(name: str, arguments: argparse.Namespace, folder: Path) -> Iterator[Side]:
    """A peer in a process of its own."""
    from benchmarks.measure.replay import Request, replaying

    threads = arguments.threads
    options = ["--model", str(folder), "--language", arguments.language]
    if name == "whisper-streaming" and arguments.find_capacity:
        options += ["--threads", "1", "--workers", str(threads)]
    elif name == "whisper-streaming":
        options += ["--threads", str(threads), "--workers", "1"]
    else:
        options += ["--threads", str(threads)]
    script = f"{name.replace('-', '_')}_peer"
    with replaying(script, arguments.peer_python, options, {}) as (replayer, about):

        def stream(recordings: Sequence[Recording], starts_s: Sequence[float], seed: int) -> list[StreamLog]:
            return replayer.run(
                Request(
                    wavs=tuple(str(one.path) for one in recordings),
                    starts_s=tuple(starts_s),
                    seed=seed,
                    chunk_ms=tuple(arguments.chunk_ms),
                    jitter_s=arguments.jitter_ms / 1000,
                )
            )

        versions = ", ".join(f"{package} {version}" for package, version in about.items())
        yield Side(name=name, settings=f"{' '.join(options)}; {versions}", stream=stream)


def open_sides(arguments: argparse.Namespace, stack: ExitStack) -> tuple[list[Side], list[str]]:
    """Ours and the peers that run; and what does not, and why."""
    from asr.errors import LexituneError
    from asr.models.resolve import resolve_model, serving_folder

    folder = serving_folder(resolve_model(arguments.peer_model or arguments.model))
    sides, missing = [stack.enter_context(our_side(arguments))], []
    for name in arguments.peers:
        try:
            sides.append(stack.enter_context(peer_side(name, arguments, folder)))
        except (LexituneError, OSError) as error:
            missing.append(f"{name} was not run: {error}")
    return sides, missing


def offline(model: str, recordings: Sequence[Recording]) -> tuple[list[str], list[list[TimedWord]]]:
    """Every recording's text and words with their times, by one offline pass of ours."""
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer
    from benchmarks.measure.latency import TimedWord

    recognizer = Recognizer.load(model)
    done = list(recognizer.transcribe_many((one.samples for one in recordings), DecodingOptions()))
    timed = [
        [TimedWord(text=word.text, start_s=word.start_s, end_s=word.end_s) for word in transcript.words]
        for transcript in done
    ]
    recognizer.close()
    return [transcript.text for transcript in done], timed


def compare(
    arguments: argparse.Namespace, sides: Sequence[Side], folder: Path, terms: Sequence[str]
) -> dict[str, Any]:
    """One stream at a time, every recording on every side in turn."""
    from benchmarks.measure.accuracy import Accuracy
    from benchmarks.measure.latency import add_up, as_document, measure
    from benchmarks.measure.recordings import drawn, short_recordings

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    recordings = short_recordings(utterances, folder, tail_s=arguments.tail)
    whole, reference = offline(arguments.model, recordings)
    for side in sides:
        side.stream(recordings[:1], [0.0], arguments.seed)  # warm; not counted
    for index, recording in enumerate(recordings):
        first = index % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            side.logs += side.stream([recording], [0.0], arguments.seed + index)
    accuracy = Accuracy(recordings, terms)
    ours = [log.text for log in sides[0].logs]
    found = []
    for side in sides:
        texts = [log.text for log in side.logs]
        figures = add_up(measure(log, words) for log, words in zip(side.logs, reference, strict=True))
        found.append(
            {
                "name": side.name,
                "settings": side.settings,
                "completed": sum(log.is_complete for log in side.logs),
                "failures": sorted({log.failure for log in side.logs if log.failure}),
                **as_document(figures),
                **accuracy.rates(texts),
                **({"difference": accuracy.differences(texts, ours)} if side is not sides[0] else {}),
            }
        )
    ahead = {**accuracy.rates(whole), "difference": accuracy.differences(whole, ours)}
    return {"recordings": len(recordings), "systems": found, "offline": ahead}


def capacities(
    arguments: argparse.Namespace, sides: Sequence[Side], folder: Path, terms: Sequence[str]
) -> dict[str, Any]:
    """The most streams of every side, one side after the other; see ``benchmarks/load.py``."""
    import numpy as np

    from benchmarks.load import figures_of, find_capacity
    from benchmarks.measure.recordings import drawn, joined_recordings

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    found = []
    for side in sides:

        def probe(streams: int, side: Side = side) -> dict[str, Any]:
            recordings = joined_recordings(
                utterances, folder, length_s=arguments.duration, seed=arguments.seed, count=streams,
                pause_s=(0.5, 3.0), tail_s=arguments.tail,
            )  # fmt: skip
            _, reference = offline(arguments.model, recordings)
            starts_s = np.sort(np.random.default_rng(arguments.seed).uniform(0.0, arguments.ramp, streams))
            logs = side.stream(recordings, starts_s.tolist(), arguments.seed)
            return figures_of(logs, recordings, terms, reference)

        probe(1)  # warm; not counted
        streams, probes = find_capacity(probe, start=1, most=arguments.most)
        found.append({"name": side.name, "settings": side.settings, "capacity": streams, "probes": probes})
    return {"systems": found}


def ratio_to_ours(document: dict[str, Any], peer: dict[str, Any], name: str) -> float | None:
    """Our p50 over the peer's; None where either has none."""
    ours, theirs = document["systems"][0][name]["p50"], peer[name]["p50"]
    return ours / theirs if ours is not None and theirs else None


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    settings = [f"{one['name']}: {one['settings']}" for one in document["systems"]]
    if "recordings" not in document:
        rows = [["", "streams carried"]]
        rows += [[one["name"], str(one["capacity"])] for one in document["systems"]]
        return [*table(rows), *settings, *document["not_run"]]
    names = {
        "first interim": "first_interim_s",
        "word commit": "word_commit_s",
        "word promise": "word_promise_s",
        "final after half-close": "final_after_half_close_s",
    }
    rows = [["s: p50 p90 p99 (n)", *(one["name"] for one in document["systems"])]]
    for label, name in names.items():
        cells = []
        for one in document["systems"]:
            values, ratio = one[name], ratio_to_ours(document, one, name)
            cells.append(
                f"{shown(values['p50'])} {shown(values['p90'])} {shown(values['p99'])} ({values['n']})"
                + (f" ours {ratio:.2f} x" if ratio is not None and one is not document["systems"][0] else "")
            )
        rows.append([label, *cells])
    rows.append(["churn", *(shown(one["churn"], percent=True) for one in document["systems"])])
    rows.append(
        [
            "promised words changed",
            *(f"{one['promises_broken']} of {one['promised_early']}" for one in document["systems"]),
        ]
    )
    rows.append(["WER", *(shown(one["wer"], percent=True) for one in document["systems"])])
    rows.append(["term recall", *(shown(one["term_recall"], 3) for one in document["systems"])])
    rows.append(["words not timed", *(str(one["words_untimed"]) for one in document["systems"])])
    rows.append(["streams completed", *(str(one["completed"]) for one in document["systems"])])
    first = f"{document['recordings']} recordings of {document['manifest']}, one stream at a time"
    return [first, *table(rows), _offline_line(document["offline"]), *settings, *document["not_run"]]


def _offline_line(offline: dict[str, Any]) -> str:
    """Ours offline, and what streaming costs."""
    from benchmarks.measure.facts import shown

    line = f"ours offline: WER {shown(offline['wer'], percent=True)}, term recall {shown(offline['term_recall'], 3)}"
    if "wer" not in offline["difference"]:
        return line
    gap = offline["difference"]["wer"]
    low, high = gap["interval"]
    return f"{line}; streamed less offline {gap['delta']:+.2%} [{low:+.2%}, {high:+.2%}]"


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_pace_options, add_set_options

    parser = argparse.ArgumentParser(
        prog="lexitune bench streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=12)
    add_pace_options(parser)
    parser.add_argument("--model", default="bundled:tiny.en", help="of our server")
    parser.add_argument("--peer-model", help="of the peers; default: --model's weights")
    parser.add_argument("--config", type=Path, help="TOML of our server")
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=list(PEERS[:1]), help="[whisper-streaming]"
    )
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--threads", type=int, default=2, help="of each peer [2]")
    parser.add_argument("--language", default="en", help="code of the speech [en]")
    parser.add_argument("--find-capacity", action="store_true", help="the most streams of each side instead")
    parser.add_argument("--most", type=int, default=64, help="never more streams than this [64]")
    parser.add_argument("--duration", type=float, default=40.0, help="of a stream of the search, s [40]")
    parser.add_argument("--ramp", type=float, default=5.0, help="streams begin within so many seconds [5]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Run the comparison and print it."""
    arguments = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts
    from benchmarks.measure.recordings import drawn, glossary_of

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    terms = glossary_of(utterances, arguments.terms)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        sides, missing = open_sides(arguments, stack)
        run = capacities if arguments.find_capacity else compare
        document = {
            "benchmark": "streaming",
            "manifest": str(arguments.manifest),
            "model": arguments.model,
            "peer_model": arguments.peer_model or arguments.model,
            "seed": arguments.seed,
            **run(arguments, sides, Path(temporary), terms),
            "not_run": missing,
            "facts": facts(),
        }
    emit(document, lines_of(document), as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
