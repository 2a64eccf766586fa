"""Learning by one plan: train, take the weights of a step, mix them with the base; and by another where that falls short.

What a job shares between its plans is here; data, export, gate and publishing are ``training.adapt``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from training.checkpoint import CheckpointStore, CurvePoint
from training.distributed import Processes
from training.examples import Example
from training.family import Family, Plan
from training.interpolate import MixScore
from training.loop import Hooks, TrainingLoop, TrainingResult
from training.measuring import Measurer
from training.methods import Method
from training.progress import Reporter
from training.spec import AdaptationSpec, TrainingOptions
from training.stopwatch import Stopwatch
from training.variants import Variant

HELD_BACK = 1.5  # times the errors of the best mix beyond the budgets (docs/experiments.md)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What one plan has come to, on the main process.

    Attributes:
        plan: what was trained.
        method: that learned it.
        weights: that it learned, named as by the method; empty where the start is best.
        tuned: the same as weights of the model.
        step: at which it had learned them; 0 is the start.
        curve: every evaluation.
        mixes: the base first.
    """

    plan: Plan
    method: Method
    weights: Mapping[str, Tensor]
    tuned: Mapping[str, Tensor]
    step: int
    curve: tuple[CurvePoint, ...]
    mixes: Sequence[Variant]


class Learner:
    """Trains a family's model on a job's examples and measures what came of it.

    Attributes:
        notes: for the reader of the card: which plans were tried, where there were two.
    """

    def __init__(
        self, family: Family, spec: AdaptationSpec, folder: Path, reporter: Reporter, processes: Processes,
        measurer: Measurer,
    ) -> None:  # fmt: skip
        """Keep checkpoints in ``folder``; every process makes one."""
        self._family, self._spec, self._folder = family, spec, folder
        self._reporter, self._processes, self._measurer = reporter, processes, measurer
        self.notes: list[str] = []

    def learn(
        self,
        plan: Plan,
        method: Method,
        options: TrainingOptions,
        examples: Sequence[Example],
        *,
        checkpoints: str = "checkpoints",
        before: Learned | None = None,
    ) -> Learned | None:
        """Train, or go on from the newest checkpoint, and measure the mixes with the base.

        Args:
            plan: that ``method`` follows.
            method: the model ready to learn.
            options: rates and sizes.
            examples: to learn from.
            checkpoints: name of the folder for those of this plan.
            before: what another plan came to on this process, whose figures of the base are taken over.

        Returns:
            What was learned; None on all processes but the main one.
        """
        trained = self._train(method, options, examples, self._folder / checkpoints)
        if not self._processes.is_main:
            return None
        step, weights = self._taken(trained, method)
        tuned = method.merged(weights)
        known = [mix for mix in before.mixes if not mix.score.mix] if before else []
        mixes = self._measurer.measure_mixes(tuned, is_split=plan.is_split, known=known)
        return Learned(
            plan=plan,
            method=method,
            weights=weights,
            tuned=tuned,
            step=step,
            curve=trained.curve,
            mixes=mixes,
        )

    def is_held_back(self, learned: Learned | None) -> bool:
        """Whether a mix beyond the budgets has far fewer errors on dev than the best one within, and surely fewer."""
        if learned is None:
            return False
        best = self._measurer.best(learned.mixes)
        beyond = self._measurer.beyond_budgets(learned.mixes)
        least = min(beyond, key=lambda mix: mix.score.domain_error, default=best)
        is_far = best.score.domain_error > HELD_BACK * least.score.domain_error
        if not is_far or not self._measurer.is_surely_better(least, best):
            return False
        self._reporter.note(
            f"method {learned.plan.method}: mix {least.score.label}, beyond the budgets, has dev error "
            f"{least.score.domain_error:.2%}, and {best.score.label}, the best within them, {best.score.domain_error:.2%}"
        )
        return True

    def chosen(self, learned: Sequence[Learned]) -> tuple[Learned, Variant]:
        """The plan whose best mix within the budgets has the lowest error on dev, the first of equals; and that mix.

        As among the mixes of one plan, whole windows are taken only where nothing learned is heard at own lengths.
        """
        bests = [self._measurer.best(one.mixes) for one in learned]

        def rank(index: int) -> tuple[bool, bool, float]:
            best = bests[index]
            return not best.score.mix, best.context != self._family.context, best.score.domain_error

        taken = learned[min(range(len(learned)), key=rank)]
        if len(learned) > 1:
            self._tell_choice(learned, [best.score for best in bests], taken)
        return taken, self._measurer.choose(taken.mixes)

    def _tell_choice(self, learned: Sequence[Learned], bests: Sequence[MixScore], taken: Learned) -> None:
        tried = "; ".join(
            f"{one.plan.method}, mix {best.label}, dev error {best.domain_error:.2%}"
            for one, best in zip(learned, bests, strict=True)
        )
        name = taken.plan.method if any(best.mix for best in bests) else "nothing that was learned"
        self.notes.append(
            f"two plans were tried, the best of each within the budgets: {tried}; taken: {name}"
        )
        self._reporter.note(self.notes[-1])
        for point in taken.curve:  # the curve of the other one may have been the last that was told
            self._tell_figures(point)

    def _train(
        self, method: Method, options: TrainingOptions, examples: Sequence[Example], folder: Path
    ) -> TrainingResult:
        loop = TrainingLoop(
            method, examples, options=options, seed=self._spec.seed, processes=self._processes
        )
        start = self._family.start_state
        stopwatch = Stopwatch()
        with self._reporter.stage("training", loop.total_steps) as stage:
            hooks = Hooks(
                score=stopwatch.timed(
                    lambda weights: self._measurer.dev_score({**start, **method.merged(weights)})
                ),
                on_step=lambda _step, loss: stage.advance(f"loss {loss:.3f}"),
                on_point=lambda point: self._tell(point, *stopwatch.lap()),
            )
            store = CheckpointStore(folder, on_damaged=self._reporter.note)
            return loop.run(store, hooks)

    def _taken(self, trained: TrainingResult, method: Method) -> tuple[int, Mapping[str, Tensor]]:
        """The last weights, unless dev is sure that those of the best step are better; the step, 0 for the start."""
        best, last = trained.weights or {}, trained.last_weights
        if last is None:
            return trained.best_step, best
        start = self._family.start_state
        is_best = self._measurer.is_first_better(
            *({**start, **(method.merged(weights) if weights else {})} for weights in (best, last))
        )
        step, weights = (trained.best_step, best) if is_best else (trained.last_step, last)
        self._reporter.note(
            f"step {step} is taken: dev is {'' if is_best else 'not '}sure that step {trained.best_step} is better"
        )
        return step, weights

    def _tell(self, point: CurvePoint, learning_s: float, scoring_s: float) -> None:
        learning = f"{learning_s:.1f} s of training and saving, " if point.step else ""
        self._reporter.note(f"{point.as_line()} ({learning}{scoring_s:.1f} s of scoring)")
        self._tell_figures(point)

    def _tell_figures(self, point: CurvePoint) -> None:
        values = {"epoch": point.epoch, "dev_wer": point.dev_wer, "dev_term_f1": point.dev_term_f1}
        values |= {"loss": point.loss} if point.step else {}
        known = {name: value for name, value in values.items() if value is not None}
        self._reporter.figures(point.step, known)
