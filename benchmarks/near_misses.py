"""Phrases that are nearly said and are not: how often is one written for what the speech says?

Each line of ``near_misses.tsv`` is a sentence, and behind a TAB a phrase that it nearly says ("turn off the light" for
"turn on"). The sentence is spoken by hibari-tts and decoded without phrases, with its own, and with all of them; a phrase
is written wrongly where the text holds it and without phrases does not.

    python benchmarks/near_misses.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAIRS = Path(__file__).with_name("near_misses.tsv")


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence, and a phrase that it nearly says."""

    said: str
    phrase: str


def read_pairs(path: Path) -> list[Pair]:
    """A pair a line.

    Raises:
        InputError: a line is not a sentence, a TAB and a phrase.
    """
    from asr.data.glossary import read_lines
    from asr.errors import InputError

    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        said, separator, phrase = line.partition("\t")
        if not separator or not said.strip() or not phrase.strip():
            raise InputError(f"{path}:{number}: {line[:60]!r}; write a sentence, a TAB and a phrase")
        pairs.append(Pair(said.strip(), phrase.strip()))
    return pairs


def wrong(pairs: Sequence[Pair], plain: Sequence[str], told: Sequence[str]) -> list[dict[str, str]]:
    """The phrases that ``told`` holds and ``plain``, decoded without any, does not."""
    return [
        {"said": pair.said, "phrase": pair.phrase, "text": text}
        for pair, before, text in zip(pairs, plain, told, strict=True)
        if pair.phrase.casefold() in text.casefold() and pair.phrase.casefold() not in before.casefold()
    ]


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, JSON-ready."""
    from asr.biasing.phrases import Phrase, phrase_set
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer
    from benchmarks.measure.facts import facts
    from training.synth.speech import HibariEngine

    pairs = read_pairs(options.pairs)[: options.limit]
    engine = HibariEngine()
    recordings = [
        engine.synthesize(
            pair.said, voice=engine.voices[number % len(engine.voices)], speed=1.0, pitch=1.0, seed=number
        )
        for number, pair in enumerate(pairs)
    ]
    phrases = [Phrase(text=pair.phrase, boost=options.boost) for pair in pairs]
    own, everything = [phrase_set([one])[0] for one in phrases], phrase_set(phrases)[0]
    recognizer = Recognizer.load(options.model, num_threads=1)

    def texts(sets: Sequence[Any]) -> list[str]:
        options = DecodingOptions(word_times=False)
        return [
            recognizer.decode([samples], options, [some])[0][0].text
            for samples, some in zip(recordings, sets, strict=True)
        ]

    plain = texts([None] * len(pairs))
    return {
        "benchmark": "near_misses",
        "model": options.model,
        "boost": options.boost,
        "sentences": len(pairs),
        "wrong_with_own": wrong(pairs, plain, texts(own)),
        "wrong_with_all": wrong(pairs, plain, texts([everything] * len(pairs))),
        "facts": facts(),
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The result for people."""
    own, everything = document["wrong_with_own"], document["wrong_with_all"]
    return [
        f"{document['sentences']} sentences, {document['model']}: {len(own)} phrases written wrongly with the one "
        f"phrase, {len(everything)} with all {document['sentences']}",
        *(f"  {one['said']} -> {one['text']}" for one in own),
    ]


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import positive

    parser = argparse.ArgumentParser(
        prog="python benchmarks/near_misses.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="[those that come with it]")
    parser.add_argument("--limit", type=positive, default=1000, help="pairs [all]")
    parser.add_argument("--model", default="bundled:tiny.en", help="[bundled:tiny.en]")
    parser.add_argument("--boost", type=float, default=8.0, help="of each phrase [8]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure and print it."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit

    document = measured(options)
    emit(document, lines_of(document), as_json=options.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
