"""Real recordings: short words at the very start are not missed, and chunking does not matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr.audio.files import read_audio
from asr.audio.vad import VoiceActivityDetector
from asr.streaming import DecodeRequest, Session, SessionOptions

pytestmark = pytest.mark.recordings


def _finals(path: Path, chunk_samples: int) -> list[tuple[float, float, bytes]]:
    samples = read_audio(path)
    session = Session(SessionOptions(), VoiceActivityDetector())
    starts = range(0, samples.size, chunk_samples)
    events = [event for start in starts for event in session.push(samples[start : start + chunk_samples])]
    requests = [event for event in events + session.flush() if isinstance(event, DecodeRequest)]
    return [(one.start_s, one.end_s, one.samples.tobytes()) for one in requests]


def test_of_200_recordings_of_single_words_and_spelling_none_is_silent(recordings_dir: Path) -> None:
    lines = (recordings_dir / "an4" / "manifest.jsonl").read_text().splitlines()[:200]
    paths = [recordings_dir / "an4" / json.loads(line)["audio_filepath"] for line in lines]
    assert [path.name for path in paths if not _finals(path, 16_000)] == []


def test_a_real_call_is_split_the_same_in_any_chunking(recordings_dir: Path) -> None:
    path = recordings_dir / "calls" / "shop_call_8khz.wav"
    whole = _finals(path, 10_000_000)
    assert len(whole) > 3
    assert all(_finals(path, size) == whole for size in (113, 320, 16_000))
