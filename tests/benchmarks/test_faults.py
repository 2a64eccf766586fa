"""The shows of ``benchmarks/faults.py`` end to end, short: what they count adds up, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr.data.manifest import Utterance, write_manifest
from benchmarks.faults import config_of, parser_of, prepare
from server.bench_command import CHECKOUT, environment

GAUGES = (
    "lexitune_streams_active",
    "lexitune_rpcs_active",
    "lexitune_decodes_waiting",
    "lexitune_model_leases",
)


@pytest.fixture(scope="module")
def manifest(spoken_utterances: list[Utterance], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "manifest.jsonl"
    write_manifest(path, spoken_utterances)
    return path


def show(name: str, manifest: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "faults.py"), name, "--manifest", str(manifest)]
    done = subprocess.run(
        [*command, *arguments, "--json"], capture_output=True, text=True, check=False,
        env=environment(CHECKOUT), cwd=os.sep,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_connections_that_are_given_up_leave_nothing_behind(manifest: Path) -> None:
    found = show("cancels", manifest, "--cycles", "60", "--together", "10", "--longest", "0.1")
    assert sum(found["phases"].values()) == found["cycles"] == 60 and len(found["points"]) == 10
    assert found["phases"].keys() == {"handshake", "connect", "config", "audio", "results"}
    assert found["gauges"] == dict.fromkeys(GAUGES, 0)
    assert found["errors"] == {}
    assert found["after"]["descriptors"] <= found["before"]["descriptors"] + 2
    assert "aspirin" in found["text"]


def test_a_stopped_server_sends_every_final(manifest: Path) -> None:
    found = show("drain", manifest, "--streams", "12", "--grace", "2")
    assert found["with_all_their_words"] == found["streams"] == 12
    assert found["ends"] == {"DRAINING": 12}


def test_slots_that_are_given_are_those_of_the_server(tmp_path: Path) -> None:
    options = parser_of().parse_args(["ramp", "--manifest", "m.jsonl", "--streams", "7"])
    prepare(options, [], tmp_path)  # measures nothing: there is nothing to measure with
    assert config_of(options) == ["[limits]", "max_streams = 7"]


def test_a_full_server_refuses_and_serves_on_and_its_slots_are_what_the_machine_carries(
    manifest: Path,
) -> None:
    found = show("ramp", manifest, "--most", "2", "--rounds", "1", "--duration", "3")
    assert 1 <= found["slots"] <= 2
    assert [side["completed"] for side in found["sides"].values()] == [found["slots"]] * 2
    assert found["refusals"] > 2 * found["slots"]
    assert 0 < found["refused_within_s"]["p50"] <= found["refused_within_s"]["p99"]
    assert found["commit_p95_ratio"] > 0


def test_tenants_who_speak_at_once_get_their_own_words(
    spoken_utterances: list[Utterance], tmp_path: Path
) -> None:
    terms = ("aspirin", "train", "library")
    rows = [replace(row, terms=(term,)) for row, term in zip(spoken_utterances, terms, strict=True)]
    write_manifest(tmp_path / "manifest.jsonl", rows)
    found = show("voices", tmp_path / "manifest.jsonl", "--groups", "3", "--minutes", "0.1")
    assert found["tenants"] == 3
    assert found["as_alone"] == found["utterances"] >= 6
    assert found["words"] > 20 and found["foreign_words"] == 0
    assert found["batches"] > 0
