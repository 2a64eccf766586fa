"""A long recording of synthesised sentences with known boundaries, aligned by the small model and cut into rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.cli.console import ProgressReporter
from asr.data.manifest import Utterance, load_samples, read_manifest
from asr.data.validate import validate_manifest
from asr.errors import AudioError, InputError, ManifestError, OptionError
from asr.models.base import Samples
from asr.models.ctc_torch import TorchCtc
from server.cli import app
from training.alignment.dataset import AlignedManifest, AlignOptions, align_manifest, read_recordings
from training.alignment.emissions import MAX_VALUES, count_chunks, recording_emissions

RATE_HZ = 16_000
PAUSES_S = (0.7, 0.5, 1.4, 0.6, 0.9, 0.5, 1.1, 0.8)
MAX_ERROR_S = 0.15  # of an aligned boundary: seven frames


@dataclass(frozen=True)
class Long:
    """A recording, what is said in it, and from when to when."""

    path: Path
    texts: list[str]
    spans_s: list[tuple[float, float]]
    duration_s: float


@pytest.fixture(scope="module")
def engine(small_ctc: Path) -> TorchCtc:
    return TorchCtc(small_ctc, dtype="float32")


@pytest.fixture(scope="module")
def long(domain_speech: dict[str, Samples], tmp_path_factory: pytest.TempPathFactory) -> Long:
    generator = np.random.default_rng(0)
    parts: list[Samples] = []
    spans_s = []
    at = 0
    for pause_s, samples in zip(PAUSES_S, domain_speech.values(), strict=True):
        spoken = np.flatnonzero(np.abs(samples) > 0.01)
        for part in (np.zeros(round(pause_s * RATE_HZ), np.float32), samples):
            parts.append(part + 1e-4 * generator.standard_normal(len(part)).astype(np.float32))
            at += len(part)
        start = at - len(samples)
        spans_s.append(((start + int(spoken[0])) / RATE_HZ, (start + int(spoken[-1])) / RATE_HZ))
    path = tmp_path_factory.mktemp("long") / "meeting.flac"
    write_audio(path, np.concatenate(parts))
    return Long(path, list(domain_speech), spans_s, at / RATE_HZ)


Align = Callable[..., AlignedManifest]


@pytest.fixture
def align(engine: TorchCtc, long: Long, tmp_path: Path) -> Align:
    def run(text: str, *, engine: TorchCtc = engine, **fields: Any) -> AlignedManifest:
        recording = Utterance(id="m", audio_path=long.path, duration_s=long.duration_s, text=text)
        return align_manifest(
            [replace(recording, **fields)],
            tmp_path / "out",
            engine,
            model_sha256="small",
            options=AlignOptions(),
            reporter=ProgressReporter(None),
        )

    return run


def _check_times(rows: Sequence[Utterance], long: Long) -> None:
    """Every row holds the sentences of its text whole, and nothing of their neighbours."""
    for row in rows:
        inside = [number for number, text in enumerate(long.texts) if text in (row.text or "")]
        assert inside, row.text
        assert row.text == " ".join(long.texts[number] for number in inside)
        end_s = row.offset_s + row.duration_s
        before_s = long.spans_s[inside[0] - 1][1] if inside[0] else 0.0
        after_s = long.spans_s[inside[-1] + 1][0] if inside[-1] + 1 < len(long.texts) else long.duration_s
        assert before_s - MAX_ERROR_S <= row.offset_s <= long.spans_s[inside[0]][0] + MAX_ERROR_S
        assert long.spans_s[inside[-1]][1] - MAX_ERROR_S <= end_s <= after_s + MAX_ERROR_S


def test_rows_hold_their_sentences_whole_and_all_of_the_text(align: Align, long: Long) -> None:
    aligned = align(" ".join(long.texts))
    assert aligned.rejected_rows == []
    assert " ".join(row.text or "" for row in aligned.rows) == " ".join(long.texts)
    assert len(aligned.rows) >= 3
    assert all(row.duration_s <= 20 for row in aligned.rows)
    assert all(0.2 <= float(str(row.extra["score"])) <= 1 for row in aligned.rows)
    _check_times(aligned.rows, long)


def test_the_written_manifest_validates_and_reads_back_with_its_fields(align: Align, long: Long) -> None:
    aligned = align(
        " ".join(long.texts),
        speaker="s1",
        session="monday",
        language="en",
        terms=("lisinopril", "green tea"),
        extra={"room": 3},
    )
    assert validate_manifest(aligned.manifest) == []
    rows = read_manifest(aligned.manifest)
    assert [(row.speaker, row.session, row.language, row.extra["room"]) for row in rows] == [
        ("s1", "monday", "en", 3)
    ] * len(rows)
    assert all(row.audio_path == long.path for row in rows)
    assert {term for row in rows for term in row.terms or ()} == {"lisinopril"}
    assert all("lisinopril" in (row.text or "") for row in rows if row.terms)
    assert not Path(json.loads(aligned.manifest.read_text().splitlines()[0])["audio_filepath"]).is_absolute()


def test_a_missing_sentence_and_wrong_words_are_rejected_alone(align: Align, long: Long) -> None:
    missing, wrong = (
        "Please bring seven umbrellas to the railway museum.",
        "Nobody ordered fish on a Wednesday.",
    )
    texts = [*long.texts[:3], missing, *long.texts[3:6], wrong, *long.texts[7:]]
    aligned = align("\n".join(texts))
    assert [row.text for row in aligned.rejected_rows] == [missing, wrong]
    for row in aligned.rejected_rows:
        assert float(str(row.extra["score"])) < 0.05
        assert "is below 0.2" in str(row.extra["reason"])
    heard_at = aligned.rejected_rows[1]
    assert heard_at.offset_s <= long.spans_s[6][0] + MAX_ERROR_S
    assert heard_at.offset_s + heard_at.duration_s >= long.spans_s[6][1] - MAX_ERROR_S
    said = [text for text in texts if text not in (missing, wrong)]
    assert " ".join(row.text or "" for row in aligned.rows) == " ".join(said)
    _check_times(aligned.rows, long)
    written = [json.loads(line) for line in aligned.rejected.read_text().splitlines()]
    assert [row["text"] for row in written] == [missing, wrong]


def test_speech_that_the_transcript_lacks_is_reported_and_in_no_row(align: Align, long: Long) -> None:
    aligned = align(" ".join([*long.texts[:3], *long.texts[4:]]))
    (extra,) = aligned.rejected_rows
    assert extra.text == ""
    assert "speech that the transcript lacks" in str(extra.extra["reason"])
    begin_s, end_s = long.spans_s[3]
    for row in aligned.rows:
        assert row.offset_s + row.duration_s <= begin_s + MAX_ERROR_S or row.offset_s >= end_s - MAX_ERROR_S


def test_numbers_keep_their_writing_and_are_counted(align: Align, long: Long) -> None:
    texts = [text.replace("Four", "4") for text in long.texts]
    aligned = align(" ".join(texts))
    assert aligned.unwritable == {"4": 1}
    assert " ".join(row.text or "" for row in aligned.rows) == " ".join(texts)
    assert sum(int(str(row.extra.get("unwritable_words", 0))) for row in aligned.rows) == 1


def test_an_offset_moves_every_row_by_as_much(align: Align, long: Long) -> None:
    start_s = (long.spans_s[1][1] + long.spans_s[2][0]) / 2
    whole = align(" ".join(long.texts))
    part = align(" ".join(long.texts[2:]), offset_s=start_s, duration_s=long.duration_s - start_s, id="later")
    ends = {row.text: row.offset_s + row.duration_s for row in whole.rows}
    assert part.rows[-1].offset_s + part.rows[-1].duration_s == pytest.approx(
        ends[part.rows[-1].text], abs=MAX_ERROR_S
    )
    _check_times(part.rows, long)


def test_a_second_run_goes_on_without_the_model(align: Align, long: Long, small_ctc: Path) -> None:
    text = " ".join(long.texts)
    first = align(text).manifest.read_bytes()
    closed = TorchCtc(small_ctc, dtype="float32")
    closed.close()
    assert align(text, engine=closed).manifest.read_bytes() == first
    with pytest.raises(TypeError):  # other text is other work, and this engine cannot do it
        align(text.replace("lisinopril", "insulin"), engine=closed)


def test_emissions_that_fit_one_chunk_are_the_engines(engine: TorchCtc, long: Long) -> None:
    recording = Utterance(id="m", audio_path=long.path, duration_s=29.0, text="x")
    assert count_chunks(engine, recording) == 2
    short = replace(recording, duration_s=20.0)
    assert count_chunks(engine, short) == 1
    np.testing.assert_array_equal(recording_emissions(engine, short), engine.emissions(load_samples(short)))


def test_stitched_emissions_have_the_frames_of_the_whole_and_nearly_its_values(
    engine: TorchCtc, long: Long
) -> None:
    done: list[None] = []
    recording = Utterance(id="m", audio_path=long.path, duration_s=29.9, text="x")
    stitched = recording_emissions(engine, recording, lambda: done.append(None))
    whole = engine.emissions(load_samples(recording))
    assert stitched.shape == whole.shape
    assert len(done) == count_chunks(engine, recording) == 2
    assert float(np.mean(stitched.argmax(-1) == whole.argmax(-1))) > 0.97


def test_a_recording_over_the_limit_is_rejected_with_it(engine: TorchCtc, long: Long) -> None:
    endless = Utterance(id="m", audio_path=long.path, duration_s=MAX_VALUES / 50 / 32 + 60, text="x")
    with pytest.raises(InputError, match=r"m lasts \d+ min; with this model's 32 outputs at most 2796 min"):
        recording_emissions(engine, endless)


def _manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "recordings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_transcript_is_a_field_or_a_file(long: Long, tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("\ufeffHello there.\nBye.")
    audio = str(long.path)
    rows = read_recordings(
        _manifest(
            tmp_path,
            {"audio_filepath": audio, "id": "a", "text": "Hello."},
            {"audio_filepath": audio, "id": "b", "text_filepath": "said.txt", "room": 3},
        )
    )
    assert [row.text for row in rows] == ["Hello.", "Hello there.\nBye."]
    assert rows[1].extra == {"room": 3}
    assert rows[0].duration_s == pytest.approx(long.duration_s)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "has neither text nor text_filepath"),
        ({"text": "a", "text_filepath": "b.txt"}, "has both"),
        ({"text_filepath": 3}, "must be a string"),
        ({"text_filepath": "none.txt"}, "cannot be read"),
        ({"text": " - "}, "is empty"),
        ({"text": "a", "duration": 900.0}, "declares 900 s"),
    ],
)
def test_rows_that_cannot_be_aligned_are_refused_before_any_work(
    long: Long, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_recordings(_manifest(tmp_path, {"audio_filepath": str(long.path)} | row))


def test_ids_must_differ_and_audio_exist(long: Long, tmp_path: Path) -> None:
    row = {"audio_filepath": str(long.path), "text": "a"}
    with pytest.raises(ManifestError, match="occurs twice"):
        read_recordings(_manifest(tmp_path, row, row))
    with pytest.raises(AudioError, match="no such file"):
        read_recordings(_manifest(tmp_path, {"audio_filepath": "gone.wav", "text": "a"}))
    with pytest.raises(OptionError, match="give 0 to 1"):
        AlignOptions(min_score=1.5)


def test_the_command_reports_and_exits_1_when_nothing_can_be_used(
    long: Long, small_ctc: Path, tmp_path: Path
) -> None:
    def invoke(text: str, *options: str) -> Any:
        manifest = _manifest(tmp_path, {"audio_filepath": str(long.path), "text": text})
        arguments = ["data", "align", manifest, "--out", tmp_path / "rows", "--model", small_ctc, *options]
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    good = invoke(" ".join(long.texts), "--json")
    assert good.exit_code == 0, good.output
    document = json.loads(good.stdout)
    assert document["rows"] == len(read_manifest(Path(document["manifest"])))
    assert (document["recordings"], document["rejected_rows"], document["rejections"]) == (1, 0, [])
    assert document["hours"] == pytest.approx(long.duration_s / 3600, abs=1e-4)
    bad = invoke("Nobody ever ordered fish on a Wednesday in the railway museum.")
    assert bad.exit_code == 1
    assert (tmp_path / "rows" / "manifest.jsonl").read_text() == ""
    assert "railway museum" in (tmp_path / "rows" / "rejected.jsonl").read_text()
    assert "rejected meeting-0001" in bad.stderr
