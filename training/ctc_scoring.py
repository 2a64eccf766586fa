"""Scoring weights of a Wav2Vec2-CTC in training as they would be served, over the segments that a stream would cut.

The counterpart of ``training.scoring`` for Whisper: no export is needed, the engine takes the weights as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance, load_samples
from asr.decoding.ctc_alignment import LogProbs
from asr.models.base import DecodingOptions, Samples
from asr.models.contexts import WHOLE
from asr.models.ctc_torch import TorchCtc
from training.segments import MeasuredSegments

BATCH = 16


class CtcScorer:
    """Turns weights into texts for the utterances that it was prepared for."""

    def __init__(self, base: Path, *, num_workers: int) -> None:
        """Score variants of the folder ``base``; utterances are cut on ``num_workers`` threads."""
        self._engine = TorchCtc(base)
        self._segments = MeasuredSegments(num_workers=num_workers)

    def prepare(
        self, utterances: Sequence[Utterance], on_done: Callable[[], None], *, whole: bool = False
    ) -> None:
        """Cut every utterance into segments, or keep it ``whole``."""
        self._segments.prepare(utterances, on_done, whole=whole)

    def segments(self, utterances: Sequence[Utterance]) -> list[Samples]:
        """Every segment of utterances that were prepared."""
        return self._segments.of(utterances)

    def texts(
        self,
        state: Mapping[str, Tensor],
        utterances: Sequence[Utterance],
        options: DecodingOptions,
        context: str = WHOLE,
        phrases: PhraseSet | None = None,
    ) -> list[str]:
        """Text of every utterance under the weights ``state``; weights that it does not name stay as they were."""
        del context  # a Wav2Vec2 knows one
        self._engine.load_weights(state)
        segments = self.segments(utterances)
        decoded: list[str] = []
        for start in range(0, len(segments), BATCH):
            batch = segments[start : start + BATCH]
            rows = self._engine.decode(batch, options, [phrases] * len(batch))
            decoded += [row[0].text for row in rows]
        return self._segments.joined(decoded, utterances)

    def emissions(self, state: Mapping[str, Tensor], utterances: Sequence[Utterance]) -> list[LogProbs]:
        """(E, V) of every utterance whole, to tune a language model on; none may be longer than the engine takes."""
        self._engine.load_weights(state)
        return self._engine.batch_emissions([load_samples(utterance) for utterance in utterances])
