"""Digits and letters: what may be one, how it is written, and where a phrase looks for them."""

from __future__ import annotations

import pytest

from asr.biasing.phrases import Phrase, PhraseState, phrase_set
from asr.biasing.retrieval import PhraseIndex
from asr.biasing.spoken import ALPHANUMERIC, DIGITS, digits, number_names, runs


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("it is for two seven please", DIGITS, [(2, 5, "427")]),
        ("it is 4, 2, 7.", DIGITS, [(2, 5, "427")]),
        ("4 2. Then 9 9", DIGITS, [(0, 2, "42"), (3, 5, "99")]),
        ("you want to go for it", DIGITS, []),
        ("he ate for two", DIGITS, [(1, 4, "842")]),
        ("code be are four seven ex", ALPHANUMERIC, [(1, 6, "BR47X")]),
        ("code B R 47x", ALPHANUMERIC, [(1, 4, "BR47X")]),
        ("five", DIGITS, []),
        ("", DIGITS, []),
    ],
)
def test_stretches_that_may_be_a_code(text: str, kind: str, found: list[tuple[int, int, str]]) -> None:
    assert list(runs(text.split(), kind)) == found


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("50mg", "50"),
        ("1.5", "1.5"),
        ("$1,500.", "1500"),
        ("A320", "320"),
        ("५०", "५०"),
        ("fifty", ""),
        ("...", ""),
    ],
)
def test_the_number_that_a_word_has_in_digits(word: str, number: str) -> None:
    assert digits(word) == number


def test_names_of_numbers_are_found_in_words_and_in_their_parts() -> None:
    text = "Fifty, twenty-five and one fifty-milligram for the third well-known weight to ate"
    assert number_names(text.split()) == ["fifty", "twenty", "five", "one", "fifty", "third"]


def coded(phrase: str, text: str) -> list[tuple[str, int, int]]:
    made, (report,) = phrase_set([Phrase(text=phrase)])
    assert report.state is PhraseState.ACTIVE
    return [(one.phrase.text, one.start, one.end) for one in PhraseIndex(made).matches(text.split())]


def test_a_code_is_looked_for_between_the_words_of_its_phrase() -> None:
    assert coded("account number $DIGITS", "the account number for two seven please") == [("427", 3, 6)]
    assert coded("account number $DIGITS", "the number for two seven please") == []
    assert coded("ticket $alphanumeric closed", "Ticket, be 4 7 closed") == [("B47", 1, 4)]
    assert coded("$DIGITS", "it is for two seven") == [("427", 2, 5)]
    assert coded("account number $DIGITS", "the account number 427, please") == []


def test_a_class_of_the_request_goes_before_ours_and_two_of_ours_are_refused() -> None:
    made, _ = phrase_set([Phrase(text="code $DIGITS")], {"digits": ["seven up"]})
    assert [one.text for one in made] == ["code seven up"]
    _, (report,) = phrase_set([Phrase(text="$DIGITS $ALPHANUMERIC")])
    assert report.state is PhraseState.REFUSED and "one is allowed" in report.reason
    _, (report,) = phrase_set([Phrase(text="on $DATE")])
    assert "no class $DATE" in report.reason and "$DIGITS" in report.reason
