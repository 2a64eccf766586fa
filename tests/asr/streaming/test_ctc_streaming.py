"""A Wav2Vec2-CTC in a live session: any chunking gives the finals that a whole recording gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.audio.vad import VoiceActivityDetector
from asr.models.base import DecodingOptions, Samples
from asr.recognizer import Recognizer
from asr.results import Segment, shift_words
from asr.streaming import DecodeRequest, Session, SessionOptions

OPTIONS = DecodingOptions(beam_size=5)


@pytest.fixture(scope="module")
def recognizer(small_ctc: Path) -> Recognizer:
    return Recognizer.load(str(small_ctc), engine="torch")


@pytest.fixture(scope="module")
def call(domain_speech: dict[str, Samples]) -> Samples:
    """Three sentences with pauses of 1.2 s."""
    pause = np.zeros(19_200, np.float32)
    parts = [part for samples in list(domain_speech.values())[:3] for part in (samples, pause)]
    return np.concatenate([pause, *parts])


def finals(recognizer: Recognizer, call: Samples, chunk_samples: int) -> list[Segment]:
    session = Session(SessionOptions(interim_results=True), VoiceActivityDetector())
    events = []
    for start in range(0, call.size, chunk_samples):
        events += session.push(call[start : start + chunk_samples])
    requests = [event for event in events + session.flush() if isinstance(event, DecodeRequest)]
    assert any(not request.is_final for request in requests) or chunk_samples == call.size
    segments = []
    for request in requests:
        best = recognizer.decode([request.samples], OPTIONS)[0][0]
        if request.is_final:
            words = shift_words(best.words, request.start_s)
            segments.append(
                Segment(
                    text=best.text,
                    start_s=request.start_s,
                    end_s=request.end_s,
                    words=words,
                    confidence=best.confidence,
                )
            )
    return segments


@pytest.mark.parametrize("chunk_samples", [320, 1600, 16_001])
def test_streamed_finals_are_those_of_the_whole_recording(
    recognizer: Recognizer, call: Samples, chunk_samples: int
) -> None:
    transcript = recognizer.transcribe(call, OPTIONS)
    streamed = finals(recognizer, call, chunk_samples)
    assert len(transcript.segments) == 3
    assert [segment.text for segment in streamed] == [segment.text for segment in transcript.segments]
    times = [[(word.start_s, word.end_s) for word in segment.words] for segment in streamed]
    expected = [[(word.start_s, word.end_s) for word in segment.words] for segment in transcript.segments]
    assert times == [pytest.approx(np.array(one), abs=0.041) for one in expected]


def test_word_times_rise_through_the_recording(recognizer: Recognizer, call: Samples) -> None:
    transcript = recognizer.transcribe(call, OPTIONS)
    times = [time for word in transcript.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times) and times[-1] <= transcript.duration_s
