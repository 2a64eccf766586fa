"""Offline recognition against faster-whisper and transformers' pipeline: RTFx and accuracy, in turn in one run.

Ours is ``Recognizer.transcribe_many``. Short calls are utterances of at most 15 s; ``--long`` joins utterances with
pauses of 0.3 to 2 s to calls of ten minutes and adds faster-whisper's batched pipeline. All sides get the same wav files
in the same small groups, in another order each time; loading and one warm-up are not counted, reading the files is.
Processor time stands beside wall time, for machines that others use, too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.measure.recognizers import Run, System
    from benchmarks.measure.recordings import Recording

SHORT_PEERS = ("faster-whisper", "transformers")
LONG_PEERS = ("faster-whisper-batched",)
PEERS = ("faster-whisper", "faster-whisper-batched", "transformers")
GROUP = 32  # files that one side is given at a time


@dataclass(kw_only=True)
class Timed:
    """A system, its texts, and its wall and processor time by round, s."""

    system: System
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)


def run_in_turn(systems: Sequence[System], recordings: Sequence[Recording], rounds: int) -> list[Timed]:
    """Every system over every group of recordings, in turn, ``rounds`` times; who begins moves on."""
    results = [Timed(system=system) for system in systems]
    for one in results:
        one.system.transcribe([recordings[0].path])  # warm
    groups = [recordings[start : start + GROUP] for start in range(0, len(recordings), GROUP)]
    for number in range(rounds):
        for one in results:
            one.seconds.append(0.0)
            one.processor_s.append(0.0)
        for index, group in enumerate(groups):
            first = (number + index) % len(results)
            for one in results[first:] + results[:first]:
                started, started_cpu = time.perf_counter(), time.process_time()
                texts = one.system.transcribe([recording.path for recording in group])
                one.seconds[-1] += time.perf_counter() - started
                one.processor_s[-1] += time.process_time() - started_cpu
                if number == 0:
                    one.texts += texts
    return results


def make_systems(arguments: argparse.Namespace, run: Run) -> tuple[list[System], list[str]]:
    """Ours, then if asked for in whole windows, then peers on the base's weights and on ours; and what could not run."""
    from asr.errors import LexituneError
    from asr.models.resolve import resolve_model
    from benchmarks.measure.recognizers import (
        FasterWhisper,
        FasterWhisperBatched,
        Ours,
        TransformersPipeline,
    )

    makers: dict[str, Callable[[Any, Run], System]] = {
        "faster-whisper": FasterWhisper,
        "faster-whisper-batched": FasterWhisperBatched,
        "transformers": TransformersPipeline,
    }
    references = [arguments.peer_model, *([arguments.model] if arguments.peers_on_ours else [])]
    systems: list[System] = [Ours(arguments.model, run)]
    missing = []
    if arguments.whole_windows and resolve_model(arguments.model).own_length:
        systems.append(Ours(arguments.model, run, whole_windows=True))
    elif arguments.whole_windows:
        missing.append(f"whole windows were not run: {arguments.model} was not proved on anything else")
    for name in arguments.peers:
        for reference in dict.fromkeys(references):
            try:
                systems.append(makers[name](resolve_model(reference), run))
            except (LexituneError, ImportError, OSError, RuntimeError, ValueError) as error:
                missing.append(f"{name} on {reference} was not run: {error}")
    return systems, missing


