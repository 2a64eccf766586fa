"""The protocol that every engine implements: samples of one segment in, hypotheses out.

B segments, T samples, M mel bins, F feature frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import PhraseSet
from asr.errors import OptionError
from asr.results import Hypothesis

Samples = NDArray[np.float32]
MAX_BEAM_SIZE = 16
WARM_SAMPLES = 16_000  # 1 s
CPU_BATCH_SEGMENTS = 8  # more gains little there (docs/experiments.md)
GPU_BATCH_SEGMENTS = 32  # not measured


def batch_segments(device: str) -> int:
    """How many segments are decoded together on a device, "cpu" or "cuda"."""
    return CPU_BATCH_SEGMENTS if device == "cpu" else GPU_BATCH_SEGMENTS


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingOptions:
    """How to search.

    Attributes:
        beam_size: 1 is greedy; at most 16.
        word_times: whether hypotheses carry words with times and confidence (only the best one does).
        language: ISO 639-1 code; None detects it, where the model knows several.
        max_alternatives: how many hypotheses to return at most; no more than ``beam_size``.
    """

    beam_size: int = 5
    word_times: bool = True
    language: str | None = None
    max_alternatives: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.beam_size <= MAX_BEAM_SIZE:
            raise OptionError(f"beam_size is {self.beam_size}; give 1 to {MAX_BEAM_SIZE}", field="beam_size")
        if not 1 <= self.max_alternatives <= self.beam_size:
            raise OptionError(
                f"max_alternatives is {self.max_alternatives}; give 1 to beam_size ({self.beam_size})",
                field="max_alternatives",
            )


class SpeechModel(Protocol):
    """An engine with a loaded model. Safe to call from several threads."""

    languages: tuple[str, ...]

    def decode(
        self,
        segments: Sequence[Samples],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
    ) -> list[list[Hypothesis]]:
        """Decode B segments of at most 30 s each; alternatives best first, times from each segment's start.

        Args:
            segments: 16 kHz samples.
            options: how to search.
            phrases: what each segment may say; they change the best alternative only.

        Raises:
            OptionError: a segment is too long, or the language is not known.
        """
        ...

    def warm(self) -> None:
        """Decode a moment of silence, so that the first caller does not wait for what is made at first use."""
        ...

    def close(self) -> None:
        """Free the model; it must not be used any more."""
        ...
