"""Training state on disk: complete or absent, whatever kills the process, and checked against its hashes when read.

A checkpoint is a folder that appears by one rename: learned weights and AdamW's moments as safetensors, the position
and the curve as JSON, and ``SHA256SUMS`` as sha256sum writes it. Only the newest and the best so far are kept.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from asr.storage import build_folder, sha256_file

WEIGHTS, MOMENTS, POSITION = "weights.safetensors", "optimizer.safetensors", "position.json"
HASHES = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One evaluation during training: where, the mean loss since the last one, and dev's rates (None if not defined).

    ``dev_wer`` is what ``metric`` says: a CER where words are not written apart.
    """

    step: int
    epoch: float
    loss: float
    dev_wer: float | None
    dev_term_f1: float | None
    metric: str = "WER"

    def as_line(self) -> str:
        """For the person who waits."""
        parts = [f"epoch {self.epoch:g}", f"step {self.step}"]
        if self.step:
            parts.append(f"loss {self.loss:.3f}")
        if self.dev_wer is not None:
            parts.append(f"dev {self.metric} {self.dev_wer:.2%}")
        if self.dev_term_f1 is not None:
            parts.append(f"term F1 {self.dev_term_f1:.3f}")
        return ", ".join(parts)


@dataclass(kw_only=True, slots=True)
class Position:
    """How far training is.

    Attributes:
        step: optimizer steps done.
        best_step: of the best dev score so far; 0 is the base itself.
        stale: evaluations since then.
        curve: every evaluation so far; the first is the base's.
    """

    step: int = 0
    best_step: int = 0
    stale: int = 0
    curve: list[CurvePoint] = field(default_factory=list)


class CheckpointStore:
    """The checkpoints of one job, in one folder that belongs to one process at a time."""

    def __init__(self, folder: Path, *, on_damaged: Callable[[str], None] = warnings.warn) -> None:
        """Keep checkpoints below ``folder``; ``on_damaged`` is told of each that cannot be used, and why."""
        self._folder = folder
        self._on_damaged = on_damaged
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, position: Position, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        """Keep this state as the newest; drop those that are neither newest nor best.

        ``moments`` are those of :func:`moments_of`.
        """
        target = self._path(position.step)
        if not target.is_dir():
            build_folder(target, lambda folder: _write(folder, position, weights, moments))
            _sync(self._folder)  # the new one is named on disk before an old one goes
        for other in self._folder.glob("step-*"):
            if other not in (target, self._path(position.best_step)):
                self._drop(other)

    def newest(self) -> Position | None:
        """The position of the newest checkpoint that is whole, as is the best that it names; None where there is none.

        What a kill left half written is removed first, and checkpoints that cannot be used are: training from an
        older one, or from the beginning, leads to the same state.
        """
        for remnant in self._folder.glob(".step-*"):
            shutil.rmtree(remnant)
        for path in sorted(self._folder.glob("step-*"), reverse=True):
            problem = _damage(path)
            if not problem:
                position = _read_position(path)
                best = self._path(position.best_step)
                problem = _damage(best) if position.best_step and best != path else ""
            if not problem:
                return position
            self._on_damaged(f"checkpoint {path} is not used: {problem}; training goes on from an older one")
            self._drop(path)
        return None

    def restore(self, step: int, weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW | None) -> None:
        """Copy a checkpoint into live weights, and into the optimizer unless only weights are wanted."""
        path = self._path(step)
        with torch.no_grad():
            for name, value in load_file(path / WEIGHTS).items():
                weights[name].copy_(_divided(value, weights[name]))
        if optimizer is not None:
            _restore_moments(load_file(path / MOMENTS), weights, optimizer)

    def weights(self, step: int) -> dict[str, Tensor]:
        """A checkpoint's learned weights."""
        weights: dict[str, Tensor] = load_file(self._path(step) / WEIGHTS)
        return weights

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}"

    def _drop(self, path: Path) -> None:
        """Remove a checkpoint; killed in between, it is a remnant and not half a checkpoint."""
        remnant = path.with_name(f".{path.name}-dropped")
        path.rename(remnant)
        shutil.rmtree(remnant)


def moments_of(weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """What the optimizer remembers of each weight, by kind and the weight's name."""
    return {
        f"{key}/{name}": torch.as_tensor(moment)
        for name, value in weights.items()
        for key, moment in optimizer.state.get(value, {}).items()
    }


def _write(
    folder: Path, position: Position, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]
) -> None:
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in weights.items()},
        folder / WEIGHTS,
    )
    save_file(
        {name: moment.detach().cpu().contiguous() for name, moment in moments.items()}, folder / MOMENTS
    )
    (folder / POSITION).write_text(json.dumps(asdict(position)))
    lines = [_hash_line(folder / name) for name in (WEIGHTS, MOMENTS, POSITION)]
    (folder / HASHES).write_text("".join(lines))
    _sync(folder)


def _restore_moments(
    moments: Mapping[str, Tensor], weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW
) -> None:
    for combined, value in moments.items():
        key, name = combined.split("/", 1)
        weight = weights[name]
        if key != "step":
            value = _divided(value, weight)
        # a copy: the loaded tensor is mapped from the file, which does not outlive the next checkpoint
        device = weight.device if key != "step" or optimizer.defaults["fused"] else value.device
        optimizer.state[weight][key] = torch.empty_like(value, device=device).copy_(value)


def _divided(value: Tensor, weight: Tensor) -> Tensor:
    """A whole value as ``weight`` is kept: where processes hold shares of it, this process's share."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(weight, DTensor):
        return value
    # every process has read the same file: nothing is sent
    return distribute_tensor(
        value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
    )


def _damage(path: Path) -> str:
    """What is wrong with a checkpoint's files; "" if they are the bytes that were written."""
    try:
        written = (path / HASHES).read_text(errors="replace")
        for name in (WEIGHTS, MOMENTS, POSITION):
            if _hash_line(path / name) not in written:
                return f"{path.name}/{name} is not what was written: its sha256 is not in {HASHES}"
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    return ""


def _hash_line(path: Path) -> str:
    return f"{sha256_file(path)}  {path.name}\n"


def _read_position(path: Path) -> Position:
    raw: dict[str, Any] = json.loads((path / POSITION).read_text())
    raw["curve"] = [CurvePoint(**point) for point in raw["curve"]]
    return Position(**raw)


def _sync(folder: Path) -> None:
    """Have the names in a folder on disk, not only the bytes of its files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
