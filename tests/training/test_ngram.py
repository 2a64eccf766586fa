"""The domain n-gram: a probability distribution, in the model's characters, kept with the weights that dev prefers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asr.decoding.ctc import LmWeights, read_language_model, write_weights
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import InputError, OptionError
from asr.evaluation.wer import sum_counts, word_errors_by_row
from asr.models.base import DecodingOptions, Samples
from asr.models.ctc_torch import TorchCtc
from training.ngram import remove_language_model, tune_weights, write_ngram

TOKENS = CtcTokens(labels=("", " ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"), blank=0)
TEXTS = ["A cat sat.", "A dog sat.", "The cat ran.", "A cat ran.", "The dog sat.", "Room 12"]


def read_arpa(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """n-gram to (probability, back-off weight)."""
    grams = {}
    for line in path.read_text().splitlines():
        parts = line.split("\t")
        if len(parts) > 1:
            backoff = 10 ** float(parts[2]) if len(parts) > 2 else 1.0
            grams[tuple(parts[1].split())] = (10 ** float(parts[0]), backoff)
    return grams


def prob(grams: dict[tuple[str, ...], tuple[float, float]], *words: str) -> float:
    if words in grams:
        return grams[words][0]
    return grams.get(words[:-1], (0.0, 1.0))[1] * prob(grams, *words[1:])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_probabilities_sum_to_one_and_the_unseen_have_a_share(tmp_path: Path, order: int) -> None:
    facts = write_ngram(TEXTS, TOKENS, tmp_path, order=order)
    assert (facts.num_sentences, facts.left_out, facts.vocabulary_size) == (5, 1, 6)
    grams = read_arpa(tmp_path / "lm" / "model.arpa")
    words = ["A", "THE", "CAT", "DOG", "SAT", "RAN", "</s>", "<unk>"]
    assert math.fsum(prob(grams, word) for word in words) == pytest.approx(1.0, abs=1e-4)
    assert 0 < prob(grams, "<unk>") <= 0.5
    for history in (("<s>",), ("A",), ("THE",), ("CAT",)):
        assert math.fsum(prob(grams, *history, word) for word in words) == pytest.approx(1.0, abs=1e-4)
    assert prob(grams, "A", "CAT") > prob(grams, "A", "SAT")


def test_text_that_cannot_be_written_and_orders_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 2 sentences"):
        write_ngram(["12", "..."], TOKENS, tmp_path)
    for order in (1, 6):
        with pytest.raises(OptionError, match="give 2 to 5"):
            write_ngram(TEXTS, TOKENS, tmp_path, order=order)


def test_the_same_text_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_ngram(TEXTS, TOKENS, tmp_path / name)
    arpas = [(tmp_path / name / "lm" / "model.arpa").read_bytes() for name in ("first", "second")]
    assert arpas[0] == arpas[1]


def test_tuning_keeps_the_best_weights_and_the_engine_serves_them(
    small_ctc_copy: Path, domain_speech: dict[str, Samples]
) -> None:
    folder = small_ctc_copy
    engine = TorchCtc(folder, dtype="float32")
    held_out = (folder / "heldout.txt").read_text().splitlines()
    emissions = engine.batch_emissions(list(domain_speech.values()))
    write_ngram(held_out[8:] + list(domain_speech)[4:], engine.tokens, folder)
    trials = []
    tuning = tune_weights(
        folder, engine.tokens, emissions, list(domain_speech), beam_size=5, on_trial=lambda: trials.append(1)
    )
    assert tuning.wer_with == min(wer for _, wer in tuning.trials)
    assert len(trials) == len(tuning.trials)
    model = read_language_model(folder)
    assert model is not None and model.weights == tuning.weights
    served = TorchCtc(folder, dtype="float32").decode(list(domain_speech.values()), DecodingOptions())
    rows = word_errors_by_row(list(domain_speech), [row[0].text for row in served])
    assert sum_counts(rows).rate == pytest.approx(tuning.wer_with)
    assert tuning.helps == (tuning.wer_with < tuning.wer_without)
    remove_language_model(folder)
    assert read_language_model(folder) is None


def test_a_word_outside_the_text_can_still_be_recognised(
    small_ctc_copy: Path, domain_speech: dict[str, Samples]
) -> None:
    """With a language model of other text, what greedy search hears right is mostly still right."""
    folder = small_ctc_copy
    engine = TorchCtc(folder, dtype="float32")
    write_ngram(TEXTS * 3, engine.tokens, folder)
    write_weights(folder / "lm", LmWeights(alpha=0.25, beta=1.0, unknown_offset=0.0))
    segments = list(domain_speech.values())
    with_model = TorchCtc(folder, dtype="float32").decode(segments, DecodingOptions())
    without = engine.decode(segments, DecodingOptions())
    rows = word_errors_by_row([row[0].text for row in without], [row[0].text for row in with_model])
    assert sum_counts(rows).rate < 0.2
