"""The page itself: what is in a report, laid out by the template, with styles, script and audio inside.

The template escapes everything that comes from outside, and the page's own content security policy lets nothing run
but its one script (by hash) and nothing load but data URIs.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from asr.atomic import write_bytes_atomically
from asr.evaluation.report.audio import PAGE_AUDIO_BYTES, AudioBudget
from asr.evaluation.report.charts import FRAME, draw
from asr.evaluation.report.differences import Ranking, rankings
from asr.evaluation.report.groups import confusion_table, length_table, speaker_table, term_table
from asr.evaluation.report.metrics import Headline, headline, metrics_table
from asr.evaluation.report.model import GateCheck, Report, SetResult
from asr.evaluation.report.view import Cell, Table, number, percent

if TYPE_CHECKING:
    from jinja2 import Template

PAGE_NAME = "index.html"
_PACKAGE = "asr.evaluation.report"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One set's part of the page."""

    id: str
    name: str
    description: str
    metrics: Table
    tables: tuple[Table, ...]
    rankings: tuple[Ranking, ...]


def write(report: Report, folder: Path) -> Path:
    """Write the page into a folder, which is made if need be, and return its path.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(folder) / PAGE_NAME
    write_bytes_atomically(path, render(report).encode())
    return path


def render(report: Report) -> str:
    """The page as one HTML document.

    Audio that cannot be read, is longer than ``MAX_UTTERANCE_S`` or goes beyond ``PAGE_AUDIO_BYTES`` (shared equally
    among the sets) is left out, and the page says which and why.
    """
    style, script = _resource("page.css"), _resource("page.js")
    charts = [draw(curve, f"curve-{index}") for index, curve in enumerate(report.curves, start=1)]
    return _template().render(
        report=report,
        names=(report.base_name, report.adapted_name),
        headlines=_headlines(report),
        gate=_gate_table(report.checks),
        facts=_facts_table("facts", "What was done", report.facts),
        hashes=_facts_table("hashes", "Hashes and versions", report.hashes, is_code=True),
        charts=[chart for chart in charts if chart is not None],
        frame=FRAME,
        sections=_sections(report),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def _headlines(report: Report) -> list[Headline]:
    return [one for result in report.results for one in headline(result)]


def _sections(report: Report) -> list[Section]:
    share = PAGE_AUDIO_BYTES // max(1, len(report.results))
    names = (report.base_name, report.adapted_name)
    return [
        _section(result, f"set-{index}", names, AudioBudget(share))
        for index, result in enumerate(report.results, start=1)
    ]


def _section(result: SetResult, key: str, names: tuple[str, str], budget: AudioBudget) -> Section:
    return Section(
        id=key,
        name=result.name,
        description=result.description,
        metrics=metrics_table(result, key, names),
        tables=tuple(
            make(result, key, names) for make in (term_table, speaker_table, length_table, confusion_table)
        ),
        rankings=tuple(rankings(result, key, names, budget)),
    )


def _gate_table(checks: tuple[GateCheck, ...]) -> Table:
    rows = tuple(
        (
            Cell(text=check.name, note=check.detail),
            Cell(text="passed" if check.passed else "failed", tone="better" if check.passed else "worse"),
            Cell(text=_figure(check.value, check.unit)),
            Cell(text=f"{check.sense} {_figure(check.limit, check.unit)}".strip()),
        )
        for check in checks
    )
    columns = ("Check", "Verdict", "Figure", "Limit")
    return Table(id="gate-table", title="Gate", columns=columns, rows=rows, repeated_columns=(2, 3))


def _figure(value: float, unit: str) -> str:
    return percent(value) if unit == "share" else f"{number(value)} {unit}".rstrip()


def _facts_table(key: str, title: str, facts: Mapping[str, str], *, is_code: bool = False) -> Table:
    rows = tuple((Cell(text=name), Cell(text=value, is_code=is_code)) for name, value in facts.items())
    return Table(id=key, title=title, columns=("Fact", "Value"), rows=rows, text_columns=(0, 1))


def _hash(source: str) -> str:
    """As a content security policy names an inline source."""
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _resource(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("page.html.j2"))
