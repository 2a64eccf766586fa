"""Phrases at request time: what they bring, what they cost and what they break, beside faster-whisper's hotwords.

The recordings' terms are the phrases, among 0 to 2,000 others that nobody says (``--distractors``, one a line). For
each number: recall, precision and F1 of the terms, WER on their words and on all others (B-WER, U-WER), and the time of a
final over that without phrases, measured in turn, one segment after the other. ``--unrelated M`` is speech in which none
of them is said; it, and noise and music, are heard with and without them: what changes there is harm.

    python benchmarks/biasing.py --manifest M --terms F --distractors F --unrelated M
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.biasing.phrases import Phrase, PhraseSet
    from asr.data.manifest import Utterance
    from asr.models.base import Samples
    from asr.recognizer import Recognizer

COUNTS = (0, 100, 500, 1000, 2000)
SOUNDS_SEED = 1


@dataclass
class Side:
    """One way to decode, its texts, and the time of each decoding, s."""

    name: str
    decode: Callable[[Samples], str]
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def in_turn(sides: Sequence[Side], recordings: Sequence[Samples]) -> None:
    """Every side on every recording; who begins moves on."""
    for side in sides:
        side.decode(recordings[0])  # warm
    for number, samples in enumerate(recordings):
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            began_s = time.perf_counter()
            text = side.decode(samples)
            side.seconds.append(time.perf_counter() - began_s)
            side.texts.append(text)


def ours(recognizer: Recognizer, name: str, phrases: PhraseSet | None, language: str | None) -> Side:
    """Finals of our engine: beam 5 with word times, as they are served."""
    from asr.models.base import DecodingOptions
    from asr.recognizer import segment_recording

    options = DecodingOptions(language=language)

    def decode(samples: Samples) -> str:
        segments = [request.samples for request in segment_recording(samples)]
        rows = recognizer.decode(segments, options, [phrases] * len(segments))
        return " ".join(row[0].text for row in rows if row[0].text)

    return Side(name, decode)


def hotwords_peer(model: str, terms: Sequence[str], threads: int) -> Side:
    """faster-whisper with its defaults and the same words as ``hotwords``.

    Raises:
        ImportError: it is not installed.
    """
    from asr.models.resolve import resolve_model, serving_folder
    from benchmarks.measure.recognizers import load_faster_whisper

    whisper = load_faster_whisper(serving_folder(resolve_model(model)), threads)

    def decode(samples: Samples) -> str:
        segments, _ = whisper.transcribe(samples, language="en", hotwords=", ".join(terms) or None)
        return " ".join(segment.text.strip() for segment in segments)

    return Side("faster-whisper hotwords" if terms else "faster-whisper", decode)


def scored(side: Side, rows: Sequence[Utterance], terms: Sequence[str], plain_s: float) -> dict[str, Any]:
    """A side's figures."""
    from asr.evaluation.evaluate import evaluate_texts

    found = evaluate_texts(rows, side.texts, terms=terms)
    biased, counts = found.biased, found.terms
    return {
        "name": side.name,
        "term_recall": counts.recall if counts else None,
        "term_precision": counts.precision if counts else None,
        "term_f1": counts.f1 if counts else None,
        "wer": found.wer,
        "b_wer": biased.biased.rate if biased else None,
        "u_wer": biased.unbiased.rate if biased else None,
        "mean_s": sum(side.seconds) / len(side.seconds),
        "time_ratio": sum(side.seconds) / plain_s,
    }


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole document."""
    from asr.data.manifest import load_samples
    from asr.models.resolve import resolve_model
    from asr.recognizer import Recognizer
    from benchmarks.measure.facts import facts
    from benchmarks.measure.recordings import drawn

    rows = drawn(arguments.manifest, limit=arguments.limit, seed=arguments.seed)
    terms = _terms(arguments.terms, rows)
    others = _others(arguments.distractors, terms, max(arguments.counts))
    # the phrases that a version carries would be on every side
    resolved = replace(resolve_model(arguments.model), phrases=None)
    recognizer = Recognizer.open(resolved, num_threads=arguments.threads)
    sides = [ours(recognizer, "no phrases", None, arguments.language)]
    for count in arguments.counts:
        wanted = _phrases([*_wanted(arguments, terms), *others[:count]], arguments.boost)
        sides.append(ours(recognizer, f"terms + {count}", wanted, arguments.language))
    missing = []
    if arguments.peer_model:
        try:
            sides += [hotwords_peer(arguments.peer_model, some, arguments.threads) for some in ((), terms)]
        except ImportError:
            missing.append("not run: faster-whisper (pip install 'lexitune[bench]')")
    in_turn(sides, [load_samples(row) for row in rows])
    plain_s = sum(sides[0].seconds)
    document: dict[str, Any] = {
        "benchmark": "biasing",
        "model": recognizer.reference,
        "manifest": str(arguments.manifest),
        "recordings": len(rows),
        "terms": len(terms),
        "seed": arguments.seed,
        "sides": [scored(side, rows, terms, plain_s) for side in sides],
        "not_run": missing,
        "facts": facts(),
    }
    if arguments.unrelated:
        document["unrelated"] = _harm(recognizer, arguments, others)
    recognizer.close()
    return document


def _harm(
    recognizer: Recognizer, arguments: argparse.Namespace, others: Sequence[str]
) -> list[dict[str, Any]]:
    """What phrases that nobody says change in speech, noise and music."""
    import tempfile

    from asr.data.manifest import load_samples
    from asr.evaluation.evaluate import evaluate_texts
    from benchmarks.measure.recordings import drawn
    from training.sounds import write_sounds

    rows = drawn(arguments.unrelated, limit=arguments.limit, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        sounds = [load_samples(row) for row in write_sounds(Path(folder), seed=SOUNDS_SEED)]
    speech = [load_samples(row) for row in rows]
    found = []
    for count in sorted({0, *arguments.counts}):
        phrases = _phrases(others[:count], arguments.boost) if count else None
        side = ours(recognizer, f"{count} unrelated", phrases, arguments.language)
        in_turn([side], speech)
        heard = ours(recognizer, "sounds", phrases, arguments.language)
        in_turn([heard], sounds)
        added = [
            one for one in others[:count] if any(one.casefold() in text.casefold() for text in side.texts)
        ]
        figures = evaluate_texts(rows, side.texts)
        words = sum(len(text.split()) for text in heard.texts)
        found.append(
            {"phrases": count, "wer": figures.wer, "phrases_written": len(added), "words_on_sounds": words}
        )
    return found


def _terms(path: Path | None, rows: Sequence[Utterance]) -> list[str]:
    from asr.data.glossary import read_terms

    if path is not None:
        return [term.text for term in read_terms(path)]
    return sorted({term for row in rows for term in row.terms or ()})


def _others(path: Path | None, terms: Sequence[str], count: int) -> list[str]:
    from asr.data.glossary import read_lines
    from asr.errors import InputError

    if not count:
        return []
    if path is None:
        raise InputError(
            f"{count} distractors are wanted; give --distractors, a phrase a line, or --counts 0"
        )
    said = {term.casefold() for term in terms}
    lines = [line.strip() for line in read_lines(path) if line.strip() and not line.startswith("#")]
    others = [line for line in dict.fromkeys(lines) if line.casefold() not in said]
    if len(others) < count:
        raise InputError(
            f"{path} has {len(others)} other phrases; {count} are wanted: add some, or lower --counts"
        )
    return others


def _wanted(arguments: argparse.Namespace, terms: Sequence[str]) -> list[Phrase | str]:
    from asr.biasing.phrases import read_phrases

    return list(read_phrases(arguments.phrases)[0]) if arguments.phrases else list(terms)


def _phrases(wanted: Iterable[Phrase | str], boost: float) -> PhraseSet:
    from asr.biasing.phrases import Phrase, phrase_set

    return phrase_set(Phrase(text=one, boost=boost) if isinstance(one, str) else one for one in wanted)[0]


def lines_of(document: dict[str, Any]) -> list[str]:
    """The tables for people."""
    from benchmarks.measure.facts import shown, table

    names = ("term_recall", "term_precision", "term_f1")
    rates = ("wer", "b_wer", "u_wer")
    head = ["", "recall", "precision", "F1", "WER", "B-WER", "U-WER", "s a final", "over none"]
    rows = [
        [
            one["name"], *(shown(one[name], 3) for name in names), *(shown(one[name], percent=True) for name in rates),
            shown(one["mean_s"], 3), f"{one['time_ratio']:.2f} x",
        ]
        for one in document["sides"]
    ]  # fmt: skip
    harm = [
        [
            str(one["phrases"]),
            shown(one["wer"], percent=True),
            str(one["phrases_written"]),
            str(one["words_on_sounds"]),
        ]
        for one in document.get("unrelated", [])
    ]
    judged = (
        table([["unrelated phrases", "WER", "written", "words on noise and music"], *harm]) if harm else []
    )
    first = (
        f"{document['recordings']} recordings of {document['manifest']}, {document['terms']} terms, "
        f"{document['model']}, seed {document['seed']}"
    )
    return [first, *table([head, *rows]), *judged, *document["not_run"]]


def plot(document: dict[str, Any], path: Path) -> None:
    """Term F1 and the time of a final by the number of phrases, as an SVG or PNG."""
    from matplotlib.figure import Figure

    sides = [one for one in document["sides"] if one["name"].startswith("terms + ")]
    counts = [int(one["name"].removeprefix("terms + ")) for one in sides]
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    quality, cost = figure.subplots(1, 2)
    quality.plot(counts, [one["term_f1"] for one in sides], "o-", label="with phrases")
    quality.axhline(document["sides"][0]["term_f1"], linestyle="--", color="grey", label="without")
    quality.set(xlabel="distractors", ylabel="term F1")
    quality.legend()
    cost.plot(counts, [one["time_ratio"] for one in sides], "o-")
    cost.axhline(1.0, linestyle="--", color="grey")
    cost.set(xlabel="distractors", ylabel="time of a final, over none", ylim=(0, None))
    figure.savefig(path)


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_set_options

    parser = argparse.ArgumentParser(
        prog="python benchmarks/biasing.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=120)
    parser.add_argument("--model", default="bundled:tiny.en")
    parser.add_argument("--peer-model", default="", help='weights of faster-whisper; "" leaves it out')
    parser.add_argument(
        "--phrases", type=Path, help="file of phrases, with other spellings perhaps [the terms]"
    )
    parser.add_argument("--distractors", type=Path, help="phrases that nobody says, one a line")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="of distractors")
    parser.add_argument("--unrelated", type=Path, help="manifest of speech without any of the phrases")
    parser.add_argument("--boost", type=float, default=8.0, help="of each phrase [8]")
    parser.add_argument("--language", default=None, help="code of the speech [the model's]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="where to draw F1 and cost, .svg or .png")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Run the comparison and print it."""
    arguments = parser_of().parse_args()
    from benchmarks.measure.facts import emit

    document = measured(arguments)
    if arguments.plot:
        plot(document, arguments.plot)
    emit(document, lines_of(document), as_json=arguments.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
