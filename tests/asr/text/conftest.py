"""Transcripts of what is said, for the steps over texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asr.results import Segment, Transcript, Word


@pytest.fixture
def said() -> Callable[..., Transcript]:
    """Makes a transcript of a segment for each text, whose words take a second each."""
    return _said


def _said(*texts: str) -> Transcript:
    segments, start = [], 0
    for text in texts:
        words = tuple(
            Word(text=word, start_s=start + index, end_s=start + index + 0.5, confidence=0.5)
            for index, word in enumerate(text.split())
        )
        end = start + len(words)
        segments.append(Segment(text=text, start_s=start, end_s=end, words=words, confidence=0.5))
        start = end
    return Transcript(segments=tuple(segments), duration_s=start)
