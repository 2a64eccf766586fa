"""Where transcripts go: what --resume keeps and why, in which order, and the paths that are refused beforehand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from asr.cli.sinks import FOLDER_JOURNAL, open_sink
from asr.cli.sources import Source, file_sources, manifest_sources
from asr.errors import AudioError, InputError, ManifestError, OptionError, UnavailableError
from asr.results import Segment, Transcript

MODEL = "models:/barista/3"
MAKING = {"model": MODEL, "beam_size": 5, "phrases": ""}


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Three recordings a, b and c, of different bytes each."""
    return [_source(tmp_path, name) for name in "abc"]


def _source(folder: Path, name: str) -> Source:
    path = folder / f"{name}.wav"
    if not path.exists():
        path.write_bytes(b"recording " + name.encode())
    return Source(id=name, audio_filepath=str(path))


def _said(text: str) -> Transcript:
    return Transcript(segments=(Segment(text=text, start_s=0.0, end_s=1.0),), duration_s=1.0)


def _run(
    output: Path,
    sources: Sequence[Source],
    say: str,
    *,
    resume: bool = True,
    making: dict[str, object] = MAKING,
    output_format: str = "jsonl",
    killed_before: str = "",
) -> list[str]:
    """Run as the command does, where each source says "SAY ID", and stop before one; the ids that were done now."""
    sink = open_sink(output_format, output, sources, making)
    sink.begin(resume=resume)
    done = []
    try:
        for source in sources:
            if source.id == killed_before:
                return done
            if not sink.has(source):
                sink.write(source, source.digest(), _said(f"{say} {source.id}"))
                done.append(source.id)
        sink.finish()
        return done
    finally:
        sink.close()  # as the end of a killed process does


def _rows(output: Path) -> dict[str, str]:
    assert not output.with_name(output.name + ".partial").exists()
    rows = [json.loads(line) for line in output.read_text().split("\n")[:-1]]
    assert all(row["model"] == MODEL for row in rows)
    return {row["id"]: row["text"] for row in rows}


