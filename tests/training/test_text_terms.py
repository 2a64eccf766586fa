"""Terms are found in texts by how often words stand there and in the language, and by what company they keep."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import found_terms
from training.sources import Sources, split_text
from training.spec import AdaptationSpec, TrainingOptions
from training.synth.everyday import everyday_sentences
from training.text_terms import MAX_WORDS, can_find_terms, text_terms

EVERYDAY = [sentence.text for sentence in everyday_sentences(200, seed=1)]


def _found(lines: Sequence[str], limit: int = 500) -> list[str]:
    return text_terms([*EVERYDAY, *lines], "en", limit=limit)


def _orders(kinds: Sequence[str], seed: int = 0) -> list[str]:
    """Orders in which every kind and drink meets every other one."""
    draw = random.Random(seed)
    words = ["mocha", "americano", "latte", "cappuccino", "espresso", "coffee", "ristretto", "macchiato"]
    return [" ".join(["may I have a", *draw.sample([*kinds, *words], 4), "now please"]) for _ in range(200)]


def test_words_of_the_domain_are_found_and_common_ones_are_not() -> None:
    found = _found(
        [
            "please take the apixaban after the meal",
            "the apixaban was not there",
            "is apixaban in stock now",
        ]
    )
    assert "apixaban" in found
    assert {"please", "take", "the", "after", "stock"}.isdisjoint(found)


def test_a_word_that_stands_there_twice_may_be_a_slip() -> None:
    assert "apixaban" not in _found(["take the apixaban", "the apixaban is here"])


def test_words_that_keep_company_are_a_term_and_words_that_meet_by_chance_are_none() -> None:
    found = text_terms(_orders(["light roast", "double shot", "dark roast"]), "en", limit=50)
    assert {"light roast", "double shot", "dark roast", "mocha", "americano"} <= set(found)
    assert {term for term in found if " " in term} == {"light roast", "double shot", "dark roast"}


@pytest.mark.parametrize(
    "line",
    [
        "take sixteen milligrams",
        "at 14h30 sharp",
        "um mm-hmm quite so",
        "whats the matter",
        "he'd've gone",
        "bye bye bye then",
    ],
)
def test_numbers_fillers_contractions_and_repetitions_are_no_terms(line: str) -> None:
    found = " ".join(_found([line] * 12)).split()
    assert {"sixteen", "14h30", "um", "mm-hmm", "whats", "he'd've"}.isdisjoint(found)
    assert "bye bye" not in " ".join(found)


def test_terms_are_written_as_inside_a_sentence() -> None:
    lines = ["Ibuprofen? No.", "Bowel pain. Bowel pain.", "We open an ISA", "my ISA is full", "ISA fees fell"]
    found = _found([*lines, *lines, *lines, "then see Adriana now", "did Adriana call", "ask Adriana"])
    assert {"ibuprofen", "bowel", "ISA", "Adriana"} <= set(found)
    assert not {"pain bowel", "ibuprofen no"} & {one.casefold() for one in found}


def test_what_stands_out_most_comes_first_and_no_more_than_asked_for() -> None:
    lines = [*["the apixaban is here"] * 20, *["the sertraline is here"] * 4]
    assert _found(lines, limit=1) == ["apixaban"]
    found = _found(lines)
    assert found.index("apixaban") < found.index("sertraline")


def test_languages_of_which_no_counts_are_known_are_told() -> None:
    assert can_find_terms("en") and can_find_terms("de")
    assert not can_find_terms("cy") and not can_find_terms("zh") and not can_find_terms("sw")


def test_german_terms_keep_their_case() -> None:
    lines = ["ich nehme heute das Ramipril", "hast du das Ramipril da", "wo ist das Ramipril"]
    assert text_terms(lines, "de", limit=5) == ["Ramipril"]


@given(st.lists(st.text(alphabet="abc XY.'-’1é", max_size=30), max_size=30), st.integers(0, 5))
def test_any_text_gives_different_terms_of_its_own_words(lines: list[str], limit: int) -> None:
    found = text_terms(lines, "en", limit=limit)
    assert len(found) <= limit and len({one.casefold() for one in found}) == len(found)
    said = " ".join(lines).casefold()
    assert all(len(term.split()) <= MAX_WORDS for term in found)
    assert all(word.casefold() in said for term in found for word in term.split())


def test_terms_come_from_the_lines_that_are_trained_on_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    names = [f"{start}{middle}zumab" for start in ("be", "lo", "tra", "pe") for middle in "aeioukrstl"]
    path.write_text("\n".join(f"we gave {name} then {name} and {name}" for name in names))
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=path)
    sources = Sources()
    split_text(spec, path, sources)
    found = set(found_terms(spec, sources))
    trained_on = " ".join(one.text for one in sources.train_sentences).split()
    hidden = {name for name in names if name not in trained_on}
    assert len(hidden) >= 4
    assert found == set(names) - hidden


def test_none_are_looked_for_where_none_are_wanted_or_the_language_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"{line} sertraline" for line in EVERYDAY[:60]))
    for training in (TrainingOptions(text_phrases=0), TrainingOptions(carry_phrases=False)):
        spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=path, training=training)
        sources = Sources()
        split_text(spec, path, sources)
        assert found_terms(spec, sources) == [] and not any("terms" in note for note in sources.notes)
    spec = AdaptationSpec(base="bundled:base", name="x", text=path, language="cy")
    sources = Sources()
    split_text(spec, path, sources)
    assert found_terms(spec, sources) == []
    assert any("'cy' is not known; give --terms" in note for note in sources.notes)
