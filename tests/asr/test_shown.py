"""Paths in what others read: the longest that is known goes first, whatever the document is."""

from __future__ import annotations

from asr.shown import without_paths

NAMES = {"/data/calls": "calls", "/data/calls/texts/a.txt": "text", "/jobs/17": "the job's folder"}


def test_paths_are_the_names_that_a_client_knows() -> None:
    document = {
        "spec": {"text": "/data/calls/texts/a.txt", "train": None, "seed": 3},
        "notes": ["/data/calls/b.wav is short", "nothing"],
        "curve": [{"loss": 0.5}],
    }
    assert without_paths(document, NAMES) == {
        "spec": {"text": "text", "train": None, "seed": 3},
        "notes": ["calls/b.wav is short", "nothing"],
        "curve": [{"loss": 0.5}],
    }
    assert without_paths("/jobs/17/work: no space", NAMES) == "the job's folder/work: no space"
    assert without_paths(document, {}) == document
