"""``lexitune transcribe``: what fails is listed, the rest is done; what cannot work is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.cli.failures import Failure, FailureList
from asr.errors import InputError, OptionError
from server.cli import app

LIBRARY = "Could you tell me where the library is?"


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["transcribe", *(str(argument) for argument in arguments)])


@pytest.fixture
def library(tmp_path: Path, spoken: dict[str, Any]) -> Path:
    path = tmp_path / "library.wav"
    write_audio(path, spoken[LIBRARY])
    return path


def test_a_manifest_with_a_missing_recording_does_the_others(tmp_path: Path, library: Path) -> None:
    manifest, output = tmp_path / "m.jsonl", tmp_path / "o.jsonl"
    rows = [{"audio_filepath": name} for name in ("gone.wav", library.name)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = _invoke("--manifest", manifest, "--format", "jsonl", "--output", output)
    assert result.exit_code == 1
    assert "gone.wav: no such file" in result.stderr and "1 of 2 failed" in result.stderr
    (row,) = (json.loads(line) for line in output.read_text().splitlines())
    assert (row["id"], row["text"], row["model"]) == ("library", LIBRARY, "bundled:tiny.en")


def test_channels_of_the_readable_recordings_are_done(tmp_path: Path, library: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    listed = tmp_path / "lists" / "f.jsonl"
    arguments = ("--channels", "split", "--output", tmp_path / "out", "--failures", listed)
    result = _invoke(library, tmp_path / "empty.wav", *arguments)
    assert result.exit_code == 1
    assert "empty.wav is empty" in result.stderr and f"1 of 2 failed; {listed} lists them" in result.stderr
    (failure,) = map(json.loads, listed.read_text().splitlines())
    assert (failure["id"], failure["code"]) == ("empty", "unreadable-audio")
    assert not (tmp_path / "out" / "failures.jsonl").exists()
    assert (tmp_path / "out" / "library#0.txt").read_text() == LIBRARY + "\n"
    assert _invoke(library, "--output", tmp_path / "o.txt", "--failures", listed).exit_code == 0
    assert not listed.exists()  # it tells of the last run


def test_rows_of_another_model_are_done_again(tmp_path: Path, library: Path, small_whisper: Path) -> None:
    output = tmp_path / "o.jsonl"
    arguments = (library, "--format", "jsonl", "--output", output, "--resume")
    assert _invoke(*arguments, "--model", small_whisper).exit_code == 0
    result = _invoke(*arguments)
    assert result.exit_code == 0
    assert f"1 outputs were made with model {small_whisper}, not bundled:tiny.en"[:110] in result.stderr
    assert "done already" not in result.stderr
    assert json.loads(output.read_text())["text"] == LIBRARY
    assert "1 of 1 are done already" in _invoke(*arguments).stderr


def test_what_cannot_work_is_refused_before_any_work(tmp_path: Path, library: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    rows = [{"audio_filepath": library.name, "id": name} for name in ("a/b", "a_b")]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused = _invoke("--manifest", manifest, "--channels", "split").exception
    assert isinstance(refused, OptionError) and "--channels split" in str(refused)
    collision = _invoke("--manifest", manifest, "--output", tmp_path / "out").exception
    assert isinstance(collision, InputError) and "'a/b' and 'a_b'" in str(collision)
    below_a_file = _invoke(library, "--output", library / "x.txt").exception
    assert isinstance(below_a_file, OptionError) and "is no folder" in str(below_a_file)
    assert not (tmp_path / "out").exists()


def test_what_is_no_list_of_failures_is_not_replaced_by_one(tmp_path: Path, library: Path) -> None:
    notes, folder = tmp_path / "notes.txt", tmp_path / "calls"
    notes.write_text("not a list of failures")
    folder.mkdir()
    for path, problem in ((notes, "holds something else"), (folder, "is a folder")):
        result = _invoke(library, "--output", tmp_path / "o.txt", "--failures", path)
        assert isinstance(result.exception, OptionError) and problem in str(result.exception)
    assert notes.read_text() == "not a list of failures" and not (tmp_path / "o.txt").exists()


def test_a_list_of_failures_forgets_those_of_an_earlier_run_and_nothing_else() -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe({"/lists/calls/a.wav": b"a", "/lists/calls/2024/b.wav": b"b"})
    FailureList("memory://lists/calls").begin()
    assert files.cat("/lists/calls/a.wav") == b"a" and files.cat("/lists/calls/2024/b.wav") == b"b"
    failed = FailureList("memory://lists/f.jsonl")
    failed.add(Failure(id="a", path="a.wav", code="missing-audio", reason="no such file"))
    failed.close()
    FailureList("memory://lists/f.jsonl").begin()
    assert not files.exists("/lists/f.jsonl")
    with pytest.raises(OptionError, match="no file in a folder"):
        FailureList("memory://f.jsonl")
