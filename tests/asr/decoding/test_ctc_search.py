"""CTC search on emissions made by hand, against known answers and against every path counted out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from asr.decoding.ctc import (
    BeamSearch,
    GreedySearch,
    LanguageModel,
    LmWeights,
    geometric_mean,
    read_language_model,
)
from asr.decoding.ctc_alignment import LogProbs, align, best_path, can_align, min_frames, words_of
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import ModelError

TOKENS = CtcTokens(labels=("", "", " ", "A", "B", "C", "T"), blank=0)  # 1 is a special token


def emissions(path: str, prob: float = 0.97) -> LogProbs:
    """One frame for each sign of ``path``: "-" is the blank, "_" the space."""
    ids = {"-": 0, "_": 2, **{label: i for i, label in enumerate(TOKENS.labels) if label.strip()}}
    probs = np.full((len(path), len(TOKENS.labels)), (1 - prob) / (len(TOKENS.labels) - 1), np.float32)
    probs[np.arange(len(path)), [ids[sign] for sign in path]] = prob
    return np.log(probs)


def random_emissions(num_frames: int, seed: int) -> LogProbs:
    logits = np.random.default_rng(seed).normal(size=(num_frames, len(TOKENS.labels))) * 2
    logits[:, 1] = -30.0  # special tokens are never likely
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("C-AAT", "CAT"),
        ("AA-A", "AA"),
        ("--C_A-", "C A"),
        ("_C__A_", "C A"),
        ("---", ""),
        ("-_-", ""),
        ("", ""),
    ],
)
def test_both_searches_write_the_text_of_a_clear_path(path: str, text: str) -> None:
    for search in (GreedySearch(TOKENS), BeamSearch(TOKENS)):
        (candidate,) = search.search(emissions(path).reshape(-1, 7), beam_size=4, max_candidates=1)
        assert TOKENS.text(candidate.tokens) == text


@pytest.mark.parametrize("seed", range(10))
def test_the_beams_best_text_is_the_most_probable_one_of_all(seed: int) -> None:
    """Every path over 4 frames, summed by the text that it writes."""
    log_probs = random_emissions(4, seed)
    totals: dict[str, float] = {}
    outputs = [index for index in range(7) if index != 1]
    for path in itertools.product(outputs, repeat=4):
        merged = [token for token, _ in itertools.groupby(path) if token != 0]
        text = TOKENS.text(merged)
        prob = float(np.exp(sum(log_probs[frame, token] for frame, token in enumerate(path))))
        totals[text] = totals.get(text, 0.0) + prob
    ranked = sorted(totals, key=lambda text: -totals[text])
    best = BeamSearch(TOKENS).search(log_probs, beam_size=16, max_candidates=1)[0]
    # the beam does not sum "A" and "A " alike, and prunes: its answer is among the few best and near the best
    assert TOKENS.text(best.tokens) in ranked[:3]
    assert totals[TOKENS.text(best.tokens)] > 0.6 * totals[ranked[0]]


def test_alternatives_are_different_best_first_and_as_many_as_asked() -> None:
    log_probs = random_emissions(12, 3)
    candidates = BeamSearch(TOKENS).search(log_probs, beam_size=8, max_candidates=5)
    assert len({candidate.tokens for candidate in candidates}) == 5
    scores = [candidate.score for candidate in candidates]
    assert scores == sorted(scores, reverse=True)


def write_language_model(folder: Path, likely: str, unlikely: str) -> Path:
    """An ARPA that prefers one word by a factor of 1000."""
    lm = folder / "lm"
    lm.mkdir()
    lines = [
        "\\data\\",
        "ngram 1=5",
        "ngram 2=1",
        "",
        "\\1-grams:",
        "-3.0\t<unk>",
        "-99\t<s>\t0.0",
        "-1.0\t</s>",
    ]
    lines += [
        f"-0.1\t{likely}\t0.0",
        f"-3.1\t{unlikely}\t0.0",
        "",
        "\\2-grams:",
        "-1.0\t<s> </s>",
        "",
        "\\end\\",
    ]
    (lm / "model.arpa").write_text("\n".join(lines) + "\n")
    (lm / "unigrams.txt").write_text(f"{likely}\n{unlikely}\n")
    (lm / "lm.json").write_text(json.dumps({"alpha": 1.0, "beta": 0.0, "unknown_offset": -5.0}))
    return folder


def tie() -> LogProbs:
    """CAT and BAT, equally likely."""
    log_probs = emissions("--AT-")
    log_probs[1, [4, 5]] = np.log(0.485)
    log_probs[1, 0] = np.log(0.006)
    return log_probs


@pytest.mark.parametrize(("likely", "unlikely"), [("CAT", "BAT"), ("BAT", "CAT")])
def test_the_language_model_breaks_a_tie(tmp_path: Path, likely: str, unlikely: str) -> None:
    model = read_language_model(write_language_model(tmp_path, likely, unlikely))
    first, second = BeamSearch(TOKENS, model).search(tie(), beam_size=4, max_candidates=2)
    assert [TOKENS.text(one.tokens) for one in (first, second)] == [likely, unlikely]
    assert first.score - second.score == pytest.approx(3.0 * np.log(10), abs=0.05)
    assert first.log_prob == pytest.approx(second.log_prob, abs=0.05)


def test_an_incomplete_language_model_is_one_clear_error(tmp_path: Path) -> None:
    assert read_language_model(tmp_path) is None
    folder = write_language_model(tmp_path, "CAT", "BAT")
    for content in ('{"alpha": -1}', '{"gamma": 1.0}', "{"):
        (folder / "lm" / "lm.json").write_text(content)
        with pytest.raises(ModelError, match="cannot be read"):
            read_language_model(folder)
    (folder / "lm" / "unigrams.txt").unlink()
    with pytest.raises(ModelError, match=r"lacks unigrams\.txt"):
        read_language_model(folder)
    broken = tmp_path / "broken.arpa"
    broken.write_text("no ARPA")
    with pytest.raises(ModelError, match=r"broken\.arpa"):
        BeamSearch(TOKENS, LanguageModel(arpa=broken, unigrams=("A",), weights=LmWeights()))


@pytest.mark.parametrize("seed", range(5))
def test_an_alignment_is_the_best_path_of_its_own_labels(seed: int) -> None:
    """Aligning what greedy search wrote cannot do better than greedy search, and finds the same frames."""
    log_probs = random_emissions(30, seed)
    spans = best_path(log_probs, TOKENS)
    aligned = align(log_probs, [span.token for span in spans], TOKENS)
    assert aligned == spans


def test_alignment_finds_the_known_frames_and_words() -> None:
    spans = align(emissions("-CC-AT-_-A--"), TOKENS.encode("CAT A"), TOKENS)
    assert [(span.start, span.end) for span in spans] == [(1, 3), (4, 5), (5, 6), (7, 8), (9, 10)]
    words = words_of(spans, TOKENS)
    assert [(word.text, word.start, word.end) for word in words] == [("CAT", 1, 6), ("A", 9, 10)]
    assert geometric_mean([word.log_prob for word in words]) == pytest.approx(0.97, abs=1e-4)


def test_labels_that_need_more_frames_are_not_aligned() -> None:
    assert min_frames(TOKENS.encode("CATT")) == 5
    assert can_align(TOKENS.encode("CAT"), 3) and not can_align(TOKENS.encode("CATT"), 4)
    assert align(emissions("CAT-"), TOKENS.encode("CATT"), TOKENS) == []
    assert len(align(emissions("CAT-T"), TOKENS.encode("CATT"), TOKENS)) == 4


def test_a_model_that_writes_no_spaces_has_a_word_for_each_character() -> None:
    tokens = CtcTokens(labels=("", "日", "本"), blank=0)
    log_probs = np.log(np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], np.float32))
    assert [word.text for word in words_of(best_path(log_probs, tokens), tokens)] == ["日", "本"]
