"""Scores in training are those of the published folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr.data.manifest import Utterance, load_samples
from asr.errors import ModelError
from asr.models.base import DecodingOptions
from asr.models.checkpoint import load_wav2vec2, save_wav2vec2
from asr.models.ctc_torch import TorchCtc
from asr.recognizer import Recognizer
from training.ctc_scoring import CtcScorer

GREEDY = DecodingOptions(beam_size=1, word_times=False)


@pytest.fixture
def utterances(domain_utterances: list[Utterance]) -> list[Utterance]:
    return domain_utterances


def test_texts_are_those_of_the_folder_with_these_weights(
    small_ctc: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    model = load_wav2vec2(small_ctc)
    with torch.no_grad():
        model.lm_head.bias[5:] += 8.0  # letters where there are none
    save_wav2vec2(model, small_ctc, tmp_path / "other")
    scorer = CtcScorer(small_ctc, num_workers=1)
    done: list[int] = []
    scorer.prepare(utterances, lambda: done.append(1))
    assert len(done) == len(utterances)
    base = load_wav2vec2(small_ctc).state_dict()
    scored = {}
    for name, folder, state in (
        ("other", tmp_path / "other", {"lm_head.bias": model.lm_head.bias}),
        ("base", small_ctc, base),
    ):
        recognizer = Recognizer.load(str(folder))
        expected = [one.text for one in recognizer.transcribe_many(map(load_samples, utterances), GREEDY)]
        scored[name] = scorer.texts(state, utterances, GREEDY)
        assert scored[name] == expected
    assert scored["base"] != scored["other"]
    whole = TorchCtc(small_ctc).emissions(load_samples(utterances[0]))
    torch.testing.assert_close(
        torch.from_numpy(scorer.emissions(base, utterances[:1])[0]), torch.from_numpy(whole)
    )


def test_weights_of_another_model_are_refused(small_ctc: Path) -> None:
    engine = TorchCtc(small_ctc, dtype="float32")
    for state in ({"nothing.weight": torch.zeros(1)}, {"lm_head.bias": torch.zeros(5)}):
        with pytest.raises(ModelError, match="do not fit"):
            engine.load_weights(state)
