"""The loop on a real, small Whisper: it learns, keeps the best, and an interrupted run ends as an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.data.manifest import Utterance
from asr.models.checkpoint import load_whisper
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.checkpoint import CheckpointStore, Position
from training.encoder_cache import EncoderCache
from training.examples import Example, make_examples
from training.import_command import copy_version
from training.interpolate import interpolate
from training.loop import DevScore, Hooks, TrainingLoop, TrainingResult, learning_rate_factor
from training.lora import LoraMethod
from training.methods import (
    EMBEDDINGS,
    CachedEncodings,
    DecoderMethod,
    Frame,
    FullMethod,
    LiveEncodings,
    Method,
    default_learning_rate,
)
from training.spec import TrainingOptions

OPTIONS = TrainingOptions(learning_rate=2e-4, epochs=3, batch_size=2, evaluations_per_epoch=1, patience=9)


class _InterruptError(Exception):
    """Stands for a kill between two steps."""


@pytest.fixture(scope="module")
def version(small_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_version(small_whisper, tmp_path_factory.mktemp("loop") / "version")


@pytest.fixture(scope="module")
def tokenizer(version: Path) -> WhisperTokenizer:
    return WhisperTokenizer(version / "tokenizer.json")


@pytest.fixture(scope="module")
def examples(
    tmp_path_factory: pytest.TempPathFactory, spoken: Any, tokenizer: WhisperTokenizer
) -> list[Example]:
    from asr.audio.files import write_audio

    folder = tmp_path_factory.mktemp("audio")
    rows = []
    for number, (text, samples) in enumerate([*spoken.items()] * 2):
        path = folder / f"{number}.wav"
        write_audio(path, samples[: 16_000 + 1000 * number])
        rows.append(Utterance(id=f"u{number}", audio_path=path, duration_s=1 + number / 16, text=text))
    return make_examples(rows, tokenizer)[0]


@pytest.fixture(scope="module")
def frame(tokenizer: WhisperTokenizer) -> Frame:
    return Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)


def _loop(method: Method, examples: list[Example]) -> TrainingLoop:
    return TrainingLoop(method, examples, options=OPTIONS, seed=5)


def _hooks(scores: Iterator[float], stop_at: int = -1) -> Hooks:
    def on_step(step: int, _loss: float) -> None:
        if step == stop_at:
            raise _InterruptError

    return Hooks(
        score=lambda _weights: DevScore(next(scores), None), on_step=on_step, on_point=lambda _point: None
    )


def _cached(version: Path, examples: list[Example], folder: Path) -> CachedEncodings:
    cache = EncoderCache(folder, CTranslate2Whisper(version / "ctranslate2"), num_workers=1)
    cache.fill([example.utterance for example in examples], lambda: None)
    return CachedEncodings(cache, torch.device("cpu"))


def _full(version: Path, frame: Frame) -> FullMethod:
    model = load_whisper(version)
    return FullMethod(model, LiveEncodings(model), frame)


def _decoder(version: Path, examples: list[Example], frame: Frame, folder: Path) -> DecoderMethod:
    return DecoderMethod(load_whisper(version), _cached(version, examples, folder), frame)


def _lora(version: Path, examples: list[Example], frame: Frame, folder: Path, part: str) -> LoraMethod:
    torch.manual_seed(0)  # adapters begin with random directions
    model = load_whisper(version)
    encodings = _cached(version, examples, folder) if part == "decoder" else LiveEncodings(model)
    return LoraMethod(model, encodings, frame, part=part, rank=4, alpha=8.0)


def _run(
    version: Path,
    examples: list[Example],
    frame: Frame,
    folder: Path,
    stops: tuple[int, ...] = (),
) -> TrainingResult:
    """Train with dev scores 0.9, 0.5, 0.3, 0.4, interrupted after the steps ``stops`` and started anew each time."""
    scores = {0: 0.9, 3: 0.5, 6: 0.3, 9: 0.4}
    for stop in (*stops, -1):
        store = CheckpointStore(folder / "checkpoints")
        newest = store.newest()
        done = newest.step if newest else -1
        remaining = iter([score for step, score in scores.items() if step > done])
        loop = _loop(_decoder(version, examples, frame, folder / "encoded"), examples)
        try:
            return loop.run(store, _hooks(remaining, stop))
        except _InterruptError:
            continue
    raise AssertionError("unreachable: the last run is not stopped")


def test_the_weights_of_the_best_dev_score_and_the_last_are_kept(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    result = _run(version, examples, frame, tmp_path)
    assert (result.best_step, result.last_step) == (6, 9)
    assert result.weights is not None and result.last_weights is not None
    assert not all(torch.equal(value, result.last_weights[name]) for name, value in result.weights.items())
    assert [point.dev_wer for point in result.curve] == [0.9, 0.5, 0.3, 0.4]
    assert result.curve[-1].loss < result.curve[1].loss
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-0000006",
        "step-0000009",
    ]


@pytest.mark.parametrize("stops", [(1,), (4, 5), (3, 8, 9)])
def test_an_interrupted_run_ends_exactly_as_an_undisturbed_one(
    version: Path,
    examples: list[Example],
    frame: Frame,
    tmp_path: Path,
    stops: tuple[int, ...],
) -> None:
    undisturbed = _run(version, examples, frame, tmp_path / "a")
    interrupted = _run(version, examples, frame, tmp_path / "b", stops)
    assert undisturbed.weights is not None and interrupted.weights is not None
    for name, value in undisturbed.weights.items():
        assert torch.equal(value, interrupted.weights[name]), name
    assert undisturbed.last_weights is not None and interrupted.last_weights is not None
    for name, value in undisturbed.last_weights.items():
        assert torch.equal(value, interrupted.last_weights[name]), name
    assert undisturbed.curve[-1].loss == pytest.approx(interrupted.curve[-1].loss)


def test_training_stops_when_dev_does_not_improve(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    options = TrainingOptions(
        learning_rate=2e-4, epochs=50, batch_size=2, evaluations_per_epoch=1, patience=2
    )
    method = _decoder(version, examples, frame, tmp_path)
    loop = TrainingLoop(method, examples, options=options, seed=5)
    result = loop.run(CheckpointStore(tmp_path / "c"), _hooks(iter([0.1, 0.2, 0.3])))
    assert (result.best_step, result.weights, len(result.curve)) == (0, None, 3)  # the base was best
    assert result.last_weights is not None and set(result.last_weights) == set(method.trainable())


def test_each_method_learns_its_weights_and_no_others(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    methods = (_decoder(version, examples, frame, tmp_path), _full(version, frame))
    for method in methods:
        before = {name: value.detach().clone() for name, value in method.model.state_dict().items()}
        scores = iter([0.9, 0.8, 0.7, 0.6])
        _loop(method, examples).run(CheckpointStore(tmp_path / method.name), _hooks(scores))
        changed = {
            name for name, value in method.model.state_dict().items() if not torch.equal(value, before[name])
        }
        encoder = {name for name in changed if ".encoder." in name}
        assert any(".decoder.layers." in name for name in changed)
        assert bool(encoder) == (method.name == "full")
        assert not any("embed_positions" in name for name in changed)


def test_cached_outputs_give_the_loss_of_the_encoder_itself(
    version: Path, examples: list[Example], tmp_path: Path
) -> None:
    (cached,) = _cached(version, examples, tmp_path)(examples[:2], 0)
    with torch.inference_mode():
        (direct,) = LiveEncodings(load_whisper(version))(examples[:2], 0)
    assert cached.outputs.shape == direct.outputs.shape == (2, 1500, 64)
    alike = torch.nn.functional.cosine_similarity(cached.outputs.flatten(), direct.outputs.flatten(), dim=0)
    assert alike > 0.99  # int8 and float16


@pytest.mark.parametrize("part", ["decoder", "both"])
def test_lora_learns_adapters_alone_and_merges_to_what_it_computes(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path, part: str
) -> None:
    method = _lora(version, examples, frame, tmp_path, part)
    base = load_whisper(version)
    before = base.state_dict()
    first = method.merged(method.trainable())
    assert all(
        torch.equal(value, before[name]) for name, value in first.items()
    )  # adapters begin as no change
    assert any(".encoder." in name for name in first) == (part == "both")
    with torch.inference_mode():
        start = float(method.loss(examples, 0))
    result = _loop(method, examples).run(CheckpointStore(tmp_path / part), _hooks(iter([0.9, 0.8, 0.7, 0.6])))
    assert result.weights is not None and all("lora_" in name for name in result.weights)
    with torch.inference_mode():
        learned = float(method.loss(examples, 0))
    assert learned < start
    base.load_state_dict({**before, **method.merged(result.weights)})
    encodings = LiveEncodings(base) if part == "both" else _cached(version, examples, tmp_path)
    with torch.inference_mode():
        merged = float(DecoderMethod(base, encodings, frame).loss(examples, 0))
    assert merged == pytest.approx(learned, rel=1e-4)


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"
)  # peft asks transformers for it
def test_the_kept_adapter_is_read_by_peft_and_adds_exactly_the_served_mix(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    from peft import PeftModel

    method = _lora(version, examples, frame, tmp_path, "decoder")
    result = _loop(method, examples).run(CheckpointStore(tmp_path / "c"), _hooks(iter([0.9, 0.8, 0.7, 0.6])))
    assert result.weights is not None
    method.save_adapter(result.weights, 0.5, "bundled:tiny.en", tmp_path / "adapter")
    base = load_whisper(version)
    served = interpolate(base.state_dict(), method.merged(result.weights), 0.5)
    merged = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).merge_and_unload().state_dict()
    assert any(not torch.equal(merged[name], load_whisper(version).state_dict()[name]) for name in merged)
    for name, value in served.items():
        torch.testing.assert_close(merged[name], value, rtol=1e-4, atol=1e-6)


def test_embeddings_learn_only_if_asked_to(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    """They are the outputs, too: tied, so both stay."""
    method = DecoderMethod(
        load_whisper(version),
        _cached(version, examples, tmp_path / "encoded"),
        frame,
        learn_embeddings=False,
    )
    before = {name: value.clone() for name, value in method.model.state_dict().items()}
    _loop(method, examples).run(CheckpointStore(tmp_path / "steps"), _hooks(iter([0.9] * 9), -1))
    changed = {
        name for name, value in method.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == set(method.trainable())
    assert changed and not any("embed" in name or "proj_out" in name for name in changed)


def test_of_the_embeddings_only_those_of_written_tokens_are_served_changed(
    version: Path, examples: list[Example], frame: Frame, tmp_path: Path
) -> None:
    """The optimiser would move all of them alike, and words that no text holds would be unlearned."""
    written = frame.written(examples)
    assert frame.end_of_text in written and set(frame.prompt) <= written
    model = load_whisper(version)
    before = model.model.decoder.embed_tokens.weight.detach().clone()
    encodings = _cached(version, examples, tmp_path / "encoded")
    method = DecoderMethod(model, encodings, frame, written=written)
    _loop(method, examples).run(CheckpointStore(tmp_path / "steps"), _hooks(iter([0.9] * 9), -1))
    moved = (method.trainable()[EMBEDDINGS] - before).abs().amax(1)
    others = torch.tensor(sorted(set(range(len(before))) - written))
    assert moved.max() > 1e-4 > moved[others].max()  # of theirs weight decay alone
    served = (method.merged(method.trainable())[EMBEDDINGS] != before).any(1)
    assert set(served.nonzero()[:, 0].tolist()) <= written
    assert served.any()


def test_a_torn_checkpoint_is_not_seen(tmp_path: Path) -> None:
    weights = {"w": torch.nn.Parameter(torch.ones(2))}
    store = CheckpointStore(tmp_path)
    store.save(Position(step=1), weights, {})
    (tmp_path / ".step-0000002-half").mkdir()
    newest = store.newest()
    assert newest is not None and newest.step == 1


def test_the_rate_rises_then_falls_to_nothing() -> None:
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    peak = factors.index(max(factors))
    assert 9 <= peak <= 10
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] == 0


@pytest.mark.parametrize(("width", "rate"), [(384, 3.75e-5), (512, 2.5e-5), (700, 1.25e-5), (4000, 5e-6)])
def test_wider_models_learn_more_slowly(width: int, rate: float) -> None:
    assert default_learning_rate(width) == rate
