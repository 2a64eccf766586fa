"""Terms are found in texts by how often words stand there and in the language, and by what company they keep."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("line", "wrong"),
    [
        ("the zixteen takes sixteen of these", "sixteen"),
        ("the zixteen at 14h30 sharp", "14h30"),
        ("the zixteen um mm-hmm quite so", "mm-hmm"),
        ("the zixteen ohhh no", "ohhh"),
        ("the zixteen whats the matter", "whats"),
        ("the zixteen he'd've gone", "he'd've"),
        ("the zixteen zebra zebra", "zebra zebra"),
        ("write zixteen joe.bloggs@hyatt.com or hyatt.com/zixteen", "bloggs"),
    ],
)
def test_numbers_fillers_contractions_repetitions_and_addresses_are_no_terms(line: str, wrong: str) -> None:
    found = text_terms([line] * 5, "en", limit=50)
    assert "zixteen" in found
    assert not any(wrong in term for term in found)


@pytest.mark.parametrize(
    ("line", "parted"),
    [
        ("take ibuprofen (Advil) daily", "ibuprofen Advil"),
        ('say "chicken tikka" now', "say chicken"),
        ("the mocha, espresso or latte", "mocha espresso"),
        ("Crohn's disease", "Crohn disease"),
        ("hot/cold tap", "hot cold"),
    ],
)
def test_no_term_goes_over_punctuation(line: str, parted: str) -> None:
    found = text_terms([line] * 9, "en", limit=50)
    assert found and parted not in found


def test_capitals_and_names_with_a_possessive_are_found() -> None:
    lines = [
        "show a photo ID",
        "my ID is new",
        "the ID check",
        "it is Crohn's disease",
        "has Crohn's now",
        "Crohn's?",
    ]
    assert {"photo ID", "Crohn"} <= set(_found(lines * 3))


@pytest.mark.parametrize(
    ("language", "line", "term"),
    [
        ("fr", "prenez de l'ibuprofène ce soir", "ibuprofène"),
        ("it", "prende dell'amoxicillina la sera", "amoxicillina"),
        ("hi", "मधुमेह की दवाई", "मधुमेह"),
        ("pl", "parace\u0301tamol teraz", "parac\u00e9tamol"),
        ("no", "hun tar ramipril nå", "ramipril"),
    ],
)
def test_terms_of_other_languages_are_whole_words(language: str, line: str, term: str) -> None:
    assert term in text_terms([line] * 5, language, limit=5)


def test_a_german_filler_is_no_term() -> None:
    assert not {"ähm", "äh"} & set(text_terms(["ähm das Ramipril äh"] * 5, "de", limit=9))


def test_terms_are_written_as_inside_a_sentence() -> None:
    lines = ["Ibuprofen? No.", "Bowel pain. Bowel pain.", "We open an ISA", "my ISA is full", "ISA fees fell"]
    found = _found([*lines, *lines, *lines, "then see Adriana now", "did Adriana call", "ask Adriana"])
    assert {"ibuprofen", "bowel", "ISA", "Adriana"} <= set(found)
    assert not {"pain bowel", "ibuprofen no"} & {one.casefold() for one in found}


@pytest.mark.parametrize(
    ("language", "lines", "term"),
    [
        ("en", ["COPD is worse today", "COPD flares up again", "COPD since spring"], "COPD"),
        ("en", ["ask Dr. Navier now", "call Dr. Navier first", "did Dr. Navier come"], "Navier"),
        ("en", ["Ramipril helps her", "Ramipril does not", "Ramipril it is"], "ramipril"),
        ("de", ["Ramipril hilft ihr", "Ramipril hilft nicht", "Ramipril also"], "Ramipril"),
        ("fr", ["tu prends quoi ? Ramipril", "et puis ? Ramipril", "quoi ! Ramipril"], "ramipril"),
    ],
)
def test_a_capital_that_a_sentence_asks_for_is_no_part_of_the_term(
    language: str, lines: list[str], term: str
) -> None:
    assert term in text_terms(lines, language, limit=9)


def test_what_stands_out_most_comes_first_and_no_more_than_asked_for() -> None:
    lines = [*["the apixaban is here"] * 20, *["the sertraline is here"] * 4]
    assert _found(lines, limit=1) == ["apixaban"]
    found = _found(lines)
    assert found.index("apixaban") < found.index("sertraline")


def test_languages_of_which_no_counts_are_known_are_told() -> None:
    assert can_find_terms("en") and can_find_terms("de")
    assert not any(map(can_find_terms, ("cy", "sw", "zh", "ja", "ko", "th")))


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


def test_the_lines_that_terms_are_found_in_are_all_but_those_of_dev_and_test(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    lines = [f"line {start}{end}" for start in "abcdefghijklmno" for end in "pqrstuvwxyzabcdef"]
    path.write_text("\n".join(lines))
    training = TrainingOptions(max_train_sentences=10)
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=path, training=training)
    sources = Sources()
    split_text(spec, path, sources)
    hidden = {one.text for one in [*sources.dev_sentences, *sources.test_sentences]}
    assert sources.dev_sentences and sources.test_sentences and len(sources.train_sentences) == 10
    assert set(sources.text_lines) == set(lines) - hidden
