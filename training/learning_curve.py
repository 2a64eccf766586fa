"""A learning curve: short runs of one recipe on nested parts of the training rows, as far as a budget of time reaches.

Amounts double. Two chains, one from either end of the same order of speakers, show how much two runs on equally much
audio differ. Every run starts from the base and is scored as it ends, chosen by nothing. A finished run is kept on disk,
so an interrupted curve goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from asr.atomic import write_bytes_atomically
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, evaluate_texts
from training.checkpoint import CheckpointStore, Position
from training.examples import Example, epoch_batches
from training.family import Family, VariantScorer
from training.loop import DevScore, Hooks, TrainingLoop
from training.progress import Reporter
from training.scoring import GREEDY
from training.spec import TrainingOptions

MIN_ROWS = 24  # of the smallest part: three steps
MAX_SIZES = 5  # amounts of audio, each twice the one before
FIRST, SECOND = "first", "second"


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveOptions:
    """The recipe of every run.

    Attributes:
        epochs: passes over its rows.
        batch_size: utterances a step; small, so that small parts give steps enough.
        max_sizes: amounts of audio at most.
        seed: of the order of the speakers and of training.
    """

    epochs: int = 2
    batch_size: int = 8
    max_sizes: int = MAX_SIZES
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Rows of one run: ``count`` of them, from the front of the order or, in the second chain, from its end."""

    count: int
    chain: str

    def of(self, order: Sequence[Example]) -> Sequence[Example]:
        """The rows; of two parts of one chain, the smaller is within the larger."""
        return order[: self.count] if self.chain == FIRST else order[len(order) - self.count :]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortRun:
    """A finished run.

    Attributes:
        part: its rows.
        hours: of their audio.
        texts: what the result writes for each utterance of dev.
        num_fresh: its rows that no run before had.
        prepare_s: getting ready, which for a frozen encoder is encoding those, in s.
        train_s: training, in s.
        score_s: scoring, in s.
    """

    part: Part
    hours: float
    texts: tuple[str, ...]
    num_fresh: int
    prepare_s: float
    train_s: float
    score_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """What was run, and what the budget left out.

    Attributes:
        runs: in the order in which they were done.
        left_out: a line for each thing that was not done.
        total_hours: of all training rows, run or not.
    """

    runs: tuple[ShortRun, ...]
    left_out: tuple[str, ...]
    total_hours: float

    @property
    def num_sizes(self) -> int:
        """Different amounts of audio."""
        return len({run.part.count for run in self.runs})


def curve_order(examples: Sequence[Example], seed: int) -> list[Example]:
    """Rows speaker after speaker, in an order that the speakers' names and the seed decide, whatever else is there."""

    def key(example: Example) -> tuple[str, str]:
        row = example.utterance
        voice = row.speaker or row.session or row.id
        return _digest(f"{seed}\0{voice}"), _digest(f"{seed}\0{row.id}")

    return sorted(examples, key=key)


