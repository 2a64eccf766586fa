"""Near-duplicate texts: what banding finds is what comparing all pairs finds; warnings name the other row."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from asr.data.near_duplicates import (
    MIN_SIMILARITY,
    near_duplicate_warnings,
    near_duplicates,
    near_duplicates_of,
    shingles,
)
from asr.errors import ManifestError


def _orders(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    sizes, drinks = ("small", "medium", "large", "extra large"), ("latte", "mocha", "flat white", "green tea")
    names, days = ("Susan", "Thomas", "Jennifer", "David"), ("tomorrow", "on Tuesday", "this afternoon")
    return [
        f"{draw.choice(names)} wants {draw.randint(2, 99)} {draw.choice(sizes)} {draw.choice(drinks)}s "
        f"{draw.choice(('with ice', 'with oat milk', 'to go', 'on the terrace by the sea'))} {draw.choice(days)}"
        for _ in range(count)
    ]


def _similarity(first: str, second: str) -> float:
    one, other = shingles(first), shingles(second)
    return len(one & other) / len(one | other)


def test_it_finds_what_comparing_every_pair_finds() -> None:
    texts, known = _orders(120, seed=1), _orders(150, seed=2)
    every = [[_similarity(text, other) for other in known] for text in texts]
    expected = {index: max(row) for index, row in enumerate(every) if max(row) >= MIN_SIMILARITY}
    found = near_duplicates_of(texts, known)
    assert {pair.index: pair.similarity for pair in found} == pytest.approx(expected)
    assert 20 < len(expected) < len(texts)
    assert all(every[pair.index][pair.other] == pytest.approx(pair.similarity) for pair in found)


def test_within_one_set_only_earlier_texts_count() -> None:
    texts = _orders(150, seed=3)
    best = {
        index: max((_similarity(text, other) for other in texts[:index]), default=0.0)
        for index, text in enumerate(texts)
    }
    found = near_duplicates(texts)
    assert {pair.index: pair.similarity for pair in found} == pytest.approx(
        {index: similarity for index, similarity in best.items() if similarity >= MIN_SIMILARITY}
    )
    assert all(pair.other < pair.index for pair in found)


def test_case_and_punctuation_do_not_count_and_words_do() -> None:
    known = ["Please send fifty bottles of paracetamol to David.", "A B C", "Hm"]
    texts = [
        "please send fifty bottles of paracetamol to david",
        "Please send fifty bottles of paracetamol to Davis!",
        "Please collect ten boxes of aspirin for Susan.",
        "a, b, c?",
        "",
        "...",
        "hm",
    ]
    found = {pair.index: (pair.other, pair.similarity) for pair in near_duplicates_of(texts, known)}
    assert {index: other for index, (other, _) in found.items()} == {0: 0, 1: 0, 3: 1, 6: 2}
    assert found[0][1] == found[3][1] == 1.0
    assert MIN_SIMILARITY <= found[1][1] < 1.0


def _manifest(path: Path, texts: list[str | None]) -> Path:
    rows = [{"audio_filepath": f"{number}.wav", "text": text} for number, text in enumerate(texts)]
    path.write_text("{\n" + "".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_warnings_name_the_line_and_the_manifest_that_a_text_is_like(tmp_path: Path) -> None:
    first, second = "Two large lattes with vanilla syrup, please.", "The train leaves at half past seven."
    manifest = _manifest(tmp_path / "test.jsonl", [first, None, second, first.upper()])
    train = _manifest(
        tmp_path / "train.jsonl", ["Something else entirely.", second.replace("seven", "sevens")]
    )
    warnings = near_duplicate_warnings(manifest, train)
    assert [(warning.row, warning.id, warning.code) for warning in warnings] == [
        (4, "2", "near-duplicate-text"),
        (5, "3", "near-duplicate-text"),
    ]
    assert f"line 3 of {train}" in warnings[0].message
    assert "equals that of line 2" in warnings[1].message
    assert [warning.row for warning in near_duplicate_warnings(manifest)] == [5]
    with pytest.raises(ManifestError, match="cannot be read"):
        near_duplicate_warnings(manifest, tmp_path / "none.jsonl")
