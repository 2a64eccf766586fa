"""What a job trains and measures on: disjoint, complete, stable, and every refusal names the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.cli.console import ProgressReporter
from asr.data.glossary import read_terms
from asr.data.manifest import Utterance
from asr.data.splits import split_manifest
from asr.errors import InputError
from training.data import collect, general_sentences, replay_sentences
from training.inputs import near_duplicate_notes, shared_audio
from training.sources import Sources, locked_rows, split_glossary, split_text
from training.spec import AdaptationSpec, SplitOptions, TrainingOptions
from training.windows import SEGMENTS

SMALL = {"split": SplitOptions(general_sentences=4, carriers_per_term=4), "training": TrainingOptions()}
REPORTER = ProgressReporter(None)
_WORDS = [
    f"{tens}{ones}" for tens in ("", "dark ", "pale ") for ones in ("amber", "blue", "cyan", "ebony", "gold")
]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"Order number {number} is ready for you.\n" for number in range(30)))
    return path


@pytest.fixture
def manifest(tmp_path: Path, spoken: Any) -> Path:
    rows = []
    for number in range(24):
        words, samples = list(spoken.items())[number % 3]
        write_audio(tmp_path / f"{number}.wav", samples[: 16_000 + number])
        row = {
            "audio_filepath": f"{number}.wav",
            "duration": 1.0,
            "text": words,
            "speaker": f"s{number % 12}",
        }
        rows.append(json.dumps(row))
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


def _spec(**changes: Any) -> AdaptationSpec:
    return AdaptationSpec(**({"base": "bundled:tiny.en", "name": "x"} | SMALL | changes))


def test_text_is_split_and_spoken_and_nothing_of_dev_is_trained_on(text: Path, tmp_path: Path) -> None:
    data = collect(_spec(text=text), tmp_path / "work", REPORTER)
    train = {row.text for row in data.train}
    dev = {row.text for row in data.dev}
    assert not train & dev
    assert dev | train >= set(text.read_text().splitlines())
    assert len(data.dev) == 4
    assert len(data.general) == 4
    assert not {row.text for row in data.general} & (train | dev)


def test_the_voices_do_not_depend_on_what_else_the_machine_has(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "espeak-ng"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")  # found, and would fail the job if it were asked to speak
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    data = collect(_spec(text=text), tmp_path / "work", REPORTER)
    rows = [row for row in (*data.train, *data.dev, *data.general) if SEGMENTS not in row.extra]
    assert {(row.speaker or "").partition("-")[0] for row in rows} == {"hibari"}


def test_growing_text_moves_no_line_from_train_to_dev_while_dev_keeps_its_size(
    text: Path, tmp_path: Path
) -> None:
    before = collect(_spec(text=text), tmp_path / "a", REPORTER)
    text.write_text(text.read_text() + "One more line.\n")
    after = collect(_spec(text=text), tmp_path / "b", REPORTER)
    moved = {row.text for row in after.dev} - {row.text for row in before.dev}
    assert moved <= {"One more line."}


def test_a_glossary_alone_is_enough_and_every_term_is_trained_and_measured(tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("apixaban\nramipril\tcritical\nskim milk\nsoy milk\noat milk\n")
    data = collect(_spec(terms=terms), tmp_path / "work", REPORTER)
    wanted = {"apixaban", "ramipril", "skim milk", "soy milk", "oat milk"}
    assert set(data.terms) == wanted
    assert {term for row in data.dev for term in row.terms or ()} == wanted
    for term in wanted:
        assert sum(term in (row.terms or ()) for row in data.train) >= 4
    assert not {row.text for row in data.train} & {row.text for row in data.dev}


def test_recordings_are_split_by_speaker(manifest: Path, tmp_path: Path) -> None:
    spec = _spec(train=manifest, split=SplitOptions(dev_share=0.4, general_sentences=4))
    data = collect(spec, tmp_path / "work", REPORTER)
    dev = {row.speaker for row in data.dev}
    recorded = {row.speaker for row in data.train if row.audio_path.parent == manifest.parent}
    assert dev and recorded and not dev & recorded
    assert any(note.startswith("replay") for note in data.notes)


def test_what_is_in_train_and_in_dev_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="24 utterances of --dev are trained on too"):
        collect(_spec(train=manifest, dev=manifest), tmp_path / "work", REPORTER)


def test_copies_and_overlapping_spans_are_the_same_audio_and_channels_and_neighbours_are_not(
    tmp_path: Path, spoken: Any
) -> None:
    for name in ("a", "copy"):
        write_audio(tmp_path / f"{name}.wav", next(iter(spoken.values())))

    def row(name: str, offset_s: float = 0.0, channel: int | None = None) -> Utterance:
        path = tmp_path / f"{name}.wav"
        return Utterance(id=name, audio_path=path, duration_s=1.0, offset_s=offset_s, channel=channel)

    assert shared_audio([row("a")], [row("copy")])
    assert shared_audio([row("a")], [row("a", 0.999)])
    assert shared_audio([row("a")], [row("a", channel=0)])
    assert not shared_audio([row("a")], [row("a", 1.0)])
    assert not shared_audio([row("a", channel=1)], [row("a", channel=0)])


def test_user_templates_shorter_than_asked_for_repeat_nothing_and_leak_nothing(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("apixaban\nramipril\n")
    (tmp_path / "templates.txt").write_text("Give me {term}.\nIs {term} here?\nWhere is {term}?\n")
    spec = _spec(terms=tmp_path / "terms.txt", templates=tmp_path / "templates.txt")
    data = collect(spec, tmp_path / "work", REPORTER)
    spoken_terms = [row.text for row in data.train if row.terms]
    assert len(spoken_terms) == 2 * len(set(spoken_terms)) == 8  # each is spoken twice
    assert not set(spoken_terms) & {row.text for row in data.dev}
    assert len(data.dev) == len(data.test) == 36  # of each term, half of the built-in sentences
    assert any("there are 3 templates" in note for note in data.notes)


def test_a_test_set_that_was_seen_is_refused(manifest: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of --test are trained on too"):
        collect(_spec(train=manifest, test=manifest), tmp_path / "work", REPORTER)
    data = collect(_spec(text=text, test=manifest), tmp_path / "other", REPORTER)
    assert len(data.test) == 24 and not any("locked" in note for note in data.notes)


@pytest.mark.parametrize("terms", ["apixaban", "apixaban\tcritical\nramipril"])
def test_a_glossary_of_one_or_two_terms_is_enough(tmp_path: Path, terms: str) -> None:
    (tmp_path / "terms.txt").write_text(terms + "\n")
    data = collect(_spec(terms=tmp_path / "terms.txt"), tmp_path / "work", REPORTER)
    assert len(data.dev) >= 4
    assert data.critical == (("apixaban",) if "critical" in terms else ())


def test_another_language_is_refused(manifest: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) | {"language": "de"} for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        InputError, match="rows are in de, and the job is in en: leave them out, adapt in their language"
    ):
        collect(_spec(train=manifest), tmp_path / "work", REPORTER)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio_filepath": "gone.wav", "text": "x"}, "missing-audio"),
        ({"text": "x"}, "malformed-row"),
        ({"audio_filepath": "0.wav", "text": "x", "id": "1"}, "duplicate-id"),
        ({"audio_filepath": "text.wav", "text": "x"}, "unreadable-audio"),
    ],
)
def test_rows_that_cannot_be_used_stop_the_job_by_name(
    manifest: Path, tmp_path: Path, row: dict[str, str], message: str
) -> None:
    (tmp_path / "text.wav").write_text("a letter, not a recording")
    manifest.write_text(manifest.read_text() + json.dumps(row) + "\n")
    with pytest.raises(InputError, match=f"train.jsonl:25: {message}"):
        collect(_spec(train=manifest), tmp_path / "work", REPORTER)


def test_too_little_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("One.\nTwo.\nThree.\n")
    with pytest.raises(InputError, match="at least 4 are needed"):
        collect(_spec(text=short), tmp_path / "work", REPORTER)


def test_sentences_to_measure_on_and_to_train_on_are_disjoint() -> None:
    general = {sentence.text for sentence in general_sentences("general", 1000)}
    replay = {sentence.text for sentence in general_sentences("replay", 1000)}
    assert len(general) == len(replay) == 80
    assert not general & replay


def test_replay_of_any_size_repeats_nothing_and_holds_nothing_that_is_measured_on() -> None:
    replay = [sentence.text for sentence in replay_sentences(300, 0)]
    assert len(set(replay)) == len(replay) == 300
    assert not set(replay) & {sentence.text for sentence in general_sentences("general", 1000)}
    assert replay_sentences(50, 0) == replay_sentences(300, 0)[:50]
    assert len(replay_sentences(10_000, 0)) == 400


def test_texts_of_the_test_set_that_resemble_trained_ones_are_noted_not_refused() -> None:
    def rows(*texts: str | None) -> list[Utterance]:
        return [
            Utterance(id=str(n), audio_path=Path("/a.wav"), duration_s=1.0, text=text)
            for n, text in enumerate(texts)
        ]

    train = rows("Please send fifty bottles of paracetamol to David.", "A B C", None)
    assert near_duplicate_notes(train, rows("How much is a banana?", None), "--test") == []
    (note,) = near_duplicate_notes(
        train, rows("Please send fifty bottles of paracetamol to Davis.", "a b c", "Hello there"), "--test"
    )
    assert note.startswith("--test: 2 of 3 texts nearly repeat")
    assert "1 equal" in note
    assert "'a b c' ~ 'A B C'" in note


def test_of_much_general_speech_some_is_trained_on_and_none_of_it_is_measured_on(
    text: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(100):
        samples = rng.normal(0, 0.05, 8_000).astype(np.float32)
        write_audio(tmp_path / f"{number}.wav", samples)
        speaker = "talker" if number < 60 else f"speaker-{number % 13}"
        row = {"audio_filepath": f"{number}.wav", "text": f"sentence {number}", "speaker": speaker}
        rows.append(json.dumps(row))
    (tmp_path / "general.jsonl").write_text("\n".join(rows) + "\n")
    data = collect(_spec(text=text, general=tmp_path / "general.jsonl"), tmp_path / "work", REPORTER)
    replayed = {row.speaker for row in data.train} & {f"speaker-{number}" for number in range(13)}
    assert replayed and not replayed & {row.speaker for row in data.general}
    assert (
        75 <= len(data.general) < 100
    )  # the talker of 60 rows is too much for a quarter, and is measured on
    assert any("are trained on beside the domain" in note for note in data.notes)
    alone = collect(_spec(general=tmp_path / "general.jsonl"), tmp_path / "alone", REPORTER)
    assert {row.id for row in alone.general} == {row.id for row in data.general}
    assert {row.speaker for row in alone.train} == replayed  # without a domain they teach own lengths
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(rows[:20]) + "\n")
    assert len(collect(_spec(text=text, general=few), tmp_path / "other", REPORTER).general) == 20


def test_hours_recorded_are_those_of_the_users_recordings_alone(text: Path, tmp_path: Path) -> None:
    assert collect(_spec(text=text), tmp_path / "spoken", REPORTER).recorded_hours == 0
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        write_audio(tmp_path / f"{number}.wav", rng.normal(0, 0.05, 16_000).astype(np.float32))
        rows.append(
            json.dumps({"audio_filepath": f"{number}.wav", "text": f"row {number}", "speaker": str(number)})
        )
    (tmp_path / "train.jsonl").write_text("\n".join(rows[:8]) + "\n")
    (tmp_path / "dev.jsonl").write_text("\n".join(rows[8:]) + "\n")
    training = TrainingOptions(recording_copies=2)
    spec = _spec(train=tmp_path / "train.jsonl", dev=tmp_path / "dev.jsonl", training=training)
    data = collect(spec, tmp_path / "recorded", REPORTER)
    assert len(data.train) > 3 * 8 and data.recorded_hours == pytest.approx(8 / 3600)


def test_lines_that_differ_only_in_how_they_are_written_are_one(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        "".join(f"Order number {number}{end}\n" for number in range(20) for end in (".", "!", ""))
    )
    data = collect(_spec(text=path), tmp_path / "work", REPORTER)
    texts = [
        row.text for row in (*data.train, *data.dev) if (row.text or "").startswith("Order") and not row.extra
    ]
    assert len(texts) == 20
    assert any("40 of 60 lines are repeated" in note for note in data.notes)


def test_enough_text_has_a_test_locked_away_that_shares_no_line_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_text("\n".join(f"order number {one} {two}" for one in _WORDS for two in _WORDS))
    sources = Sources()
    split_text(_spec(text=path), path, sources)
    texts = [
        {sentence.text for sentence in part}
        for part in (sources.train_sentences, sources.dev_sentences, sources.test_sentences)
    ]
    assert [len(part) for part in texts] == [176, 27, 22] and len(set().union(*texts)) == 225
    for spec in (
        _spec(text=path, test=path),
        _spec(text=path, split=SplitOptions(test_share=0)),
    ):  # one is given, or none is wanted
        sources = Sources()
        split_text(spec, path, sources)
        assert not sources.test_sentences and len(sources.train_sentences) == 198


def test_a_locked_test_of_recordings_has_speakers_of_its_own_even_after_a_split_by_hash() -> None:
    rows = [
        Utterance(
            id=f"{speaker}-{row}", audio_path=Path(f"{speaker}-{row}.wav"), duration_s=1.0, text="yes",
            speaker=f"s{speaker}",
        )
        for speaker in range(40)
        for row in range(10)
    ]  # fmt: skip
    kept = split_manifest(rows, "speaker", 0.1, 0.2)["train"]
    locked = locked_rows(kept, 0.1)
    speakers = {row.speaker for row in locked}
    assert 0 < len(locked) <= 0.1 * len(kept)
    assert all((row in locked) == (row.speaker in speakers) for row in kept)
    assert locked_rows(rows[:190], 0.1) == []  # too few rows
    assert locked_rows([replace(row, speaker=None) for row in rows], 0.1) == []  # nobody knows who speaks


def test_every_term_of_a_glossary_is_in_the_locked_test_in_a_sentence_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text("apixaban\nramipril\nlisinopril\n")
    sources = Sources()
    split_glossary(_spec(terms=path), read_terms(path), sources)
    parts = (sources.train_sentences, sources.dev_sentences, sources.test_sentences)
    assert all(
        {term for row in part for term in row.terms or ()} >= {"apixaban", "lisinopril"} for part in parts
    )
    texts = [{row.text for row in part} for part in parts]
    assert sum(map(len, texts)) == len(set().union(*texts))
