"""``lexitune bench`` finds the checkout's benchmarks, hands their arguments on, and says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr.errors import NotFoundError, OptionError
from server.bench_command import BENCHMARKS, CHECKOUT, environment, script_of


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_there(name: str) -> None:
    assert script_of(name, CHECKOUT).is_file()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        OptionError, match="'speed' is not known; there are engine, streaming, load, training"
    ):
        script_of("speed", CHECKOUT)


def test_without_the_checkout_the_error_says_so_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not part of the installed package; clone the repository"):
        script_of("engine", tmp_path)


@pytest.mark.parametrize(("name", "option"), [("engine", "--long"), ("load", "--find-capacity")])
def test_help_behind_the_name_is_the_benchmarks_own(name: str, option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "bench", name, "--help"],
        capture_output=True, text=True, env=environment(CHECKOUT), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert option in done.stdout


def test_the_exit_code_is_the_benchmarks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "bench", "engine", "--manifest", "x", "--no-such-option"],
        capture_output=True, text=True, env=environment(CHECKOUT), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


@pytest.mark.parametrize("name", ["engine", "load", "streaming"])
def test_an_error_of_the_input_is_one_line(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "bench", name, "--manifest", str(tmp_path / "none.jsonl")],
        capture_output=True, text=True, env=environment(CHECKOUT), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "none.jsonl: the manifest cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
