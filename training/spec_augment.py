"""SpecAugment: stretches of time and bands of mel that an utterance in training is not heard in.

For methods that train a Whisper's encoder; a Wav2Vec2 masks its own hidden states (transformers). M mel bins, F frames.
Source: Park et al., arXiv 1904.08779; no time warping.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_TIME_SHARE = 0.05  # of the utterance's frames, each
MAX_MEL_SHARE = 0.15  # of the mel bins, each


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecAugment:
    """How many stretches are masked, drawn anew at every step from the seed.

    Attributes:
        num_masks: stretches of time, and as many bands of mel; 0 masks nothing.
        seed: of their places and widths.
    """

    num_masks: int
    seed: int

    def masked(
        self, features: NDArray[np.float32], num_frames: int, utterance_id: str, step: int
    ) -> NDArray[np.float32]:
        """Features (M, F) with what is masked set to their mean.

        Args:
            features: of an utterance in its context.
            num_frames: of F that are the utterance itself; silence behind it is not worth masking.
            utterance_id: with ``step``, what the places follow from.
            step: of the training.
        """
        if not self.num_masks:
            return features
        rng = np.random.default_rng([self.seed, step, zlib.crc32(utterance_id.encode())])
        masked = features.copy()
        mean = features.mean()
        for _ in range(self.num_masks):
            masked[:, _stretch(rng, min(num_frames, features.shape[1]), MAX_TIME_SHARE)] = mean
            masked[_stretch(rng, features.shape[0], MAX_MEL_SHARE)] = mean
        return masked


def _stretch(rng: np.random.Generator, size: int, max_share: float) -> slice:
    width = int(rng.integers(0, int(max_share * size) + 1))
    start = int(rng.integers(0, size - width + 1))
    return slice(start, start + width)
