"""A job's description: what is wrong in it is named with the value, the limit and the known keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr.errors import OptionError
from training.spec import AdaptationSpec, TrainingOptions, read_option_groups


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("one\n")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None, "training": TrainingOptions(own_length=False)}, "give --text, --terms or --train"),
        ({"name": "../x"}, "--name"),
        ({"alias": "a b"}, "--alias"),
        ({"alias": "latest"}, "not 'latest'"),
        ({"alias": "7"}, "not a number alone"),
        ({"seed": -1}, "--seed is -1"),
        ({"normalizer": "nope"}, "whisper-en-1"),
        ({"method": "sorcery"}, "choose auto, decoder, lora, full"),
        ({"base": "tiny"}, "bundled:NAME"),
        ({"dev": Path("nowhere.jsonl")}, "--dev nowhere.jsonl does not exist"),
    ],
)
def test_a_bad_spec_is_refused(text: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AdaptationSpec(**({"base": "bundled:tiny.en", "name": "x", "text": text} | change))


@pytest.mark.parametrize("rate", [3e-3, -1e-5])
def test_a_learning_rate_that_breaks_models_is_refused(rate: float) -> None:
    with pytest.raises(OptionError, match=r"0 to 0\.002"):
        TrainingOptions(learning_rate=rate)


def test_only_low_rank_changes_may_learn_ten_times_faster(text: Path) -> None:
    options = TrainingOptions(learning_rate=5e-4)
    assert AdaptationSpec(base="bundled:tiny.en", name="x", text=text, method="lora", training=options)
    with pytest.raises(OptionError, match=r"breaks a model above 0\.0002"):
        AdaptationSpec(base="bundled:tiny.en", name="x", text=text, training=options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[training]\nepoch = 3\n", "unknown option training.epoch; known are: training.learning_rate"),
        ("[trainnig]\n", "unknown option trainnig; known are: language, seed, normalizer, training"),
        ("training = 3\n", "must be of type TrainingOptions"),
        ("[training\n", "is not TOML"),
        ("[training]\nepochs = -1\n", "training.epochs is -1; give 0 to 1000"),
        ("[training]\nown_length_sentences = 0\n", "training.own_length_sentences is 0; give 1 or more"),
        ("[training]\nepochs = 'three'\n", "training"),
        ("[gate]\nmin_prob_better = 2\n", "give 0.5 to 0.999"),
        ("[training]\nepochs = 2.5\n", "must be of type int"),
        ("[training]\nwarmup_share = 7.0\n", "give 0 to 1"),
        ("[training]\nlora_part = 'encoder'\n", "choose auto, decoder, both"),
        ("[training]\nlora_rank = 0\n", "give 1 to 256"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(content)
    with pytest.raises(OptionError, match=message):
        read_option_groups(path)


def test_equal_jobs_have_equal_digests_and_others_do_not(text: Path) -> None:
    def digest(**changes: Any) -> str:
        return AdaptationSpec(base="bundled:tiny.en", name="x", text=text, **changes).digest("sha")

    assert digest() == digest()
    assert digest() != digest(seed=1)
    assert digest() != digest(training=TrainingOptions(epochs=1))
