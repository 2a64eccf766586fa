"""Aligning and cutting, on emissions that spell a known script at known frames: what must come out is known."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.decoding.ctc_alignment import align_path, label_frames
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import InputError
from training.alignment.anchors import cut_into_pieces, find_anchors
from training.alignment.segments import MAX_MARGIN_S, MAX_SEGMENT_S, FrameTimes, Segment, cut_segments
from training.alignment.transcript import transcript_words
from training.alignment.units import align_transcript, window_score

TOKENS = CtcTokens(labels=("", " ", *"abcdefghijklmnopqrstuvwxyz'"), blank=0)
FRAME_S = 0.02
WORDS = ("cat", "river", "seven", "boxes", "to", "a", "window", "quiet", "hello", "yesterday", "green")
MIN_SCORE = 0.3


@dataclass(frozen=True)
class Script:
    """Words with their first and last frames, and emissions that spell them."""

    words: list[str]
    frames: list[tuple[int, int]]
    log_probs: NDArray[np.float32]

    @property
    def duration_s(self) -> float:
        return len(self.log_probs) * FRAME_S


def spelled(words: list[str], pauses_s: list[float], *, certainty: float = 0.95) -> Script:
    """``words``, with ``pauses_s[i]`` before word ``i`` and the last one behind; a letter is one frame in four."""
    frames, symbols, at = [], {}, 0
    for word, pause_s in zip(words, pauses_s, strict=False):
        separator_at = at + 1
        at += max(4, round(pause_s / FRAME_S))
        if frames:
            symbols[separator_at] = " "
        letters = [letter for letter in word.lower() if letter.isalpha()]
        for place, letter in enumerate(letters):
            symbols[at + 4 * place] = letter
        frames.append((at, at + 4 * len(letters) - 3))
        at = frames[-1][1]
    probs = np.full((at + round(pauses_s[-1] / FRAME_S) + 4, len(TOKENS.labels)), 1e-4)
    said = np.zeros(len(probs), np.int64)
    for frame, symbol in symbols.items():
        said[frame] = TOKENS.labels.index(symbol)
    probs[np.arange(len(probs)), said] = certainty
    probs /= probs.sum(-1, keepdims=True)
    return Script(words, frames, np.log(probs).astype(np.float32))


def segments(script: Script, text: str, *, piece_cells: int = 10**9) -> list[Segment]:
    alignment = align_transcript(
        script.log_probs,
        transcript_words(text, TOKENS),
        TOKENS,
        frame_s=FRAME_S,
        min_score=MIN_SCORE,
        piece_cells=piece_cells,
    )
    times = FrameTimes(first_s=0.0, step_s=FRAME_S, duration_s=script.duration_s)
    return cut_segments(alignment, script.log_probs, TOKENS, times, min_score=MIN_SCORE)


def random_script(seed: int, num_words: int = 120) -> tuple[Script, list[str]]:
    """A script, and its words as a transcript writes them."""
    draw = random.Random(seed)
    words = [draw.choice(WORDS) for _ in range(num_words)]
    ends = [draw.random() < 0.15 for _ in words]
    pauses_s = [draw.uniform(0.2, 2.5) if end else draw.uniform(0.1, 0.4) for end in [True, *ends]]
    written = [word.capitalize() + "." if end else word for word, end in zip(words, ends, strict=True)]
    return spelled(words, pauses_s), written


@pytest.mark.parametrize("seed", range(12))
def test_every_word_is_in_one_segment_and_every_cut_in_a_pause(seed: int) -> None:
    script, written = random_script(seed)
    found = segments(script, " ".join(written))
    assert [segment.reason for segment in found] == [""] * len(found)
    assert " ".join(segment.text for segment in found) == " ".join(written)
    assert len(found) > 3
    first = 0
    for segment in found:
        end = first + len(segment.text.split())
        begin_s, end_s = script.frames[first][0] * FRAME_S, script.frames[end - 1][1] * FRAME_S
        before_s = script.frames[first - 1][1] * FRAME_S if first else 0.0
        after_s = script.frames[end][0] * FRAME_S if end < len(written) else script.duration_s
        assert before_s <= segment.start_s <= begin_s + 1e-6
        assert end_s - 1e-6 <= segment.end_s <= after_s
        assert begin_s - segment.start_s <= MAX_MARGIN_S + FRAME_S
        assert segment.end_s - segment.start_s <= MAX_SEGMENT_S
        assert segment.score > 0.98
        first = end


@pytest.mark.parametrize("seed", range(4))
def test_pieces_between_anchors_give_what_the_whole_gives(seed: int) -> None:
    script, written = random_script(seed, num_words=200)
    text = " ".join(written)
    words = transcript_words(text, TOKENS)
    pieces = cut_into_pieces(script.log_probs, words, TOKENS, piece_cells=200_000)
    assert len(pieces) > 8
    assert [piece.first_word for piece in pieces] == [0, *(piece.end_word for piece in pieces[:-1])]
    assert [piece.first_frame for piece in pieces] == [0, *(piece.end_frame for piece in pieces[:-1])]
    assert (pieces[-1].end_word, pieces[-1].end_frame) == (len(words), len(script.log_probs))
    for one, other in zip(segments(script, text, piece_cells=200_000), segments(script, text), strict=True):
        assert (one.text, one.reason) == (other.text, other.reason)
        assert abs(one.start_s - other.start_s) <= 2 * FRAME_S
        assert abs(one.end_s - other.end_s) <= 2 * FRAME_S


def test_anchors_lie_between_the_words_that_they_part() -> None:
    script, written = random_script(5)
    wrong = [word if number % 20 else "nonsense" for number, word in enumerate(written)]
    anchors = find_anchors(script.log_probs, transcript_words(" ".join(wrong), TOKENS), TOKENS)
    assert 60 < len(anchors) < len(written)
    for anchor in anchors:
        assert script.frames[anchor.word - 1][1] <= anchor.frame <= script.frames[anchor.word][0]


def sentences(count: int) -> list[str]:
    draw = random.Random(7)
    return [" ".join(draw.choices(WORDS, k=6)) + "." for _ in range(count)]


def said(texts: list[str], pause_s: float = 0.5) -> Script:
    words = " ".join(texts).split()
    ends = [word.endswith(".") for word in words]
    return spelled(words, [pause_s if end else 0.1 for end in [True, *ends]])


def test_a_sentence_that_was_not_said_is_rejected_and_its_neighbours_keep_their_frames() -> None:
    texts = sentences(8)
    script = said(texts[:4] + texts[5:], pause_s=0.4)
    clean = segments(script, " ".join(texts[:4] + texts[5:]))
    found = segments(script, " ".join(texts))
    assert [segment.text for segment in found if segment.reason] == [texts[4]]
    assert "hears nothing" in next(segment.reason for segment in found if segment.reason)
    kept = [segment for segment in found if not segment.reason]
    assert " ".join(segment.text for segment in kept) == " ".join(segment.text for segment in clean)
    assert (kept[0].start_s, kept[-1].end_s) == (clean[0].start_s, clean[-1].end_s)
    assert all(segment.score > 0.9 for segment in kept)


def test_other_words_than_the_transcript_has_are_rejected_with_what_is_heard() -> None:
    texts = sentences(6)
    script = said([*texts[:2], "hello quiet river a seven green.", *texts[3:]])
    rejected = [segment for segment in segments(script, " ".join(texts)) if segment.reason]
    assert [segment.text for segment in rejected] == [texts[2]]
    assert "hello quiet river" in rejected[0].reason
    assert rejected[0].score < MIN_SCORE / 3


def test_speech_without_text_is_named_and_in_no_row() -> None:
    texts = sentences(6)
    script = said(texts)
    found = segments(script, " ".join([*texts[:3], *texts[4:]]))
    (extra,) = [segment for segment in found if segment.reason]
    assert extra.text == ""
    assert texts[3].rstrip(".") in extra.reason
    words = [len(text.split()) for text in texts]
    begin_s = script.frames[sum(words[:3])][0] * FRAME_S
    end_s = script.frames[sum(words[:4]) - 1][1] * FRAME_S
    for segment in found:
        if not segment.reason:
            assert segment.end_s <= begin_s or segment.start_s >= end_s


def test_words_that_the_model_cannot_write_take_their_speech_and_stay_in_the_text() -> None:
    words = "please send forty two boxes to anna. thank you very much."
    script = said([words])
    found = segments(script, words.replace("forty two", "42"))
    assert [segment.reason for segment in found] == [""]
    assert found[0].text == words.replace("forty two", "42")
    assert found[0].unwritable_words == 1
    assert found[0].score > 0.9
    (refused,) = segments(script, "1 2 3 4 5 6 7 8 boxes to anna. 9 10 11 12")
    assert "cannot be checked: the model cannot write 0 1 2" in refused.reason


def test_text_that_has_no_room_is_rejected_and_nothing_raised() -> None:
    script = said(["a cat."])
    (refused,) = segments(script, " ".join(sentences(40)))
    assert refused.text == " ".join(sentences(40))
    assert refused.score == 0.0
    assert (refused.start_s, refused.end_s) == (0.0, script.duration_s)


def test_a_stretch_over_the_limit_says_so() -> None:
    silence = np.full((30_000, len(TOKENS.labels)), -5.0, np.float32)
    silence[:, TOKENS.blank] = -0.01
    words = transcript_words("nothing of this is said " * 900, TOKENS)
    with pytest.raises(
        InputError, match=r"'nothing of this is said nothing' on take 1\.\d GB .* limit is 1 GB"
    ):
        cut_into_pieces(silence, words, TOKENS)


def test_the_score_is_that_of_the_worst_window() -> None:
    path = np.full(200, np.log(0.9), np.float32)
    assert window_score(path, (0, 200), FRAME_S) == pytest.approx(0.9)
    path[100:130] = np.log(0.1)
    assert window_score(path, (0, 200), FRAME_S) == pytest.approx(0.1)
    assert window_score(path, (130, 200), FRAME_S) == pytest.approx(0.9)
    assert window_score(path, (115, 145), FRAME_S) == pytest.approx(np.sqrt(0.9 * 0.1))
    path[100:130] = np.nan  # the wildcard's
    assert window_score(path, (0, 200), FRAME_S) == pytest.approx(0.9)
    assert window_score(path, (100, 130), FRAME_S) == 0.0
    assert window_score(path, (5, 6), FRAME_S) == pytest.approx(0.9)


def test_words_are_the_text_and_what_is_no_word_goes_with_its_neighbour() -> None:
    text = "\"Well - it's 5 o'clock,\" she said.\n\n— And naïve?  Yes"
    words = transcript_words(text, TOKENS)
    assert " ".join(word.text for word in words) == " ".join(text.split())
    assert [word.text for word in words] == [
        '"Well -', "it's", "5", "o'clock,\"", "she", "said.", "— And", "naïve?", "Yes",
    ]  # fmt: skip
    assert [word.spoken for word in words] == [
        "well", "it's", "", "o'clock", "she", "said", "and", "naive", "yes",
    ]  # fmt: skip
    assert [word.text for word in words if word.ends_sentence] == ["said.", "naïve?", "Yes"]
    assert words[2].missing == ("5",)


def _best_score(log_probs: NDArray[np.float32], labels: list[int]) -> float:
    """Log probability of the likeliest CTC path, by the textbook recursion; the blank is 0."""
    states = [0]
    for label in labels:
        states += [label, 0]
    scores = np.full(len(states), -np.inf)
    scores[:2] = log_probs[0, states[:2]]
    for frame in log_probs[1:]:
        may_skip = [
            place > 1 and states[place] != 0 and states[place] != states[place - 2]
            for place in range(len(states))
        ]
        one, two = np.roll(scores, 1), np.roll(scores, 2)
        one[0] = -np.inf
        two[~np.array(may_skip)] = -np.inf
        scores = np.maximum(np.maximum(scores, one), two) + frame[states]
    return float(scores[-2:].max())


@pytest.mark.parametrize("seed", range(40))
def test_no_path_is_likelier_even_where_many_tie(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.integers(1, 4, int(draw.integers(1, 6))).tolist()
    log_probs = -draw.integers(0, 3, (int(draw.integers(10, 30)), 4)).astype(np.float32)
    path = align_path(log_probs, labels, blank=0)
    assert log_probs[np.arange(len(path)), path].sum() == _best_score(log_probs, labels)


def test_a_path_writes_its_labels_in_their_order() -> None:
    script, _ = random_script(3, num_words=10)
    labels = TOKENS.encode(" ".join(script.words))
    path = align_path(script.log_probs, labels, blank=TOKENS.blank)
    frames = label_frames(path, blank=TOKENS.blank)
    assert [int(path[start]) for start, _ in frames] == labels
    assert len(align_path(script.log_probs[: len(labels) - 1], labels, blank=TOKENS.blank)) == 0
    assert label_frames(path[:0], blank=TOKENS.blank) == []
