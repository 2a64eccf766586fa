"""Fine-tuning the small Wav2Vec2-CTC: what learns, what does not, and that chance follows from seed and step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asr.audio.files import write_audio
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import evaluate_texts
from asr.models.base import DecodingOptions, Samples
from asr.models.checkpoint import load_wav2vec2
from asr.models.ctc_torch import TorchCtc, geometry
from training.checkpoint import CheckpointStore, Position, moments_of
from training.ctc_method import CtcMethod, add_outputs, default_ctc_learning_rate, save_ctc
from training.ctc_scoring import CtcScorer
from training.ctc_text import make_ctc_examples
from training.examples import Example
from training.loop import DevScore, Hooks, TrainingLoop
from training.scoring import GREEDY
from training.spec import TrainingOptions

RATE = 3e-4


@pytest.fixture(scope="module")
def examples(
    spoken: dict[str, Samples], small_ctc: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Example]:
    """Everyday sentences, which the small model gets wrong."""
    folder = tmp_path_factory.mktemp("ctc-examples")
    rows = []
    for index, (text, samples) in enumerate(spoken.items()):
        write_audio(folder / f"{index}.wav", samples)
        rows.append(
            Utterance(
                id=str(index), audio_path=folder / f"{index}.wav", duration_s=len(samples) / 16_000, text=text
            )
        )
    engine = TorchCtc(small_ctc, dtype="float32")
    receptive, stride = geometry(engine._model.config)
    made = make_ctc_examples(rows, engine.tokens, receptive_samples=receptive, stride_samples=stride)
    assert len(made.examples) == len(rows)
    return list(made.examples)


def train(
    method: CtcMethod, examples: list[Example], steps: range, optimizer: torch.optim.AdamW
) -> list[float]:
    losses = []
    method.model.train()
    for step in steps:
        loss = method.loss(examples, step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    method.model.eval()
    return losses


def adamw(method: CtcMethod) -> torch.optim.AdamW:
    return torch.optim.AdamW(method.trainable().values(), lr=RATE)


def clean_loss(method: CtcMethod, examples: list[Example]) -> float:
    method.model.eval()
    with torch.no_grad():
        return float(method.loss(examples, 0))


def test_a_few_steps_lower_the_loss_and_leave_the_feature_encoder(
    small_ctc: Path, examples: list[Example]
) -> None:
    method = CtcMethod(load_wav2vec2(small_ctc), seed=0)
    before = {name: value.clone() for name, value in method.model.state_dict().items()}
    loss = clean_loss(method, examples)
    train(method, examples, range(8), adamw(method))
    assert clean_loss(method, examples) < 0.8 * loss
    changed = {
        name for name, value in method.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed and not any("feature_extractor" in name for name in changed)
    assert changed <= set(method.trainable())


def test_seed_and_step_alone_decide_the_loss(small_ctc: Path, examples: list[Example]) -> None:
    model = load_wav2vec2(small_ctc)
    model.config.mask_time_prob = 0.3
    method = CtcMethod(model, seed=0)
    model.train()
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again, later = (float(method.loss(examples, step).detach()) for step in (3, 3, 4))
    assert first == again != later
    assert float(CtcMethod(model, seed=1).loss(examples, 3).detach()) != first
    np.testing.assert_array_equal(np.random.get_state()[1], state[0])
    assert torch.equal(torch.get_rng_state(), state[1])


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    small_ctc: Path, examples: list[Example], tmp_path: Path
) -> None:
    whole = CtcMethod(load_wav2vec2(small_ctc), seed=5, head_only_steps=1)
    train(whole, examples, range(4), adamw(whole))
    first = CtcMethod(load_wav2vec2(small_ctc), seed=5, head_only_steps=1)
    optimizer, store = adamw(first), CheckpointStore(tmp_path)
    train(first, examples, range(2), optimizer)
    store.save(Position(step=2), first.trainable(), moments_of(first.trainable(), optimizer))
    second = CtcMethod(load_wav2vec2(small_ctc), seed=5, head_only_steps=1)
    optimizer = adamw(second)
    store.restore(2, second.trainable(), optimizer)
    train(second, examples, range(2, 4), optimizer)
    for name, value in whole.trainable().items():
        assert torch.equal(second.trainable()[name], value), name


def test_the_loss_of_a_batch_is_the_mean_of_its_examples(small_ctc: Path, examples: list[Example]) -> None:
    method = CtcMethod(load_wav2vec2(small_ctc), seed=0)
    alone = [clean_loss(method, [example]) for example in examples]
    assert clean_loss(method, examples) == pytest.approx(np.mean(alone), rel=1e-4)


def test_the_loss_is_that_of_transformers(small_ctc: Path, examples: list[Example]) -> None:
    method = CtcMethod(load_wav2vec2(small_ctc), seed=0)
    with torch.no_grad():
        theirs = [
            method.model(method._samples(example)[None], labels=torch.tensor([example.tokens])).loss
            for example in examples
        ]
    assert clean_loss(method, examples) == pytest.approx(float(torch.stack(theirs).mean()), rel=1e-4)


def test_very_short_audio_is_masked_less_and_the_settings_come_back(small_ctc: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "short.wav", np.random.default_rng(0).normal(size=1600).astype(np.float32) * 0.1)
    row = Utterance(id="short", audio_path=tmp_path / "short.wav", duration_s=0.1, text="A")
    write_audio(tmp_path / "long.wav", np.random.default_rng(0).normal(size=32_000).astype(np.float32) * 0.1)
    long = Utterance(id="long", audio_path=tmp_path / "long.wav", duration_s=2.0, text="A")
    method = CtcMethod(load_wav2vec2(small_ctc), seed=0)
    frames = method.model.config.mask_time_length
    method.model.train()
    assert np.isfinite(float(method.loss([Example(row, (7,))], 0).detach()))
    assert method.model.config.mask_time_length < frames
    method.loss([Example(long, (7,))], 1)
    assert method.model.config.mask_time_length == frames


def test_a_warm_up_moves_the_head_alone(small_ctc: Path, examples: list[Example]) -> None:
    method = CtcMethod(load_wav2vec2(small_ctc), seed=0, head_only_steps=2)
    before = {name: value.clone() for name, value in method.trainable().items()}
    train(method, examples, range(2), adamw(method))
    moved = {name for name, value in method.trainable().items() if not torch.equal(value, before[name])}
    assert moved == {"lm_head.weight", "lm_head.bias"}


def test_new_outputs_leave_what_was_heard_and_can_be_learnt(
    small_ctc: Path, domain_speech: dict[str, Samples], examples: list[Example], tmp_path: Path
) -> None:
    greedy = DecodingOptions(beam_size=1)
    base = TorchCtc(small_ctc, dtype="float32")
    model = load_wav2vec2(small_ctc)
    tokens = add_outputs(model, base.tokens, ["É", "4"], seed=0)
    save_ctc(model, tokens, small_ctc, tmp_path / "new")
    engine = TorchCtc(tmp_path / "new", dtype="float32")
    assert engine.tokens == tokens and tokens.encode("É4") == [32, 33]
    segments = list(domain_speech.values())
    texts = [[row[0].text for row in one.decode(segments, greedy)] for one in (base, engine)]
    assert texts[0] == texts[1]
    learnt = [Example(example.utterance, (32,)) for example in examples[:1]]
    method = CtcMethod(model, seed=0, head_only_steps=30)
    optimizer = torch.optim.AdamW(method.trainable().values(), lr=3e-2)
    train(method, learnt, range(30), optimizer)
    save_ctc(model, tokens, small_ctc, tmp_path / "learnt")
    assert "É" in _heard(tmp_path / "learnt", learnt[0])


def _heard(folder: Path, example: Example) -> str:
    from asr.data.manifest import load_samples

    engine = TorchCtc(folder, dtype="float32")
    return engine.decode([load_samples(example.utterance)], DecodingOptions(beam_size=1))[0][0].text


def test_group_norm_models_train_one_by_one(small_ctc: Path, examples: list[Example]) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config: Any = Wav2Vec2Config.from_pretrained(small_ctc)
    config.update({"feat_extract_norm": "group", "do_stable_layer_norm": False, "num_hidden_layers": 1})
    torch.manual_seed(0)
    method = CtcMethod(Wav2Vec2ForCTC(config), seed=0)
    alone = [clean_loss(method, [example]) for example in examples]
    assert clean_loss(method, examples) == pytest.approx(np.mean(alone), rel=1e-5)


def test_the_rate_grows_with_the_audio() -> None:
    assert [default_ctc_learning_rate(hours) for hours in (0.0, 1 / 6, 1.0, 10.0, 100.0)] == pytest.approx(
        [2e-5, 2e-5, 5e-5, 1e-4, 1e-4]
    )
    assert 2e-5 < default_ctc_learning_rate(0.5) < 5e-5


def test_the_training_loop_teaches_it_new_sentences(
    small_ctc: Path, examples: list[Example], tmp_path: Path
) -> None:
    """Whole: the loop, its checkpoints, the dev score as served; the base gets these sentences wrong."""
    model = load_wav2vec2(small_ctc)
    method, scorer = CtcMethod(model, seed=0), CtcScorer(small_ctc, num_workers=1)
    utterances = [example.utterance for example in examples]
    scorer.prepare(utterances, lambda: None)

    def score(weights: Mapping[str, Tensor]) -> DevScore:
        texts = scorer.texts(method.merged(weights), utterances, GREEDY)
        return DevScore(evaluate_texts(utterances, texts).wer, None)

    options = TrainingOptions(
        learning_rate=2e-3, epochs=24, batch_size=4, evaluations_per_epoch=1, patience=24
    )
    hooks = Hooks(score=score, on_step=lambda _step, _loss: None, on_point=lambda _point: None)
    result = TrainingLoop(method, examples, options=options, seed=0).run(CheckpointStore(tmp_path), hooks)
    wers = [point.dev_wer for point in result.curve]
    assert wers[0] is not None and wers[0] > 0.3
    assert result.best_step > 0 and min(wer for wer in wers if wer is not None) < 0.5 * wers[0]
    assert result.weights is not None and set(result.weights) == set(method.trainable())
