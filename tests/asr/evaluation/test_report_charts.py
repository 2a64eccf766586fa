"""Charts: round ticks that enclose the values, every point inside the frame, and a table with the same figures."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import InputError
from asr.evaluation.report import Curve, Series
from asr.evaluation.report.charts import FRAME, draw, ticks

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
POINTS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=50).map(lambda found: tuple(sorted(found)))


@given(low=VALUES, high=VALUES)
def test_ticks_enclose_the_range_in_few_round_steps(low: float, high: float) -> None:
    low, high = sorted((low, high))
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    slack = 1e-6 * max(1e-3, high - low)
    assert found[0] <= low + slack and found[-1] >= high - slack
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.061, [0, 0.02, 0.04, 0.06, 0.08]), (0, 400, [0, 100, 200, 300, 400])],
)  # fmt: skip
def test_ticks_known_answer(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@given(points=POINTS)
def test_every_point_lies_in_the_frame_and_in_the_table(points: tuple[tuple[float, float], ...]) -> None:
    curve = Curve(title="t", x_label="x", y_label="y", y_unit="", series=(Series(name="a", points=points),))
    chart = draw(curve, "c")
    assert chart is not None
    places = re.findall(r"[ML](-?[\d.e+-]+),(-?[\d.e+-]+)", chart.lines[0].path)
    assert len(places) == len(points)
    for x, y in places:
        assert FRAME.left - 0.1 <= float(x) <= FRAME.right + 0.1
        assert FRAME.top - 0.1 <= float(y) <= FRAME.bottom + 0.1
    assert len(chart.table.rows) == len({x for x, _ in points})


def test_series_with_gaps_share_a_table() -> None:
    series = (Series(name="a", points=((0, 0.5), (1, 0.25))), Series(name="b", points=((1, 0.1),)))
    chart = draw(Curve(title="t", x_label="x", y_label="y", series=series), "c")
    assert chart is not None
    cells = [[cell.text.replace("\u202f", " ") for cell in row] for row in chart.table.rows]
    assert cells == [["0", "50.00 %", "–"], ["1", "25.00 %", "10.00 %"]]
    assert [line.dash for line in chart.lines] == ["none", "6 3"]
    assert (
        draw(Curve(title="t", x_label="x", y_label="y", series=(Series(name="a", points=()),)), "c") is None
    )


def test_bad_series_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        Series(name="a", points=((0, float("nan")),))
    with pytest.raises(InputError, match="one for each point"):
        Series(name="a", points=((0, 1), (1, 2)), interval=((0, 1),))
