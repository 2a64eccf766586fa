"""A word n-gram of the domain's text for CTC beam search, and how much it should count, chosen on dev.

Kneser-Ney by ``kaldingram``, as ARPA in ``lm/`` of the model's folder, in the case of the model's vocabulary. It is to be
kept only where dev is better with it than without.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.decoding.ctc import (
    ARPA_FILE,
    LM_FOLDER,
    UNIGRAMS_FILE,
    BeamSearch,
    CtcSearch,
    LmWeights,
    read_language_model,
    write_weights,
)
from asr.decoding.ctc_alignment import LogProbs
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import InputError, OptionError
from asr.evaluation.wer import sum_counts, word_errors_by_row
from asr.text.normalize import DEFAULT_NORMALIZER
from training.ctc_text import fold_transcript

ORDER, MIN_ORDER, MAX_ORDER = 3, 2, 5  # the beam's reader wants bigrams at least
MAX_DISCOUNT = 0.9  # of a count of 1: text without repeats would leave n-grams of the highest order nothing
ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.5)
BETAS = (0.0, 1.0, 2.0, 3.0)
UNKNOWN_OFFSETS = (-10.0, -5.0, -2.0)
_UNKNOWN = "<unk>"


@dataclass(frozen=True, kw_only=True, slots=True)
class NgramFacts:
    """What a language model was made from.

    Attributes:
        order: of the n-gram.
        num_sentences: with at least one word.
        num_words: running words.
        vocabulary_size: different words.
        left_out: sentences with characters that the vocabulary cannot write.
    """

    order: int
    num_sentences: int
    num_words: int
    vocabulary_size: int
    left_out: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """The weights chosen on dev.

    Attributes:
        weights: the best.
        wer_without: of the same beam without a language model.
        wer_with: with ``weights``.
        trials: weights tried, with their WER.
    """

    weights: LmWeights
    wer_without: float
    wer_with: float
    trials: tuple[tuple[LmWeights, float], ...]

    @property
    def helps(self) -> bool:
        """Whether dev is better with the language model."""
        return self.wer_with < self.wer_without


def write_ngram(texts: Iterable[str], tokens: CtcTokens, folder: Path, *, order: int = ORDER) -> NgramFacts:
    """Train on ``texts`` and write ``folder``/lm, with default weights.

    Raises:
        InputError: no text that the vocabulary can write.
        OptionError: an order outside 2 to 5.
    """
    if not MIN_ORDER <= order <= MAX_ORDER:
        raise OptionError(f"the n-gram's order is {order}; give {MIN_ORDER} to {MAX_ORDER}", field="order")
    folded = [fold_transcript(text, tokens) for text in texts]
    sentences = [one.text for one in folded if one.text and not one.missing]
    if not sentences:
        raise InputError(
            f"none of {len(folded)} sentences can be written in the model's characters; an n-gram needs text"
        )
    words = Counter(word for sentence in sentences for word in sentence.split())
    lm = folder / LM_FOLDER
    lm.mkdir(parents=True, exist_ok=True)
    (lm / ARPA_FILE).write_text(_arpa(sentences, words, order), encoding="utf-8")
    (lm / UNIGRAMS_FILE).write_text("\n".join(sorted(words)) + "\n", encoding="utf-8")
    write_weights(lm, LmWeights())
    return NgramFacts(
        order=order,
        num_sentences=len(sentences),
        num_words=words.total(),
        vocabulary_size=len(words),
        left_out=sum(bool(one.missing) for one in folded),
    )


def _arpa(sentences: Sequence[str], words: Counter[str], order: int) -> str:
    from kaldingram.train import NgramCounts

    counts, output = NgramCounts(order), io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar for every order
        for sentence in sentences:
            counts.add_raw_counts_from_line(sentence)
        counts.cal_discounting_constants()
        counts.d = [min(discount, MAX_DISCOUNT) for discount in counts.d]
        counts.cal_f()
        _add_unknown(counts, words)
        counts.cal_bow()
        counts.print_as_arpa(output)
    return output.getvalue()


def _add_unknown(counts: Any, words: Counter[str]) -> None:
    """Add a unigram for all unseen words together, with the mass that Good and Turing give them (n1 / N).

    Without it a reader puts 1e-100, and no word outside the text could be recognised. The other unigrams keep their
    shares of what is left; back-off weights are computed afterwards, so every history still sums to 1.
    """
    unseen = min(0.5, max(1, sum(count == 1 for count in words.values())) / (words.total() + 1))
    unigrams = counts.counts[0][()]
    for word in unigrams.word_to_f:
        unigrams.word_to_f[word] *= 1 - unseen
    unigrams.word_to_count[_UNKNOWN] = 0
    unigrams.word_to_f[_UNKNOWN] = unseen


def tune_weights(
    folder: Path,
    tokens: CtcTokens,
    emissions: Sequence[LogProbs],
    references: Sequence[str],
    *,
    beam_size: int,
    normalizer: str = DEFAULT_NORMALIZER,
    on_trial: Callable[[], None] = lambda: None,
) -> Tuning:
    """Choose the weights of ``folder``/lm by WER on dev: alpha and beta together, then the offset of unknown words.

    Ties go to the weights tried first, the smaller ones. Writes the chosen weights into the folder.

    Args:
        folder: with a language model, e.g. of :func:`write_ngram`.
        tokens: of the model that gave ``emissions``.
        emissions: (E, V) of each dev utterance.
        references: their transcripts.
        beam_size: as it will be served.
        normalizer: of the WER.
        on_trial: called after each trial.
    """
    model = read_language_model(folder)
    if model is None or not references:
        raise InputError(f"{folder} has no language model, or dev no transcripts; nothing can be tuned")
    trials: list[tuple[LmWeights, float]] = []

    def score(search: CtcSearch) -> float:
        return search_wer(search, tokens, emissions, references, beam_size=beam_size, normalizer=normalizer)

    def attempt(weights: LmWeights) -> None:
        trials.append((weights, score(BeamSearch(tokens, replace(model, weights=weights)))))
        on_trial()

    for alpha in ALPHAS:
        for beta in BETAS:
            attempt(LmWeights(alpha=alpha, beta=beta, unknown_offset=UNKNOWN_OFFSETS[0]))
    best = min(trials, key=lambda trial: trial[1])[0]
    for offset in UNKNOWN_OFFSETS[1:]:
        attempt(replace(best, unknown_offset=offset))
    weights, wer_with = min(trials, key=lambda trial: trial[1])
    write_weights(folder / LM_FOLDER, weights)
    return Tuning(
        weights=weights, wer_without=score(BeamSearch(tokens)), wer_with=wer_with, trials=tuple(trials)
    )


def search_wer(
    search: CtcSearch,
    tokens: CtcTokens,
    emissions: Sequence[LogProbs],
    references: Sequence[str],
    *,
    beam_size: int,
    normalizer: str,
) -> float:
    """WER of the best texts that a search finds in emissions (E, V)."""
    texts = [
        tokens.text(search.search(one, beam_size=beam_size, max_candidates=1)[0].tokens) for one in emissions
    ]
    return sum_counts(word_errors_by_row(references, texts, normalizer)).rate


def remove_language_model(folder: Path) -> None:
    """Remove ``folder``/lm: dev was not better with it."""
    shutil.rmtree(folder / LM_FOLDER, ignore_errors=True)
