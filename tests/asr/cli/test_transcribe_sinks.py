"""Where transcripts go: what --resume keeps, in which order, and the paths that are refused before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from asr.cli.sinks import open_sink
from asr.cli.sources import Source, file_sources, manifest_sources
from asr.errors import AudioError, InputError, ManifestError, OptionError
from asr.results import Segment, Transcript

MODEL = "models:/barista/3"


def _source(name: str) -> Source:
    return Source(name, f"{name}.wav", lambda: np.zeros(1, np.float32))


def _said(text: str) -> Transcript:
    return Transcript(segments=(Segment(text=text, start_s=0.0, end_s=1.0),), duration_s=1.0)


def _row(name: str, text: str, model: str = MODEL) -> str:
    return json.dumps({"id": name, "text": text, "model": model})


def _transcribed(output: Path, names: Sequence[str], *, resume: bool) -> dict[str, str]:
    """Run as the command does, where each source says "new NAME"; the rows that result, in their order."""
    sources = [_source(name) for name in names]
    sink = open_sink("jsonl", output, sources, MODEL)
    sink.begin(resume=resume)
    for source in sources:
        if not sink.has(source):
            sink.write(source, _said(f"new {source.id}"))
    sink.finish()
    assert not output.with_name(output.name + ".partial").exists()
    rows = [json.loads(line) for line in output.read_text().split("\n")[:-1]]
    assert all(row["model"] == MODEL for row in rows)
    return {row["id"]: row["text"] for row in rows}


@pytest.mark.parametrize(
    "broken",
    [
        b'{"id": "b", "text": "ha',
        b'{"id": "b"}',
        b"}",
        b"[1]}",
        b'"}"',
        b'\xff{"id": "b", "text": ""}',
        b"[" * 10**5,
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_broken_row_anywhere_is_done_again(tmp_path: Path, broken: bytes, at: int) -> None:
    lines = [_row("a", "old a").encode(), _row("c", "old \u2028 c").encode()]
    lines.insert(at, broken)
    (tmp_path / "o.jsonl.partial").write_bytes(b"\n".join(lines))
    rows = _transcribed(tmp_path / "o.jsonl", "abc", resume=True)
    assert list(rows.items()) == [("a", "old a"), ("b", "new b"), ("c", "old \u2028 c")]


def test_a_run_killed_again_behind_half_a_row_loses_nothing(tmp_path: Path) -> None:
    output, part = tmp_path / "o.jsonl", tmp_path / "o.jsonl.partial"
    part.write_text(_row("a", "old a") + "\n" + '{"id": "b", "te')
    sink = open_sink("jsonl", output, [_source("a"), _source("b")], MODEL)
    sink.begin(resume=True)
    sink.write(_source("b"), _said("second b"))  # and killed here
    assert _transcribed(output, "ab", resume=True) == {"a": "old a", "b": "second b"}


def test_only_what_is_asked_for_now_is_kept_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text("".join(_row(name, f"old {name}") + "\n" for name in "dcba"))
    rows = _transcribed(tmp_path / "o.jsonl", "aeb", resume=True)
    assert list(rows.items()) == [("a", "old a"), ("e", "new e"), ("b", "old b")]


def test_without_resume_nothing_stale_stays(tmp_path: Path) -> None:
    part = tmp_path / "o.jsonl.partial"
    part.write_text(_row("a", "stale") + "\n")
    open_sink("jsonl", tmp_path / "o.jsonl", [_source("a"), _source("b")], MODEL).begin(resume=False)
    assert part.read_text() == ""  # so that a run killed now leaves nothing of the one before
    assert _transcribed(tmp_path / "o.jsonl", "ab", resume=True) == {"a": "new a", "b": "new b"}


def test_rows_of_another_model_are_done_again_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unnamed = json.dumps({"id": "c", "text": "of an older release"})
    lines = [_row("a", "old a"), _row("b", "old b", "models:/barista/2"), unnamed]
    (tmp_path / "o.jsonl").write_text("\n".join(lines))
    rows = _transcribed(tmp_path / "o.jsonl", "abc", resume=True)
    assert rows == {"a": "old a", "b": "new b", "c": "new c"}
    shown = capsys.readouterr().err
    assert "2 rows are of" in shown and "models:/barista/2" in shown and f"done again with {MODEL}" in shown


@pytest.mark.parametrize("output_format", ["text", "jsonl"])
@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_path_below_a_file_is_refused_before_any_work(
    tmp_path: Path, output_format: str, names: str
) -> None:
    (tmp_path / "afile").write_text("precious")
    with pytest.raises(OptionError, match="afile is no folder"):
        open_sink(output_format, tmp_path / "afile" / "deep" / "x", [_source(name) for name in names], MODEL)
    assert (tmp_path / "afile").read_text() == "precious"


def test_a_file_for_several_and_a_folder_for_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("")
    with pytest.raises(OptionError, match="2 recordings need one, or --format jsonl"):
        open_sink("text", tmp_path / "afile", [_source("a"), _source("b")], MODEL)
    for output_format in ("text", "jsonl"):
        with pytest.raises(OptionError, match="is a folder; name a file"):
            open_sink(output_format, tmp_path, [_source("a")], MODEL)


def test_two_sources_of_one_file_are_refused(tmp_path: Path) -> None:
    sources = [_source("a/b"), _source("a_b")]
    with pytest.raises(InputError, match="'a/b' and 'a_b' would both be written to"):
        open_sink("text", tmp_path / "out", sources, MODEL)
    open_sink("jsonl", tmp_path / "o.jsonl", sources, MODEL)
    open_sink("text", None, sources, MODEL)


def test_a_manifest_is_parsed_at_once_and_its_audio_read_one_by_one(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"audio_filepath": "gone.wav"}\n')
    (source,) = manifest_sources(manifest)
    with pytest.raises(AudioError, match="no such file"):
        source.read()
    manifest.write_text('{"audio_filepath": "gone.wav"}\n{"text": "x"}\n')
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: audio_filepath is missing"):
        manifest_sources(manifest)
    manifest.write_text("\n")
    with pytest.raises(ManifestError, match="no utterances"):
        manifest_sources(manifest)


def test_channels_of_an_unreadable_recording_fail_when_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (source,) = file_sources([tmp_path / "empty.wav"], split_channels=True)
    with pytest.raises(AudioError, match="empty"):
        source.read()


def test_rows_of_other_phrases_are_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, sources = tmp_path / "o.jsonl", [_source("a")]
    for phrases, is_kept in (("", False), ("00ff", False), ("00ff", True), ("ffee", False), ("", False)):
        sink = open_sink("jsonl", output, sources, MODEL, phrases=phrases)
        sink.begin(resume=True)
        assert sink.has(sources[0]) is is_kept
        sink.write(sources[0], _said("something"))
        sink.finish()
    assert f"1 rows are of {MODEL}; done again with {MODEL} and phrases 00ff" in capsys.readouterr().err
