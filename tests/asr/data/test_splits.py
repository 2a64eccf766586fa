"""Splits: a partition by group, stable under growth and order, about as large as asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.manifest import Utterance
from asr.data.splits import split_manifest
from asr.errors import ManifestError, OptionError


def _rows(speakers: list[str]) -> list[Utterance]:
    return [
        Utterance(
            id=f"u{index}", audio_path=Path("/a.wav"), duration_s=1.0, speaker=speaker or None, session="s"
        )
        for index, speaker in enumerate(speakers)
    ]


NAMES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=60)


@given(names=NAMES, dev=st.floats(0, 0.49), test=st.floats(0, 0.49))
def test_a_split_is_a_partition_by_group(names: list[str], dev: float, test: float) -> None:
    rows = _rows(names)
    parts = split_manifest(rows, "speaker", dev, test)
    assert list(parts) == ["train", "dev", "test"]
    assert sorted(row.id for part in parts.values() for row in part) == sorted(row.id for row in rows)
    groups = [{row.speaker for row in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set(names))
    assert all([row.id for row in part] == [row.id for row in rows if row in part] for part in parts.values())


@given(names=NAMES, added=NAMES)
def test_adding_rows_moves_nobody(names: list[str], added: list[str]) -> None:
    before = split_manifest(_rows(names), "speaker", 0.2, 0.2)
    after = split_manifest(_rows(added + names), "speaker", 0.2, 0.2)
    for part, rows in before.items():
        assert {row.speaker for row in rows} <= {row.speaker for row in after[part]}


def test_shares_are_met_and_test_does_not_depend_on_dev() -> None:
    rows = _rows([f"speaker-{index}" for index in range(4_000)])
    parts = split_manifest(rows, "speaker", 0.1, 0.2)
    assert len(parts["dev"]) == pytest.approx(400, abs=60)
    assert len(parts["test"]) == pytest.approx(800, abs=80)
    assert split_manifest(rows, "speaker", 0.3, 0.2)["test"] == parts["test"]


def test_known_answer() -> None:
    """The assignment is an interface: a change of the hash would move people between published splits."""
    parts = split_manifest(_rows([f"s{index}" for index in range(12)]), "speaker", 0.25, 0.25)
    assert {name: [row.speaker for row in rows] for name, rows in parts.items()} == KNOWN


KNOWN = {
    "train": ["s0", "s1", "s2", "s9", "s10"],
    "dev": ["s3", "s4", "s6", "s11"],
    "test": ["s5", "s7", "s8"],
}


def test_rows_without_the_key_are_one_error() -> None:
    with pytest.raises(ManifestError, match=r"2 of 3 rows have no speaker: u1, u2; .*split by session"):
        split_manifest(_rows(["a", "", ""]), "speaker", 0.1, 0.1)
    assert split_manifest(_rows(["a", "", ""]), "session", 0.0, 0.0)["train"]


@pytest.mark.parametrize(("dev", "test"), [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_are_refused(dev: float, test: float) -> None:
    with pytest.raises(OptionError, match="sum to below 1"):
        split_manifest(_rows(["a"]), "speaker", dev, test)


def test_an_empty_part_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        split_manifest(_rows(["a"]), "speaker", 0.1, 0.0)
    assert len(caplog.messages) == 1
    assert "part is empty" in caplog.messages[0]
