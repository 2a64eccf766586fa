"""Normalisers: known answers, idempotence, and no torch for the sake of a comparison."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import OptionError
from asr.text.normalize import DEFAULT_NORMALIZER, NORMALIZERS, get_normalizer

KNOWN = [
    ("raw-1", "  Two\tSixty, \n please ", "Two Sixty, please"),
    ("basic-1", "Don’t — “stop”, it's 5%: naïve!", "don't stop it's 5 naïve"),
    ("basic-1", "ﬁve-point-two (approx.)", "five point two approx"),
    ("basic-1", "'quoted' rock 'n' roll", "quoted rock n roll"),
    ("basic-1", "हिन्दी में", "हिन्दी में"),
    ("whisper-basic-1", "Darf's Straße sein? [lacht] 5%", "darf s straße sein 5"),
    ("whisper-basic-1", "Mae'r ŵyl ar ddydd Mawrth.", "mae r ŵyl ar ddydd mawrth"),
    ("basic-chars-1", "東京は、 ２時です。", "東 京 は 2 時 で す"),
    ("basic-chars-1", " ", ""),
    ("whisper-en-1", "TWO SIXTY", "260"),
    ("whisper-en-1", "260", "260"),
    (
        "whisper-en-1",
        "A sixteen-ounce latte, hmm, it's for Mr. Smith!",
        "a 16 ounce latte it is for mister smith",
    ),
    ("whisper-en-1", "colour", "colour"),
    ("whisper-en-1", "U M N", "u m n"),
    ("whisper-en-spelled-1", "U M N, please", "umn please"),
    ("whisper-en-spelled-1", "U-M-N please", "umn please"),
    ("whisper-en-spelled-1", "UMN please", "umn please"),
    ("whisper-en-spelled-1", "a large latte", "a large latte"),
    ("whisper-en-spelled-1", "", ""),
]


@pytest.mark.parametrize(("name", "text", "expected"), KNOWN)
def test_known_answers(name: str, text: str, expected: str) -> None:
    assert get_normalizer(name)(text) == expected


@given(text=st.text(max_size=40), name=st.sampled_from(["raw-1", "basic-1"]))
def test_normalising_twice_changes_nothing(text: str, name: str) -> None:
    once = NORMALIZERS[name](text)
    assert NORMALIZERS[name](once) == once


@given(text=st.text(max_size=40), name=st.sampled_from(list(NORMALIZERS)))
def test_the_result_is_words_joined_by_single_spaces(text: str, name: str) -> None:
    normalized = NORMALIZERS[name](text)
    assert normalized == " ".join(normalized.split())


def test_names() -> None:
    assert list(NORMALIZERS) == [
        "raw-1", "basic-1", "basic-chars-1", "whisper-basic-1", "whisper-en-1", "whisper-en-spelled-1",
    ]  # fmt: skip
    assert get_normalizer() is NORMALIZERS[DEFAULT_NORMALIZER]
    with pytest.raises(OptionError, match="use raw-1, basic-1, basic-chars-1, whisper-basic-1, whisper-en-1"):
        get_normalizer("whisper")


def test_normalising_needs_no_torch() -> None:
    program = (
        "import sys; from asr.text.normalize import NORMALIZERS; assert 'transformers' not in sys.modules; "
        "NORMALIZERS['whisper-en-1']('a'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
