"""What the front end of a Wav2Vec2 makes of samples: one level for a segment, and frames at a fixed stride.

Arithmetic alone, without torch, so that windows are planned and words are timed where the model is not loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asr.models.base import Samples
from asr.units import to_seconds

VARIANCE_FLOOR = 1e-7  # as transformers' Wav2Vec2FeatureExtractor


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameGrid:
    """Where the frames of a model lie.

    Attributes:
        stride_samples: from one frame to the next.
        receptive_samples: what the convolutions see of one frame; attention sees everything.
        normalizes: whether the model wants samples of zero mean and unit variance.
    """

    stride_samples: int
    receptive_samples: int
    normalizes: bool = True

    def frame_time_s(self, frame: int) -> float:
        """Where frame ``frame`` begins, s: the middle of its receptive field less half a stride."""
        return to_seconds(frame * self.stride_samples + (self.receptive_samples - self.stride_samples) // 2)


def normalized(samples: Samples) -> Samples:
    """Samples (T,), at least one, with zero mean and unit variance, as transformers' feature extractor makes them."""
    centred = samples - samples.mean()
    scaled: Samples = (centred / np.sqrt(samples.var() + VARIANCE_FLOOR)).astype(np.float32)
    return scaled
