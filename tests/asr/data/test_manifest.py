"""Manifests: round trips, relative paths, one error per malformed row, content hashes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.data.manifest import Utterance, load_samples, manifest_sha256, read_manifest, write_manifest
from asr.errors import AudioError, ManifestError


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Two seconds, stereo: a ramp on the left, its negative on the right."""
    ramp = np.linspace(0, 0.9, 32_000, dtype=np.float32)
    write_audio(tmp_path / "audio" / "tone.wav", np.stack([ramp, -ramp], axis=1))
    return tmp_path / "audio" / "tone.wav"


def _manifest(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8"
    )
    return path


def test_all_fields_are_read(tmp_path: Path, tone: Path) -> None:
    row = {
        "audio_filepath": "audio/tone.wav",
        "id": "a",
        "duration": 1,
        "text": "größe 5 mg",
        "offset": 0.5,
        "speaker": 17,
        "session": "s",
        "channel": 1,
        "language": "en",
        "terms": ["mg"],
        "emotion": "calm",
    }
    [utterance] = read_manifest(_manifest(tmp_path, "\ufeff" + json.dumps(row), "", "  "))
    assert utterance == Utterance(
        id="a",
        audio_path=tone,
        duration_s=1.0,
        text="größe 5 mg",
        offset_s=0.5,
        speaker="17",
        session="s",
        channel=1,
        language="en",
        terms=("mg",),
        extra={"emotion": "calm"},
    )


def test_writing_and_reading_is_the_identity(tmp_path: Path, tone: Path) -> None:
    rows = [
        Utterance(id="x", audio_path=tone, duration_s=2.0, text='a "b"\n', extra={"k": [1]}),
        Utterance(
            id="y", audio_path=tone, duration_s=0.5, offset_s=0.25, terms=("t",), channel=0, speaker="s"
        ),
    ]
    path = tmp_path / "other" / "deep" / "m.jsonl"
    write_manifest(path, rows)
    assert read_manifest(path) == rows
    assert json.loads(path.read_text().splitlines()[0])["audio_filepath"] == "../../audio/tone.wav"
    assert [entry.name for entry in path.parent.iterdir()] == ["m.jsonl"]


def test_ids_and_durations_that_are_not_declared(tmp_path: Path, tone: Path) -> None:
    audio = {"audio_filepath": "audio/tone.wav", "text": "a"}
    path = _manifest(tmp_path, audio, audio | {"offset": 0.5}, audio | {"offset": 0, "channel": 1})
    rows = read_manifest(path)
    assert [row.id for row in rows] == ["tone", "tone@0.5", "tone@0#1"]
    assert [row.duration_s for row in rows] == [2.0, 1.5, 2.0]


def test_load_samples_takes_the_rows_span_and_channel(tone: Path) -> None:
    whole = Utterance(id="w", audio_path=tone, duration_s=2.0, channel=1)
    samples = load_samples(whole)
    assert samples.shape == (32_000,) and samples[-1] < -0.85
    part = load_samples(replace(whole, offset_s=0.5, duration_s=1.0))
    np.testing.assert_array_equal(part, samples[8_000:24_000])
    np.testing.assert_array_equal(load_samples(replace(whole, channel=None)), np.zeros(32_000))
    with pytest.raises(AudioError, match=r"2 channel\(s\).*channel 2"):
        load_samples(replace(whole, channel=2))


MALFORMED = {
    "not JSON": ("{'audio_filepath': 'a.wav'}", "not one JSON object"),
    "cut off": ('{"audio_filepath": "a.wav"', "not one JSON object"),
    "a list": ("[1]", "not list"),
    "no audio": ({"text": "a"}, "audio_filepath is missing"),
    "audio of another type": ({"audio_filepath": 5}, "audio_filepath is 5"),
    "text of another type": ({"audio_filepath": "a.wav", "text": ["a"]}, "text is"),
    "negative offset": ({"audio_filepath": "a.wav", "offset": -1}, "offset is -1"),
    "zero duration": ({"audio_filepath": "a.wav", "duration": 0}, "duration is 0"),
    "duration NaN": ('{"audio_filepath": "a.wav", "duration": NaN}', "duration is nan"),
    "duration in words": ({"audio_filepath": "a.wav", "duration": "2 s"}, "duration is '2 s'"),
    "channel": ({"audio_filepath": "a.wav", "channel": 1.5}, "channel is 1.5"),
    "terms": ({"audio_filepath": "a.wav", "terms": "mocha"}, "terms is 'mocha'"),
    "a lone surrogate": ('{"audio_filepath": "a.wav", "text": "\\ud800 broken"}', "'text' holds .*ud800"),
    "one in a term": ('{"audio_filepath": "a.wav", "terms": ["a", "\\udfff"]}', "'terms' holds .*udfff"),
    "one in a key": ('{"audio_filepath": "a.wav", "\\ud800": 1}', "half of a surrogate pair"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_row_is_one_error_at_its_line(tmp_path: Path, name: str) -> None:
    row, message = MALFORMED[name]
    path = _manifest(tmp_path, {"audio_filepath": "b.wav", "duration": 1}, "", row)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(path)
    assert f"{path}:3: " in str(caught.value)


def test_bytes_that_are_not_utf_8_are_an_error_at_their_line(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"audio_filepath": "\xff\xfe.wav"}')
    with pytest.raises(ManifestError, match=r"m\.jsonl:1: not one JSON"):
        read_manifest(tmp_path / "m.jsonl")


def test_missing_and_empty_manifests(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="no utterances"):
        read_manifest(_manifest(tmp_path, "", ""))


def test_the_hash_follows_content_and_not_place(tmp_path: Path, tone: Path) -> None:
    row = Utterance(id="a", audio_path=tone, duration_s=2.0, text="a")
    moved = replace(row, audio_path=tmp_path / "moved.wav")
    moved.audio_path.write_bytes(tone.read_bytes())
    assert manifest_sha256([row]) == manifest_sha256([moved])
    changed = [replace(row, text="b"), replace(row, offset_s=0.1), replace(row, terms=("a",))]
    assert len({manifest_sha256([one]) for one in [row, *changed]} | {manifest_sha256([row, row])}) == 5
    before = manifest_sha256([moved])
    write_audio(moved.audio_path, np.zeros(100, np.float32))
    assert manifest_sha256([moved]) != before


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["barista", "an4", "accent", "general"])
def test_real_manifests_are_read(recordings_dir: Path, name: str) -> None:
    rows = read_manifest(recordings_dir / name / "manifest.jsonl")
    assert all(row.audio_path.is_absolute() and row.duration_s > 0 for row in rows)
    assert load_samples(rows[0]).size == pytest.approx(rows[0].duration_s * 16_000, rel=0.02)
