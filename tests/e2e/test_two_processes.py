"""``adapt`` under torchrun: two processes are one job with the curve of one; one that dies ends all, and it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.import_command import copy_version

pytestmark = pytest.mark.cluster

CONFIG = """\
[training]
epochs = 2
batch_size = 4
evaluations_per_epoch = 2
replay_share = 0
window_share = 0
quiet_share = 0
own_length = false
[split]
dev_share = 0.3
max_dev = 4
general_sentences = 4
"""
FORGETFUL = """\
[training]
epochs = 1
batch_size = 2
learning_rate = 2e-4
evaluations_per_epoch = 1
replay_share = 0
window_share = 0
quiet_share = 0
own_length = false
"""
LAUNCHER = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.fixture(scope="module")
def job(small_whisper: Path, pharmacy_text: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("job")
    base = copy_version(small_whisper, folder / "base")
    (folder / "text.txt").write_text(pharmacy_text)
    (folder / "job.toml").write_text(CONFIG)
    return [
        "adapt", "--base", str(base), "--name", "pair", "--text", str(folder / "text.txt"),
        "--config", str(folder / "job.toml"), "--method", "decoder", "--json",
    ]  # fmt: skip


def _start(home: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "LEXITUNE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _document(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    document: dict[str, Any] = json.loads(out)  # one process alone writes to stdout
    assert process.returncode == (0 if document["gate"]["passed"] else 1), err
    return document


def _children(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def _kill_rank(launcher: int, rank: int) -> None:
    for child in _children(launcher):
        if f"\0RANK={rank}\0".encode() in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
            os.kill(child, signal.SIGKILL)
            return
    raise AssertionError(f"no child of {launcher} has rank {rank}")


@pytest.fixture(scope="module")
def alone(job: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _document(_start(tmp_path_factory.mktemp("alone"), "server.cli", *job))


@pytest.fixture(scope="module")
def pair_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pair")


@pytest.fixture(scope="module")
def together(job: list[str], pair_home: Path) -> dict[str, Any]:
    """The job's report after its second process was killed in training and the same command was run again."""
    process = _start(pair_home, *LAUNCHER, "server.cli", *job)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 0.5"):
            _kill_rank(process.pid, 1)
            break
    out, _ = process.communicate(timeout=120)  # the main process does not wait for ever
    assert (process.returncode, out) == (1, "")
    return _document(_start(pair_home, *LAUNCHER, "server.cli", *job))


def test_the_curve_is_that_of_one_process(alone: dict[str, Any], together: dict[str, Any]) -> None:
    one, two = (document["training"]["curve"] for document in (alone, together))
    assert [point["step"] for point in one] == [point["step"] for point in two] == [0, 1, 2, 3, 4]
    for first, second in zip(one, two, strict=True):
        # matrices are multiplied in bfloat16 where the device has it, and shares are padded otherwise than the whole
        assert second["loss"] == pytest.approx(first["loss"], rel=5e-3)
        assert second["dev_wer"] == pytest.approx(first["dev_wer"], abs=0.05)


def test_exactly_one_version_is_published(together: dict[str, Any], pair_home: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{pair_home / 'mlflow.db'}")
    assert together["reference"] == "models:/pair/1"
    assert [int(version.version) for version in client.search_model_versions("name = 'pair'")] == [1]
    assert list((pair_home / "work").iterdir()) == []


def test_two_processes_go_on_with_the_decoder_alone_together(
    small_whisper: Path, forgetful: dict[str, Path], tmp_path: Path
) -> None:
    base = copy_version(small_whisper, tmp_path / "base")
    (tmp_path / "job.toml").write_text(FORGETFUL)
    files = [word for name, path in forgetful.items() for word in (f"--{name}", str(path))]
    asked = [
        "adapt",
        "--base",
        str(base),
        "--name",
        "held-back",
        *files,
        "--config",
        str(tmp_path / "job.toml"),
    ]
    process = _start(tmp_path / "home", *LAUNCHER, "server.cli", *asked, "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err  # neither plan learned anything that keeps general speech
    assert json.loads(out)["training"]["method"] == "full"
    told = [line.split(":")[0] for line in err.splitlines() if line.startswith("method ")]
    assert told == ["method full", "method full", "method decoder"]
    steps = [line.split(", ")[1].split()[1] for line in err.splitlines() if line.startswith("epoch ")]
    assert steps == ["0", "25"] * 2
    (tried,) = [line for line in err.splitlines() if line.startswith("two plans were tried")]
    assert "full, mix 0, dev error 100.00%; decoder, mix 0, dev error 100.00%" in tried
