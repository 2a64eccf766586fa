"""Own-length context: both engines agree, batched = alone, a whole window is the case of 30 s, and who gets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr.features import log_mel
from asr.models.base import DecodingOptions
from asr.models.bundled import unpack_bundled
from asr.models.checkpoint import load_whisper
from asr.models.contexts import own_frames
from asr.models.resolve import resolve_model
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_torch import encode_features
from asr.registry import file_hashes
from asr.results import LOOP
from training.synth.speech import HibariEngine

GREEDY = DecodingOptions(beam_size=1)


@pytest.fixture(scope="module")
def bundled() -> Any:
    return unpack_bundled("tiny.en")


@pytest.fixture(scope="module")
def own(bundled: Any) -> CTranslate2Whisper:
    return CTranslate2Whisper(bundled.ctranslate2_dir, num_threads=2, own_length=True)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.79, 0.81, 1.0, 7.3, 28.0, 29.9, 30.0])
def test_own_contexts_are_whole_seconds_that_hold_the_segment_and_some_silence(seconds: float) -> None:
    num_samples = round(seconds * 16_000)
    frames = own_frames(num_samples)
    assert frames % 100 == 0 and 100 <= frames <= 3000
    assert frames == 3000 or 0.2 <= frames / 100 - seconds <= 1.2 + 1e-9


def test_a_whole_window_of_our_forward_is_that_of_transformers(bundled: Any, spoken: Any) -> None:
    model = load_whisper(bundled.transformers_dir)
    features = torch.from_numpy(log_mel(next(iter(spoken.values())))[None])
    with torch.inference_mode():
        assert torch.equal(encode_features(model, features), model.model.encoder(features).last_hidden_state)


def test_both_engines_encode_an_own_length_alike(bundled: Any, own: CTranslate2Whisper, spoken: Any) -> None:
    model = load_whisper(bundled.transformers_dir)
    for samples in spoken.values():
        frames = own_frames(len(samples))
        served = own.encode(samples)
        assert served.shape == (1, frames // 2, 384)
        with torch.inference_mode():
            features = torch.from_numpy(log_mel(samples, num_frames=frames)[None])
            reference = encode_features(model, features).numpy()
        alike = (served * reference).sum() / np.linalg.norm(served) / np.linalg.norm(reference)
        assert alike > 0.99  # int8


def test_segments_of_different_lengths_give_together_what_they_give_alone(
    own: CTranslate2Whisper, spoken: Any
) -> None:
    segments = [*spoken.values(), next(iter(spoken.values()))[:20_000], np.zeros(0, np.float32)]
    together = own.decode(segments, GREEDY)
    assert together == [own.decode([samples], GREEDY)[0] for samples in segments]


def test_word_times_at_own_length_are_within_the_segment(own: CTranslate2Whisper, spoken: Any) -> None:
    for samples in spoken.values():
        words = own.decode([samples], GREEDY)[0][0].words
        times = [time for word in words for time in (word.start_s, word.end_s)]
        assert words and times == sorted(times)
        assert times[-1] <= len(samples) / 16_000


def test_a_folder_is_heard_at_own_length_only_by_its_unbroken_card(
    small_whisper: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "version"
    folder.mkdir()
    for path in small_whisper.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert resolve_model(str(folder)).contexts == ("30s",)
    card = {"contexts": ["own", "30s"], "files": file_hashes(folder)}
    (folder / "card.json").write_text(json.dumps(card))
    assert resolve_model(str(folder)).own_length
    (folder / "README.md").write_text("changed")
    assert not resolve_model(str(folder)).own_length


def test_what_runs_in_circles_at_its_own_length_is_heard_again_in_a_whole_window(
    bundled: Any, own: CTranslate2Whisper
) -> None:
    """As it comes, the model was not taught own lengths: it says the sentence, and then again, and again."""
    engine = HibariEngine()
    text = "The library closes at six on Fridays."
    samples = engine.synthesize(text, voice=engine.voices[0], speed=1.0, pitch=1.0, seed=0)
    [[usual]] = CTranslate2Whisper(bundled.ctranslate2_dir, num_threads=2).decode([samples], GREEDY)
    [[here]] = own.decode_encoded([own.encode(samples)], [len(samples) / 16_000], GREEDY)
    assert here.guard == LOOP and len(here.text) > 2 * len(usual.text)
    [[again]] = own.decode([samples], GREEDY)
    assert (again.text, again.guard) == (usual.text, LOOP)
    assert usual.guard == "" and [word.text for word in again.words] == usual.text.split()
    batch = own.decode([samples[:8_000], samples, samples], GREEDY)
    assert [one.text for [one] in batch[1:]] == [again.text] * 2
