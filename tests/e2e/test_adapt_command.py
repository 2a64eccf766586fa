"""The main job by its command: interrupted, run again, published, listed, evaluated; real model, real speech."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.cli import app

CONFIG = """\
[training]
epochs = 2
batch_size = 4
evaluations_per_epoch = 1
quiet_share = 0
own_length_sentences = 16
[split]
dev_share = 0.3
max_dev = 4
general_sentences = 4
"""


def _lexitune(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    # whoever runs the tests in the background may have them ignore interrupts, and a child would inherit it
    command = ["env", "--default-signal=INT", sys.executable, "-m", "server.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def _run(*arguments: str) -> tuple[int, str, str]:
    process = _lexitune(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def _quick(*arguments: str) -> tuple[int, str, str]:
    """A command that trains nothing, in this process: another one takes seconds to begin."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module", autouse=True)
def lexitune_home(lexitune_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of this file's own: other files' jobs leave their work behind on purpose."""
    home = tmp_path_factory.mktemp("adapt-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXITUNE_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def job(pharmacy_text: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("job")
    (folder / "text.txt").write_text(pharmacy_text)
    (folder / "terms.txt").write_text("apixaban\nrivaroxaban\n")
    (folder / "job.toml").write_text(CONFIG)
    return [
        "adapt", "--base", "bundled:tiny.en", "--name", "pharmacy", "--text", str(folder / "text.txt"),
        "--config", str(folder / "job.toml"), "--alias", "production", "--json",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report(job: list[str]) -> dict[str, Any]:
    """The job's report, after it was interrupted in training and run again."""
    process = _lexitune(*job)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 1"):
            process.send_signal(signal.SIGINT)
            break
    assert "run the same command again" in "".join(process.stderr)
    assert process.wait() == 130
    process.communicate()
    code, out, err = _run(*job)
    document: dict[str, Any] = json.loads(out)
    assert "epoch 1," not in err, "the second run trained the first epoch again"
    assert code == (0 if document["gate"]["passed"] else 1)
    return document


def test_the_version_is_better_on_its_domain(report: dict[str, Any]) -> None:
    assert report["reference"] == "models:/pharmacy/1"
    assert report["adapted"]["dev"]["wer"] < report["base"]["dev"]["wer"]
    assert {check["name"] for check in report["gate"]["checks"]} >= {"domain", "general", "sounds", "export"}


def test_the_page_shows_the_verdict_and_the_audio(report: dict[str, Any]) -> None:
    page = Path(report["report"]).read_text()
    assert ("The gate passed" in page) == report["gate"]["passed"]
    assert "data:audio/" in page and "Mix with the base" in page


def test_the_alias_follows_the_gate(report: dict[str, Any]) -> None:
    code, out, _ = _quick("models", "list", "--json")
    listed = next(model for model in json.loads(out)["registered"] if model["name"] == "pharmacy")
    assert code == 0
    assert listed["versions"][0]["gate_passed"] == report["gate"]["passed"]
    assert listed["aliases"] == ({"production": "1"} if report["gate"]["passed"] else {})


def test_the_card_can_be_checked(report: dict[str, Any]) -> None:
    code, out, _ = _quick("models", "show", "models:/pharmacy/1", "--json")
    card = json.loads(out)["card"]
    assert code == 0
    assert card["spec"]["text"].endswith("text.txt")
    assert card["data"]["sha256"].keys() >= {"train", "dev", "general"}
    assert card["seed"] == 0
    assert card["training"]["curve"][0]["step"] == 0
    assert any("all synthesised" in note for note in report["notes"])


def test_nothing_is_left_of_the_work(report: dict[str, Any], lexitune_home: Path) -> None:
    left = [path.name for path in (lexitune_home / "work").iterdir()]
    assert left == []


def test_an_exported_version_is_a_model_directory_again(report: dict[str, Any], tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    assert _quick("models", "export", report["reference"], str(exported))[0] == 0
    code, out, _ = _quick("models", "import", str(exported), "--name", "copied", "--json")
    assert (code, json.loads(out)["reference"]) == (0, "models:/copied/1")
    code, _, err = _run("models", "export", report["reference"], str(exported))
    assert (code, "exists" in err) == (2, True)


def test_mlflow_shows_the_run(report: dict[str, Any], lexitune_home: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{lexitune_home / 'mlflow.db'}")
    version = client.get_model_version("pharmacy", "1")
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["method"] == "decoder"
    steps = [point.step for point in client.get_metric_history(version.run_id, "training.dev_wer")]
    assert steps[0] == 0 and len(steps) >= 2


def test_a_bad_option_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    code, out, err = _run("adapt", "--name", "x", "--text", str(tmp_path / "none.txt"))
    assert (code, out) == (2, "")
    assert err.startswith("error: --text") and err.count("\n") == 1
