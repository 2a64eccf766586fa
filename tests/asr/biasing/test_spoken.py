"""Digits and letters: what may be one, how it is written, and where a phrase looks for them."""

from __future__ import annotations

import pytest

from asr.biasing.phrases import Phrase, PhraseState, phrase_set
from asr.biasing.retrieval import PhraseIndex
from asr.biasing.spoken import ALPHANUMERIC, DIGITS, is_number, loses_number, runs


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
    ("word", "is_one"),
    [
        ("Fifty,", True),
        ("twenty-five", True),
        ("50mg", True),
        ("billion", True),
        ("fifteenth", True),
        ("one", False),
        ("well-known", False),
        ("weight", False),
        ("to", False),
        ("-", False),
    ],
)
def test_a_word_with_a_digit_or_the_name_of_one_is_a_number(word: str, is_one: bool) -> None:
    assert is_number(word, is_english=True) == is_one


def test_english_names_are_numbers_in_english_only() -> None:
    assert not is_number("six", is_english=False)
    assert is_number("6", is_english=False)
    assert not loses_number(["six"], ["seven"], is_english=False)


@pytest.mark.parametrize(
    ("before", "after", "is_lost"),
    [
        ("take fifteen a day", "take fifty a day", True),
        ("take fifteen a day", "take 15 a day", False),
        ("take 50 a day", "take fifty a day", False),
        ("pay one million dollars", "pay one billion dollars", True),
        ("the fiftieth of May", "the fifteenth of May", True),
        ("seven forty seven", "747", False),
        ("seven forty seven", "7 47", True),
        ("four five six", "number 456", False),
        ("number 4 5 6", "number four five six", False),
        ("two hundred and five", "205 and 5", True),
        ("two hundred five", "205", False),
        ("two-hundred", "200", False),
        ("twenty one of them", "21 of them", False),
        ("no one stayed", "nobody stayed", False),
        ("gates 8 and 1 for flight 7", "gates 8 and 1 for flight 81", True),
        ("5 and 5", "5 and 50", True),
        ("sven eleven", "seven eleven", False),
        ("", "50", False),
    ],
)
def test_whether_a_number_is_lost_however_it_is_written(before: str, after: str, is_lost: bool) -> None:
    assert loses_number(before.split(), after.split(), is_english=True) == is_lost


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
