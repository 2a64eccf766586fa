"""The benchmarks end to end, without their peers, on three synthesised sentences: documents that add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asr.data.manifest import Utterance, write_manifest
from server.bench_command import CHECKOUT, environment


@pytest.fixture(scope="module")
def manifest(spoken_utterances: list[Utterance], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "manifest.jsonl"
    write_manifest(path, spoken_utterances)
    return path


def bench(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "bench", *arguments, "--json"],
        capture_output=True, text=True, env=environment(CHECKOUT), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)  # one document and nothing else
    assert document["facts"]["cores"] >= 1
    return document


def test_engine(manifest: Path) -> None:
    document = bench("engine", "--manifest", str(manifest), "--rounds", "2", "--peers", "--whole-windows")
    (ours,) = document["systems"]
    assert document["recordings"] == 3
    assert ours["reference_words"] == 26
    assert ours["wer"] < 0.2
    assert len(ours["rtfx_by_round"]) == 2
    assert min(ours["rtfx_by_round"]) <= ours["rtfx"] <= max(ours["rtfx_by_round"])
    (refused,) = document["not_run"]
    assert "bundled:tiny.en was not proved on anything else" in refused


def test_batch(manifest: Path) -> None:
    document = bench("batch", "--manifest", str(manifest), "--rounds", "2", "--peers")
    (ours,) = document["sides"]
    assert (document["recordings"], ours["reference_words"]) == (3, 26)
    assert ours["wer"] < 0.2
    assert min(ours["rtfx_by_round"]) <= ours["rtfx"] <= max(ours["rtfx_by_round"])


def test_load(manifest: Path) -> None:
    document = bench(
        "load", "--manifest", str(manifest), "--streams", "2", "--duration", "3", "--ramp", "0.5", "--tail", "0.1"
    )  # fmt: skip
    (load,) = document["loads"]
    assert (load["streams"], load["completed"], load["refused"], load["failures"]) == (2, 2, 0, [])
    assert load["word_commit_s"]["n"] + load["words_untimed"] == load["words"] > 0
    assert 0.0 < load["final_after_half_close_s"]["p50"] <= load["end_after_half_close_s"]["p99"]
    assert load["server_processor_s_per_audio_s"] is None or load["server_processor_s_per_audio_s"] > 0
