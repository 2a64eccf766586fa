"""deploy/systemd and docs/corrections.md: what a timer, cron or a cluster runs are commands of ours as they are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from server.cli import app

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
PAGE = DEPLOY.parents[1] / "docs" / "corrections.md"
EXPORT, ADAPT = ["data", "export-corrections"], ["adapt"]


def _unit(kind: str) -> RawConfigParser:
    parser = RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / f"lexitune-corrections.{kind}")
    return parser


def _parsed(line: str) -> tuple[list[str], dict[str, object]]:
    """A line's command and its options, as the program itself parses them."""
    program, *arguments = shlex.split(line)
    assert Path(program).name == "lexitune"
    command, names = get_command(app), list[str]()
    while hasattr(command, "commands"):
        names.append(arguments.pop(0))
        command = command.commands[names[-1]]
    return names, command.make_context(names[-1], arguments).params


def _check_pair(export: str, adapt: str) -> None:
    names, exported = _parsed(export)
    assert names == EXPORT
    names, adapted = _parsed(adapt)
    assert names == ADAPT
    assert adapted["train"] == Path(str(exported["out"])) / "manifest.jsonl"
    name, alias = adapted["name"], adapted["alias"]
    assert adapted["base"] == f"models:/{name}@{alias}"  # so that the gate compares with what is served


def test_the_unit_exports_and_then_adapts() -> None:
    service = _unit("service")["Service"]
    _check_pair(service["ExecCondition"], service["ExecStart"])
    assert service["Type"] == "oneshot"
    assert "SuccessExitStatus" not in service  # it would let too few corrections pass the condition
    assert service["ReadWritePaths"] == "/var/lib/" + service["StateDirectory"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        [analyze, "calendar", _unit("timer")["Timer"]["OnCalendar"]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for kind in ("service", "timer"):
        text = (DEPLOY / f"lexitune-corrections.{kind}").read_text()
        text = text.replace("/opt/lexitune/bin/lexitune", "/bin/true")  # verify looks for the program
        (tmp_path / f"lexitune-corrections.{kind}").write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "lexitune-corrections.timer")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "lexitune-corrections" in line]
    assert ours == []


def test_the_cron_line_and_the_cron_job_of_the_page_do_the_same() -> None:
    page = PAGE.read_text()
    (cron,) = re.findall(r"^0 2 \* \* 0 (.*)$", page, re.MULTILINE)
    _check_pair(*cron.split(" && "))
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    job = yaml.safe_load(block)
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    shell, flag, line = container["command"]
    assert (shell, flag) == ("sh", "-c")
    _check_pair(*line.strip().split(" && "))
