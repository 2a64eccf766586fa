"""What a side of ``bench engine`` runs is what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr.registry import file_hashes
from benchmarks.measure.recognizers import Ours, Run


@pytest.mark.parametrize(("whole_windows", "settings"), [(False, "own length"), (True, "30 s windows")])
def test_whole_windows_are_heard_whatever_a_version_was_proved_on(
    whole_windows: bool, settings: str, small_whisper: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "version"
    folder.mkdir()
    for path in small_whisper.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    card = {"contexts": ["own", "30s"], "files": file_hashes(folder)}
    (folder / "card.json").write_text(json.dumps(card))
    side = Ours(str(folder), Run(num_threads=1, language="en"), whole_windows=whole_windows)
    assert side.settings.endswith(settings)
    assert side.name.endswith("whole windows") == whole_windows
