"""A whole folder: ``lexitune transcribe FOLDER`` against a loop over faster-whisper, and Ray against one process.

All sides get the same wav files of one folder and write a text file for each, in turn in one run, another one first each
round. Ours is the command's own path: files found, hashed, decoded, written atomically and recorded for ``--resume``.
Loading and a warm-up of the local sides are not counted; of Ray, starting the cluster is not, but its workers,
which are new for each round, are: beside that stands when the first outcome came.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asr.cli.batch import Deliver, Engine, Outcome
    from asr.cli.recipe import Recipe
    from asr.cli.sources import Source
    from benchmarks.measure.recordings import Recording

FASTER_WHISPER, RAY = "faster-whisper", "ray"
ON_RAY = "--engine ray"
PEERS = (FASTER_WHISPER, RAY)


class Side(Protocol):
    """Transcribes a folder into another; ``settings`` says how, for the record."""

    name: str
    settings: str
    model: str

    def run(self, folder: Path, out: Path) -> float:
        """Write NAME.txt for every NAME.wav; seconds up to the first outcome, as far as it is known."""
        ...


@dataclass(kw_only=True)
class Timed:
    """A side, its texts in the order of the recordings, and its times by round, s."""

    side: Side
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)  # up to the first outcome
    processor_s: list[float] = field(default_factory=list)  # of this process, so not of Ray's workers


class OurCommand:
    """What ``lexitune transcribe FOLDER --output OUT`` does, with an engine that is loaded already."""

    def __init__(self, name: str, settings: str, recipe: Recipe, engine: Engine) -> None:
        self.name, self.settings, self.model = name, settings, recipe.model
        self._recipe, self._engine = recipe, engine

    def run(self, folder: Path, out: Path) -> float:
        """See :class:`Side`."""
        from asr.cli.batch import run_batch
        from asr.cli.failures import FailureList
        from asr.cli.sinks import open_sink
        from asr.cli.sources import file_sources

        started = time.perf_counter()
        sources = file_sources([folder])
        sink = open_sink("text", out, sources, {"model": self.model}, into_folder=True)
        sink.begin(resume=False)
        failures = FailureList(None)
        first = _FirstOutcome(self._engine)
        run_batch(first, sources, sink, failures)
        sink.finish()
        sink.close()
        assert not failures.failures, failures.failures[0].reason
        return first.at - started


class _FirstOutcome:
    """An engine that notes when its first outcome came."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.at = 0.0

    def run(self, sources: Sequence[Source], deliver: Deliver) -> None:
        """See :class:`asr.cli.batch.Engine`."""

        def noted(outcome: Outcome) -> None:
            self.at = self.at or time.perf_counter()
            deliver(outcome)

        self._engine.run(sources, noted)


class FasterWhisperLoop:
    """faster-whisper as its README shows it, one file after the other, each text written."""

    def __init__(self, model: Any, run: Any) -> None:
        from benchmarks.measure.recognizers import FasterWhisper

        self._system = FasterWhisper(model, run)
        self.name, self.settings, self.model = (
            self._system.name,
            self._system.settings,
            self._system.model,
        )

    def run(self, folder: Path, out: Path) -> float:
        """See :class:`Side`."""
        out.mkdir()
        started, first_s = time.perf_counter(), 0.0
        for path in sorted(folder.glob("*.wav")):
            (text,) = self._system.transcribe([path])
            (out / f"{path.stem}.txt").write_text(text + "\n")
            first_s = first_s or time.perf_counter() - started
        return first_s


def make_sides(arguments: argparse.Namespace) -> list[Side]:
    """Ours first, then whoever it is compared with."""
    from asr.cli.recipe import Recipe
    from asr.models.resolve import resolve_model
    from benchmarks.measure.recognizers import Run

    ours = resolve_model(arguments.model)
    recipe = Recipe(model=ours.reference, language=arguments.language or "auto")
    window = "own length" if ours.own_length else "30 s windows"
    settings = f"int8, beam 5, word times, {arguments.threads} workers of 1 thread, {window}"
    engine = recipe.open(num_workers=arguments.threads)
    sides: list[Side] = [OurCommand("lexitune transcribe", settings, recipe, engine)]
    if FASTER_WHISPER in arguments.peers:
        run = Run(num_threads=arguments.threads, language=arguments.language)
        sides.append(FasterWhisperLoop(resolve_model(arguments.peer_model), run))
    if RAY in arguments.peers:
        from asr.cli.cluster import RayEngine

        settings = f"as ours, {arguments.threads} workers of 1 core on this machine, started anew each round"
        sides.append(OurCommand(ON_RAY, settings, recipe, RayEngine(recipe, max_workers=arguments.threads)))
    return sides


