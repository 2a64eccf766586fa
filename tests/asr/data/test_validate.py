"""Validation: each code by a row that has exactly that problem, and all of them reported at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.data.validate import CODES, Problem, validate_manifest
from asr.errors import ManifestError


def _noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * 16_000))).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = {
        "good": _noise(1.0),
        "other": _noise(1.0, seed=5),
        "long": _noise(31.0),
        "silent": _noise(1.0, 1e-4),
        "zero": np.zeros(16_000, np.float32),
        "clipped": _noise(1.0, 2.0),
    }
    for name, samples in recordings.items():
        write_audio(tmp_path / f"{name}.flac", samples)
    (tmp_path / "copy.flac").write_bytes((tmp_path / "good.flac").read_bytes())
    (tmp_path / "text.wav").write_text("no audio")
    return tmp_path


def _row(name: str, **fields: object) -> dict[str, object]:
    return {"audio_filepath": name, "duration": 1.0, "text": "some words"} | fields


ROWS: dict[str, list[object]] = {
    "malformed-row": ["{", {"text": "a"}, '{"audio_filepath": "good.flac", "text": "\\ud800 broken"}'],
    "missing-audio": [_row("none.flac"), _row(".")],
    "unreadable-audio": [_row("text.wav"), _row("other.flac", channel=3)],
    "wrong-duration": [_row("good.flac", duration=1.2), _row("other.flac", duration=0.8)],
    "bad-offset": [_row("good.flac", offset=1.5)],
    "long-audio": [_row("long.flac", duration=31.0)],
    "clipped": [_row("clipped.flac")],
    "silent": [_row("silent.flac"), _row("zero.flac")],
    "no-reference": [_row("good.flac", text=None)],
    "empty-text": [_row("good.flac", text=" \t")],
    "long-text": [_row("good.flac", text="word " * 449)],
    "unwritable-characters": [_row("good.flac", text="naïve")],
    "duplicate-id": [_row("good.flac", id="x"), _row("other.flac", id="x")],
    "duplicate-audio": [_row("good.flac"), _row("copy.flac")],
}


def _unwritable(text: str) -> str | None:
    return "".join(character for character in text if not character.isascii()) or None


def _problems(path: Path, rows: list[object], progress: Callable[[int], None] | None = None) -> list[Problem]:
    manifest = path / "manifest.jsonl"
    manifest.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return validate_manifest(
        manifest, tokenizer_check=_unwritable, token_count=lambda text: len(text.split()), progress=progress
    )


@pytest.mark.parametrize("code", ROWS)
def test_each_problem_is_reported_under_its_own_code_alone(folder: Path, code: str) -> None:
    problems = _problems(folder, ROWS[code])
    assert {problem.code for problem in problems} == {code}
    assert len(problems) == (1 if code.startswith("duplicate") else len(ROWS[code]))
    assert all(problem.row == ROWS[code].index(ROWS[code][problem.row - 1]) + 1 for problem in problems)


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    rows = [row for rows in ROWS.values() for row in rows]
    done: list[int] = []
    problems = _problems(folder, rows, done.append)
    assert {problem.code for problem in problems} == set(CODES) - {"empty-manifest"}
    assert [problem.row for problem in problems] == sorted(problem.row for problem in problems)
    assert done == list(range(1, len(rows) + 1))


def test_a_row_can_have_several_problems(folder: Path) -> None:
    problems = _problems(folder, [_row("clipped.flac", duration=9.0, text="")])
    assert sorted(problem.code for problem in problems) == ["clipped", "empty-text", "wrong-duration"]


def test_good_rows_have_none(folder: Path) -> None:
    rows = [
        _row("good.flac", duration=1.05),
        _row("other.flac", text=None, terms=["mocha"], duration=None),
        _row("long.flac", offset=0.0, duration=10.0),
        _row("long.flac", offset=10.0, duration=10.0),
    ]
    assert _problems(folder, rows) == []


def test_empty_and_missing_manifests(folder: Path) -> None:
    assert [problem.code for problem in _problems(folder, [])] == ["empty-manifest"]
    with pytest.raises(ManifestError, match="cannot be read"):
        validate_manifest(folder / "none.jsonl")


@pytest.mark.recordings
def test_real_manifests_are_clean_of_broken_audio(recordings_dir: Path) -> None:
    problems = validate_manifest(recordings_dir / "general" / "manifest.jsonl")
    assert {problem.code for problem in problems} <= {"clipped", "duplicate-audio"}
