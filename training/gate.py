"""The accept rule: a version may be promoted only if it is better on its domain and has forgotten nothing.

Refusal is a normal outcome. Every check carries its figure, its limit and its verdict. This first form checks the
domain by a paired bootstrap, general speech by a budget, and the export by its parity.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def judge(
    *, prob_better: float, metric: str, base_general_wer: float, general_wer: float, parity: float,
    min_parity: float, options: GateOptions,
) -> GateVerdict:  # fmt: skip
    """Hold the figures against the limits.

    Args:
        prob_better: share of paired resamples in which the adapted model has the lower domain error.
        metric: what the domain error is, for the message.
        base_general_wer: of the base, as a share.
        general_wer: of the adapted model.
        parity: share of equal characters between the exported model and the reference engine.
        min_parity: its limit.
        options: the limits.
    """
    budget = general_budget(base_general_wer, options)
    return GateVerdict(
        (
            Check(
                name="domain",
                value=prob_better,
                limit=options.min_prob_better,
                passed=prob_better >= options.min_prob_better,
                detail=f"P({metric} better) = {prob_better:.3f}, needed {options.min_prob_better}",
            ),
            Check(
                name="general",
                value=general_wer,
                limit=budget,
                passed=general_wer <= budget,
                detail=f"general WER {general_wer:.2%} after {base_general_wer:.2%}, at most {budget:.2%}",
            ),
            Check(
                name="export",
                value=parity,
                limit=min_parity,
                passed=parity >= min_parity,
                detail=f"export says {parity:.1%} the same as the reference engine, needed {min_parity:.0%}",
            ),
        )
    )
