"""Searching on behind decided words: their text and scores stay, and a language model reads them as its context."""

from __future__ import annotations

import numpy as np
import pytest

from asr.decoding.ctc import LanguageModel, LmWeights
from asr.decoding.ctc_alignment import LogProbs
from asr.decoding.ctc_decoder import NOTHING, CtcDecoder, Decided
from asr.decoding.ctc_tokens import CtcTokens
from asr.models.base import DecodingOptions
from asr.models.ctc_frames import FrameGrid
from asr.results import Word

TOKENS = CtcTokens(labels=("", " ", *"abcdefghilmntuw"), blank=0)
GRID = FrameGrid(stride_samples=320, receptive_samples=400)
BEAM = DecodingOptions(beam_size=5, max_alternatives=2)


def spoken(*frames: str) -> LogProbs:
    """Emissions on which each frame's characters ("_" is the blank) share nearly all of the probability."""
    probs = np.full((len(frames), len(TOKENS.labels)), 1e-4)
    for row, signs in zip(probs, frames, strict=True):
        row[[0 if sign == "_" else TOKENS.labels.index(sign) for sign in signs]] = 1.0
    return np.log(probs / probs.sum(-1, keepdims=True)).astype(np.float32)


def decided(text: str) -> Decided:
    words = tuple(
        Word(text=word, start_s=float(index), end_s=index + 0.5, confidence=0.5)
        for index, word in enumerate(text.split())
    )
    return Decided(tokens=tuple(TOKENS.encode(text)), words=words, end_frame=200)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> CtcDecoder:
    """A decoder whose bigrams know "flat white" and "mean while"."""
    arpa = tmp_path_factory.mktemp("lm") / "model.arpa"
    unigrams = ("flat", "mean", "white", "while", "blue", "tall")
    rare = "".join(f"-1.0\t{word}\t-0.3\n" for word in unigrams)
    arpa.write_text(
        "\\data\\\nngram 1=9\nngram 2=2\n\n\\1-grams:\n-1.0\t<unk>\t-0.3\n-99\t<s>\t-0.3\n-1.0\t</s>\n"
        + rare
        + "\n\\2-grams:\n-0.1\tflat white\n-0.1\tmean while\n\n\\end\\\n"
    )
    return CtcDecoder(TOKENS, GRID, LanguageModel(arpa=arpa, unigrams=unigrams, weights=LmWeights(alpha=1.0)))


AMBIGUOUS = spoken("w", "h", "i", "tl", "e", "_")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("flat", "white"),
        ("mean", "while"),
        ("flat blue tall blue tall mean", "while"),
        ("mean tall blue tall blue flat", "white"),
    ],
)
def test_a_language_model_reads_the_decided_words(decoder: CtcDecoder, before: str, expected: str) -> None:
    found = decoder.hypotheses(AMBIGUOUS, 5.0, BEAM, decided(before))
    assert found[0].text == f"{before} {expected}"
    assert all(one.text.startswith(f"{before} ") for one in found)


def test_what_is_decided_costs_the_audio_nothing(decoder: CtcDecoder) -> None:
    alone = {one.tokens: one.log_prob for one in decoder.search(AMBIGUOUS, BEAM)}
    after = {one.tokens: one.log_prob for one in decoder.search(AMBIGUOUS, BEAM, decided("flat"))}
    assert alone.keys() == after.keys() and len(alone) == 2
    for tokens, log_prob in after.items():
        assert log_prob == pytest.approx(alone[tokens], abs=1e-3)


def test_repeated_letters_and_the_words_times_are_kept(decoder: CtcDecoder) -> None:
    before = decided("tall")
    frames = spoken(" ", "b", "l", "u", "e", "_")
    best = decoder.hypotheses(frames, 10.0, BEAM, before)[0]
    assert best.text == "tall blue"
    assert best.words[:1] == before.words
    assert best.words[1].start_s == pytest.approx(GRID.frame_time_s(201), abs=1e-3)
    assert best.words[1].end_s == pytest.approx(GRID.frame_time_s(205), abs=1e-3)


@pytest.mark.parametrize("options", [BEAM, DecodingOptions(beam_size=1)])
def test_no_frames_left_give_the_decided_words_alone(decoder: CtcDecoder, options: DecodingOptions) -> None:
    for frames in (np.empty((0, len(TOKENS.labels)), np.float32), spoken("_", "_", "_")):
        best = decoder.hypotheses(frames, 10.0, options, decided("flat blue"))[0]
        assert (best.text, len(best.words)) == ("flat blue", 2)
        assert decoder.hypotheses(frames, 10.0, options, NOTHING)[0].text == ""
