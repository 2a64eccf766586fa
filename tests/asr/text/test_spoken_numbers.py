"""The step itn-en-1: known answers that do not change under its name, and what becomes of the words' times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asr.errors import OptionError
from asr.results import Transcript
from asr.text.steps import STEPS, check_steps, finisher

pytest.importorskip("text_to_num", reason="the extra 'itn' is not installed")


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("Please send forty two boxes.", "Please send 42 boxes."),
        ("It is five five five, one two three four.", "It is 555, 1234."),
        (
            "In twenty twenty four, on the third of May nineteen ninety nine.",
            "In 2024, on the 3rd of May 1999.",
        ),
        ("one hundred and five point two percent", "105.2 percent"),
        ("A hundred boxes, a thousand pens", "100 boxes, 1000 pens"),
        ("three thousand two hundred", "3200"),
        ("the twenty-first, twenty-two", "the 21st, 22"),
        ("two hundred. Five", "200. 5"),
        ("Seven?", "7?"),
        ("no one has one dog", "no one has one dog"),
        ("just a second, I have second thoughts", "just a second, I have second thoughts"),
        ("twenty-something", "twenty-something"),
        ("room 12 and five", "room 12 and 5"),
        ("half past seven", "half past 7"),
        ("", ""),
    ],
)
def test_known_answers(spoken: str, written: str, said: Callable[..., Transcript]) -> None:
    transcript = STEPS["itn-en-1"](said(spoken))
    assert transcript.text == written
    assert " ".join(word.text for word in transcript.words) == written
    assert STEPS["itn-en-1"](transcript) == transcript  # written numbers stay


def test_a_number_takes_the_time_of_its_words(said: Callable[..., Transcript]) -> None:
    (segment,) = STEPS["itn-en-1"](said("send one hundred and five boxes")).segments
    assert [(word.text, word.start_s, word.end_s) for word in segment.words] == [
        ("send", 0.0, 0.5), ("105", 1.0, 4.5), ("boxes", 5.0, 5.5),
    ]  # fmt: skip


def test_numbers_do_not_join_across_segments(said: Callable[..., Transcript]) -> None:
    assert (
        STEPS["itn-en-1"](said("I have twenty", "five of us are here")).text == "I have 20 5 of us are here"
    )


def test_without_word_times_the_text_is_written_alike(said: Callable[..., Transcript]) -> None:
    bare = replace(said("send forty two").segments[0], words=())
    done = STEPS["itn-en-1"](Transcript(segments=(bare,), duration_s=3.0))
    assert (done.text, done.words) == ("send 42", ())


def test_nothing_is_done_unless_it_was_asked_for_by_a_known_name(said: Callable[..., Transcript]) -> None:
    transcript = said("send forty two")
    assert finisher((), ())(transcript) == transcript
    assert finisher(("itn-en-1",), ())(transcript).steps == ("itn-en-1",)
    with pytest.raises(OptionError, match="'itn-en-9' is not known; there are itn-en-1"):
        check_steps(["itn-en-9"])
