"""The accept rule: a version may be promoted only if it is better on its domain and has forgotten nothing.

Refusal is a normal outcome. Every check carries its figure, its limit and its verdict. This first form checks the
domain by a paired bootstrap, general speech by a budget, and the export by its parity.
"""

from __future__ import annotations

from dataclasses import dataclass

from asr.models.export import PARITY_RATIO
from training.spec import GateOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One condition.

    Attributes:
        name: what was checked.
        value: its figure.
        limit: what the figure is held against.
        passed: the verdict.
        detail: the sentence for a person.
    """

    name: str
    value: float
    limit: float
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All checks; passed if all of them did."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the version may be promoted."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """Why not, or that all is well."""
        failed = [check.detail for check in self.checks if not check.passed]
        return "; ".join(failed) or "better on the domain, general speech within its budget"


def general_budget(base_wer: float, options: GateOptions) -> float:
    """The general WER that may be reached at most."""
    return base_wer + max(options.general_points / 100, options.general_relative * base_wer)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFigures:
    """What is held against the limits.

    Attributes:
        prob_better: share of paired resamples in which the adapted model has the lower domain error.
        metric: what the domain error is.
        resampled: over what the resamples are drawn, e.g. "52 utterances".
        base_general_wer: of the base, as a share.
        general_wer: of the adapted model.
        parity: share of equal characters between the exported model and the reference engine.
    """

    prob_better: float
    metric: str
    resampled: str
    base_general_wer: float
    general_wer: float
    parity: float


def judge(figures: GateFigures, options: GateOptions) -> GateVerdict:
    """Hold the figures against the limits."""
    budget = general_budget(figures.base_general_wer, options)
    domain = Check(
        name="domain",
        value=figures.prob_better,
        limit=options.min_prob_better,
        passed=figures.prob_better >= options.min_prob_better,
        detail=f"P({figures.metric} better) = {figures.prob_better:.3f} over {figures.resampled}, needed "
        f"{options.min_prob_better}",
    )
    general = Check(
        name="general",
        value=figures.general_wer,
        limit=budget,
        passed=figures.general_wer <= budget,
        detail=f"general WER {figures.general_wer:.2%} after {figures.base_general_wer:.2%}, at most {budget:.2%}",
    )
    export = Check(
        name="export",
        value=figures.parity,
        limit=PARITY_RATIO,
        passed=figures.parity >= PARITY_RATIO,
        detail=f"export says {figures.parity:.1%} the same as the reference engine, needed {PARITY_RATIO:.0%}",
    )
    return GateVerdict((domain, general, export))
