"""Teaching own lengths: what is drawn, what the loss pulls towards, and that a base is taught once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.cli.console import ProgressReporter
from asr.data.manifest import Utterance
from asr.models.checkpoint import load_whisper
from asr.models.contexts import OWN, WHOLE, own_frames
from asr.models.resolve import ResolvedModel, resolve_model
from asr.models.whisper_tokens import WhisperTokenizer
from training.contexts import TrainingContexts
from training.data import AdaptationData
from training.families import open_family
from training.methods import Frame
from training.own_length import OwnLengthMethod, Teacher, TeachingOptions, taught_own_length
from training.progress import SilentReporter, SilentStage
from training.spec import AdaptationSpec, TrainingOptions
from training.synth.everyday import everyday_sentences


@pytest.fixture(scope="module")
def base(small_whisper: Path) -> ResolvedModel:
    return resolve_model(str(small_whisper))


@pytest.fixture(scope="module")
def rows(spoken_utterances: list[Utterance]) -> list[Utterance]:
    return spoken_utterances


@pytest.fixture(scope="module")
def frame(base: ResolvedModel) -> Frame:
    tokenizer = WhisperTokenizer(base.transformers_dir / "tokenizer.json")
    return Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)


def _asked(
    base: ResolvedModel, frame: Frame, folder: Path, rows: list[Utterance]
) -> tuple[Teacher, Any, Any]:
    tokenizer = WhisperTokenizer(base.transformers_dir / "tokenizer.json")
    teacher = Teacher(folder, base, tokenizer, frame, num_workers=1)
    model = load_whisper(base.transformers_dir)
    return teacher, model, teacher.ask(model, rows, lambda: None)


def test_contexts_are_own_lengths_with_a_share_of_whole_windows(rows: list[Utterance]) -> None:
    contexts = TrainingContexts(context=OWN, seed=1)
    drawn = [
        contexts.frames(Utterance(id=str(number), audio_path=rows[0].audio_path, duration_s=3.0), 48_000)
        for number in range(400)
    ]
    assert 0.05 < sum(frames == 3000 for frames in drawn) / 400 < 0.16
    assert {frames for frames in drawn if frames < 3000} == {400}  # 3 s, moved by -0.1 to 0.4 s, and silence
    assert drawn[0] == contexts.frames(
        Utterance(id="0", audio_path=rows[0].audio_path, duration_s=3.0), 48_000
    )
    assert TrainingContexts(context=WHOLE, seed=1).frames(rows[0], 48_000) == 3000


def test_where_the_student_hears_what_the_teacher_heard_nothing_is_to_learn(
    base: ResolvedModel, frame: Frame, rows: list[Utterance], tmp_path: Path
) -> None:
    teacher, model, examples = _asked(base, frame, tmp_path, rows)
    whole = TrainingContexts(context=WHOLE, seed=0)
    own = TrainingContexts(context=OWN, seed=0, whole_share=0.0)
    with torch.inference_mode():
        same = float(OwnLengthMethod(model, teacher, frame, whole).loss(examples, 0))
        trimmed = float(OwnLengthMethod(model, teacher, frame, own).loss(examples, 0))
    assert same < 0.05 * trimmed  # int8 and float16 of the teacher's answers


def test_only_the_encoder_learns_and_comes_nearer_to_the_teacher(
    base: ResolvedModel, frame: Frame, rows: list[Utterance], tmp_path: Path
) -> None:
    teacher, model, examples = _asked(base, frame, tmp_path, rows)
    method = OwnLengthMethod(model, teacher, frame, TrainingContexts(context=OWN, seed=0, whole_share=0.0))
    weights = method.trainable()
    assert weights and all(name.startswith("model.encoder.") for name in weights)
    assert not any("embed_positions" in name for name in weights)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3)
    losses = []
    for step in range(8):
        loss = method.loss(examples, step)
        losses.append(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]


def test_the_teacher_is_asked_once(
    base: ResolvedModel, frame: Frame, rows: list[Utterance], tmp_path: Path
) -> None:
    _, _, examples = _asked(base, frame, tmp_path, rows)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    teacher, _, again = _asked(base, frame, tmp_path, rows)
    assert again == examples and stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(teacher.hidden(again)) == sum(len(example.tokens) + 1 for example in again)


def test_a_base_is_taught_once_and_differs_in_its_encoder_alone(
    base: ResolvedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    options = TeachingOptions(sentences=8, epochs=1)
    folder = taught_own_length(base, ProgressReporter(None), num_workers=2, options=options)
    before = load_whisper(base.transformers_dir).state_dict()
    after = load_whisper(folder).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("model.encoder.") for name in changed)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert taught_own_length(base, ProgressReporter(None), num_workers=2, options=options) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


def test_a_row_id_that_looks_like_a_path_leads_nowhere(
    base: ResolvedModel, frame: Frame, rows: list[Utterance], tmp_path: Path
) -> None:
    odd = [replace(row, id=f"../../{'x' * 300}/{index}") for index, row in enumerate(rows)]
    _asked(base, frame, tmp_path / "teacher", odd)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher"]
    assert len(list((tmp_path / "teacher").iterdir())) == len(rows)


def test_the_users_speech_is_taught_on_too_without_a_transcript(
    base: ResolvedModel, rows: list[Utterance], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    options = TeachingOptions(sentences=4, epochs=1)
    untold = [replace(row, text=None) for row in rows]
    folders = [
        taught_own_length(base, ProgressReporter(None), num_workers=2, options=options, speech=speech)
        for speech in ([], untold, untold)
    ]
    assert folders[1] == folders[2] != folders[0]
    weights = [load_whisper(folder).state_dict()["model.encoder.conv1.weight"] for folder in folders]
    assert not torch.equal(weights[0], weights[1])


def test_a_job_teaches_with_as_many_sentences_as_its_spec_says(
    base: ResolvedModel, rows: list[Utterance], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    stages: list[tuple[str, int]] = []

    class Watcher(SilentReporter):
        def stage(self, name: str, total: int) -> SilentStage:
            stages.append((name, total))
            return SilentStage()

    data = AdaptationData(
        train=rows, dev=rows, test=[], general=[], terms=(), critical=(), sounds=[], hashes={}
    )
    training = TrainingOptions(own_length_sentences=3)
    spec = AdaptationSpec(base=base.reference, name="few", train=rows[0].audio_path, training=training)
    open_family(base, spec, data, tmp_path / "job", Watcher(), num_workers=1)
    assert ("speaking everyday sentences", 3) in stages


def test_two_jobs_on_a_new_base_teach_it_once(
    base: ResolvedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    options = TeachingOptions(sentences=4, epochs=1, seed=1)
    notes: list[str] = []

    class Listener(SilentReporter):
        def note(self, text: str) -> None:
            notes.append(text)

    with ThreadPoolExecutor(2) as jobs:
        both = [
            jobs.submit(taught_own_length, base, Listener(), num_workers=1, options=options) for _ in range(2)
        ]
        first, second = (job.result() for job in both)
    assert first == second and len(notes) == 1


def test_everyday_sentences_are_different_and_follow_from_the_seed() -> None:
    sentences = everyday_sentences(300, 1)
    assert len({sentence.text for sentence in sentences}) == len({one.id for one in sentences}) == 300
    assert sentences == everyday_sentences(300, 1) != everyday_sentences(300, 2)
    assert not any("{" in sentence.text for sentence in sentences)
    assert own_frames(16_000) == 200
