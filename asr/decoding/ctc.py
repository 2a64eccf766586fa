"""CTC search: from log probabilities per frame to texts, best path or prefix beam search with a language model.

Behind our own protocol, because the beam's library (``ctc-beam-decoder``) is young and has no wheel everywhere: the best
path needs nothing but NumPy. E frames, V vocabulary.
"""

from __future__ import annotations

import importlib.util
import json
import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asr.decoding.ctc_alignment import LogProbs, best_path
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import MissingDependencyError, ModelError, OptionError
from asr.options import read_options

LM_FOLDER = "lm"
ARPA_FILE, UNIGRAMS_FILE, WEIGHTS_FILE = "model.arpa", "unigrams.txt", "lm.json"
PREFIXES_PER_BEAM = 10  # a beam of words is many prefixes of characters: 5 wide is 50 prefixes
LIBRARY = "ctc_beam_decoder"

Hotwords = Sequence[tuple[str, float]]
"""Words in the vocabulary's case and their weights; the library has one weight for all of a search, the largest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LmWeights:
    """How much a language model counts, as ``lm/lm.json`` holds it.

    Attributes:
        alpha: factor on its log probability (natural log), 0 to 10.
        beta: bonus a word, against the short texts that a language model prefers; -10 to 10.
        unknown_offset: added for a word outside its vocabulary, at most 0.
    """

    alpha: float = 0.5
    beta: float = 1.5
    unknown_offset: float = -10.0

    def __post_init__(self) -> None:
        limits = {"alpha": (0.0, 10.0), "beta": (-10.0, 10.0), "unknown_offset": (-100.0, 0.0)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise OptionError(f"{name} is {getattr(self, name)}; give {low:g} to {high:g}", field=name)


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModel:
    """An n-gram over words in the vocabulary's own case.

    Attributes:
        arpa: ARPA file.
        unigrams: the words that it knows.
        weights: how much it counts.
    """

    arpa: Path
    unigrams: tuple[str, ...]
    weights: LmWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class CtcCandidate:
    """One text of the search.

    Attributes:
        tokens: its characters and spaces as outputs of the model, without blanks.
        log_prob: of the text given the audio alone, natural log.
        score: what the candidates are ranked by, language model included.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float


class CtcSearch(Protocol):
    """From log_probs (E, V) to candidates, best first. Safe to call from several threads."""

    def search(
        self, log_probs: LogProbs, *, beam_size: int, max_candidates: int, hotwords: Hotwords = ()
    ) -> list[CtcCandidate]:
        """At least one candidate, at most ``max_candidates``; silence gives one without tokens.

        Texts that hold ``hotwords`` are preferred.
        """
        ...


class GreedySearch:
    """The best path: the likeliest output of each frame. One candidate, whatever the beam."""

    def __init__(self, tokens: CtcTokens) -> None:
        self._tokens = tokens

    def search(
        self, log_probs: LogProbs, *, beam_size: int, max_candidates: int, hotwords: Hotwords = ()
    ) -> list[CtcCandidate]:
        """See :class:`CtcSearch`; hotwords change nothing."""
        del beam_size, max_candidates, hotwords
        path = tuple(span.token for span in best_path(log_probs, self._tokens))
        log_prob = float(log_probs.max(-1).sum()) if len(log_probs) else 0.0
        return [CtcCandidate(tokens=path, log_prob=log_prob, score=log_prob)]


