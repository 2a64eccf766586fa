"""Before anything is spent: how far a domain is from a model, and what adapting to it would bring.

Distances come from a sample that the model transcribes, the forecast from short runs of the decoder method (a CTC model
learns whole) on nested parts of the recordings; ``training.assess_report`` says what the figures mean. Nothing is
published. Interrupted and run again, it goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from asr import __version__
from asr.errors import OptionError
from asr.evaluation.evaluate import Evaluation, evaluate_model
from asr.models.checkpoint import WAV2VEC2, check_folder
from asr.models.contexts import WHOLE
from asr.models.ctc_torch import TorchCtc
from asr.models.resolve import ResolvedModel, resolve_model
from asr.models.whisper_tokens import WhisperTokenizer
from asr.recognizer import Recognizer
from asr.storage import exclusive, home_dir
from training.assess_data import AssessData, Source, collect_sources
from training.assess_report import Assessment, CurveReport, Distance, judge_curve
from training.assess_spec import AssessSpec
from training.data import AdaptationData
from training.distance import (
    Fragmentation,
    Surprise,
    ctc_fragmentation,
    ctc_surprise,
    unrecognised_words,
    whisper_fragmentation,
    whisper_surprise,
)
from training.exhaustion import explained
from training.families import open_family
from training.family import Family
from training.learning_curve import MIN_ROWS, CurveOptions, CurveRunner
from training.own_length import is_taught
from training.progress import Reporter
from training.scoring import GREEDY
from training.spec import AdaptationSpec, TrainingOptions

MIN_CURVE_ROWS = 4 * MIN_ROWS  # the least amount of audio, twice and four times as much
MAX_SURPRISE = 12  # utterances of each source: surprise needs few, and encodes them anew


def assess(
    spec: AssessSpec,
    reporter: Reporter,
    *,
    num_workers: int = 2,
    curve_options: CurveOptions | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Assessment:
    """Measure and forecast.

    Args:
        spec: what.
        reporter: where progress goes.
        num_workers: cores.
        curve_options: the recipe of the short runs.
        clock: in s, for the budget.

    Raises:
        LexituneError: the input cannot be used.
    """
    options = curve_options or CurveOptions(seed=spec.seed)
    work = _Assessing(spec, reporter, options, num_workers=num_workers, clock=clock)
    with exclusive(work.folder), explained(work.folder, batch_size=options.batch_size):
        return work.run()


class _Assessing:
    """The steps of one assessment and what they share."""

    def __init__(
        self, spec: AssessSpec, reporter: Reporter, options: CurveOptions, *, num_workers: int,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._started = clock()
        self._spec, self._reporter, self._options = spec, reporter, options
        self._num_workers, self._clock = num_workers, clock
        self._base = resolve_model(spec.model)
        if spec.own_length and check_folder(self._base.transformers_dir) == WAV2VEC2:
            raise OptionError(
                f"--own-length is for a Whisper, and {spec.model} is a Wav2Vec2, which hears every utterance at its "
                "own length anyway; leave it out",
                field="own_length",
            )
        # at own lengths if the base was taught them or is to be taught now; runs of both kinds make no curve
        self._is_own = spec.own_length or self._base.own_length or is_taught(self._base)
        digest = spec.digest(self._base.sha256, __version__, repr(options), str(self._is_own))
        self.folder = home_dir("work", f"assess-{digest}")
        torch.set_num_threads(max(1, num_workers))

    def run(self) -> Assessment:
        """All steps in order."""
        data = collect_sources(self._spec, self.folder, self._reporter)
        meter = _Meter(self._spec, self._base, self.folder, self._reporter, self._num_workers)
        everyday = meter.distance(data.everyday, data)
        distances = [meter.distance(source, data) for source in data.sources]
        meter.close()
        curve = None
        if data.train:
            curve = self._curve(data, meter.evaluations["recordings"])
        elif not self._spec.manifest:
            data.notes.append("no learning curve: it needs transcribed recordings; give a MANIFEST")
        shutil.rmtree(self.folder, ignore_errors=True)
        return Assessment(
            spec=self._spec, base=self._base, everyday=everyday, distances=tuple(distances), curve=curve,
            notes=tuple(data.notes), seconds=round(self._clock() - self._started, 1),
        )  # fmt: skip

    def _curve(self, data: AssessData, base: Evaluation) -> CurveReport | None:
        opened_s = self._clock()
        family = open_assessed(self._spec, self._base, data, self.folder, self._reporter, self._num_workers)
        teaching_s = self._clock() - opened_s
        rows = family.rows(data.train)
        data.notes.extend(rows.notes)
        if rows.rejected:
            first = rows.rejected[0]
            data.notes.append(
                f"recordings: {len(rows.rejected)} of {len(data.train)} rows cannot be learned from, {first.id} "
                f"first: {first.reason}"
            )
        if len(rows.examples) < MIN_CURVE_ROWS:
            data.notes.append(
                f"no learning curve: {len(rows.examples)} utterances to learn from; {MIN_CURVE_ROWS} give three "
                "amounts that double"
            )
            return None
        dev = next(source for source in data.sources if source.name == "recordings").rows
        runner = CurveRunner(family, dev, self.folder, self._reporter, self._options, clock=self._clock)
        deadline_s = self._started + 60 * self._spec.budget_minutes + teaching_s
        curve = runner.measure(list(rows.examples), deadline_s=deadline_s)
        data.notes.extend(
            f"left out within {self._spec.budget_minutes:g} minutes: {line}" for line in curve.left_out
        )
        if curve.left_out:
            whole = family.name == "whisper" and family.context == WHOLE
            data.notes.append(
                f"raise --budget-minutes for what was left out{', or give --own-length for faster runs' if whole else ''}"
            )
        return judge_curve(curve, base, dev, self._options, seed=self._spec.seed)


class _Meter:
    """Measures sources with the model as it is served.

    Attributes:
        evaluations: by the sources' names.
    """

    def __init__(
        self, spec: AssessSpec, base: ResolvedModel, folder: Path, reporter: Reporter, num_workers: int
    ) -> None:
        self._spec, self._base, self._folder = spec, base, folder
        self._reporter, self._num_workers = reporter, num_workers
        self._recognizer = Recognizer.load(spec.model, num_workers=num_workers)
        self._ctc: TorchCtc | None = None
        if check_folder(base.transformers_dir) == WAV2VEC2:
            self._ctc = TorchCtc(base.transformers_dir)
        self.evaluations: dict[str, Evaluation] = {}

    def distance(self, source: Source, data: AssessData) -> Distance:
        with self._reporter.stage(f"transcribing {source.name}", len(source.rows)) as stage:
            evaluation = evaluate_model(
                self._recognizer, source.rows, normalizer=self._spec.normalizer,
                terms=() if source is data.everyday else data.terms, options=GREEDY, on_row=stage.advance,
            )  # fmt: skip
        self.evaluations[source.name] = evaluation
        return Distance(
            source=source,
            evaluation=evaluation,
            unrecognised=unrecognised_words(evaluation),
            fragmentation=self._fragmentation(source),
            surprise=self._surprise(source),
        )

    def close(self) -> None:
        """Free the models' memory before anything is trained."""
        self._recognizer.close()
        if self._ctc is not None:
            self._ctc.close()

    def _fragmentation(self, source: Source) -> Fragmentation:
        if self._ctc is not None:
            return ctc_fragmentation(source.texts, self._ctc.tokens)
        tokenizer = WhisperTokenizer(self._base.transformers_dir / "tokenizer.json")
        return whisper_fragmentation(source.texts, tokenizer)

    def _surprise(self, source: Source) -> Surprise | None:
        rows = [row for row in source.rows if row.text][:MAX_SURPRISE]
        if self._ctc is not None:
            return ctc_surprise(self._ctc, rows, self._base.transformers_dir)
        with self._reporter.stage(f"surprise at {source.name}", len(rows)) as stage:
            folder = self._folder / "surprise"
            return whisper_surprise(
                self._base, rows, folder, num_workers=self._num_workers, on_done=stage.advance
            )


def open_assessed(
    spec: AssessSpec, base: ResolvedModel, data: AssessData, folder: Path, reporter: Reporter, num_workers: int
) -> Family:  # fmt: skip
    """The family that trains the short runs, at own lengths if the base was taught them or is to be taught now."""
    is_own = spec.own_length or base.own_length or is_taught(base)
    job = AdaptationSpec(
        base=spec.model, name="assess", train=spec.manifest, seed=spec.seed, normalizer=spec.normalizer,
        method="ctc" if check_folder(base.transformers_dir) == WAV2VEC2 else "decoder",
        training=TrainingOptions(own_length=is_own, quiet_share=0.0),  # a curve of what is said
    )  # fmt: skip
    rows = AdaptationData(
        train=data.train, dev=[], test=[], general=[], terms=data.terms, critical=(), sounds=[], hashes={}
    )
    return open_family(base, job, rows, folder, reporter, num_workers=num_workers)
