"""Redaction: what is taken out, that nothing of it is left in any format, and where it was said."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from asr.cli.formats import FORMATS, as_row
from asr.errors import OptionError
from asr.results import Transcript, merge_legs
from asr.text.redaction import KINDS, NAME_MODELS

for package in ("presidio_analyzer", "text_to_num"):
    pytest.importorskip(package, reason="the extra 'redact' is not installed")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(spacy|thinc|weasel|typer|click|presidio).*"
)


@pytest.fixture(scope="module")
def redact() -> Any:
    """All kinds, names where a model of them is installed."""
    from asr.text.redaction import Redactor

    has_names = any(importlib.util.find_spec(name) for name in NAME_MODELS)
    return Redactor(KINDS if has_names else [kind for kind in KINDS if kind != "names"])


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Call 555-0199, or double five oh one.", "Call [NUMBER], or [NUMBER]."),
        ("two thousand and five of them, and $20", "[NUMBER] of them, and [NUMBER]"),
        ("four two four two, four two four two, four two four two, four two four two!", "[CARD]!"),
        ("It is 4242 4242 4242 4242, yes", "It is [CARD], yes"),
        ("with 4111-1111-1111-1111.", "with [CARD]."),
        ("born on the twenty first of May nineteen eighty four", "born on the [DATE]"),
        ("On May 3rd, 2024, please", "On [DATE], please"),
        ("on 2024-05-03 or in March twenty twenty", "on [DATE] or in [DATE]"),
        ("Could you tell me where the library is?", "Could you tell me where the library is?"),
        ("no one has one dog", "no one has one dog"),
        ("room two twenty two-b", "room [NUMBER]"),  # a part of a number is one
        ("", ""),
    ],
)
def test_known_answers(redact: Any, text: str, redacted: str, said: Callable[..., Transcript]) -> None:
    found = redact(said(text) if text else Transcript(segments=(), duration_s=0.0))
    assert found.text == redacted
    assert " ".join(word.text for word in found.words) == redacted


def test_names_are_found_by_a_model(redact: Any, said: Callable[..., Transcript]) -> None:
    if "names" not in redact.kinds:
        pytest.skip("no model of spaCy is installed")
    found = redact(said("This is John Miller's account, ask for Dr. Patel!"))
    assert found.text == "This is [NAME] account, ask for Dr. [NAME]!"
    assert [(one.kind, one.start_s, one.end_s) for one in found.redactions] == [
        ("names", 2.0, 3.5), ("names", 8.0, 8.5),
    ]  # fmt: skip


@pytest.mark.parametrize("has_words", [True, False, None])
def test_nothing_of_it_is_left_in_any_format(
    redact: Any, has_words: bool | None, said: Callable[..., Transcript]
) -> None:
    """Without words, or with words that are not the text, as well."""
    agent = said("The number is four four four", "five five five. Is that it?")
    customer = said("Yes since May", "the fifth 2024 I said")
    transcript = merge_legs({"agent": agent, "customer": customer})
    if has_words is not True:
        other = [
            replace(segment, words=() if has_words is False else (*segment.words, segment.words[0]))
            for segment in transcript.segments
        ]
        transcript = replace(transcript, segments=tuple(other))
    found = redact(transcript)
    assert {one.kind for one in found.redactions} == {"numbers", "dates"}
    for name, write in {**FORMATS, "jsonl": lambda key, one: json.dumps(as_row(key, "x", "m", one))}.items():
        assert not re.search("four|five|may|fifth|2024", write("call", found), re.IGNORECASE), name


def test_a_span_may_reach_over_segments_and_says_its_time_and_leg(
    redact: Any, said: Callable[..., Transcript]
) -> None:
    agent = said(
        "My card is four two four two", "four two four two four two four two", "four two four two. Right?"
    )
    found = redact(merge_legs({"agent": agent, "customer": said("Yes.")}))
    assert [(one.leg, one.text) for one in found.segments] == [
        ("agent", "My card is [CARD]."), ("customer", "Yes."), ("agent", "Right?"),
    ]  # fmt: skip
    document = json.loads(FORMATS["json"]("call", found))
    assert document["redactions"] == [{"start": 3.0, "end": 18.5, "kind": "cards", "leg": "agent"}]
    assert document["segments"][0]["text"] == "My card is [CARD]."


def test_only_what_was_asked_for_is_taken_out(said: Callable[..., Transcript]) -> None:
    from asr.text.redaction import Redactor

    transcript = said("Send forty two on May 3rd, 2024 to 4242 4242 4242 4242")
    assert Redactor(["cards"])(transcript).text == "Send forty two on May 3rd, 2024 to [CARD]"
    assert Redactor(["numbers"])(transcript).text == "Send [NUMBER] on May [NUMBER] to [NUMBER]"
    with pytest.raises(
        OptionError, match="--redact towns is not known; there are cards, dates, names, numbers"
    ):
        Redactor(["towns"])
