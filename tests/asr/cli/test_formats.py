"""Known answers of every transcript format."""

from __future__ import annotations

import json

from asr.cli.formats import FORMATS, as_row
from asr.results import Guarded, Redaction, Segment, Transcript, Word

TRANSCRIPT = Transcript(
    segments=(
        Segment(
            text="Two boxes.",
            start_s=0.5,
            end_s=1.75,
            confidence=0.9,
            words=(
                Word(text="Two", start_s=0.5, end_s=0.75, confidence=0.8),
                Word(text="boxes.", start_s=0.75, end_s=1.75, confidence=0.95),
            ),
        ),
        Segment(text="Yes.", start_s=3661.0, end_s=3661.5, confidence=0.6),
    ),
    duration_s=3662.0,
    guarded=(Guarded(start_s=9.0, end_s=12.5, guard="silence"),),
)


def test_text_is_one_line() -> None:
    assert FORMATS["text"]("call", TRANSCRIPT) == "Two boxes. Yes.\n"


def test_srt() -> None:
    assert FORMATS["srt"]("call", TRANSCRIPT) == (
        "1\n00:00:00,500 --> 00:00:01,750\nTwo boxes.\n\n2\n01:01:01,000 --> 01:01:01,500\nYes.\n"
    )


def test_vtt() -> None:
    assert FORMATS["vtt"]("call", TRANSCRIPT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.750\nTwo boxes.\n\n01:01:01.000 --> 01:01:01.500\nYes.\n"
    )


def test_ctm_has_one_line_a_word_and_no_space_in_the_name() -> None:
    assert FORMATS["ctm"]("my call", TRANSCRIPT) == (
        "my_call 1 0.50 0.25 Two 0.8000\nmy_call 1 0.75 1.00 boxes. 0.9500\n"
    )


def test_json_and_jsonl_hold_text_times_and_confidence() -> None:
    document = json.loads(FORMATS["json"]("call", TRANSCRIPT))
    assert [segment["start"] for segment in document["segments"]] == [0.5, 3661.0]
    assert document["guarded"] == [{"start": 9.0, "end": 12.5, "guard": "silence"}]
    row = as_row("call", "call.wav", "models:/a/3", TRANSCRIPT)
    assert (row["id"], row["audio_filepath"], row["text"]) == ("call", "call.wav", "Two boxes. Yes.")
    assert row["model"] == "models:/a/3"
    assert row["words"][0] == {"text": "Two", "start": 0.5, "end": 0.75, "confidence": 0.8}
    assert row["confidence"] == document["confidence"] == 0.8  # (2 * 0.9 + 1 * 0.6) / 3


def test_nothing_said_is_empty_in_every_format() -> None:
    empty = Transcript(segments=(), duration_s=1.0)
    assert {name: write("x", empty) for name, write in FORMATS.items() if name != "json"} == {
        "text": "\n", "srt": "", "vtt": "WEBVTT\n\n", "ctm": "",
    }  # fmt: skip
    assert json.loads(FORMATS["json"]("x", empty))["text"] == ""


MERGED = Transcript(
    segments=(
        Segment(
            text="Hello.",
            start_s=0.0,
            end_s=0.5,
            words=(Word(text="Hello.", start_s=0.0, end_s=0.5, confidence=0.5),),
            leg="agent",
        ),
        Segment(
            text="Yes [NUMBER].",
            start_s=0.25,
            end_s=1.0,
            words=(
                Word(text="Yes", start_s=0.25, end_s=0.5, confidence=0.5),
                Word(text="[NUMBER].", start_s=0.5, end_s=1.0, confidence=0.5),
            ),
            leg="customer",
        ),
    ),
    duration_s=2.0,
    legs=("agent", "customer"),
    steps=("itn-en-1",),
    redactions=(Redaction(start_s=0.5, end_s=1.0, kind="numbers", leg="customer"),),
)


def test_merged_legs_are_named_in_every_format() -> None:
    assert FORMATS["text"]("c", MERGED) == "agent: Hello.\ncustomer: Yes [NUMBER].\n"
    assert "1\n00:00:00,000 --> 00:00:00,500\nagent: Hello.\n" in FORMATS["srt"]("c", MERGED)
    assert "00:00:00.250 --> 00:00:01.000\n<v customer>Yes [NUMBER].\n" in FORMATS["vtt"]("c", MERGED)
    assert [line.split()[1:5] for line in FORMATS["ctm"]("c", MERGED).splitlines()] == [
        ["1", "0.00", "0.50", "Hello."], ["2", "0.25", "0.25", "Yes"], ["2", "0.50", "0.50", "[NUMBER]."],
    ]  # fmt: skip
    document = json.loads(FORMATS["json"]("c", MERGED))
    assert [one["leg"] for one in document["segments"]] == ["agent", "customer"]
    for row in (document, as_row("c", "c.wav", "m", MERGED)):
        assert [word["leg"] for word in row["words"]] == ["agent", "customer", "customer"]
        assert (row["legs"], row["steps"]) == (["agent", "customer"], ["itn-en-1"])
        assert row["redactions"] == [{"start": 0.5, "end": 1.0, "kind": "numbers", "leg": "customer"}]


def test_what_was_not_asked_for_is_not_written() -> None:
    for row in (json.loads(FORMATS["json"]("c", TRANSCRIPT)), as_row("c", "c.wav", "m", TRANSCRIPT)):
        assert not {"legs", "steps", "redactions"} & set(row)
        assert "leg" not in row["words"][0]
