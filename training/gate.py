"""The accept rule: a version may be promoted only if it is better on its domain and has forgotten nothing.

Refusal is a normal outcome. Every check carries its figure, its limit and its verdict: the domain by a paired
bootstrap, terms and critical terms, general speech by a budget, words where nobody speaks, the time that decoding takes,
the export by its parity or, where that falls short, by its errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asr.evaluation.terms import TermCounts
from asr.models.export import PARITY_RATIO
from training.spec import GateOptions

OWN_LENGTH_POINTS = 0.5  # WER points that own lengths may cost against whole windows


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One condition.

    Attributes:
        name: what was checked.
        value: its figure.
        limit: what the figure is held against.
        passed: the verdict.
        detail: the sentence for a person; it holds figure and limit.
    """

    name: str
    value: float
    limit: float
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All checks; passed if all of them did.

    Attributes:
        checks: in the order in which they are told.
        cause: why the base was kept, where no mix could be chosen; it explains the checks that failed.
    """

    checks: tuple[Check, ...]
    cause: str = ""

    @property
    def passed(self) -> bool:
        """Whether the version may be promoted."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """Why not, or that all is well."""
        failed = [check.detail for check in self.checks if not check.passed]
        if failed:
            return "; ".join([*([self.cause] if self.cause else []), *failed])
        names = {check.name for check in self.checks}
        if "domain" not in names:
            return "own lengths cost nothing, general speech is within its budget; no domain was given"
        untested = "" if "locked test" in names else "; judged by dev alone, which also chose the mix"
        return f"better on the domain, general speech within its budget{untested}"


def general_budget(base_wer: float, options: GateOptions) -> float:
    """The general WER that may be reached at most."""
    return base_wer + max(options.general_points / 100, options.general_relative * base_wer)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportErrors:
    """Errors on rows of dev by an export and by the engine that it is to equal, as shares."""

    metric: str
    num_rows: int
    export: float
    reference: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFigures:
    """What is held against the limits.

    Attributes:
        prob_better: share of paired resamples in which the adapted model has the lower domain error; None where no
            domain was adapted to.
        metric: what the domain error is.
        general_metric: what is measured on general speech: WER, or CER where words are not written apart.
        resampled: over what the resamples are drawn, e.g. "52 utterances".
        base_general_wer: of the base, as a share.
        general_wer: of the adapted model.
        parity: share of equal characters between the exported model and the reference engine.
        parity_limit: what is asked of it: PARITY_RATIO, or the base's own share where that is less.
        export_errors: where parity falls short: those of the export and of the reference; None where nobody counted.
        test_prob_better: as ``prob_better``, on the locked test; None where there is none.
        test_resampled: over what its resamples are drawn.
        base_term_f1: of the base on dev, or None where there are no terms.
        term_f1: of the adapted model.
        critical: critical terms, with the base's and the adapted model's counts on dev and the locked test.
        terms_said: how often terms of the glossary are said in dev; with none there is nothing to check.
        base_sound_words: words that the base writes where nobody speaks.
        sound_words: likewise, the adapted model.
        latency_ratio: time to decode the probes, as a multiple of the base's.
        whole_general_wer: of the adapted model in whole windows, where it is to be heard at own lengths alone.
        leaked: utterances of dev, test and general whose audio is trained on.
    """

    prob_better: float | None
    metric: str
    resampled: str
    base_general_wer: float
    general_wer: float
    parity: float
    test_prob_better: float | None = None
    test_resampled: str = ""
    base_term_f1: float | None = None
    term_f1: float | None = None
    terms_said: int = 0
    critical: Mapping[str, tuple[TermCounts, TermCounts]] = field(default_factory=dict)
    base_sound_words: int = 0
    sound_words: int = 0
    latency_ratio: float | None = None
    whole_general_wer: float | None = None
    leaked: int = 0
    parity_limit: float = PARITY_RATIO
    export_errors: ExportErrors | None = None
    general_metric: str = "WER"


def judge(figures: GateFigures, options: GateOptions) -> GateVerdict:
    """Hold the figures against the limits."""
    budget = general_budget(figures.base_general_wer, options)
    domain = []
    if figures.prob_better is not None:
        domain.append(_better("domain", figures.metric, figures.prob_better, figures.resampled, options))
    if figures.test_prob_better is not None:
        domain.append(
            _better("locked test", figures.metric, figures.test_prob_better, figures.test_resampled, options)
        )
    general = Check(
        name="general",
        value=figures.general_wer,
        limit=budget,
        passed=figures.general_wer <= budget,
        detail=f"general {figures.general_metric} {figures.general_wer:.2%} after {figures.base_general_wer:.2%}, "
        f"at most {budget:.2%}",
    )
    leakage = _at_most(
        "leakage",
        figures.leaked,
        0,
        f"{figures.leaked} utterances of dev, test and general share audio with train, at most 0",
    )
    rest = (general, _sounds(figures), *_speed_checks(figures, options), leakage, _export(figures, options))
    return GateVerdict((*domain, *_term_checks(figures), *rest))


def _export(figures: GateFigures, options: GateOptions) -> Check:
    """The export says what the reference engine says; or, where there are transcripts, is no worse for what it says."""
    detail = f"export says {figures.parity:.1%} the same as the reference engine, needed {figures.parity_limit:.1%}"
    errors = figures.export_errors
    if figures.parity < figures.parity_limit and errors is not None:
        limit = general_budget(errors.reference, options)
        return _at_most(
            "export errors",
            errors.export,
            limit,
            f"{detail}; {errors.metric} {errors.export:.2%} on {errors.num_rows} rows of dev after "
            f"{errors.reference:.2%} by the reference, at most {limit:.2%}",
        )
    return Check(
        name="export",
        value=figures.parity,
        limit=figures.parity_limit,
        passed=figures.parity >= figures.parity_limit,
        detail=detail,
    )


def _speed_checks(figures: GateFigures, options: GateOptions) -> Iterator[Check]:
    if figures.whole_general_wer is not None:
        limit = figures.whole_general_wer + OWN_LENGTH_POINTS / 100
        yield _at_most(
            "own length",
            figures.general_wer,
            limit,
            f"general WER {figures.general_wer:.2%} at own lengths, {figures.whole_general_wer:.2%} in whole "
            f"windows, at most {limit:.2%}",
        )
    if figures.latency_ratio is not None:
        yield _at_most(
            "latency",
            figures.latency_ratio,
            options.max_latency_ratio,
            f"decoding takes {figures.latency_ratio:.2f} times as long as the base's, at most "
            f"{options.max_latency_ratio:g} times",
        )


def _better(name: str, metric: str, prob_better: float, resampled: str, options: GateOptions) -> Check:
    where = "dev" if name == "domain" else f"the {name}"
    return Check(
        name=name,
        value=prob_better,
        limit=options.min_prob_better,
        passed=prob_better >= options.min_prob_better,
        detail=f"P({metric} better) on {where} = {prob_better:.3f} over {resampled}, needed "
        f"{options.min_prob_better}",
    )


def _term_checks(figures: GateFigures) -> Iterator[Check]:
    if figures.base_term_f1 is not None and figures.term_f1 is not None and figures.terms_said:
        yield Check(
            name="terms",
            value=figures.term_f1,
            limit=figures.base_term_f1,
            passed=figures.term_f1 >= figures.base_term_f1,
            detail=f"term F1 {figures.term_f1:.3f} after {figures.base_term_f1:.3f}, must not fall",
        )
    if figures.critical:
        worse = [term for term, (base, adapted) in figures.critical.items() if _is_worse(base, adapted)]
        unsaid = [term for term, (base, _) in figures.critical.items() if not base.said]
        named = f": {', '.join(worse)}" if worse else ""
        yield Check(
            name="critical terms",
            value=len(worse),
            limit=0,
            passed=not worse,
            detail=f"{len(worse)} of {len(figures.critical)} critical terms are worse{named}, at most 0"
            + (f"; never said in dev or test, so unproved: {', '.join(unsaid)}" if unsaid else ""),
        )


def _is_worse(base: TermCounts, adapted: TermCounts) -> bool:
    """Missed more often, or written more often where it was not said."""
    return adapted.false_negatives > base.false_negatives or adapted.false_positives > base.false_positives


def _at_most(name: str, value: float, limit: float, detail: str) -> Check:
    return Check(name=name, value=value, limit=limit, passed=value <= limit, detail=detail)


def _sounds(figures: GateFigures) -> Check:
    return _at_most(
        "sounds",
        figures.sound_words,
        figures.base_sound_words,
        f"{figures.sound_words} words on silence, noise and music after {figures.base_sound_words}, "
        f"at most {figures.base_sound_words}",
    )
