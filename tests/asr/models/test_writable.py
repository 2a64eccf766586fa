"""Phrases that a CTC model cannot write are refused with the reason, as if they were never asked for."""

import pytest

from asr.biasing.phrases import Phrase, phrase_set
from asr.decoding.ctc_tokens import CtcTokens
from asr.models.writable import refusal_of

LETTERS = CtcTokens(labels=("", " ", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"), blank=0, lower_case=True)
CODES = CtcTokens(labels=(*LETTERS.labels, *"0123456789"), blank=0)


@pytest.mark.parametrize(
    ("tokens", "text", "named"),
    [
        (LETTERS, "oat milk", ""),
        (LETTERS, "Rock'n Roll", ""),
        (LETTERS, "Rock’n Roll", ""),  # as word processors write it
        (LETTERS, "café au lait", "cannot write é"),
        (LETTERS, Phrase(text="cafe\u0301 au lait").text, "cannot write é"),
        (LETTERS, "route 66", "cannot write 6"),
        (CODES, "route 66", ""),
        (CODES, "order $ALPHANUMERIC", ""),
        (CODES, "account $digits", ""),
        (CODES, "café $DIGITS", "cannot write é"),
        (LETTERS, "order $ALPHANUMERIC", "writes no digits, which $ALPHANUMERIC stands for"),
    ],
)
def test_what_cannot_be_written_is_named(tokens: CtcTokens, text: str, named: str) -> None:
    reason = refusal_of(tokens)(text)
    assert named in reason and bool(reason) == bool(named)


@pytest.mark.parametrize("text", ["oat milk", "Straße", "o’clock", "x 9", "ǅ"])
def test_it_is_what_the_decoder_cannot_write(text: str) -> None:
    assert bool(refusal_of(LETTERS)(text)) == bool(LETTERS.missing(text))


@pytest.mark.parametrize(
    ("asked", "states", "kept"),
    [
        (("$D latte", "oat latte"), ("REFUSED", "ACTIVE"), ["oat latte"]),
        (("café latte", "$D latte"), ("REFUSED", "REFUSED"), []),
        (("oat latte", "$D latte"), ("ACTIVE", "REFUSED"), ["oat latte"]),
        (("oat latte", "Oat Latte", "café"), ("ACTIVE", "REFUSED", "REFUSED"), ["oat latte"]),
    ],
)
def test_a_refused_phrase_takes_none_of_the_others_with_it(
    asked: tuple[str, ...], states: tuple[str, ...], kept: list[str]
) -> None:
    phrases = [Phrase(text=text) for text in asked]
    found, reports = phrase_set(phrases, {"D": ("oat", "café")}, refusal=refusal_of(LETTERS))
    assert tuple(one.state.name for one in reports) == states
    assert [one.text for one in found] == kept
