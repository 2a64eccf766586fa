"""Errors of a joined recording belong to the utterance in which they happened; their sum is the recording's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.data.manifest import Utterance
from asr.evaluation.wer import word_errors
from benchmarks.measure.accuracy import Accuracy, errors_by_part
from benchmarks.measure.recordings import Recording, joined

PARTS = tuple(
    Utterance(id=str(number), audio_path=Path("x.wav"), duration_s=1.0, text=text, speaker=str(number))
    for number, text in enumerate(["take the train", "", "to the coast", "please"])
)


def recording(parts: tuple[Utterance, ...]) -> Recording:
    return Recording(utterance=joined(parts, 0), samples=np.zeros(16_000, np.float32), parts=parts)


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("take the train to the coast please", [0, 0, 0, 0]),
        ("take a train to the coast", [1, 0, 0, 1]),
        ("take the train to the far coast please", [0, 0, 1, 0]),
        ("well take the train to the coast please", [1, 0, 0, 0]),
        ("take the train to the coast please now", [0, 0, 0, 1]),
        ("", [3, 0, 3, 1]),
    ],
)
def test_each_utterance_gets_its_own_errors(heard: str, errors: list[int]) -> None:
    counts = errors_by_part(PARTS, heard)
    assert counts[:, 0].tolist() == errors
    assert counts[:, 1].tolist() == [3, 0, 3, 1]
    assert counts[:, 0].sum() == word_errors("take the train to the coast please", heard).errors


def test_numbers_do_not_join_across_a_border() -> None:
    parts = tuple(replace(PARTS[0], text=text) for text in ("room twenty", "five people"))
    assert errors_by_part(parts, "room twenty five people").sum(axis=0)[1] == 4


def test_equal_texts_do_not_differ_and_better_ones_do() -> None:
    accuracy = Accuracy([recording(PARTS)], ["train", "coast"])
    good, bad = ["take the train to the coast please"], ["take the rain to a cost please"]
    assert accuracy.rates(good)["wer"] == 0.0
    assert accuracy.rates(bad)["wer"] == pytest.approx(3 / 7)
    assert accuracy.rates(bad)["term_recall"] == 0.0
    same = accuracy.differences(good, good)["wer"]
    assert (same["delta"], same["interval"]) == (0.0, [0.0, 0.0])
    assert accuracy.differences(bad, good)["wer"]["delta"] == pytest.approx(-3 / 7)
    assert accuracy.differences(bad, good)["missed_terms"]["delta"] == -1.0


def test_rows_that_only_name_terms_have_no_wer() -> None:
    parts = tuple(replace(part, text=None, terms=("train",)) for part in PARTS[:2])
    accuracy = Accuracy([recording(parts)], ["train"])
    rates = accuracy.rates(["the train and the train"])
    assert rates["wer"] is None
    assert rates["terms_said"] == 2
    assert rates["term_recall"] == 1.0
    assert "wer" not in accuracy.differences(["a"], ["the train"])
