"""Checkpoints: what is read back is what was written, a damaged one is never used, a kill's remnants go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asr.storage import sha256_file
from training.checkpoint import HASHES, MOMENTS, POSITION, WEIGHTS, CheckpointStore, Position, moments_of


def _advance(weights: dict[str, Tensor], optimizer: torch.optim.AdamW, step: int) -> None:
    """One step whose gradient only the weights and ``step`` decide."""
    for value in weights.values():
        value.grad = value.detach() * step
    optimizer.step()


def _fresh() -> tuple[dict[str, Tensor], torch.optim.AdamW]:
    weights: dict[str, Tensor] = {"w": torch.nn.Parameter(torch.arange(1.0, 7.0))}
    return weights, torch.optim.AdamW(weights.values(), lr=0.1)


def _written(folder: Path, best: dict[int, int], messages: list[str]) -> CheckpointStore:
    """A store after the steps that are the keys of ``best``; the values are the best step then."""
    store = CheckpointStore(folder, on_damaged=messages.append)
    weights, optimizer = _fresh()
    for step, best_step in best.items():
        _advance(weights, optimizer, step)
        store.save(Position(step=step, best_step=best_step), weights, moments_of(weights, optimizer))
    return store


def _flip(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


def test_the_step_after_a_restore_is_the_step_that_was_not_interrupted(tmp_path: Path) -> None:
    weights, optimizer = _fresh()
    store = CheckpointStore(tmp_path)
    _advance(weights, optimizer, 1)
    store.save(Position(step=1), weights, moments_of(weights, optimizer))
    again, other = _fresh()
    store.restore(1, again, other)
    before = sha256_file(tmp_path / "step-0000001" / MOMENTS)
    for step in (2, 3):
        _advance(weights, optimizer, step)
        _advance(again, other, step)
    assert torch.equal(weights["w"], again["w"])
    assert (
        sha256_file(tmp_path / "step-0000001" / MOMENTS) == before
    )  # training on does not write into the file


def test_hashes_are_those_of_sha256sum(tmp_path: Path) -> None:
    _written(tmp_path, {1: 0}, [])
    lines = (tmp_path / "step-0000001" / HASHES).read_text().splitlines()
    assert dict(line.split("  ")[::-1] for line in lines) == {
        name: sha256_file(tmp_path / "step-0000001" / name) for name in (WEIGHTS, MOMENTS, POSITION)
    }


@pytest.mark.parametrize("name", [WEIGHTS, MOMENTS, POSITION, HASHES])
def test_one_flipped_bit_sends_training_back_to_the_older_checkpoint(tmp_path: Path, name: str) -> None:
    messages: list[str] = []
    store = _written(tmp_path, {1: 1, 2: 1}, messages)
    _flip(tmp_path / "step-0000002" / name)
    newest = store.newest()
    assert newest is not None and newest.step == 1
    assert len(messages) == 1 and "step-0000002" in messages[0] and "older" in messages[0]
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]


@pytest.mark.parametrize("name", [WEIGHTS, MOMENTS, POSITION, HASHES])
def test_a_missing_file_is_damage_too(tmp_path: Path, name: str) -> None:
    messages: list[str] = []
    store = _written(tmp_path, {1: 1, 2: 1}, messages)
    (tmp_path / "step-0000002" / name).unlink()
    newest = store.newest()
    assert newest is not None and newest.step == 1
    assert name in messages[0]


def test_without_the_best_the_newest_cannot_be_used(tmp_path: Path) -> None:
    messages: list[str] = []
    store = _written(tmp_path, {1: 1, 2: 1}, messages)
    _flip(tmp_path / "step-0000001" / WEIGHTS)
    assert store.newest() is None  # the result may be step 1: begin anew and find the same
    assert len(messages) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_base_as_the_best_needs_no_checkpoint(tmp_path: Path) -> None:
    store = _written(tmp_path, {0: 0, 1: 0}, [])
    shutil.rmtree(tmp_path / "step-0000000")
    newest = store.newest()
    assert newest is not None and newest.step == 1


def test_what_a_kill_left_is_removed_when_training_goes_on(tmp_path: Path) -> None:
    store = _written(tmp_path, {1: 1}, [])
    for remnant in (".step-0000002-abc", ".step-0000000-dropped"):
        (tmp_path / remnant).mkdir()
        (tmp_path / remnant / WEIGHTS).write_bytes(b"half")
    newest = store.newest()
    assert newest is not None and newest.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]


def test_only_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    _written(tmp_path, {1: 1, 2: 2, 3: 2, 4: 2}, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000002", "step-0000004"]


def test_damage_is_a_warning_where_nobody_listens(tmp_path: Path) -> None:
    _written(tmp_path, {1: 1}, [])
    _flip(tmp_path / "step-0000001" / WEIGHTS)
    with pytest.warns(UserWarning, match="is not used"):
        assert CheckpointStore(tmp_path).newest() is None
