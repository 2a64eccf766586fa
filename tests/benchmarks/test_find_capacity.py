"""The search for the most streams finds the border, and never asks for more than it may."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load import find_capacity, is_carried


def figures(streams: int, p95: float | None, completed: int) -> dict[str, Any]:
    return {"streams": streams, "completed": completed, "word_commit_s": {"p95": p95}}


@pytest.mark.parametrize("start", [1, 3, 64])
@pytest.mark.parametrize("border", [0, 1, 2, 5, 8, 13, 64])
def test_the_border_is_found_from_any_start(border: int, start: int) -> None:
    asked: list[int] = []

    def probe(streams: int) -> dict[str, Any]:
        asked.append(streams)
        return figures(streams, 0.5 if streams <= border else 3.0, streams)

    capacity, probes = find_capacity(probe, start=start, most=64)
    assert capacity == border
    assert [one["streams"] for one in probes] == asked
    assert len(asked) == len(set(asked))
    assert all(1 <= streams <= 64 for streams in asked)


def test_a_load_is_carried_only_if_every_stream_was() -> None:
    assert is_carried(figures(4, 1.9, 4))
    assert not is_carried(figures(4, 2.0, 4))
    assert not is_carried(figures(4, 0.1, 3))
    assert not is_carried(figures(4, None, 4))
