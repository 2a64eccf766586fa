"""The facade: recordings of any length in order, silence without words, errors that name the remedy."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from asr.errors import OptionError
from asr.models.base import CPU_BATCH_SEGMENTS, GPU_BATCH_SEGMENTS, DecodingOptions
from asr.recognizer import Recognizer
from asr.results import Hypothesis

FAST = DecodingOptions(beam_size=1)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("bundled:tiny.en", num_workers=2)


def test_it_says_what_it_is(recognizer: Recognizer) -> None:
    assert (recognizer.name, recognizer.version) == ("tiny.en", "bundled")
    assert recognizer.reference == "bundled:tiny.en"
    assert recognizer.languages == ("en",)
    assert len(recognizer.sha256) == 64


def test_sentences_with_pauses_become_segments_in_order(recognizer: Recognizer, spoken: Any) -> None:
    pause = np.zeros(24_000, np.float32)
    recording = np.concatenate([part for samples in spoken.values() for part in (samples, pause)])
    transcript = recognizer.transcribe(recording, FAST)
    assert len(transcript.segments) == len(spoken)
    assert transcript.text.count("library") == 1
    bounds = [bound for segment in transcript.segments for bound in (segment.start_s, segment.end_s)]
    assert bounds == sorted(bounds)
    assert transcript.duration_s == pytest.approx(len(recording) / 16_000)
    for segment in transcript.segments:
        assert all(segment.start_s <= word.start_s <= word.end_s <= segment.end_s for word in segment.words)


def test_many_recordings_come_back_in_their_order(recognizer: Recognizer, spoken: Any) -> None:
    recordings = [*spoken.values(), np.zeros(16_000, np.float32), *reversed(spoken.values())]
    texts = [transcript.text for transcript in recognizer.transcribe_many(iter(recordings), FAST)]
    assert texts[3] == ""
    assert texts[:3] == texts[:3:-1]
    assert texts == [recognizer.transcribe(samples, FAST).text for samples in recordings]


def test_noise_without_speech_gives_no_words(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).normal(scale=0.05, size=160_000).astype(np.float32)
    assert recognizer.transcribe(noise, FAST).text == ""


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(OptionError, match="ctranslate2, torch"):
        Recognizer.load("bundled:tiny.en", engine="vllm")


class Counting:
    """A model that says nothing and keeps how many segments it was given at a time."""

    languages = ("en",)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def decode(self, segments: Any, options: Any, phrases: Any = None) -> list[list[Hypothesis]]:
        self.sizes.append(len(segments))
        return [[Hypothesis(text="")] for _ in segments]


@pytest.mark.parametrize(
    ("device", "num_workers", "sizes"),
    [
        ("cpu", 1, [CPU_BATCH_SEGMENTS] * 5 + [2]),
        ("cuda", 1, [GPU_BATCH_SEGMENTS, 10]),
        ("cuda", 3, [14] * 3),  # nobody waits while one has all
    ],
)
def test_as_many_segments_are_decoded_together_as_the_device_is_worth(
    recognizer: Recognizer, spoken: Any, device: str, num_workers: int, sizes: list[int]
) -> None:
    model = Counting()
    counted = Recognizer(recognizer.resolved, cast(Any, model), device=device, num_workers=num_workers)
    recordings = [*spoken.values()] * 14
    transcripts = list(counted.transcribe_many(recordings, FAST))
    assert (len(transcripts), sum(model.sizes)) == (42, 42)
    assert sorted(model.sizes) == sorted(sizes)
