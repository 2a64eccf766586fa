"""What an assessment found, as one stable JSON document and as sentences that claim no more than the figures do.

The document (rates are shares; null where a figure is not defined):

    model, sha256, seconds, budget_minutes, notes
    everyday: a distance of general sentences, spoken by synthesis, to compare the others with
    distances: one for each source
        source, synthesised, measured, of
        evaluation: as ``lexitune evaluate`` documents it (wer, wer_interval, term_recall, ...), greedy search
        unrecognised_words: distinct, unrecognised, share, share_of_said, named [[word, occurrences], ...]
        fragmentation: words, tokens_per_word, split_share, unwritable [[character, occurrences], ...]
        surprise: utterances, tokens, perplexity, bits_per_character
    curve: null, or
        metric, base, base_interval, total_hours, recipe
        runs: [{hours, utterances, chain, error}, ...]
        law: floor, scale, exponent, unit_hours; scatter, prob_better, resampled
        forecasts: [{audio_factor, hours, error, low, high}, ...]; null with fewer than three amounts of audio
        verdict: "falls", "flat", "does not help" or "too few runs"; sentence
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, as_document
from asr.models.resolve import ResolvedModel
from training.assess_data import Source
from training.assess_spec import AssessSpec
from training.distance import Fragmentation, Surprise, UnrecognisedWords
from training.forecast import MIN_SIZES, CurveRun, FittedCurve, Forecast, fit_curve
from training.learning_curve import Curve, CurveOptions, run_evaluation

FACTORS = (1.0, 2.0)  # of the audio that was given
MIN_PROB_BETTER = 0.95  # as the gate asks
MIN_FALL = 0.05  # relative, by twice the audio: less is called flat
FAR = 4.0  # times the audio that was run on: a forecast beyond it says that it is far

FALLS, FLAT, NO_HELP, TOO_FEW = "falls", "flat", "does not help", "too few runs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """One source's figures."""

    source: Source
    evaluation: Evaluation
    unrecognised: UnrecognisedWords | None
    fragmentation: Fragmentation
    surprise: Surprise | None

    def as_document(self) -> dict[str, Any]:
        """See the module."""
        words = self.unrecognised
        return {
            "source": self.source.name,
            "synthesised": self.source.synthesised,
            "measured": len(self.source.rows),
            "of": self.source.num_rows,
            "evaluation": as_document(self.evaluation),
            "unrecognised_words": asdict(words) | {"share": words.unrecognised / max(1, words.distinct)}
            if words
            else None,
            "fragmentation": asdict(self.fragmentation),
            "surprise": asdict(self.surprise) if self.surprise else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveReport:
    """The runs, the law through them and what it says.

    Attributes:
        curve: the runs.
        options: their recipe.
        base: the errors on the same utterances without adaptation.
        errors: the error rate of each run.
        fitted: None with too few amounts of audio.
        forecasts: for ``FACTORS``, None likewise.
        verdict: one of the module's four.
        sentence: for a person.
    """

    curve: Curve
    options: CurveOptions
    base: Evaluation
    errors: tuple[float, ...]
    fitted: FittedCurve | None
    forecasts: tuple[Forecast, ...] | None
    verdict: str
    sentence: str

    def as_document(self) -> dict[str, Any]:
        """See the module."""
        fitted = self.fitted
        return {
            "metric": "wer",
            "base": self.base.wer,
            "base_interval": as_document(self.base)["wer_interval"],
            "total_hours": self.curve.total_hours,
            "recipe": asdict(self.options),
            "runs": [
                {"hours": run.hours, "utterances": run.part.count, "chain": run.part.chain, "error": error}
                for run, error in zip(self.curve.runs, self.errors, strict=True)
            ],
            "law": asdict(fitted.law) if fitted else None,
            "scatter": fitted.scatter if fitted else None,
            "prob_better": fitted.prob_better if fitted else None,
            "resampled": fitted.unit if fitted else None,
            "forecasts": [
                {"audio_factor": factor, **asdict(forecast)}
                for factor, forecast in zip(FACTORS, self.forecasts, strict=True)
            ]
            if self.forecasts
            else None,
            "verdict": self.verdict,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """Everything that was found."""

    spec: AssessSpec
    base: ResolvedModel
    everyday: Distance
    distances: tuple[Distance, ...]
    curve: CurveReport | None
    notes: tuple[str, ...]
    seconds: float

    def as_document(self) -> dict[str, Any]:
        """See the module."""
        return {
            "model": self.base.reference,
            "sha256": self.base.sha256,
            "seconds": self.seconds,
            "budget_minutes": self.spec.budget_minutes,
            "everyday": self.everyday.as_document(),
            "distances": [distance.as_document() for distance in self.distances],
            "curve": self.curve.as_document() if self.curve else None,
            "notes": list(self.notes),
        }


def judge_curve(
    curve: Curve, base: Evaluation, dev: Sequence[Utterance], options: CurveOptions, *, seed: int
) -> CurveReport:
    """Fit the runs and say what they say.

    Args:
        curve: the runs.
        base: the same rows of dev without adaptation.
        dev: what was scored.
        options: the recipe.
        seed: of the resampling.
    """
    evaluations = [run_evaluation(run, dev, base.normalizer) for run in curve.runs]
    fitted, forecasts = None, None
    if curve.num_sizes >= MIN_SIZES:
        fitted = fit_evaluations(curve, base, evaluations, seed=seed)
        forecasts = tuple(fitted.at(factor * curve.total_hours) for factor in FACTORS)
    errors = tuple(evaluation.error for evaluation in evaluations)
    verdict, sentence = _verdict(curve, base.error, errors, fitted, forecasts)
    return CurveReport(
        curve=curve, options=options, base=base, errors=errors, fitted=fitted, forecasts=forecasts,
        verdict=verdict, sentence=sentence,
    )  # fmt: skip


def fit_evaluations(
    curve: Curve, base: Evaluation, evaluations: Sequence[Evaluation], *, seed: int
) -> FittedCurve:
    """The law through a curve's runs, from the errors of each row of dev."""
    runs = [
        CurveRun(hours=run.hours, errors=_errors(evaluation))
        for run, evaluation in zip(curve.runs, evaluations, strict=True)
    ]
    sizes = [row.words.num_reference if row.words else 0 for row in base.rows]
    blocks = [row.speaker or row.id for row in base.rows]
    return fit_curve(runs, _errors(base), sizes, blocks, seed=seed)


def _errors(evaluation: Evaluation) -> tuple[int, ...]:
    return tuple(row.words.errors if row.words else 0 for row in evaluation.rows)


def _verdict(
    curve: Curve, base: float, errors: Sequence[float], fitted: FittedCurve | None,
    forecasts: tuple[Forecast, ...] | None,
) -> tuple[str, str]:  # fmt: skip
    most, error = max(zip(curve.runs, errors, strict=True), key=lambda pair: pair[0].hours)
    measured = f"WER {base:.1%} as it is, {error:.1%} after a short run on {_audio(most.hours)}"
    if fitted is None or forecasts is None:
        return TOO_FEW, f"{measured}; {curve.num_sizes} amounts of audio are too few for a forecast"
    if fitted.prob_better < MIN_PROB_BETTER:
        return NO_HELP, (
            f"a short run on what there is does not help here: {measured} (better in {fitted.prob_better:.0%} of the "
            f"resamples, {MIN_PROB_BETTER:.0%} are asked for)"
        )
    now, twice = forecasts
    expected = (
        f"with twice the audio ({_audio(twice.hours)}), expect {twice.error:.1%} "
        f"({twice.low:.1%} - {twice.high:.1%})"
    )
    if twice.hours > FAR * most.hours:
        expected += f"; that is {twice.hours / most.hours:.0f} times what was run on, so trust it little"
    if twice.error > (1 - MIN_FALL) * now.error:
        return FLAT, f"{measured}; the curve is flat, more audio of this kind brings little: {expected}"
    return FALLS, f"{measured}; {expected}"


def _audio(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
