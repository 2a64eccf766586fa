"""What a job on a Wav2Vec2-CTC ends with: the domain's language model, unless it finds words where nobody speaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.decoding.ctc import LM_FOLDER
from asr.models.resolve import resolve_model
from training.ctc_job import CtcJob
from training.data import AdaptationData
from training.sounds import write_sounds
from training.spec import AdaptationSpec


class Notes:
    """Keeps what a job tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def job_on(
    sounds: list[Utterance],
    small_ctc: Path,
    dev: list[Utterance],
    folder: Path,
    notes: Notes,
    general: list[Utterance],
) -> CtcJob:
    texts = (small_ctc / "heldout.txt").read_text().splitlines()[8:]
    train = [
        Utterance(id=f"text-{index}", audio_path=folder / "unread.wav", duration_s=2.0, text=text)
        for index, text in enumerate(texts)
    ]
    data = AdaptationData(
        train=train, dev=dev, test=[], general=general, terms=(), critical=(), sounds=sounds, hashes={}
    )
    spec = AdaptationSpec(base=str(small_ctc), name="ctc", text=small_ctc / "heldout.txt")
    return CtcJob(resolve_model(str(small_ctc)), spec, data, folder / "work", notes, num_workers=1)


@pytest.mark.parametrize(
    ("sound", "everyday", "kept"),
    [("silence", 0, True), ("pink", 0, False), ("silence", 1, True), ("silence", 2, False)],
)  # of 20 words 22; of everyday sentences the first has fewer errors with it, the second more
def test_a_language_model_that_hears_more_words_in_sounds_or_less_of_general_speech_is_taken_out_again(
    sound: str, everyday: int, kept: bool, small_ctc: Path, domain_utterances: list[Utterance],
    spoken_utterances: list[Utterance], tmp_path: Path,
) -> None:  # fmt: skip
    sounds = [
        replace(row, offset_s=4.0, duration_s=4.0)
        for row in write_sounds(tmp_path / "sounds", seed=1)
        if row.id.startswith(sound)
    ]
    notes = Notes()
    general = spoken_utterances[everyday - 1 : everyday]
    job = job_on(sounds, small_ctc, domain_utterances, tmp_path, notes, general)
    version = tmp_path / "version"
    job.export(job.base_state, version)
    scorer = job.finish(version)
    assert "; kept" in notes.lines[0]
    assert (scorer is not None) is kept is (version / LM_FOLDER).is_dir()
    taken_out = [line for line in notes.lines if "taken out again" in line]
    assert len(taken_out) == (0 if kept else 1)
    assert all(("general" in line) is bool(everyday) for line in taken_out)
