"""What the template draws: tables, cells and strips, with numbers already written as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "better", "worse"]

FIGURE_SPACE = "\N{FIGURE SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # where a figure is not defined


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A figure on a strip, with its interval where it has one; places in percent of the strip's width."""

    place: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """A figure before (hollow) and after (filled) on a scale that its whole table shares."""

    base: Mark | None
    adapted: Mark | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: shown.
        note: smaller, under it.
        order: what the column is sorted by; None sorts by the text.
        tone: whether the figure is a change for the better or the worse; a word or sign says so too.
        strip: drawn in place of a text.
        is_code: a hash or an id.
    """

    text: str = ""
    note: str = ""
    order: float | None = None
    tone: Tone = ""
    strip: Strip | None = None
    is_code: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        id: unique on the page.
        title: heads it.
        columns: their names.
        rows: of as many cells.
        text: sentences before the table; alone where there are no rows.
        after: what the table leaves out, in a sentence.
        text_columns: columns of words, set to the left; the others are figures.
        repeated_columns: columns that the first one's notes repeat; left out where there is no room for them.
        is_sortable: a reader may sort it by any column.
    """

    id: str
    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    text: str = ""
    after: str = ""
    text_columns: tuple[int, ...] = (0,)
    repeated_columns: tuple[int, ...] = ()
    is_sortable: bool = False


def percent(share: float, decimals: int = 2) -> str:
    """A share in percent."""
    return f"{100 * share:.{decimals}f}{THIN}%"


def counted_share(count: int, share: float) -> str:
    """A count and its share in whole percent, padded so that both stand in columns."""
    figures = f"{100 * share:.0f}".rjust(3, FIGURE_SPACE)
    return f"{count:,}{FIGURE_SPACE * 2}{figures}{THIN}%"


def interval(low: float, high: float, decimals: int = 1) -> str:
    """An interval of shares in percent."""
    return f"{100 * low:.{decimals}f} to {percent(high, decimals)}".replace("-", MINUS)


def signed(value: float, decimals: int = 0) -> str:
    """A change with its sign; one that rounds to nothing has none."""
    text = f"{value:+.{decimals}f}"
    return f"{0:.{decimals}f}" if not float(text) else text.replace("-", MINUS)


def points(delta: float, decimals: int = 2) -> str:
    """A change of a share in percentage points."""
    return f"{signed(100 * delta, decimals)}{THIN}points"


def number(value: float) -> str:
    """A figure whose unit is not known."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def tone_of(delta: float, *, less_is_better: bool) -> Tone:
    """Whether a change is good."""
    if not delta:
        return ""
    return "better" if (delta < 0) == less_is_better else "worse"


def change(delta: float, *, less_is_better: bool, unit: Literal["share", "count"], note: str = "") -> Cell:
    """The cell of a change."""
    text = points(delta) if unit == "share" else signed(delta)
    return Cell(text=text, note=note, order=delta, tone=tone_of(delta, less_is_better=less_is_better))


def strips(pairs: Iterable[tuple[Mark | None, Mark | None]]) -> list[Strip]:
    """Strips on one scale from 0; places come in as figures and go out in percent."""
    rows = list(pairs)
    ends = [end for row in rows for mark in row if mark for end in (mark.place, mark.high or 0.0)]
    top = max([*ends, 1e-9])
    return [Strip(base=_scaled(base, top), adapted=_scaled(adapted, top)) for base, adapted in rows]


def _scaled(mark: Mark | None, top: float) -> Mark | None:
    def place(value: float) -> float:
        return round(4 + 92 * value / top, 2)  # off the edges, so that a whole dot is seen

    if mark is None:
        return None
    low, high = (None if value is None else place(value) for value in (mark.low, mark.high))
    return Mark(place=place(mark.place), low=low, high=high)
