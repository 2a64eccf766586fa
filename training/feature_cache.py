"""Log-mel features of what an encoder learns from, computed once where there is room: audio need not be read every epoch.

M mel bins, F feature frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asr.data.manifest import Utterance, load_samples
from asr.features import log_mel
from training.contexts import TrainingContexts

MAX_BYTES = 1 << 30  # 4 hours of 3 s utterances at own lengths, a tenth of them in whole windows


class FeatureCache:
    """Features (M, F) float32 by utterance, in memory up to a limit; what does not fit is computed whenever it is asked.

    Nothing makes way: every epoch asks for everything once, so what was used longest ago is always what is asked next.
    """

    def __init__(self, contexts: TrainingContexts, *, num_mel_bins: int, max_bytes: int = MAX_BYTES) -> None:
        """Of utterances in ``contexts``."""
        self._contexts = contexts
        self._num_mel_bins = num_mel_bins
        self._room = max_bytes
        self._kept: dict[Utterance, tuple[NDArray[np.float32], int]] = {}

    def load(self, utterance: Utterance) -> tuple[NDArray[np.float32], int]:
        """Features of an utterance in its context, not to be written to, and how many samples of audio they are of.

        Raises:
            AudioError: the recording cannot be read.
        """
        if (kept := self._kept.get(utterance)) is not None:
            return kept
        samples = load_samples(utterance)
        frames = self._contexts.frames(utterance, len(samples))
        features = log_mel(samples, num_mel_bins=self._num_mel_bins, num_frames=frames)
        features.flags.writeable = False
        if features.nbytes <= self._room:
            self._room -= features.nbytes
            self._kept[utterance] = features, len(samples)
        return features, len(samples)
