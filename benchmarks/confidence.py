"""Does the confidence of a word rank errors behind right words? AUROC over the words of real recordings.

Words are compared one by one, folded in case and punctuation; a word counts as wrong where the alignment with the
reference substitutes or inserts it. Deleted words have no confidence and count for nothing.

    python benchmarks/confidence.py --model bundled:tiny.en MANIFEST [MANIFEST ...]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.data.manifest import Utterance, load_samples, read_manifest
from asr.evaluation.wer import align_words
from asr.models.base import DecodingOptions
from asr.recognizer import Recognizer

NORMALIZER = "basic-1"
RESAMPLES = 1000


def judged_words(recognizer: Recognizer, rows: list[Utterance]) -> Iterator[tuple[float, bool, str]]:
    """Of every recognised word its confidence, whether it is right, and who spoke."""
    options = DecodingOptions(word_times=True)
    transcripts = recognizer.transcribe_many((load_samples(row) for row in rows), options)
    for row, transcript in zip(rows, transcripts, strict=True):
        words = [word for segment in transcript.segments for word in segment.words]
        hypothesis = " ".join(word.text for word in words)
        right = _right_positions(row.text or "", hypothesis)
        if len(right) != len(words):  # folding joined or split a word: which one is which is not known
            continue
        for word, is_right in zip(words, right, strict=True):
            yield word.confidence, is_right, row.speaker or row.id


def _right_positions(reference: str, hypothesis: str) -> list[bool]:
    """Whether each word of the folded hypothesis is right."""
    (aligned,) = align_words([reference], [hypothesis], NORMALIZER)
    return [one.kind == "hit" for one in aligned if one.hypothesis is not None]


def auroc(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Probability that a right word is more confident than a wrong one, ties counted half (Mann-Whitney)."""
    _values, inverse, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = ((ends - counts + 1 + ends) / 2)[inverse]
    num_right, num_wrong = int(right.sum()), int((~right).sum())
    if not num_right or not num_wrong:
        return float("nan")
    return float((ranks[right].sum() - num_right * (num_right + 1) / 2) / (num_right * num_wrong))


def interval(words: list[tuple[float, bool, str]]) -> tuple[float, float]:
    """95 % of the AUROCs of resampled speakers."""
    speakers = sorted({speaker for _, _, speaker in words})
    by_speaker = {name: [(c, r) for c, r, speaker in words if speaker == name] for name in speakers}
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = [
            pair
            for index in rng.integers(len(speakers), size=len(speakers))
            for pair in by_speaker[speakers[index]]
        ]
        found.append(auroc(np.array([c for c, _ in drawn]), np.array([r for _, r in drawn])))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """One JSON line for each manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("manifests", type=Path, nargs="+")
    options = parser.parse_args()
    manifests = {path: read_manifest(path) for path in options.manifests}
    for path, rows in manifests.items():
        if all(row.text is None for row in rows):
            parser.error(f"{path} has no transcripts, without which no word is right or wrong; leave it out")
    recognizer = Recognizer.load(options.model, num_workers=2)
    for path, rows in manifests.items():
        known = [row for row in rows if row.text is not None]
        words = list(judged_words(recognizer, known))
        right = np.array([is_right for _, is_right, _ in words])
        low, high = interval(words)
        figures = {
            "manifest": str(path),
            "model": options.model,
            "rows": len(known),
            "rows_without_transcript": len(rows) - len(known),
            "words": len(words),
            "wrong": int((~right).sum()),
            "auroc": round(auroc(np.array([confidence for confidence, _, _ in words]), right), 4),
            "interval": [round(low, 4), round(high, 4)],
            "machine": platform.processor() or platform.machine(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
