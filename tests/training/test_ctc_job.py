"""What a job on a Wav2Vec2-CTC ends with: the domain's language model, unless it finds words where nobody speaks."""

from __future__ import annotations

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
    sounds: list[Utterance], small_ctc: Path, dev: list[Utterance], folder: Path, notes: Notes
) -> CtcJob:
    texts = (small_ctc / "heldout.txt").read_text().splitlines()[8:]
    train = [
        Utterance(id=f"text-{index}", audio_path=folder / "unread.wav", duration_s=2.0, text=text)
        for index, text in enumerate(texts)
    ]
    data = AdaptationData(
        train=train, dev=dev, test=[], general=[], terms=(), critical=(), sounds=sounds, hashes={}
    )
    spec = AdaptationSpec(base=str(small_ctc), name="ctc", text=small_ctc / "heldout.txt")
    return CtcJob(resolve_model(str(small_ctc)), spec, data, folder / "work", notes, num_workers=1)


@pytest.mark.parametrize(
    ("sound", "kept"), [("silence", True), ("white", False)]
)  # of 5 words 1, of 6 words 8
def test_a_language_model_that_hears_more_words_in_sounds_is_taken_out_again(
    sound: str, kept: bool, small_ctc: Path, domain_utterances: list[Utterance], tmp_path: Path
) -> None:
    sounds = [row for row in write_sounds(tmp_path / "sounds", seed=0) if row.id.startswith(sound)]
    notes = Notes()
    job = job_on(sounds, small_ctc, domain_utterances, tmp_path, notes)
    version = tmp_path / "version"
    job.export(job.base_state, version)
    scorer = job.finish(version)
    assert "; kept" in notes.lines[0]
    assert (scorer is not None) is kept is (version / LM_FOLDER).is_dir()
    assert any("taken out again" in line for line in notes.lines) is not kept