def curve_parts(count: int, max_sizes: int = MAX_SIZES) -> Iterator[Part]:
    """Parts of ``count`` rows in the order in which they are to be run: doubling, each one's twin a step behind.

    The last is all rows and has no twin.
    """
    halvings = max(0, min(max_sizes - 1, int(math.log2(max(1, count / MIN_ROWS)))))
    sizes = [count // 2**power for power in range(halvings, -1, -1)]
    for index, size in enumerate(sizes):
        yield Part(count=size, chain=FIRST)
        if index:
            yield Part(count=sizes[index - 1], chain=SECOND)


class CurveRunner:
    """Runs parts one after the other with one family, whose model is put back to the start each time."""

    def __init__(
        self, family: Family, dev: Sequence[Utterance], folder: Path, reporter: Reporter,
        options: CurveOptions, *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Score on ``dev``; keep finished runs below ``folder``."""
        self._family, self._dev, self._folder, self._reporter = family, list(dev), folder, reporter
        self._options, self._clock = options, clock
        self._scorer: VariantScorer | None = None
        self._seen: set[str] = set()

    def measure(self, examples: Sequence[Example], *, deadline_s: float) -> Curve:
        """Run part after part until all rows were trained on, or the next would end behind ``deadline_s``.

        Args:
            examples: training rows, none of a voice in dev.
            deadline_s: on the clock. The first part is always run: what it takes says what the others will.
        """
        order = curve_order(examples, self._options.seed)
        runs: list[ShortRun] = []
        left_out: list[str] = []
        for part in curve_parts(len(order), self._options.max_sizes):
            needed_s = 0.0
            if runs and not self._path(part, order).is_file():
                needed_s = estimated_s(part, self._num_fresh(part, order), runs)
            if needed_s and self._clock() + needed_s > deadline_s:
                left_out.append(
                    f"a run on {part.count} of {len(order)} utterances, {part.chain} chain: about {needed_s:.0f} s"
                )
                if part.chain == FIRST:  # all that follow take longer
                    break
                continue
            runs.append(self.run(part, order))
        return Curve(runs=tuple(runs), left_out=tuple(left_out), total_hours=_hours(order))

    def run(self, part: Part, order: Sequence[Example]) -> ShortRun:
        """Train on a part from the start and score; a run that is on disk is read."""
        examples = part.of(order)
        num_fresh = self._num_fresh(part, order)
        self._seen.update(example.utterance.id for example in examples)
        path = self._path(part, order)
        if path.is_file():
            return _read_run(path)
        started = self._clock()
        hours = _hours(examples)
        plan = self._family.plan(hours)
        options = self._training_options(self._family.learning_rate(plan, hours))
        batches = epoch_batches(examples, batch_size=options.batch_size, seed=0, epoch=0)
        method = self._family.method(plan, examples, options.epochs * sum(1 for _ in batches))
        method.model.load_state_dict(dict(self._family.start_state))
        encoded = self._clock()
        torch.manual_seed(self._options.seed)
        loop = TrainingLoop(method, examples, options=options, seed=self._options.seed)
        name = f"run on {part.count} utterances, {part.chain} chain"
        with self._reporter.stage(name, loop.total_steps) as stage:
            hooks = Hooks(
                score=lambda _weights: DevScore(None, None),
                on_step=lambda _step, loss: stage.advance(f"loss {loss:.3f}"),
                on_point=lambda _point: None,
            )
            loop.run(NothingKept(self._folder / "none"), hooks)
        trained = self._clock()
        state = {**self._family.start_state, **method.merged(method.trainable())}
        texts = self._texts(state)
        run = ShortRun(
            part=part, hours=hours, texts=tuple(texts), num_fresh=num_fresh, prepare_s=encoded - started,
            train_s=trained - encoded, score_s=self._clock() - trained,
        )  # fmt: skip
        write_bytes_atomically(path, json.dumps(asdict(run)).encode())
        return run

    def _training_options(self, learning_rate: float) -> TrainingOptions:
        options = self._options
        return TrainingOptions(
            learning_rate=learning_rate,
            epochs=options.epochs,
            batch_size=options.batch_size,
            evaluations_per_epoch=1,
            patience=options.epochs + 1,  # a short run goes to its end
        )

    def _texts(self, state: Mapping[str, Tensor]) -> list[str]:
        if self._scorer is None:
            self._scorer = self._family.scorer()
            with self._reporter.stage("cutting dev", len(self._dev)) as stage:
                self._scorer.prepare(self._dev, stage.advance)
        return self._scorer.texts(state, self._dev, GREEDY, self._family.context)

    def _path(self, part: Part, order: Sequence[Example]) -> Path:
        ids = "\0".join(example.utterance.id for example in part.of(order))
        return self._folder / "runs" / f"{part.count}-{part.chain}-{_digest(ids)[:16]}.json"

    def _num_fresh(self, part: Part, order: Sequence[Example]) -> int:
        return sum(example.utterance.id not in self._seen for example in part.of(order))


class NothingKept(CheckpointStore):
    """The checkpoints of a run that is shorter than writing them: none. Interrupted, it begins again."""

    def save(self, position: Position, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        """See :class:`training.checkpoint.CheckpointStore`."""

    def weights(self, step: int) -> dict[str, Tensor]:
        """None are kept: those of a run are in the model that it trained."""
        del step
        return {}


def estimated_s(part: Part, num_fresh: int, runs: Sequence[ShortRun]) -> float:
    """Seconds that a run on ``part``, ``num_fresh`` of whose rows no run had, will take, by those that were done."""
    largest = max(runs, key=lambda run: run.part.count)
    prepare_s = sum(run.prepare_s for run in runs) / max(1, sum(run.num_fresh for run in runs))
    train_s = largest.train_s / largest.part.count
    return num_fresh * prepare_s + part.count * train_s + min(run.score_s for run in runs)


def run_evaluation(run: ShortRun, dev: Sequence[Utterance], normalizer: str) -> Evaluation:
    """The errors of a run on dev, row by row."""
    return evaluate_texts(dev, run.texts, normalizer=normalizer)


def _read_run(path: Path) -> ShortRun:
    raw = json.loads(path.read_bytes())
    return ShortRun(**raw | {"part": Part(**raw["part"]), "texts": tuple(raw["texts"])})


def _hours(examples: Sequence[Example]) -> float:
    return sum(example.utterance.duration_s for example in examples) / 3600


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
