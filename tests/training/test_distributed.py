"""Two real processes train as one: the same curve and weights, each with a part of every batch; gloo on the CPU."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asr.audio.files import write_audio
from asr.data.manifest import Utterance, write_manifest
from asr.errors import OptionError
from training.distributed import OneProcess, joined
from training.import_command import copy_version

SCRIPT = Path(__file__).with_name("run_in_processes.py")
SENTENCES = (
    "No.", "Please send forty two boxes of aspirin by Tuesday.", "Wait here.", "The train leaves at half past seven.",
    "Could you tell me where the library is, and whether it opens on Sundays?", "Yes.", "Turn left.", "Good morning.",
)  # fmt: skip


@pytest.fixture(scope="module")
def version(small_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_version(small_whisper, tmp_path_factory.mktemp("distributed") / "version")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, Any]) -> Path:
    """Eight utterances, seven to train on: one batch of three has but one, so the second process has none of it."""
    folder = tmp_path_factory.mktemp("distributed-audio")
    samples = next(iter(spoken.values()))
    rows = []
    for number, text in enumerate(SENTENCES):
        path = folder / f"{number}.wav"
        write_audio(path, samples[: 8_000 + 2_000 * number])
        rows.append(Utterance(id=str(number), audio_path=path, duration_s=0.5 + number / 8, text=text))
    write_manifest(folder / "manifest.jsonl", rows)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module")
def alone(
    version: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    work = tmp_path_factory.mktemp("alone")
    run = runpy.run_path(str(SCRIPT))["run"]
    return run(OneProcess(torch.device("cpu")), version, manifest, work), work


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = (
    "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1", "--use_fsdp",
    "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
)  # fmt: skip


def _launch(
    launcher: tuple[str, ...], version: Path, manifest: Path, work: Path, **variables: str
) -> list[dict[str, Any]]:
    """What both ranks saw."""
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(SCRIPT), str(version), str(manifest), str(work)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((work / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module", params=["whole models", "shares of one"])
def together(
    request: pytest.FixtureRequest, version: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Path, bool]:
    """Two processes, each with the whole model or with its share of it; and which."""
    is_shared = request.param == "shares of one"
    work = tmp_path_factory.mktemp("together")
    return _launch(ACCELERATE if is_shared else TORCHRUN, version, manifest, work), work, is_shared


Together = tuple[list[dict[str, Any]], Path, bool]


def _same_curves(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    """Dev's WER is a loss here."""
    assert len(one) == len(two)
    for expected, found in zip(one, two, strict=True):
        assert (expected["step"], expected["epoch"]) == (found["step"], found["epoch"])
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert found["dev_wer"] == pytest.approx(expected["dev_wer"], rel=1e-5)


def test_the_curve_of_two_is_the_curve_of_one(alone: tuple[dict[str, Any], Path], together: Together) -> None:
    main = together[0][0]
    assert len(main["to the end"]) == 7
    for name in ("to the end", "adapters"):
        _same_curves(alone[0][name], main[name])


def test_the_weights_of_two_are_the_weights_of_one(
    alone: tuple[dict[str, Any], Path], together: Together
) -> None:
    for name in ("to the end.safetensors", "adapters.safetensors"):
        one, two = (load_file(work / name) for work in (alone[1], together[1]))
        assert one.keys() == two.keys()
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)


def test_every_process_holds_the_same_and_one_alone_scores(together: Together) -> None:
    main, other = (dict(seen) for seen in together[0])
    assert (main.pop("calls"), other.pop("calls")) == (7 + 3 + 4, 0)
    held = [{key: seen.pop(key) for key in list(seen) if key.endswith(", held")} for seen in (main, other)]
    assert main == other
    for key, mine in held[0].items():  # its share, or all of it
        total = mine + held[1][key] if together[2] else mine
        assert mine <= 0.6 * total if together[2] else mine == held[1][key]


def test_all_stop_when_the_main_one_says_that_dev_does_not_improve(together: Together) -> None:
    for seen in together[0]:
        assert (len(seen["stopped"]), seen["stopped, best"]) == (3, 0)


def test_shares_go_on_where_one_process_was_stopped(
    alone: tuple[dict[str, Any], Path], version: Path, manifest: Path, tmp_path: Path
) -> None:
    script = runpy.run_path(str(SCRIPT))
    with pytest.raises(script["StopError"]):
        script["run"](OneProcess(torch.device("cpu")), version, manifest, tmp_path, stop_after=4)
    assert [path.name for path in (tmp_path / "to the end").glob("step-*")]
    main, _ = _launch(TORCHRUN, version, manifest, tmp_path, ACCELERATE_USE_FSDP="true")
    assert main["calls"] < 7 + 3 + 4  # it did not begin anew
    _same_curves(alone[0]["to the end"], main["to the end"])


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert (processes.size, processes.rank, processes.is_main) == (1, 0, True)
        assert processes.from_main(lambda: "answer") == "answer"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_OFFLOAD_PARAMS": "true"}, "FSDP_OFFLOAD_PARAMS"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed"),
        ({"ACCELERATE_MIXED_PRECISION": "fp8"}, "'fp8'"),
    ],
)
def test_what_a_launcher_cannot_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    if variables:
        variables = {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "1",
            **variables,
        }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=named), joined():
        pass
