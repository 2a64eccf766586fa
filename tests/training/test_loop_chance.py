"""What a step draws at random follows from the seed and the step: a resumed run with dropout is the uninterrupted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asr.data.manifest import Utterance
from training.checkpoint import CheckpointStore
from training.examples import Example
from training.loop import DevScore, Hooks, TrainingLoop, TrainingResult
from training.spec import TrainingOptions

OPTIONS = TrainingOptions(learning_rate=1e-4, epochs=3, batch_size=2, evaluations_per_epoch=1, patience=9)


class _InterruptError(Exception):
    """Stands for a kill between two steps."""


class _Regression:
    """The smallest method that draws: a linear map with dropout learns the number of an example's tokens."""

    name = "regression"

    def __init__(self) -> None:
        self.model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        with torch.no_grad():
            for value in self.model.parameters():
                value.fill_(0.1)

    def trainable(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        del step
        targets = torch.tensor([[float(len(example.tokens))] for example in examples])
        return torch.nn.functional.mse_loss(self.model(targets.expand(-1, 8)), targets)

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        return [list(examples)]

    def num_targets(self, examples: Sequence[Example]) -> int:
        return len(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(weights)


def _run(folder: Path, seed: int, stops: Sequence[int] = ()) -> TrainingResult:
    rows = [Utterance(id=str(n), audio_path=Path(f"{n}.wav"), duration_s=1.0) for n in range(6)]
    examples = [Example(row, tuple(range(n + 1))) for n, row in enumerate(rows)]
    for stop in (*stops, -1):
        torch.manual_seed(stop + 100)  # a new process begins with a state of its own
        method = _Regression()

        def on_step(step: int, _loss: float, stop: int = stop) -> None:
            if step == stop:
                raise _InterruptError

        def score(weights: Mapping[str, Tensor]) -> DevScore:
            return DevScore(float(weights["1.weight"].detach().sum()), None)  # it falls

        hooks = Hooks(score=score, on_step=on_step, on_point=lambda _point: None)
        try:
            return TrainingLoop(method, examples, options=OPTIONS, seed=seed).run(
                CheckpointStore(folder), hooks
            )
        except _InterruptError:
            continue
    raise AssertionError("unreachable: the last run is not stopped")


@pytest.mark.parametrize("stops", [(1,), (4, 5), (3, 8, 9)])
def test_dropout_after_a_resume_is_that_of_the_uninterrupted_run(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    undisturbed, interrupted = _run(tmp_path / "a", 5), _run(tmp_path / "b", 5, stops)
    assert undisturbed.curve == interrupted.curve
    assert undisturbed.weights is not None and interrupted.weights is not None
    for name, value in undisturbed.weights.items():
        assert torch.equal(value, interrupted.weights[name])


def test_another_seed_draws_otherwise(tmp_path: Path) -> None:
    assert _run(tmp_path / "a", 5).curve[1].loss != _run(tmp_path / "b", 6).curve[1].loss
