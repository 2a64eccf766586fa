"""What a report is made from: plain frozen values that the command line and training fill in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from asr.data.manifest import Utterance
from asr.errors import InputError
from asr.evaluation.evaluate import Evaluation
from asr.evaluation.significance import PairedComparison


@dataclass(frozen=True, kw_only=True, slots=True)
class GateCheck:
    """One condition of the gate.

    Attributes:
        name: what was checked.
        value: its figure.
        limit: what the figure is held against.
        passed: the verdict.
        detail: the sentence for a person; it holds figure and limit.
        sense: how the figure must stand to the limit, where that is known.
        unit: "share" shows figure and limit in percent; any other word stands behind the number.
    """

    name: str
    value: float
    limit: float
    passed: bool
    detail: str
    sense: Literal["", "at least", "at most"] = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetResult:
    """One set of utterances under the adapted model and, where there is one, the base.

    Attributes:
        name: of the set, such as "dev", "test", "general" or the manifest's name.
        adapted: the model that the report is about.
        base: what it is compared with; None shows the one model alone.
        utterances: the rows of both, in their order.
        description: where the set comes from, in a sentence.
        paired: the comparison to show, such as the one the gate used; by default made here with the usual seed.

    Raises:
        InputError: the rows of the evaluations and the utterances are not the same, or the normalisers differ.
    """

    name: str
    adapted: Evaluation
    utterances: tuple[Utterance, ...]
    base: Evaluation | None = None
    description: str = ""
    paired: PairedComparison | None = None

    def __post_init__(self) -> None:
        ids = [utterance.id for utterance in self.utterances]
        for evaluation in (self.adapted, *((self.base,) if self.base is not None else ())):
            if [row.id for row in evaluation.rows] != ids:
                raise InputError(
                    f"the report's set {self.name!r}: {len(evaluation.rows)} rows of {evaluation.model!r} are not "
                    f"the {len(ids)} utterances; give both models and the utterances the same rows in one order"
                )
            if evaluation.normalizer != self.adapted.normalizer:
                raise InputError(
                    f"the report's set {self.name!r} compares figures under {evaluation.normalizer} and "
                    f"{self.adapted.normalizer}; evaluate both under one normaliser"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a curve.

    Attributes:
        name: for the legend.
        points: (x, y), by rising x.
        interval: (low, high) of each point's y, or nothing.

    Raises:
        InputError: a coordinate that is not finite, or not one interval for each point.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    interval: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.interval and len(self.interval) != len(self.points):
            raise InputError(
                f"series {self.name!r} has {len(self.points)} points and {len(self.interval)} intervals; "
                "give one for each point, or none"
            )
        if not all(math.isfinite(value) for pair in (*self.points, *self.interval) for value in pair):
            raise InputError(f"series {self.name!r} holds a value that is not finite; leave such points out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A chart: learning over steps or hours, domain and general error over the mix.

    Attributes:
        title: what it shows.
        x_label: with the unit.
        y_label: likewise.
        series: one line each; at most four can be told apart.
        y_unit: "share" shows y in percent.
        marked_x: a place that was chosen, such as the best step, with :attr:`mark`.
        mark: what to call it.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    y_unit: Literal["share", ""] = "share"
    marked_x: float | None = None
    mark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One page.

    Attributes:
        title: such as "barista version 3".
        summary: what was done, in a sentence or two.
        created_at: date and time, as it shall be read.
        facts: what was trained on what, method and why, seed, seconds spent: name to value.
        hashes: of models, data and experiment, and code versions: name to value.
        notes: whatever a reader must know to trust the figures.
        checks: the gate's; empty where nothing was judged.
        results: one for each set, the most important first.
        curves: learning and interpolation.
        base_name: heads the base's columns.
        adapted_name: heads the other model's.
    """

    title: str
    results: tuple[SetResult, ...]
    summary: str = ""
    created_at: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checks: tuple[GateCheck, ...] = ()
    curves: tuple[Curve, ...] = ()
    base_name: str = "base"
    adapted_name: str = "adapted"

    @property
    def passed(self) -> bool | None:
        """The gate's verdict, or None where nothing was judged."""
        return all(check.passed for check in self.checks) if self.checks else None