def document_of(
    arguments: argparse.Namespace,
    results: Sequence[Timed],
    recordings: Sequence[Recording],
    missing: list[str],
) -> dict[str, Any]:
    """All figures, JSON-ready."""
    from benchmarks.measure.accuracy import Accuracy
    from benchmarks.measure.facts import facts, gpu_name
    from benchmarks.measure.recordings import glossary_of

    audio_s = sum(recording.duration_s for recording in recordings)
    terms = glossary_of([recording.utterance for recording in recordings], arguments.terms)
    accuracy = Accuracy(recordings, terms)
    ours = results[0]
    systems = []
    for one in results:
        ratios = [theirs / own for theirs, own in zip(one.seconds, ours.seconds, strict=True)]
        figures = {
            "name": one.system.name,
            "model": one.system.model,
            "settings": one.system.settings,
            "rtfx": audio_s * len(one.seconds) / sum(one.seconds),
            "rtfx_by_round": [audio_s / seconds for seconds in one.seconds],
            "audio_per_processor_s": audio_s * len(one.processor_s) / sum(one.processor_s),
            **accuracy.rates(one.texts),
        }
        if one is not ours:
            figures |= {
                "ours_is_faster_by": statistics.median(ratios),
                "ours_is_faster_by_round": ratios,
                "ours_is_cheaper_by": sum(one.processor_s) / sum(ours.processor_s),
                "difference": accuracy.differences(one.texts, ours.texts),
            }
        systems.append(figures)
    return {
        "benchmark": "engine",
        "kind": "long" if arguments.long else "short",
        "manifest": str(arguments.manifest),
        "recordings": len(recordings),
        "audio_s": round(audio_s, 1),
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "device": arguments.device,
        "gpu": gpu_name(arguments.device),
        "systems": systems,
        "not_run": missing,
        "facts": facts(),
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    head = [
        "",
        "model",
        "RTFx",
        "ours is",
        "audio s/CPU s",
        "ours is",
        "WER",
        "term recall",
        "WER, ours - peer",
    ]
    rows = [[*head, "missed terms, ours - peer"]]
    for one in document["systems"]:
        ratio, cheaper = one.get("ours_is_faster_by"), one.get("ours_is_cheaper_by")
        difference = one.get("difference", {})
        rows.append(
            [
                one["name"],
                one["model"],
                shown(one["rtfx"], 1),
                f"{ratio:.2f} x" if ratio else "-",
                shown(one["audio_per_processor_s"], 1),
                f"{cheaper:.2f} x" if cheaper else "-",
                shown(one["wer"], percent=True),
                shown(one["term_recall"], 3),
                *(_interval(difference.get(name)) for name in ("wer", "missed_terms")),
            ]
        )
    first = (
        f"{document['recordings']} {document['kind']} recordings of {document['manifest']}, {document['audio_s']:.0f} s, "
        f"{document['rounds']} rounds, {document['threads']} threads, {document['gpu'] or 'cpu'}, seed {document['seed']}"
    )
    settings = [f"{one['name']}: {one['settings']}" for one in document["systems"]]
    return [first, *table(rows), *dict.fromkeys(settings), *document["not_run"]]


def _interval(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return "-"
    low, high = difference["interval"]
    return f"{100 * difference['delta']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points"


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_set_options

    parser = argparse.ArgumentParser(
        prog="lexitune bench engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=120)
    parser.add_argument("--model", default="bundled:tiny.en", help="ours; best one proved on own lengths")
    parser.add_argument("--peer-model", default="bundled:tiny.en", help="the weights that the peers run")
    parser.add_argument(
        "--peers-on-ours", action="store_true", help="let the peers run --model's weights, too"
    )
    parser.add_argument(
        "--whole-windows", action="store_true", help="compare with our own on --model in windows of 30 s, too"
    )
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="default: those of the kind of call")
    parser.add_argument("--long", action="store_true", help="calls of about ten minutes")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a long call [10]")
    parser.add_argument("--count", type=int, default=1, help="long calls [1]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each side [2]")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of all sides [cpu]")
    parser.add_argument("--language", default="en", help='code of the speech; "" leaves it to the model [en]')
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Run the comparison and print it."""
    arguments = parser_of().parse_args()
    if arguments.peers is None:
        arguments.peers = LONG_PEERS if arguments.long else SHORT_PEERS
    from benchmarks.measure.facts import emit
    from benchmarks.measure.recognizers import Run
    from benchmarks.measure.recordings import drawn, joined_recordings, short_recordings

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.long:
            recordings = joined_recordings(
                utterances, Path(temporary), length_s=60 * arguments.minutes, seed=arguments.seed,
                count=arguments.count,
            )  # fmt: skip
        else:
            recordings = short_recordings(utterances, Path(temporary))
        run = Run(num_threads=arguments.threads, language=arguments.language, device=arguments.device)
        systems, missing = make_systems(arguments, run)
        results = run_in_turn(systems, recordings, arguments.rounds)
        document = document_of(arguments, results, recordings, missing)
    emit(document, lines_of(document), as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
