"""A short form of ``benchmarks/random_kills.py``: a small real Whisper, real kills at random instants, the same end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from training.import_command import copy_version

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "random_kills.py"


def test_killed_at_random_instants_training_ends_as_if_undisturbed(
    small_whisper: Path, tmp_path: Path
) -> None:
    base = copy_version(small_whisper, tmp_path / "base")
    options = ["--kills", "6", "--resumed", "3", "--epochs", "8", "--horizon", "0.6"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--base", str(base), *options],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] == sum(report["kills_by_work"].values()) >= 6
    assert report["lives_resumed_from_learned_weights"] >= 3
    assert report["mismatches"] == 0
    assert report["steps"] == 16
