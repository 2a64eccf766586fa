"""Terms: the rules of the module, one by one, and biased errors that sum to the ordinary ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import InputError
from asr.evaluation.terms import (
    TermCounts,
    TermOutcome,
    biased_errors,
    counts_by_term,
    term_counts,
    term_outcome,
)
from asr.evaluation.wer import align_words, count, sum_counts

GLOSSARY = ["coffee", "drip coffee", "iced coffee", "brown sugar", "sugar", "sixteen ounce", "latte"]


def _outcome(found: str = "", missed: str = "", invented: str = "") -> TermOutcome:
    names = [tuple(part for part in text.split(", ") if part) for text in (found, missed, invented)]
    return TermOutcome(found=names[0], missed=names[1], invented=names[2])


CASES: list[tuple[str | list[str], str, TermOutcome]] = [
    # a text says the terms in it, longest first
    ("A drip coffee, please.", "a drip coffee please", _outcome("drip coffee")),
    ("A drip coffee, please.", "a trip coffee please", _outcome("", "drip coffee")),
    ("Coffee and coffee.", "coffee and toffee", _outcome("coffee", "coffee")),
    # numbers fold
    (["sixteen ounce"], "A 16-ounce latte", _outcome("sixteen ounce", "", "latte")),
    ("a sixteen ounce latte", "a 16 ounce latte", _outcome("sixteen ounce, latte")),
    # listed terms stand for the glossary's terms in them, or for themselves
    (["some brown sugar"], "brown sugar", _outcome("brown sugar")),
    (["oat milk"], "with oat milk", _outcome("oat milk")),
    (["oat milk"], "with goat milk", _outcome("", "oat milk")),
    # a said term may be hit inside another word sequence, but one place hits one term
    (["coffee"], "an iced coffee", _outcome("coffee")),
    (["coffee", "iced coffee"], "an iced coffee", _outcome("iced coffee", "coffee")),
    (["iced coffee"], "a coffee", _outcome("", "iced coffee")),
    # inventions are neither said nor related to what was said
    (["latte"], "a latte with sugar and sugar", _outcome("latte", "", "sugar, sugar")),
    (["brown sugar"], "brown sugar and sugar", _outcome("brown sugar")),
    ([], "a latte", _outcome("", "", "latte")),
    ([], "", _outcome()),
    # whole words only
    (["latte"], "lattes flatter", _outcome("", "latte")),
]


@pytest.mark.parametrize(("said", "hypothesis", "expected"), CASES)
def test_the_rules(said: str | list[str], hypothesis: str, expected: TermOutcome) -> None:
    outcome = term_outcome(said, hypothesis, GLOSSARY)
    assert {name: sorted(getattr(outcome, name)) for name in ("found", "missed", "invented")} == {
        name: sorted(getattr(expected, name)) for name in ("found", "missed", "invented")
    }
    assert term_counts(said, hypothesis, GLOSSARY) == expected.counts


def test_rates_come_from_counts() -> None:
    counts = TermCounts(true_positives=6, false_negatives=2, false_positives=1) + TermCounts(true_positives=2)
    assert (counts.recall, counts.precision, counts.f1) == (0.8, 8 / 9, 16 / 19)
    assert (TermCounts().recall, TermCounts().precision, TermCounts().f1) == (1.0, 1.0, 1.0)
    assert TermCounts(false_positives=1).f1 == 0.0


def test_the_table_by_term() -> None:
    outcomes = [term_outcome(said, hypothesis, GLOSSARY) for said, hypothesis, _ in CASES]
    table = counts_by_term(outcomes)
    assert sum(table.values(), TermCounts()) == sum((outcome.counts for outcome in outcomes), TermCounts())
    assert table["sixteen ounce"] == TermCounts(true_positives=2)
    assert next(iter(table.values())).false_negatives == max(
        counts.false_negatives for counts in table.values()
    )


def test_without_a_glossary_a_row_speaks_for_itself() -> None:
    assert term_counts(["oat milk"], "oat milk", []) == TermCounts(true_positives=1)
    assert term_counts("oat milk", "oat milk", []) == TermCounts()


def test_a_term_that_normalises_to_nothing_is_named() -> None:
    with pytest.raises(InputError, match=r"'\(hm\)' is empty"):
        term_counts("a", "a", ["(hm)"])


WORDS = st.lists(st.sampled_from(["iced", "coffee", "drip", "sugar", "brown", "x"]), max_size=10).map(
    " ".join
)
SAID = st.lists(st.sampled_from(GLOSSARY), max_size=4)


@given(said=SAID | WORDS, hypothesis=WORDS)
def test_every_said_term_is_found_or_missed(said: list[str] | str, hypothesis: str) -> None:
    counts = term_counts(said, hypothesis, GLOSSARY)
    assert 0 <= counts.recall <= 1 and 0 <= counts.precision <= 1 and 0 <= counts.f1 <= 1
    assert counts.said == (
        len(said) if isinstance(said, list) else term_counts(said, said, GLOSSARY).true_positives
    )
    assert term_counts(said, "", GLOSSARY) == TermCounts(false_negatives=counts.said)


@given(text=WORDS)
def test_a_text_against_itself_is_perfect(text: str) -> None:
    counts = term_counts(text, text, GLOSSARY)
    assert (counts.false_negatives, counts.false_positives) == (0, 0)


@given(pairs=st.lists(st.tuples(WORDS, WORDS), max_size=6))
def test_biased_and_unbiased_errors_sum_to_all(pairs: list[tuple[str, str]]) -> None:
    alignments = align_words([pair[0] for pair in pairs], [pair[1] for pair in pairs], "raw-1")
    split = biased_errors(alignments, GLOSSARY, "raw-1")
    assert split.biased + split.unbiased == sum_counts(map(count, alignments))
    none = biased_errors(alignments, [], "raw-1")
    assert none.biased.num_reference == none.biased.errors == 0


def test_biased_errors_known_answer() -> None:
    reference = "one iced coffee with brown sugar now"
    hypothesis = "one iced toffee with sugar now latte"
    split = biased_errors(align_words([reference], [hypothesis], "raw-1"), GLOSSARY, "raw-1")
    assert (split.biased.substitutions, split.biased.deletions, split.biased.insertions) == (1, 1, 1)
    assert split.biased.num_reference == 4
    assert split.unbiased.errors == 0 and split.unbiased.hits == 3
