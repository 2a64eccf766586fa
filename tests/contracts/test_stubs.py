"""The committed stubs are those of the protos, and the protos keep buf's rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "proto" / "generate.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_committed_stubs_are_fresh() -> None:
    pytest.importorskip("grpc_tools")
    done = _check(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_and_a_missing_stub_are_named(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    for folder in (Path("asr") / "v1", Path("asr") / "riva" / "v1"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    stubs = tmp_path / "asr" / "v1"
    (stubs / "models_pb2.py").unlink()
    (stubs / "speech_pb2.py").write_text("# edited by hand\n")
    done = _check(tmp_path)
    assert done.returncode == 1
    assert [line.split(";")[0] for line in done.stderr.splitlines()] == [
        "stale: asr/v1/models_pb2.py",
        "stale: asr/v1/speech_pb2.py",
    ]


def test_the_protos_pass_buf_lint() -> None:
    # A venv's scripts are not on PATH when its python is called by path.
    buf = shutil.which("buf") or shutil.which("buf", path=str(Path(sys.executable).parent))
    assert buf is not None, "buf is not installed: pip install buf-bin"
    done = subprocess.run([buf, "lint", "proto"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_proto_is_no_python_package() -> None:
    assert not list((ROOT / "proto").rglob("__init__.py"))
