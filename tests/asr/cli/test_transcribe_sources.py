"""Which recordings a folder, a pattern or a URL stands for, how they are called, and what legs ask of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.audio.files import read_channels, write_audio
from asr.cli.places import place_of
from asr.cli.sources import Source, file_sources, manifest_sources
from asr.errors import AudioError, InputError, OptionError

TREE = (
    "b.wav", "a.FLAC", "2024/05/a.mp3", "2024/04/z.ogg", "2024/notes.txt", "2024/.hidden.wav", ".cache/x.wav",
    "2024/raw.ulaw",
)  # fmt: skip


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    for name in TREE:
        path = tmp_path / "calls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "calls"


def _ids(*arguments: str | Path) -> list[str]:
    return [source.id for source in file_sources(arguments)]


def test_a_folder_is_its_recordings_recursively_in_order(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ["2024/04/z", "2024/05/a", "2024/raw", "a", "b"]
    assert _ids(calls) == expected
    sources = file_sources([calls])
    assert [source.audio_filepath for source in sources] == sorted(
        source.audio_filepath for source in sources
    )
    assert [source.file_name for source in sources] == expected  # outputs lie as the recordings do
    monkeypatch.chdir(calls)
    assert _ids(".") == _ids("./") == _ids("../calls") == expected
    assert [source.id for source in file_sources([f"file://{calls}"])] == expected


def test_a_pattern_is_its_matches_called_from_its_fixed_part(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _ids(f"{calls}/2024/**/*.mp3") == ["05/a"]
    assert _ids(f"{calls}/*/0?/*") == ["2024/04/z", "2024/05/a"]
    assert _ids(f"{calls}/*.wav", calls / "b.wav") == ["b"]  # the same recording twice is one
    assert _ids(f"file://{calls}/2024/*/*") == ["04/z", "05/a"]
    monkeypatch.chdir(calls)
    assert _ids("*.wav", "2024/*/a*") == ["b", "05/a"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(calls: Path) -> None:
    odd = calls / "call[1].wav"
    odd.write_bytes(b"x")
    assert _ids(odd) == ["call[1]"]
    assert not place_of(odd).stands_for_many()
    assert place_of(calls).stands_for_many() and place_of(f"{calls}/call[2].wav").stands_for_many()


@pytest.mark.parametrize("argument", ["", "/*.opus", "/2024/**/*.txt"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_empty_match_is_an_error_that_says_what_counts(tmp_path: Path, argument: str, scheme: str) -> None:
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(InputError, match=r"holds no recording; .*\.flac"):
        file_sources([f"{scheme}{tmp_path}{argument}"])


def test_two_recordings_of_one_id_are_refused_with_both_paths(calls: Path) -> None:
    (calls / "b.mp3").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'b' names two recordings, .*b\.mp3 and .*b\.wav"):
        file_sources([calls])


def test_what_a_url_needs_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="use a scheme that fsspec knows"):
        file_sources(["nosuch://bucket/x.wav"])
    (source,) = file_sources([f"file://{tmp_path}/gone.wav"])
    with pytest.raises(AudioError, match="no such file"):
        source.read()
    with pytest.raises(AudioError, match="no such file"):
        source.digest()


def test_a_url_is_read_as_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 2)).astype(np.float32)
    write_audio(path, samples)
    for changes in ({}, {"offset_s": 0.25, "duration_s": 0.5}, {"channel": 1}, {"legs": ("a", "b")}):
        here = Source(id="x", audio_filepath=str(path), **changes)  # type: ignore[arg-type]
        there = Source(id="x", audio_filepath=f"file://{path}", **changes)  # type: ignore[arg-type]
        assert np.array_equal(here.read(), there.read())
        assert here.digest() == there.digest()


def test_legs_are_the_channels(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    write_audio(path, np.stack([np.zeros(1600, np.float32), np.full(1600, 0.5, np.float32)], axis=1))
    (source,) = file_sources([path], legs=("agent", "customer"))
    assert np.array_equal(source.read(), read_channels(path))
    (source,) = file_sources([path], legs=("agent", "customer", "supervisor"))
    with pytest.raises(AudioError, match=r"has 2 channel\(s\); --legs names 3: agent, customer, supervisor"):
        source.read()
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"audio_filepath": "stereo.wav", "channel": 1}\n')
    with pytest.raises(OptionError, match="--legs merges all channels"):
        manifest_sources(manifest, legs=("agent", "customer"))