def run_in_turn(
    sides: Sequence[Side], recordings: Sequence[Recording], rounds: int, folder: Path
) -> list[Timed]:
    """Every side over the folder of the recordings, in turn, ``rounds`` times; who begins moves on."""
    results = [Timed(side=side) for side in sides]
    calls = recordings[0].path.parent
    warm = folder / "warm"
    warm.mkdir()
    (warm / recordings[0].path.name).write_bytes(recordings[0].path.read_bytes())
    for number, one in enumerate(results):
        if one.side.name != ON_RAY:  # nothing of it would still be warm
            one.side.run(warm, folder / f"warm-{number}")
    for number in range(rounds):
        first = number % len(results)
        for one in results[first:] + results[:first]:
            out = folder / f"{one.side.name.replace(' ', '')}-{number}"
            started, started_cpu = time.perf_counter(), time.process_time()
            first_s = one.side.run(calls, out)
            one.seconds.append(time.perf_counter() - started)
            one.processor_s.append(time.process_time() - started_cpu)
            one.first_s.append(first_s)
            texts = [(out / f"{recording.path.stem}.txt").read_text().strip() for recording in recordings]
            one.texts = one.texts or texts
    return results


def document_of(
    arguments: argparse.Namespace, results: Sequence[Timed], recordings: Sequence[Recording]
) -> dict[str, Any]:
    """All figures, JSON-ready."""
    from benchmarks.measure.accuracy import Accuracy
    from benchmarks.measure.facts import facts
    from benchmarks.measure.recordings import glossary_of

    audio_s = sum(recording.duration_s for recording in recordings)
    accuracy = Accuracy(
        recordings, glossary_of([recording.utterance for recording in recordings], arguments.terms)
    )
    ours = results[0]
    sides = []
    for one in results:
        ratios = [theirs / own for theirs, own in zip(one.seconds, ours.seconds, strict=True)]
        figures = {
            "name": one.side.name,
            "model": one.side.model,
            "settings": one.side.settings,
            "rtfx": audio_s * len(one.seconds) / sum(one.seconds),
            "rtfx_by_round": [audio_s / seconds for seconds in one.seconds],
            "first_outcome_s": statistics.median(one.first_s),
            **accuracy.rates(one.texts),
        }
        if one is not ours:
            figures |= {
                "ours_is_faster_by": statistics.median(ratios),
                "ours_is_faster_by_round": ratios,
                "ours_is_cheaper_by": _cheaper(one, ours),
                "same_texts": sum(a == b for a, b in zip(one.texts, ours.texts, strict=True)),
                "difference": accuracy.differences(one.texts, ours.texts),
            }
        sides.append(figures)
    return {
        "benchmark": "batch",
        "manifest": str(arguments.manifest),
        "recordings": len(recordings),
        "audio_s": round(audio_s, 1),
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "sides": sides,
        "facts": facts(("ray",)),
    }


def _cheaper(one: Timed, ours: Timed) -> float | None:
    """Processor time of the one over ours."""
    return None if one.side.name == ON_RAY else sum(one.processor_s) / sum(ours.processor_s)


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    head = [
        "",
        "model",
        "RTFx",
        "by round",
        "first after, s",
        "ours is",
        "by processor time",
        "WER",
        "term recall",
        "same texts",
    ]
    rows = [head]
    for one in document["sides"]:
        ratio = one.get("ours_is_faster_by")
        by_round = [f"{ratio:.2f}" for ratio in one.get("ours_is_faster_by_round", [])]
        rows.append(
            [
                one["name"],
                one["model"],
                shown(one["rtfx"], 1),
                ", ".join(f"{rate:.1f}" for rate in one["rtfx_by_round"]),
                shown(one["first_outcome_s"], 1),
                f"{ratio:.2f} x ({', '.join(by_round)})" if ratio else "-",
                f"{cheaper:.2f} x" if (cheaper := one.get("ours_is_cheaper_by")) else "-",
                shown(one["wer"], percent=True),
                shown(one["term_recall"], 3),
                f"{one['same_texts']}" if "same_texts" in one else "-",
            ]
        )
    first = (
        f"{document['recordings']} recordings of {document['manifest']}, {document['audio_s']:.0f} s, "
        f"{document['rounds']} rounds, {document['threads']} threads, seed {document['seed']}"
    )
    lines = [first, *table(rows)]
    for one in document["sides"]:
        lines.append(f"{one['name']}: {one['settings']}")
        for name, difference in one.get("difference", {}).items():
            low, high = (100 * bound for bound in difference["interval"])
            lines.append(
                f"{name.replace('_', ' ')}, ours less {one['name']}: {100 * difference['delta']:+.2f} "
                f"[{low:+.2f}, {high:+.2f}] points"
            )
    return lines


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_set_options

    parser = argparse.ArgumentParser(
        prog="lexitune bench batch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=120)
    parser.add_argument("--model", default="bundled:tiny.en", help="ours; best one proved on own lengths")
    parser.add_argument("--peer-model", default="bundled:tiny.en", help="the weights of faster-whisper")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[FASTER_WHISPER])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each side [2]")
    parser.add_argument("--language", default="", help='code of the speech; "" leaves it to the model [""]')
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Run the comparison and print it."""
    arguments = parser_of().parse_args()
    from benchmarks.measure.facts import emit
    from benchmarks.measure.recordings import drawn, short_recordings

    utterances = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "calls").mkdir()
        recordings = short_recordings(utterances, folder / "calls")
        with contextlib.ExitStack() as stack:
            if RAY in arguments.peers:
                from asr.cli.cluster import connected

                stack.enter_context(connected())
            results = run_in_turn(make_sides(arguments), recordings, arguments.rounds, folder)
        document = document_of(arguments, results, recordings)
    emit(document, lines_of(document), as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
