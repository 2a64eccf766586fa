"""Features are those of the recording, read once where there is room and every time where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.data.manifest import Utterance, load_samples
from asr.errors import AudioError
from asr.features import log_mel
from asr.models.contexts import OWN
from training.contexts import TrainingContexts
from training.feature_cache import FeatureCache

CONTEXTS = TrainingContexts(context=OWN, seed=0, whole_share=0.0)


@pytest.fixture
def rows(tmp_path: Path, spoken: dict[str, Any]) -> list[Utterance]:
    made = []
    for number, (text, samples) in enumerate(spoken.items()):
        path = tmp_path / f"{number}.wav"
        write_audio(path, samples)
        made.append(Utterance(id=str(number), audio_path=path, duration_s=len(samples) / 16_000, text=text))
    return made


def test_features_are_those_of_the_recording_in_its_context(rows: list[Utterance]) -> None:
    cache = FeatureCache(CONTEXTS, num_mel_bins=80)
    for row in [*rows, *rows]:
        features, num_samples = cache.load(row)
        samples = load_samples(row)
        frames = CONTEXTS.frames(row, len(samples))
        assert num_samples == len(samples) and features.shape == (80, frames)
        np.testing.assert_array_equal(features, log_mel(samples, num_frames=frames))
        with pytest.raises(ValueError, match="read-only"):
            features[0, 0] = 0.0


def test_what_fits_is_read_once_and_the_rest_whenever_it_is_asked(rows: list[Utterance]) -> None:
    first, second, third = rows
    sizes = [FeatureCache(CONTEXTS, num_mel_bins=80).load(row)[0].nbytes for row in rows]
    cache = FeatureCache(CONTEXTS, num_mel_bins=80, max_bytes=sizes[0] + min(sizes[1:]) - 1)
    before = [cache.load(row)[0] for row in rows]
    for row in rows:
        row.audio_path.unlink()
    np.testing.assert_array_equal(cache.load(first)[0], before[0])
    for row in (second, third):
        with pytest.raises(AudioError):
            cache.load(row)
