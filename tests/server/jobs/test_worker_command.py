"""``lexitune worker`` as a process: it says when it works, ends on SIGTERM with 0, and by itself once nothing is open."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path


def _worker(folder: Path, *options: str) -> subprocess.Popen[str]:
    config = folder / "server.toml"
    config.write_text(
        f'[jobs]\ndatabase = "sqlite:///{folder / "jobs.db"}"\nfolder = "{folder / "files"}"\nworker_threads = 1\n'
    )
    command = [sys.executable, "-m", "server.cli", "worker", "--config", str(config), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with _worker(tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "stopped" in err) == (0, True)


def test_it_ends_by_itself_once_nothing_is_open(tmp_path: Path) -> None:
    with _worker(tmp_path, "--until-idle", "--kind", "batch") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "working\n"), err


def test_a_database_that_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("no database, not by far")
    with _worker(tmp_path) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: the jobs in") and err.count("\n") == 1
