"""Scoring weights in training as they would be served: exported to int8, over the segments that a stream would cut.

With a frozen encoder, its cached outputs are decoded; otherwise audio is encoded anew. B segments, E encoder frames.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance
from asr.models.base import DecodingOptions, Samples
from asr.models.checkpoint import save_whisper
from asr.models.contexts import OWN, WHOLE
from asr.models.export import export_ctranslate2
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_phrases import Encoded
from asr.units import WHISPER_WINDOW_FRAMES, to_seconds
from training.encoder_cache import EncoderCache
from training.interpolate import ENCODER
from training.segments import MeasuredSegments

GREEDY = DecodingOptions(beam_size=1, word_times=False)  # for the curve during training
SERVED = DecodingOptions(word_times=False)  # for every figure that is reported
BATCH = 16


class Scorer:
    """Turns weights into texts for the utterances that it was prepared for."""

    def __init__(
        self,
        base: Path,
        cache: EncoderCache | None = None,
        frozen: Mapping[str, Tensor] | None = None,
        *,
        num_workers: int,
    ) -> None:
        """Score variants of the folder ``base``; ``cache`` holds the outputs of the encoder of ``frozen``, if any."""
        self._base = base
        self._cache = cache
        self._frozen = frozen or {}
        self._num_workers = num_workers
        self._segments = MeasuredSegments(num_workers=num_workers)

    def take_cache(self, cache: EncoderCache, frozen: Mapping[str, Tensor]) -> None:
        """From here on do not encode what ``cache`` holds of the encoder of ``frozen``."""
        self._cache, self._frozen = cache, frozen

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
        """Text of every utterance.

        Args:
            state: the weights.
            utterances: those that were prepared.
            options: of the search; without a language, each utterance is decoded in its own.
            context: of :mod:`asr.models.contexts`.
            phrases: that any of them may hold.
        """
        segments = self.segments(utterances)
        languages = [row.language for row in utterances for _ in self._segments.of([row])]
        batches = list(_batches(segments, languages))
        cache = self._cache if self._is_cached(state) else None
        with tempfile.TemporaryDirectory(prefix="lexitune-score-") as temporary:
            folder = Path(temporary)
            save_whisper(state, self._base, folder / "checkpoint")
            export_ctranslate2(folder / "checkpoint", folder / "ctranslate2")
            engine = CTranslate2Whisper(
                folder / "ctranslate2", num_workers=self._num_workers, own_length=context == OWN
            )
        texts = [""] * len(segments)
        with ThreadPoolExecutor(self._num_workers) as workers:
            decoded = workers.map(
                lambda batch: _decode(
                    engine, cache, [segments[index] for index in batch],
                    replace(options, language=options.language or languages[batch[0]]), phrases,
                ),
                batches,
            )  # fmt: skip
            for batch, batch_texts in zip(batches, decoded, strict=True):
                for index, text in zip(batch, batch_texts, strict=True):
                    texts[index] = text
        engine.close()
        return self._segments.joined(texts, utterances)

    def _is_cached(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the encoder of ``state`` is the one whose outputs the cache holds."""
        encoder = [name for name in self._frozen if name.startswith(ENCODER)]
        return bool(encoder) and all(torch.equal(self._frozen[name], state[name]) for name in encoder)


def _batches(segments: Sequence[Samples], languages: Sequence[str | None]) -> Iterator[list[int]]:
    """Indices of segments of similar length in one language."""
    for language in dict.fromkeys(languages):
        alike = [index for index, other in enumerate(languages) if other == language]
        alike.sort(key=lambda index: len(segments[index]))
        yield from (alike[start : start + BATCH] for start in range(0, len(alike), BATCH))


def _decode(
    engine: CTranslate2Whisper,
    cache: EncoderCache | None,
    batch: Sequence[Samples],
    options: DecodingOptions,
    phrases: PhraseSet | None,
) -> list[str]:
    wanted = [phrases] * len(batch)
    if cache is None:
        decoded = engine.decode(batch, options, wanted)
    else:
        outputs = [
            cache.encode(samples, engine.context_frames(len(samples), options.language)) for samples in batch
        ]
        durations_s = [to_seconds(len(samples)) for samples in batch]

        def whole(index: int) -> Encoded:
            return cache.encode(batch[index], WHISPER_WINDOW_FRAMES)

        decoded = engine.decode_encoded(outputs, durations_s, options, wanted, whole=whole)
    return [hypotheses[0].text for hypotheses in decoded]
