"""Exit codes of the program: 2 and one line for what its user can mend, 70 and a traceback for our own faults."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import typer

from asr.errors import OptionError
from server import cli


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    """The exit code of the program when a command raises ``error``."""
    extended = typer.Typer(pretty_exceptions_enable=False)

    @extended.callback()
    def options() -> None: ...

    @extended.command()
    def fault() -> None:
        raise error

    monkeypatch.setattr(cli, "app", extended)
    monkeypatch.setattr(sys, "argv", ["lexitune", "fault"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OptionError("give less"), "error: give less\n"),
        (
            PermissionError(13, "Permission denied", "out.txt"),
            "error: [Errno 13] Permission denied: 'out.txt'\n",
        ),
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert _run(monkeypatch, error) == 2
    assert capsys.readouterr().err == line


def test_a_fault_of_ours_is_a_traceback_and_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, KeyError("lost")) == 70
    assert "Traceback" in (shown := capsys.readouterr().err) and "KeyError: 'lost'" in shown


@pytest.mark.parametrize("code", [0, 1, 130])
def test_a_commands_own_code_is_kept(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    assert _run(monkeypatch, typer.Exit(code)) == code


def test_a_folder_under_a_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "afile").write_text("")
    (tmp_path / "terms.txt").write_text("apixaban\n")
    out = tmp_path / "afile" / "parts"
    arguments = ["data", "synthesize", "--terms", str(tmp_path / "terms.txt"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["lexitune", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    shown = capsys.readouterr().err
    assert stop.value.code == 2
    assert "error: " in shown and "Traceback" not in shown


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_do_not_spin_while_they_wait_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    _run(monkeypatch, typer.Exit(0))
    assert os.environ["OMP_WAIT_POLICY"] == used
