"""A whole adaptation of the small Wav2Vec2-CTC without the job around it: learn, export, language model."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.errors import InputError
from asr.models.base import DecodingOptions
from asr.models.checkpoint import weights_sha256
from asr.models.export import check_parity
from asr.models.resolve import resolve_model
from asr.recognizer import Recognizer
from training.checkpoint import CheckpointStore
from training.ctc_family import MIN_NEW_ROWS, CtcFamily
from training.interpolate import interpolate
from training.loop import DevScore, Hooks, TrainingLoop
from training.scoring import GREEDY
from training.spec import TrainingOptions


@pytest.fixture
def utterances(domain_utterances: list[Utterance]) -> list[Utterance]:
    return domain_utterances


def test_a_run_ends_in_a_folder_that_serves(
    small_ctc: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    family = CtcFamily(small_ctc, [row.text or "" for row in utterances], work=tmp_path / "work", seed=0)
    assert (family.base, family.characters) == (small_ctc, ())
    base_state = family.base_state()
    examples = family.examples(utterances).examples
    options = TrainingOptions(learning_rate=5e-4, epochs=2, batch_size=4, evaluations_per_epoch=1)
    loop_steps = 2 * -(-len(examples) // 4)
    method = family.method(loop_steps)
    hooks = Hooks(
        score=lambda _weights: DevScore(None, None), on_step=lambda *_: None, on_point=lambda _: None
    )
    TrainingLoop(method, examples, options=options, seed=0).run(CheckpointStore(tmp_path / "steps"), hooks)
    tuned = {name: value.detach().clone() for name, value in method.merged(method.trainable()).items()}
    family.export(interpolate(base_state, {}, 0.0), tmp_path / "untouched")
    family.export(interpolate(base_state, tuned, 0.5), tmp_path / "version")
    version = resolve_model(str(tmp_path / "version"))
    assert version.sha256 != weights_sha256(tmp_path / "untouched")
    segments = family.scorer(num_workers=1)
    segments.prepare(utterances, lambda: None)
    parity = check_parity(*family.engines(tmp_path / "version"), segments.segments(utterances), GREEDY)
    assert parity.passed
    texts = [
        Recognizer.load(str(folder), engine="torch").decode(segments.segments(utterances), GREEDY)
        for folder in (small_ctc, tmp_path / "untouched")
    ]
    assert [row[0].text for row in texts[0]] == [row[0].text for row in texts[1]]


def test_the_language_model_is_kept_only_where_dev_is_better(
    small_ctc: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    family = CtcFamily(small_ctc, [], work=tmp_path / "work", seed=0)
    folder = tmp_path / "version"
    family.export(family.base_state(), folder)
    held_out = (small_ctc / "heldout.txt").read_text().splitlines()
    trials: list[int] = []
    report = family.add_language_model(folder, held_out[8:], utterances, on_trial=lambda: trials.append(1))
    assert report.facts.num_sentences == len(held_out) - 8 and len(trials) == len(report.tuning.trials)
    assert report.kept == report.tuning.helps == (folder / "lm").is_dir()
    served = Recognizer.load(str(folder)).decode([], DecodingOptions())
    assert served == []
    with pytest.raises(InputError, match="none of 1 sentences"):
        family.add_language_model(folder, ["12"], utterances)


def test_characters_get_outputs_where_enough_rows_need_them(small_ctc: Path, tmp_path: Path) -> None:
    for count, characters in ((MIN_NEW_ROWS - 1, ()), (MIN_NEW_ROWS, ("4",))):
        texts = ["room 4"] * count + ["only 7 once"]
        family = CtcFamily(small_ctc, texts, work=tmp_path / str(count), seed=0)
        assert family.characters == characters
        row = Utterance(id="a", audio_path=Path("none.wav"), duration_s=2.0, text="room 4")
        made = family.examples([row])
        assert bool(made.examples) is bool(characters) is bool(made.notes)
        assert family.method(100).trainable()["lm_head.bias"].shape == (32 + len(characters),)
        resolve_model(str(family.base))
