"""Windows of several utterances: where each part is, what labels they give, and that the tokens are Whisper's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.data.manifest import Utterance, load_samples
from asr.errors import OptionError
from asr.features import log_mel
from asr.models.bundled import unpack_bundled
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from asr.units import to_samples
from training.examples import IGNORED, collate, make_examples
from training.windows import SEGMENTS, joined_windows

TOKENIZER = WhisperTokenizer(unpack_bundled("tiny.en").transformers_dir / "tokenizer.json")


@pytest.fixture(scope="module")
def rows(spoken_utterances: list[Utterance]) -> list[Utterance]:
    return spoken_utterances


@pytest.fixture(scope="module")
def windows(rows: list[Utterance], tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("windows")
    return joined_windows(rows, folder, count=6, seed=0, on_done=lambda: None)


def test_each_part_is_where_its_segment_says(rows: list[Utterance], windows: list[Utterance]) -> None:
    by_text = {row.text: row for row in rows}
    for window in windows:
        samples = load_samples(window)
        segments: Any = window.extra[SEGMENTS]
        assert 2 <= len(segments) <= 4 and window.duration_s <= 28
        assert window.text == " ".join(text for _, _, text in segments)
        for start_s, end_s, text in segments:
            heard = samples[to_samples(start_s) : to_samples(end_s)]
            assert np.array_equal(heard, load_samples(by_text[text]))


def test_windows_follow_from_the_seed(
    rows: list[Utterance], windows: list[Utterance], tmp_path: Path
) -> None:
    again = joined_windows(rows, tmp_path, count=6, seed=0, on_done=lambda: None)
    assert [row.text for row in again] == [row.text for row in windows]
    other = joined_windows(rows, tmp_path, count=6, seed=1, on_done=lambda: None)
    assert [row.text for row in other] != [row.text for row in windows]
    assert joined_windows(rows[:1], tmp_path, count=6, seed=0, on_done=lambda: None) == []


def test_labels_hold_times_around_each_part_and_the_prompt_asks_for_them(windows: list[Utterance]) -> None:
    (example,), _ = make_examples(windows[:1], TOKENIZER)
    segments: Any = windows[0].extra[SEGMENTS]
    zero = TOKENIZER.timestamp(0.0)
    times = [token - zero for token in example.tokens if token >= zero]
    wanted = [round(time / 0.02) for start_s, end_s, _ in segments for time in (start_s, end_s)]
    assert example.timestamps and times == wanted == sorted(wanted)
    prompt = TOKENIZER.prompt(None)
    batch = collate([example], prompt, TOKENIZER.end_of_text)
    assert batch.inputs[0, : len(prompt) - 1].tolist() == prompt[:-1]
    assert batch.inputs[0, len(prompt) - 1] == zero  # no <|notimestamps|>
    labelled = batch.labels[0][batch.labels[0] != IGNORED]
    assert labelled.tolist() == [*example.tokens, TOKENIZER.end_of_text]


def test_the_bundled_model_writes_these_tokens_itself(windows: list[Utterance]) -> None:
    """Asked for timestamps, the stock model puts ours at the pauses: the numbers are those that it was trained with."""
    engine = CTranslate2Whisper(unpack_bundled("tiny.en").ctranslate2_dir)
    features = engine._storage.from_array(log_mel(load_samples(windows[0]))[None])
    (result,) = engine._model.generate(features, [TOKENIZER.prompt(None)[:-1]], beam_size=1)
    zero = TOKENIZER.timestamp(0.0)
    times = [(token - zero) * 0.02 for token in result.sequences_ids[0] if token >= zero]
    segments: Any = windows[0].extra[SEGMENTS]
    assert times and all(
        min(abs(time - border) for start_s, end_s, _ in segments for border in (start_s, end_s)) < 0.6
        for time in times
    )


@pytest.mark.parametrize("seconds", [-0.1, 30.1])
def test_a_time_outside_a_window_is_refused(seconds: float) -> None:
    with pytest.raises(OptionError, match="outside a window of 0 to 30 s"):
        TOKENIZER.timestamp(seconds)
