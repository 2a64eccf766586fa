"""The training loop: AdamW with warm-up and linear decay, dev scored as it goes, the best kept, resumable.

Which weights learn is ``training.methods``, what a score is ``training.scoring``, how processes share the work
``training.distributed``. The best is that by dev WER, then term F1, never by loss: the loss may rise while recognition
improves. Whether it or the last is taken, the job says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from asr.models.precision import has_bfloat16
from training.checkpoint import CheckpointStore, CurvePoint, Position, moments_of
from training.distributed import OneProcess, Processes
from training.examples import Example, epoch_batches
from training.methods import Method
from training.spec import TrainingOptions


@dataclass(frozen=True, slots=True)
class DevScore:
    """Dev's WER and term F1; None where dev has no transcripts, or no terms.

    Where words are not written apart, ``metric`` says that the first is a CER.
    """

    wer: float | None
    term_f1: float | None
    metric: str = "WER"

    @property
    def key(self) -> tuple[float, float]:
        """Smaller is better: WER first, then term F1."""
        return (round(self.wer, 6) if self.wer is not None else 0.0, -round(self.term_f1 or 0.0, 6))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """What was learned, and the curve.

    Attributes:
        best_step: of the best dev score; 0 is the base.
        weights: learned at that step; None for the base.
        last_step: at which training ended, its rate the lowest.
        last_weights: learned by then; None where that step is the best one.
        curve: every evaluation.
    """

    best_step: int
    weights: dict[str, Tensor] | None
    last_step: int
    last_weights: dict[str, Tensor] | None
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """What the loop asks of its surroundings, on the main process alone.

    Attributes:
        score: dev's score of the model with these learned weights, named as by the method.
        on_step: called after each step with the step and its loss.
        on_point: called after each evaluation.
    """

    score: Callable[[Mapping[str, Tensor]], DevScore]
    on_step: Callable[[int, float], None]
    on_point: Callable[[CurvePoint], None]


def learning_rate_factor(step: int, total: int, warmup_share: float) -> float:
    """Share of the peak rate at ``step`` (from 0): rising over the warm-up, then linear to 0."""
    warmup = max(1, math.ceil(total * warmup_share))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (total - step) / max(1, total - warmup + 1))


class TrainingLoop:
    """One run over the examples; :meth:`run` goes on from the newest checkpoint, if there is one.

    Attributes:
        steps_per_epoch: batches in one pass.
        total_steps: if nothing stops early.
    """

    def __init__(
        self,
        method: Method,
        examples: Sequence[Example],
        *,
        options: TrainingOptions,
        seed: int,
        processes: Processes | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Prepare to train.

        Args:
            method: what learns; the same weights on every process.
            examples: the same on every process.
            options: rates and sizes; the batch is that of all processes together.
            seed: of the batches' order and of what a step draws.
            processes: those of the job, by default this one alone.
            dtype: matrices are multiplied in it; by default bfloat16 where the device has it, else float32.
        """
        self._method = method
        self._examples = examples
        self._options = options
        self._seed = seed
        first = next(iter(method.trainable().values()))
        self._processes = processes or OneProcess(first.device)
        self._loss = self._processes.ready(method)
        self._weights = method.trainable()
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self._device = first.device
        self._dtype = dtype or (torch.bfloat16 if has_bfloat16(self._device) else torch.float32)
        self.steps_per_epoch = sum(
            1 for _ in epoch_batches(examples, batch_size=options.batch_size, seed=0, epoch=0)
        )
        self.total_steps = self.steps_per_epoch * options.epochs

    def run(self, store: CheckpointStore, hooks: Hooks) -> TrainingResult:
        """Train to the end, or until dev has not improved for ``patience`` evaluations.

        Every process calls it, with a ``store`` in the same folder, and returns the same; the main one scores, writes
        and calls ``hooks``.
        """
        position = self._processes.from_main(store.newest)
        if position is None:
            position = self._begin(store, hooks)
        else:
            store.restore(position.step, self._weights, self._optimizer)
        interval = max(1, math.ceil(self.steps_per_epoch / self._options.evaluations_per_epoch))
        while position.step < self.total_steps and position.stale < self._options.patience:
            target = min(self.total_steps, (position.step // interval + 1) * interval)
            loss = self._advance(position, target, hooks)
            weights = self._processes.whole(self._weights)
            self._evaluate(position, loss, hooks, weights)
            self._keep(position, store, hooks, weights)
        best = position.best_step
        learned = store.weights(best) if best else None
        last = store.weights(position.step) if position.step != best else None
        self._processes.wait()  # from here on the main one may remove the checkpoints
        return TrainingResult(
            best_step=best, weights=learned, last_step=position.step, last_weights=last,
            curve=tuple(position.curve),
        )  # fmt: skip

    def _begin(self, store: CheckpointStore, hooks: Hooks) -> Position:
        position = Position()
        weights = self._processes.whole(self._weights)
        score = self._processes.from_main(lambda: hooks.score(weights))
        point = CurvePoint(
            step=0, epoch=0.0, loss=0.0, dev_wer=score.wer, dev_term_f1=score.term_f1, metric=score.metric
        )
        position.curve.append(point)
        self._keep(position, store, hooks, weights)
        return position

    def _keep(
        self, position: Position, store: CheckpointStore, hooks: Hooks, weights: Mapping[str, Tensor]
    ) -> None:
        moments = self._processes.whole(moments_of(self._weights, self._optimizer))
        if self._processes.is_main:
            store.save(position, weights, moments)
            hooks.on_point(position.curve[-1])  # after the save: what is announced is kept
        self._processes.wait()

    def _advance(self, position: Position, target: int, hooks: Hooks) -> float:
        """Train from ``position.step`` to ``target``; return the mean loss."""
        total = 0.0
        first = position.step
        while position.step < target:
            epoch, done = divmod(position.step, self.steps_per_epoch)
            batches = epoch_batches(
                self._examples, batch_size=self._options.batch_size, seed=self._seed, epoch=epoch
            )
            for batch in islice(batches, done, done + target - position.step):
                loss = self._step(batch, position.step)
                total += loss
                position.step += 1
                if self._processes.is_main:
                    hooks.on_step(position.step, loss)
        return total / (position.step - first)

    def _step(self, batch: Sequence[Example], step: int) -> float:
        factor = learning_rate_factor(step, self.total_steps, self._options.warmup_share)
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.learning_rate * factor
        self._method.model.train()
        loss = self._processes.sum_gradients(self._weights.values(), self._backward(batch, step))
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self._options.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._method.model.eval()
        return loss

    def _backward(self, batch: Sequence[Example], step: int) -> float:
        """Add the gradients of this process's part of a batch's mean loss; return that part."""
        # dropout of a resumed step is that of the uninterrupted one; processes draw apart
        chance = np.random.SeedSequence([self._seed, step, self._processes.rank])
        torch.manual_seed(int(chance.generate_state(1)[0]))
        num_targets = self._method.num_targets(batch)
        total = 0.0
        for examples, counts in self._processes.passes(self._method, batch):
            with torch.autocast(
                self._device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16
            ):
                loss = self._loss(examples, step)
            part = loss * (counts * self._method.num_targets(examples) / num_targets)
            part.backward()  # type: ignore[no-untyped-call]
            total += float(part.detach())
        return total

    def _evaluate(self, position: Position, loss: float, hooks: Hooks, weights: Mapping[str, Tensor]) -> None:
        score = self._processes.from_main(lambda: hooks.score(weights))
        best = next(point for point in position.curve if point.step == position.best_step)
        if score.key < DevScore(best.dev_wer, best.dev_term_f1).key:
            position.best_step, position.stale = position.step, 0
        else:
            position.stale += 1
        point = CurvePoint(
            step=position.step,
            epoch=round(position.step / self.steps_per_epoch, 3),
            loss=loss,
            dev_wer=score.wer,
            dev_term_f1=score.term_f1,
            metric=score.metric,
        )
        position.curve.append(point)