def _documents(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.txt"))}


@pytest.mark.parametrize(
    "broken", [b'{"id": "b", "text": "ha', b'{"id": 3}', b"}", b"[1]", b"\xff", b"[" * 10**5]
)
def test_a_broken_row_costs_that_row(tmp_path: Path, sources: list[Source], broken: bytes) -> None:
    output, part = tmp_path / "o.jsonl", tmp_path / "o.jsonl.partial"
    _run(output, sources, "old", killed_before="c")
    lines = part.read_bytes().split(b"\n")
    part.write_bytes(b"\n".join([lines[0], broken, b""]))
    assert _run(output, sources, "new") == ["b", "c"]
    assert _rows(output) == {"a": "old a", "b": "new b", "c": "new c"}


def test_half_a_row_at_the_end_of_rows_and_journal_is_done_again(
    tmp_path: Path, sources: list[Source]
) -> None:
    output, journal = tmp_path / "o.jsonl", tmp_path / ".o.jsonl.journal"
    for say, before, expected in (("first", "c", ["a", "b"]), ("second", "", ["b", "c"])):
        assert _run(output, sources, say, killed_before=before) == expected
        for path in (tmp_path / "o.jsonl.partial", journal):
            if path.exists():
                path.write_bytes(path.read_bytes()[:-20])
    assert _rows(output) == {"a": "first a", "b": "second b", "c": "second c"}
    assert _run(output, sources, "third") == ["c"]  # the journal's last line was cut off, too


def test_a_row_that_somebody_changed_is_done_again(
    tmp_path: Path, sources: list[Source], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "o.jsonl"
    _run(output, sources, "old")
    output.write_text(output.read_text().replace("old b", "edited b"))
    assert _run(output, sources, "new") == ["b"]
    assert list(_rows(output).items()) == [("a", "old a"), ("b", "new b"), ("c", "old c")]
    assert "1 outputs were changed or cut off since; done again" in capsys.readouterr().err


@pytest.mark.parametrize("output_format", ["jsonl", "text"])
def test_what_was_made_of_another_recording_or_otherwise_is_done_again(
    tmp_path: Path, sources: list[Source], output_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / ("o.jsonl" if output_format == "jsonl" else "out")

    def run(say: str, making: dict[str, object] = MAKING) -> list[str]:
        return _run(output, sources, say, making=making, output_format=output_format)

    assert run("first") == ["a", "b", "c"]
    assert run("second") == []
    (tmp_path / "b.wav").write_bytes(b"recording B")  # as long as before
    assert run("third") == ["b"]
    assert "1 recordings were changed since; done again" in capsys.readouterr().err
    (tmp_path / "a.wav").touch()  # a new time of the same bytes
    assert run("fourth") == []
    for change, told in (
        ({"model": "models:/barista/2"}, f"model {MODEL}, not models:/barista/2"),
        ({"phrases": "00ff"}, "phrases none, not 00ff"),
        ({"beam_size": 1}, "beam size 5, not 1"),
    ):
        assert run("otherwise", MAKING | change) == ["a", "b", "c"]
        assert f"3 outputs were made with {told}; done again" in capsys.readouterr().err
        assert run("back") == ["a", "b", "c"]
        capsys.readouterr()


def test_documents_are_kept_by_their_hashes(
    tmp_path: Path, sources: list[Source], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _run(out, sources, "first", output_format="text", killed_before="c") == ["a", "b"]
    assert _run(out, sources, "second", output_format="text") == ["c"]
    (out / "a.txt").write_text("first")  # cut off
    (out / "b.txt").unlink()
    assert _run(out, sources, "third", output_format="text") == ["a", "b"]
    assert _documents(out) == {"a": "third a", "b": "third b", "c": "second c"}
    assert "1 outputs were changed or cut off" in capsys.readouterr().err
    (out / FOLDER_JOURNAL).unlink()
    assert _run(out, sources, "fourth", output_format="text") == ["a", "b", "c"]
    assert "3 outputs have no record of how they were made; done again" in capsys.readouterr().err


def test_only_what_is_asked_for_now_is_kept_in_its_order(tmp_path: Path, sources: list[Source]) -> None:
    output = tmp_path / "o.jsonl"
    _run(output, sources[::-1], "old")
    asked = [sources[1], _source(tmp_path, "e"), sources[0]]
    assert _run(output, asked, "new") == ["e"]
    assert list(_rows(output).items()) == [("b", "old b"), ("e", "new e"), ("a", "old a")]


def test_without_resume_nothing_stale_stays(tmp_path: Path, sources: list[Source]) -> None:
    output = tmp_path / "o.jsonl"
    _run(output, sources, "stale", killed_before="c")
    _run(output, sources, "none", resume=False, killed_before="a")
    assert (
        tmp_path / "o.jsonl.partial"
    ).read_text() == ""  # so that a run killed now leaves nothing of the one before
    assert _run(output, sources, "new") == ["a", "b", "c"]


@pytest.mark.parametrize("output_format", ["jsonl", "text"])
def test_two_runs_at_once_are_refused(tmp_path: Path, sources: list[Source], output_format: str) -> None:
    first, second = (open_sink(output_format, tmp_path / "o", sources, MAKING) for _ in range(2))
    first.begin(resume=False)
    with pytest.raises(UnavailableError, match="another run writes to"):
        second.begin(resume=True)
    first.close()


def test_an_output_is_tied_to_span_channel_and_legs(tmp_path: Path, sources: list[Source]) -> None:
    path = sources[0].audio_filepath
    whole = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    same = [
        Source(id="x", audio_filepath=path),
        Source(id="x", audio_filepath=path, offset_s=1.0),
        Source(id="x", audio_filepath=path, duration_s=1.0),
        Source(id="x", audio_filepath=path, channel=0),
        Source(id="x", audio_filepath=path, channel=1),
        Source(id="x", audio_filepath=path, legs=("agent", "customer")),
    ]
    digests = [source.digest() for source in same]
    assert digests[0] == whole and len(set(digests)) == len(same)


@pytest.mark.parametrize("output_format", ["text", "jsonl"])
@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_path_below_a_file_is_refused_before_any_work(
    tmp_path: Path, output_format: str, names: str
) -> None:
    (tmp_path / "afile").write_text("precious")
    with pytest.raises(OptionError, match="afile is no folder"):
        open_sink(
            output_format,
            tmp_path / "afile" / "deep" / "x",
            [_source(tmp_path, name) for name in names],
            MAKING,
        )
    assert (tmp_path / "afile").read_text() == "precious"


def test_a_file_for_several_and_a_folder_for_one_are_refused(tmp_path: Path, sources: list[Source]) -> None:
    (tmp_path / "afile").write_text("")
    with pytest.raises(OptionError, match="2 recordings need one, or --format jsonl"):
        open_sink("text", tmp_path / "afile", sources[:2], MAKING)
    for output_format in ("text", "jsonl"):
        with pytest.raises(OptionError, match="is a folder; name a file"):
            open_sink(output_format, tmp_path, sources[:1], MAKING)


def test_two_sources_of_one_file_are_refused(tmp_path: Path) -> None:
    pair = [Source(id=name, audio_filepath="x.wav") for name in ("a/b", "a_b")]
    with pytest.raises(InputError, match="'a/b' and 'a_b' would both be written to"):
        open_sink("text", tmp_path / "out", pair, MAKING)
    open_sink("jsonl", tmp_path / "o.jsonl", pair, MAKING)
    open_sink("text", None, pair, MAKING)


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