class BeamSearch:
    """Prefix beam search (Graves and Jaitly 2014; Hannun et al. 2014 for the language model), in C++.

    With ``language_model`` the score of a text is log P(text | audio) + alpha log P_lm(text) + beta (number of words).
    """

    def __init__(self, tokens: CtcTokens, language_model: LanguageModel | None = None) -> None:
        """Build the decoder.

        Raises:
            MissingDependencyError: ``ctc-beam-decoder`` is not installed.
            ModelError: the language model cannot be read.
        """
        if not beam_search_available():
            raise MissingDependencyError(
                "beam search over CTC needs the package ctc-beam-decoder, which is not installed: pip install "
                "'ctc-beam-decoder>=0.2'; beam_size 1 does without, a language model does not"
            )
        self._tokens = tokens
        # special tokens are not searched: their columns would be written out as text
        self._columns = [i for i, label in enumerate(tokens.labels) if label or i == tokens.blank]
        self._ids = {tokens.labels[i]: i for i in self._columns if tokens.labels[i]}
        self._decoder = _build(
            ["" if i == tokens.blank else tokens.labels[i] for i in self._columns], language_model
        )
        self._lock = threading.Lock()  # the library does not say that a decoder may be shared

    def search(
        self, log_probs: LogProbs, *, beam_size: int, max_candidates: int, hotwords: Hotwords = ()
    ) -> list[CtcCandidate]:
        """See :class:`CtcSearch`."""
        if not len(log_probs):
            return [CtcCandidate(tokens=(), log_prob=0.0, score=0.0)]
        with self._lock:
            beams = self._decoder.decode_beams(
                np.ascontiguousarray(log_probs[:, self._columns]),
                beam_width=beam_size * PREFIXES_PER_BEAM,
                hotwords=[word for word, _ in hotwords] or None,
                hotword_weight=max((weight for _, weight in hotwords), default=0.0),
            )
        candidates: dict[tuple[int, ...], CtcCandidate] = {}
        for text, _state, _frames, log_prob, score in beams:
            tokens = tuple(self._encode(" ".join(text.split())))
            candidates.setdefault(tokens, CtcCandidate(tokens=tokens, log_prob=log_prob, score=score))
            if len(candidates) == max_candidates:
                break
        return list(candidates.values()) or [CtcCandidate(tokens=(), log_prob=0.0, score=0.0)]

    def _encode(self, text: str) -> list[int]:
        """Text of the library back to tokens, longest label first."""
        longest = max(len(label) for label in self._ids)
        tokens, position = [], 0
        while position < len(text):
            for length in range(longest, 0, -1):
                if (token := self._ids.get(text[position : position + length])) is not None:
                    tokens.append(token)
                    position += length
                    break
            else:
                raise AssertionError(f"the beam wrote {text[position]!r}, which is no label")
        return tokens


def beam_search_available() -> bool:
    """Whether the beam's library is installed."""
    return importlib.util.find_spec(LIBRARY) is not None


def _build(labels: list[str], language_model: LanguageModel | None) -> Any:
    from ctc_beam_decoder import BeamSearchDecoder

    if language_model is None:
        return BeamSearchDecoder(labels)
    weights = language_model.weights
    try:
        return BeamSearchDecoder(
            labels,
            kenlm_model_path=language_model.arpa,
            unigrams=list(language_model.unigrams),
            alpha=weights.alpha,
            beta=weights.beta,
            unk_score_offset=weights.unknown_offset,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(f"the language model {language_model.arpa} cannot be loaded: {error}") from error


def read_language_model(folder: Path) -> LanguageModel | None:
    """The language model in ``folder``/lm; None where there is no such folder.

    Raises:
        ModelError: a file of it is missing or cannot be read.
    """
    lm = folder / LM_FOLDER
    if not lm.is_dir():
        return None
    missing = [name for name in (ARPA_FILE, UNIGRAMS_FILE, WEIGHTS_FILE) if not (lm / name).is_file()]
    if missing:
        raise ModelError(f"{lm} lacks {', '.join(missing)}; complete the language model or remove the folder")
    try:
        table = json.loads((lm / WEIGHTS_FILE).read_text(encoding="utf-8"))
        weights = read_options(LmWeights, table)
        unigrams = (lm / UNIGRAMS_FILE).read_text(encoding="utf-8").split()
    except (OSError, ValueError, OptionError) as error:
        raise ModelError(f"{lm} cannot be read: {error}") from error
    return LanguageModel(arpa=lm / ARPA_FILE, unigrams=tuple(unigrams), weights=weights)


def write_weights(folder: Path, weights: LmWeights) -> None:
    """Write ``lm.json`` of the language model folder ``folder``."""
    (folder / WEIGHTS_FILE).write_text(json.dumps(asdict(weights), indent=2) + "\n")


def geometric_mean(log_probs: list[float]) -> float:
    """exp of the mean, in [0, 1]; 0 for none."""
    return min(1.0, math.exp(math.fsum(log_probs) / len(log_probs))) if log_probs else 0.0
