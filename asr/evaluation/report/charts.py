"""Curves as geometry: scales, ticks and paths for the template's inline SVG, and the same figures as a table.

Units are those of the drawing, the ``FRAME``. Series differ by dash and by the shape of their points as well
as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from asr.evaluation.report.model import Curve, Series
from asr.evaluation.report.view import MINUS, NONE, Cell, Table, number, percent

DASHES = ("none", "6 3", "2 3", "8 3 2 3")
SHAPES = ("circle", "square", "triangle", "diamond")
MAX_DOTS = 40  # points with a mark of their own; a longer line is drawn alone
_TICKS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The drawing and, inside it, the edges of the plot; y grows downwards."""

    width: float = 400.0
    height: float = 248.0
    left: float = 46.0
    right: float = 386.0
    top: float = 28.0
    bottom: float = 210.0


FRAME = Frame()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A place on an axis and what stands there."""

    place: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One series, ready to draw.

    Attributes:
        name: for the legend.
        style: which colour, dash and shape, from 1.
        dash: as SVG writes it.
        path: the line.
        band: its interval as an area, or "".
        dots: outlines of the points' marks.
        sample: the mark alone, for the legend.
    """

    name: str
    style: int
    dash: str
    path: str
    band: str
    dots: tuple[str, ...]
    sample: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A curve, ready to draw.

    Attributes:
        id: unique on the page.
        curve: what it was made from.
        x_ticks: along the bottom.
        y_ticks: along the left.
        lines: the series that hold points.
        mark: the chosen place, if any.
        mark_anchor: to which side of it its name stands.
        summary: in words, for who does not see it.
        table: all figures.
    """

    id: str
    curve: Curve
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    mark: Tick | None
    mark_anchor: str
    summary: str
    table: Table


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)


def draw(curve: Curve, key: str) -> Chart | None:
    """Lay a curve out, or None if it has no points."""
    series = [one for one in curve.series if one.points]
    if not series:
        return None
    xs = [x for one in series for x, _ in one.points]
    xs += [] if curve.marked_x is None else [curve.marked_x]
    ys = [y for one in series for _, y in one.points] + [
        y for one in series for pair in one.interval for y in pair
    ]
    x_values, y_values = ticks(min(xs), max(xs)), ticks(min(0.0, *ys), max(ys))
    x_of = _Scale(min(xs[0], *xs), max(*xs, min(xs) + 1e-9), FRAME.left, FRAME.right)
    y_of = _Scale(y_values[0], y_values[-1], FRAME.bottom, FRAME.top)
    write_y = partial(_share_tick, step=y_values[1] - y_values[0]) if curve.y_unit == "share" else _plain
    mark = None if curve.marked_x is None else Tick(place=x_of(curve.marked_x), text=curve.mark)
    return Chart(
        id=key,
        curve=curve,
        x_ticks=tuple(Tick(place=x_of(x), text=_plain(x)) for x in x_values if min(xs) <= x <= max(xs)),
        y_ticks=tuple(Tick(place=y_of(y), text=write_y(y)) for y in y_values),
        lines=tuple(_line(one, index, x_of, y_of) for index, one in enumerate(series)),
        mark=mark,
        mark_anchor="end" if mark is not None and mark.place > FRAME.width / 2 else "start",
        summary=" ".join(_sentence(one, curve) for one in series),
        table=_table(curve, series, key),
    )  # fmt: skip


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round values, two or more, that enclose a range: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _line(series: Series, index: int, x_of: _Scale, y_of: _Scale) -> Line:
    places = [(x_of(x), y_of(y)) for x, y in series.points]
    shape = SHAPES[index % len(SHAPES)]
    band = ""
    if series.interval:
        upper = [
            (x_of(x), y_of(high)) for (x, _), (_, high) in zip(series.points, series.interval, strict=True)
        ]
        lower = [
            (x_of(x), y_of(low)) for (x, _), (low, _) in zip(series.points, series.interval, strict=True)
        ]
        band = f"M{_joined([*upper, *reversed(lower)])}Z"
    return Line(
        name=series.name,
        style=index % len(SHAPES) + 1,
        dash=DASHES[index % len(DASHES)],
        path=f"M{_joined(places)}",
        band=band,
        dots=tuple(_outline(shape, x, y) for x, y in places) if len(places) <= MAX_DOTS else (),
        sample=_outline(shape, 14, 6),
    )  # fmt: skip


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x:g},{y:g}" for x, y in places)


def _outline(shape: str, x: float, y: float) -> str:
    if shape == "circle":
        return f"M{x - 3.2:g},{y:g}a3.2,3.2 0 1 0 6.4,0a3.2,3.2 0 1 0 -6.4,0Z"
    corners: dict[str, list[tuple[float, float]]] = {
        "square": [(-2.9, -2.9), (2.9, -2.9), (2.9, 2.9), (-2.9, 2.9)],
        "triangle": [(0, -3.8), (3.6, 2.8), (-3.6, 2.8)],
        "diamond": [(0, -4), (4, 0), (0, 4), (-4, 0)],
    }
    return f"M{_joined([(x + right, y + down) for right, down in corners[shape]])}Z"


def _sentence(series: Series, curve: Curve) -> str:
    (x0, y0), (x1, y1) = series.points[0], series.points[-1]
    write = _writer(curve)
    lowest = min(series.points, key=lambda point: point[1])
    return (
        f"{series.name}: {write(y0)} at {_plain(x0)}, {write(y1)} at {_plain(x1)}, lowest {write(lowest[1])} at "
        f"{_plain(lowest[0])}."
    )


def _table(curve: Curve, series: Sequence[Series], key: str) -> Table:
    write = _writer(curve)
    by_x: dict[float, list[Cell]] = {}
    for place, one in enumerate(series):
        spans: Sequence[tuple[float, float] | None] = one.interval or [None] * len(one.points)
        for (x, y), span in zip(one.points, spans, strict=True):
            row = by_x.setdefault(x, [Cell(text=NONE)] * len(series))
            row[place] = Cell(text=write(y), note=f"{write(span[0])} to {write(span[1])}" if span else "")
    rows = tuple((Cell(text=_plain(x), order=x), *cells) for x, cells in sorted(by_x.items()))
    columns = (curve.x_label, *(one.name for one in series))
    return Table(id=f"{key}-table", title=curve.title, columns=columns, rows=rows)


def _writer(curve: Curve) -> Callable[[float], str]:
    return percent if curve.y_unit == "share" else _plain


def _plain(value: float) -> str:
    return number(value).replace("-", MINUS)


def _share_tick(value: float, step: float) -> str:
    return percent(value, max(0, -math.floor(math.log10(step) + 2 + 1e-9))).replace("-", MINUS)
