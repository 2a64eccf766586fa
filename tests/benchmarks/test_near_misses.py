"""``benchmarks/near_misses.py``: what counts as wrong, and a short run of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asr.errors import InputError
from benchmarks.near_misses import Pair, read_pairs, wrong
from server.bench_command import CHECKOUT, environment


def test_a_phrase_is_wrong_where_it_is_written_because_it_was_asked_for() -> None:
    pairs = [Pair("turn on the light", "turn off"), Pair("it is high", "low"), Pair("one two", "two")]
    plain = ["Turn on the light.", "It is low.", "One too."]
    told = ["Turn off the light.", "It is low.", "One two."]
    assert [one["phrase"] for one in wrong(pairs, plain, told)] == ["turn off", "two"]


def test_a_line_without_a_phrase_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("a sentence\ta phrase\nno phrase\n")
    with pytest.raises(InputError, match=r"pairs\.tsv:2: 'no phrase'"):
        read_pairs(tmp_path / "pairs.tsv")


def test_a_short_run() -> None:
    """Of these four none is written wrongly: with a boost for every token of a phrase, all were."""
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "near_misses.py"), "--limit", "4", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(CHECKOUT), cwd=os.sep
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["sentences"], document["wrong_with_own"], document["wrong_with_all"]) == (4, [], [])
