"""The wheel holds exactly the three packages, their typing markers and data, and the console script."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_exactly_what_is_meant(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"asr", "training", "server"}
    for needed in (
        "asr/py.typed",
        "asr/v1/speech_pb2.py",
        "asr/evaluation/report/page.html.j2",
        "asr/evaluation/report/page.css",
        "asr/evaluation/report/page.js",
        "training/synth/general.txt",
        "training/synth/replay.txt",
    ):
        assert needed in names
    assert not [name for name in names if "test" in name.lower() or name.endswith(".proto")]
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"lexitune = server.cli:main" in zipfile.ZipFile(wheel).read(entry)
