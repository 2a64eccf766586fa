"""Training state on disk: complete or absent, whatever kills the process.

A checkpoint is a folder that appears by one rename: learned weights and AdamW's moments as safetensors, the position
and the curve as JSON. Only the newest and the best so far are kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from asr.storage import build_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One evaluation during training: where, the mean loss since the last one, and dev's rates (None if not defined)."""

    step: int
    epoch: float
    loss: float
    dev_wer: float | None
    dev_term_f1: float | None


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
    """The checkpoints of one job, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, position: Position, weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW) -> None:
        """Keep this state as the newest; drop those that are neither newest nor best."""
        target = self._path(position.step)
        if not target.is_dir():
            build_folder(target, lambda folder: _write(folder, position, weights, optimizer))
        for other in self._folder.glob("step-*"):
            if other not in (target, self._path(position.best_step)):
                shutil.rmtree(other)

    def newest(self) -> Position | None:
        """The position of the newest checkpoint, or None."""
        paths = sorted(self._folder.glob("step-*"))
        return _read_position(paths[-1]) if paths else None

    def restore(self, step: int, weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW | None) -> None:
        """Copy a checkpoint into live weights, and into the optimizer unless only weights are wanted."""
        path = self._path(step)
        with torch.no_grad():
            for name, value in load_file(path / "weights.safetensors").items():
                weights[name].copy_(value)
        if optimizer is not None:
            _restore_moments(load_file(path / "optimizer.safetensors"), weights, optimizer)

    def weights(self, step: int) -> dict[str, Tensor]:
        """A checkpoint's learned weights."""
        weights: dict[str, Tensor] = load_file(self._path(step) / "weights.safetensors")
        return weights

    def clear(self) -> None:
        """Remove every checkpoint: the job is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}"


def _write(
    folder: Path, position: Position, weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW
) -> None:
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in weights.items()},
        folder / "weights.safetensors",
    )
    moments: dict[str, Tensor] = {}
    for name, value in weights.items():
        for key, moment in optimizer.state.get(value, {}).items():
            moments[f"{key}/{name}"] = torch.as_tensor(moment).detach().cpu().contiguous()
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "position.json").write_text(json.dumps(asdict(position)))


def _restore_moments(
    moments: Mapping[str, Tensor], weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW
) -> None:
    for combined, value in moments.items():
        key, name = combined.split("/", 1)
        optimizer.state[weights[name]][key] = value.to(weights[name].device) if key != "step" else value


def _read_position(path: Path) -> Position:
    raw: dict[str, Any] = json.loads((path / "position.json").read_text())
    raw["curve"] = [CurvePoint(**point) for point in raw["curve"]]
    return Position(**raw)
