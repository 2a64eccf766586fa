"""Scoring weights in training as they would be served: exported to int8, over the segments that a stream would cut.

With a frozen encoder, its cached outputs are decoded; otherwise audio is encoded anew. B segments, E encoder frames.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from torch import Tensor

from asr.data.manifest import Utterance
from asr.models.base import DecodingOptions, Samples
from asr.models.checkpoint import save_whisper
from asr.models.export import export_ctranslate2
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.units import to_seconds
from training.encoder_cache import EncoderCache
from training.segments import MeasuredSegments

GREEDY = DecodingOptions(beam_size=1, word_times=False)  # for the curve during training
SERVED = DecodingOptions(word_times=False)  # for every figure that is reported
BATCH = 16


class Scorer:
    """Turns weights into texts for the utterances that it was prepared for."""

    def __init__(self, base: Path, cache: EncoderCache | None, *, num_workers: int) -> None:
        """Score variants of the folder ``base``; ``cache`` holds the outputs of its encoder, if that is frozen."""
        self._base = base
        self._cache = cache
        self._num_workers = num_workers
        self._segments = MeasuredSegments(num_workers=num_workers)

    def prepare(
        self, utterances: Sequence[Utterance], on_done: Callable[[], None], *, whole: bool = False
    ) -> None:
        """Cut every utterance into segments, or keep it ``whole``, and encode them if the encoder is frozen."""
        encode = self._cache.encode if self._cache is not None else lambda _: None
        self._segments.prepare(utterances, on_done, whole=whole, on_segment=encode)

    def segments(self, utterances: Sequence[Utterance]) -> list[Samples]:
        """Every segment of utterances that were prepared."""
        return self._segments.of(utterances)

    def texts(
        self, state: Mapping[str, Tensor], utterances: Sequence[Utterance], options: DecodingOptions
    ) -> list[str]:
        """Text of every utterance under the weights ``state``."""
        segments = self.segments(utterances)
        batches = [segments[start : start + BATCH] for start in range(0, len(segments), BATCH)]
        with tempfile.TemporaryDirectory(prefix="lexitune-score-") as temporary:
            folder = Path(temporary)
            save_whisper(state, self._base, folder / "checkpoint")
            export_ctranslate2(folder / "checkpoint", folder / "ctranslate2")
            engine = CTranslate2Whisper(folder / "ctranslate2", num_workers=self._num_workers)
        with ThreadPoolExecutor(self._num_workers) as workers:
            decoded = workers.map(lambda batch: self._decode(engine, batch, options), batches)
            texts = list(chain.from_iterable(decoded))
        engine.close()
        return self._segments.joined(texts, utterances)

    def _decode(
        self, engine: CTranslate2Whisper, batch: Sequence[Samples], options: DecodingOptions
    ) -> list[str]:
        if self._cache is None:
            decoded = engine.decode(batch, options)
        else:
            outputs = [self._cache.encode(samples) for samples in batch]
            decoded = engine.decode_encoded(outputs, [to_seconds(len(samples)) for samples in batch], options)
        return [hypotheses[0].text for hypotheses in decoded]
