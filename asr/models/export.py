"""From a transformers Whisper folder to a CTranslate2 folder, and the proof that both say the same.

Converted models have been known to hallucinate (faster-whisper#1099), so no export is used before a parity check.
"""

from __future__ import annotations

import difflib
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asr.models.base import DecodingOptions, Samples
from asr.models.checkpoint import check_folder, weights_sha256
from asr.results import Hypothesis
from asr.storage import build_folder, cache_dir


class Decoder(Protocol):
    """What decodes segments: an engine, or a recogniser around one."""

    def decode(self, segments: Sequence[Samples], options: DecodingOptions) -> list[list[Hypothesis]]:
        """See :class:`asr.models.base.SpeechModel`."""
        ...


PARITY_RATIO = 0.9  # of equal characters between int8 and float32, same search, over the whole probe set


def export_ctranslate2(source: Path, target: Path, *, quantization: str = "int8") -> None:
    """Convert the folder ``source`` into the new folder ``target``."""
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    check_folder(source)
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the converter still passes torch_dtype
    try:
        converter = TransformersConverter(str(source))
        converter.convert(str(target), quantization=quantization, force=True)
    finally:
        logging.set_verbosity(verbosity)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")


def cached_export(source: Path) -> Path:
    """The CTranslate2 folder of a transformers folder that is not ours, made once per content and cached."""
    target = cache_dir("exports") / weights_sha256(source)[:24]
    if not target.is_dir():
        build_folder(target, lambda temporary: export_ctranslate2(source, temporary))
    return target


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How far two engines agree on a probe set.

    Attributes:
        num_probes: utterances compared.
        num_equal: utterances with exactly the same text.
        ratio: share of equal characters over all texts, in [0, 1].
        first_difference: reference and hypothesis of the first that differ, or "".
    """

    num_probes: int
    num_equal: int
    ratio: float
    first_difference: str

    @property
    def passed(self) -> bool:
        """Whether the export may be served."""
        return self.ratio >= PARITY_RATIO


def check_parity(
    reference: Decoder, exported: Decoder, probes: Sequence[Samples], options: DecodingOptions
) -> Parity:
    """Decode ``probes`` with both engines and compare the texts."""
    expected = [row[0].text for row in reference.decode(probes, options)]
    actual = [row[0].text for row in exported.decode(probes, options)]
    pairs = list(zip(expected, actual, strict=True))
    total = sum(len(a) + len(b) for a, b in pairs)
    equal = sum(
        2 * sum(m.size for m in difflib.SequenceMatcher(None, a, b).get_matching_blocks()) for a, b in pairs
    )
    differing = [f"{a!r} became {b!r}" for a, b in pairs if a != b]
    return Parity(
        num_probes=len(pairs),
        num_equal=len(pairs) - len(differing),
        ratio=equal / total if total else 1.0,
        first_difference=differing[0] if differing else "",
    )


def latency_ratio(
    base: Decoder, other: Decoder, probes: Sequence[Samples], options: DecodingOptions, *, rounds: int = 3
) -> float:
    """Time that ``other`` takes to decode ``probes`` one by one, as a multiple of what ``base`` takes.

    Both in turn, probe by probe; the shortest of ``rounds`` counts for each probe, so that other work on the machine
    counts for little.
    """
    if not probes:
        return 1.0
    engines = (base, other)
    shortest = [[math.inf] * len(probes) for _ in engines]
    for _ in range(rounds):
        for number, samples in enumerate(probes):
            for engine, times in zip(engines, shortest, strict=True):
                started = time.perf_counter()
                engine.decode([samples], options)
                times[number] = min(times[number], time.perf_counter() - started)
    return sum(shortest[1]) / sum(shortest[0])
