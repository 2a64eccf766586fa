"""What streams with phrases take from those without: the figures add up, and a short run serves both halves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.client import StreamConfig
from asr.errors import InputError, UnavailableError
from benchmarks.measure.demand import Party, served
from benchmarks.measure.server_process import free_address
from benchmarks.phrase_streams import figures_of, lines_of, vocabulary_of
from server.bench_command import CHECKOUT, environment

DIGITS = str.maketrans("0123456789", "abcdefghij")


def test_the_ratio_is_the_median_over_rounds_of_those_without_phrases() -> None:
    rounds = [
        {"without": {"plain": 10.0, "beside": 10.0}, "with": {"plain": mine, "beside": theirs}}
        for mine, theirs in ((9.0, 8.0), (10.0, 7.0), (5.0, 6.0))
    ]
    found = figures_of(rounds)
    assert found["plain_ratio"] == pytest.approx(0.9)
    assert found["with_phrases_ratio"] == pytest.approx(0.7)
    assert "0.900 times" in lines_of({**found, "phrases": 1000})[-1]
    nothing = {"without": {"plain": 0.0, "beside": 1.0}, "with": {"plain": 1.0, "beside": 1.0}}
    assert figures_of([nothing])["plain_ratio"] is None


def test_phrases_are_the_first_of_a_file_each_once_and_too_few_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("# names\napixaban\tcritical\nApixaban\n\nramipril\nsertraline\n")
    phrases = vocabulary_of(path, 2).phrases
    assert [phrase.text for phrase in phrases] == ["apixaban", "ramipril"]
    assert phrases[0].critical
    with pytest.raises(InputError, match="has 3 phrases; 4 are wanted"):
        vocabulary_of(path, 4)


def test_what_ends_a_stream_is_told_as_it_is() -> None:
    parties = {"plain": Party(config=StreamConfig(), streams=2)}
    with pytest.raises(UnavailableError):
        asyncio.run(served(free_address(), parties, 1.0, np.zeros(16_000, np.float32)))


def test_both_halves_are_served(tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("\n".join(f"code {number:03d}".translate(DIGITS) for number in range(600)) + "\n")
    script = str(CHECKOUT / "benchmarks" / "phrase_streams.py")
    small = ["--count", "600", "--streams", "1", "--audio", "40", "--warm", "2", "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, script, "--phrases", str(phrases), *small],
        capture_output=True, text=True, cwd=CHECKOUT, env=environment(CHECKOUT), check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (one,) = document["rounds"]
    assert all(rate > 0 for rates in one.values() for rate in rates.values())
    assert "Exception" not in done.stderr
