"""Misspellings of phrases: found where the phrase was said, kept if they are no ordinary words, remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asr.biasing.phrases import Phrase, PhraseSet, phrase_set
from asr.cli.console import ProgressReporter
from asr.recognizer import Recognizer
from training.aliases import CARRIERS, _judged, between, find_aliases, with_aliases
from training.synth.speech import HibariEngine


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    made = Recognizer.load("bundled:tiny.en")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Did you say Dara Navier to him?", "Dara Navier"),
        ("did you say darn, to him.", "darn"),
        ("Did you see Dara Navier, to him?", ""),
        ("Did you say to him?", ""),
        ("", ""),
    ],
)
def test_what_stands_in_the_gap_is_the_spelling(text: str, heard: str) -> None:
    assert between(text, CARRIERS[0]) == heard


def test_ordinary_words_and_other_phrases_are_refused_with_the_reason() -> None:
    phrase = Phrase(text="darunavir", sounds_like=("darn aveer",))
    spellings = [
        "Dara Navier",
        "Dara Navier",
        "darunavir",
        "Darn Aveer",
        "the river",
        "climate",
        "Zolpidem",
        "Darna Vere",
    ]
    found = _judged(phrase, spellings, {"darunavir", "zolpidem"})
    assert found.aliases == ("Dara Navier", "Darna Vere")
    assert dict(found.refused) == {
        "the river": "ordinary words", "climate": "ordinary words", "Zolpidem": "it is another phrase",
    }  # fmt: skip


def test_a_model_is_asked_once_what_it_makes_of_a_phrase(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    wanted = phrase_set([Phrase(text="darunavir"), Phrase(text="window")])[0]
    first = find_aliases(wanted, recognizer, HibariEngine(), ProgressReporter(None))
    made = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.json"))
    again = find_aliases(wanted, recognizer, HibariEngine(), ProgressReporter(None))
    assert first == again and len(made) == 2
    assert made == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.json"))
    assert first[0].aliases and all("darunavir" not in one.lower() for one in first[0].aliases)
    assert first[1].aliases == ()


def test_found_spellings_follow_those_that_were_given() -> None:
    given = PhraseSet((Phrase(text="darunavir", sounds_like=("one",), boost=7.0),))
    found = [_judged(given.phrases[0], ["Dara Navier"], set())]
    (made,) = with_aliases(given, found)
    assert made == Phrase(text="darunavir", sounds_like=("one", "Dara Navier"), boost=7.0)
