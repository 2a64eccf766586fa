"""In which context an utterance is heard in training: its own length and a little silence, or a whole window.

Own lengths are those that serving uses, with the silence behind the speech varied; a share of whole windows keeps the
model usable in both. Source of the recipe: futo-org/whisper-acft (tuned and trimmed, tiny.en loses 0.8 points of WER).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from asr.data.manifest import Utterance
from asr.models.contexts import OWN, own_frames
from asr.units import WHISPER_WINDOW_FRAMES, to_samples

WHOLE_SHARE = 0.1  # of the utterances
EARLIER_S, LATER_S = (
    -0.1,
    0.4,
)  # the end of the speech is moved by this much: 0.1 to 1.6 s of silence behind it


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingContexts:
    """The context of every utterance, decided by its id and the seed.

    Attributes:
        context: of :mod:`asr.models.contexts`; whole windows only, or own lengths with a share of whole windows.
        seed: of the choice.
        whole_share: share of whole windows among own lengths.
    """

    context: str
    seed: int
    whole_share: float = WHOLE_SHARE

    def frames(self, utterance: Utterance, num_samples: int) -> int:
        """Feature frames for an utterance of ``num_samples``."""
        if self.context != OWN:
            return WHISPER_WINDOW_FRAMES
        rng = np.random.default_rng([self.seed, zlib.crc32(utterance.id.encode())])
        if rng.random() < self.whole_share:
            return WHISPER_WINDOW_FRAMES
        return own_frames(max(1, num_samples + to_samples(rng.uniform(EARLIER_S, LATER_S))))
