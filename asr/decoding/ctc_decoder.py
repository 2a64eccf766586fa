"""From emissions to hypotheses with timed words, of a whole segment or of what follows words that are decided.

Needs no model, so it runs where the model does not. E frames, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import DEFAULT_BOOST, PhraseSet
from asr.biasing.retrieval import index_of
from asr.decoding.ctc import (
    BeamSearch,
    CtcCandidate,
    CtcSearch,
    GreedySearch,
    LanguageModel,
    beam_search_available,
    geometric_mean,
)
from asr.decoding.ctc_alignment import LogProbs, TokenSpan, WordSpan, align_path, path_spans, words_of
from asr.decoding.ctc_tokens import CtcTokens
from asr.models.base import DecodingOptions
from asr.models.ctc_frames import FrameGrid
from asr.results import Hypothesis, Word
from asr.text.languages import ENGLISH

CONTEXT_WORDS = 4  # an n-gram of up to five words looks no further back
HOTWORD_FACTOR = 10 / DEFAULT_BOOST  # from a phrase's boost to the library's weight, whose default is 10
NEVER = -1e4  # a log probability that no search follows and no sum overflows on


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """The words that an utterance begins with, and that no later search changes.

    Attributes:
        tokens: what they were written with, spaces between included.
        words: with their times from the utterance's start.
        token_log_probs: mean log probability of each token on its frames.
        log_prob: of the path that writes them, natural log.
        no_speech_prob: on their frames, as :class:`asr.results.Hypothesis` has it.
        end_frame: the first frame of the utterance that is still open.
    """

    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()
    token_log_probs: tuple[float, ...] = ()
    log_prob: float = 0.0
    no_speech_prob: float = 1.0
    end_frame: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A candidate on the frames of its emissions: the path (E,) that writes it, and its tokens' spans."""

    path: NDArray[np.int64]
    spans: list[TokenSpan]


NOTHING = Decided()


class CtcDecoder:
    """The searches of one model. Safe to call from several threads.

    Attributes:
        tokens: what the outputs mean.
        grid: where the frames lie.
    """

    def __init__(
        self, tokens: CtcTokens, grid: FrameGrid, language_model: LanguageModel | None = None
    ) -> None:
        """Build the searches.

        Raises:
            MissingDependencyError: there is a language model, and the beam's library is not installed.
            ModelError: the language model cannot be read.
        """
        self.tokens = tokens
        self.grid = grid
        self._has_language_model = language_model is not None
        self._greedy = GreedySearch(tokens)
        self._beam: CtcSearch = self._greedy
        if language_model is not None or beam_search_available():
            self._beam = BeamSearch(tokens, language_model)

    def hypotheses(
        self,
        log_probs: LogProbs,
        duration_s: float,
        options: DecodingOptions,
        after: Decided = NOTHING,
        phrases: PhraseSet | None = None,
    ) -> list[Hypothesis]:
        """Search emissions (E, V) that follow what is decided; alternatives best first, all with the decided words.

        ``beam_size`` 1 is the best path, without the language model. Without ``ctc-beam-decoder`` so is every other.

        Args:
            log_probs: from frame ``after.end_frame`` of the utterance on.
            duration_s: of the utterance; no time is beyond it.
            options: how to search.
            after: the words that the texts begin with.
            phrases: what the utterance may say; only a beam looks for them.
        """
        return [
            self.hypothesis(
                candidate, log_probs, duration_s, after, with_words=options.word_times and not rank
            )
            for rank, candidate in enumerate(self.search(log_probs, options, after, phrases))
        ]

    def search(
        self,
        log_probs: LogProbs,
        options: DecodingOptions,
        after: Decided = NOTHING,
        phrases: PhraseSet | None = None,
    ) -> list[CtcCandidate]:
        """Candidates for the emissions (E, V), without the decided words that they were searched after."""
        context = self._context(after)
        search = self._greedy if options.beam_size == 1 else self._beam
        candidates = search.search(
            np.concatenate([self._forced(context), log_probs]) if context else log_probs,
            beam_size=options.beam_size,
            max_candidates=options.max_alternatives,
            hotwords=self._hotwords(log_probs, phrases, options) if phrases and options.beam_size > 1 else (),
        )
        return [replace(one, tokens=self._without(context, one.tokens)) for one in candidates]

    def hypothesis(
        self,
        candidate: CtcCandidate,
        log_probs: LogProbs,
        duration_s: float,
        after: Decided,
        *,
        with_words: bool,
    ) -> Hypothesis:
        """A candidate of :meth:`search` behind the words that it follows."""
        spans = self.read(log_probs, candidate.tokens).spans
        tokens = self._joined(after.tokens, candidate.tokens)
        words: tuple[Word, ...] = ()
        if with_words:
            open_words = words_of(spans, self.tokens)
            words = after.words + tuple(self.timed(word, after.end_frame, duration_s) for word in open_words)
        return Hypothesis(
            text=self.tokens.text(tokens),
            words=words,
            avg_log_prob=(after.log_prob + candidate.log_prob) / max(1, len(tokens)),
            no_speech_prob=min(after.no_speech_prob, self.no_speech_prob(log_probs)),
            confidence=geometric_mean([*after.token_log_probs, *(span.log_prob for span in spans)]),
        )

    def read(self, log_probs: LogProbs, tokens: Sequence[int]) -> Reading:
        """The likeliest path that writes ``tokens``; empty where none can."""
        path = log_probs.argmax(-1)
        spans = path_spans(log_probs, path, self.tokens)
        if self._trimmed([span.token for span in spans]) == self._trimmed(tokens):
            return Reading(path, spans)
        path = align_path(log_probs, tokens, blank=self.tokens.blank)
        return Reading(path, path_spans(log_probs, path, self.tokens))

    def timed(self, word: WordSpan, first_frame: int, duration_s: float) -> Word:
        """A word on frames counted from ``first_frame``, with its times from the utterance's start."""
        start_s, end_s = (
            min(self.grid.frame_time_s(first_frame + frame), duration_s) for frame in (word.start, word.end)
        )
        return Word(
            text=word.text,
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            confidence=math.exp(min(0.0, word.log_prob)),
        )

    def no_speech_prob(self, log_probs: LogProbs) -> float:
        """How sure the model is that even the frame most like speech has no character."""
        silent = [index for index, label in enumerate(self.tokens.labels) if not label.strip()]
        if not len(log_probs):
            return 1.0
        return float(np.exp(log_probs[:, silent].astype(np.float64)).sum(-1).min().clip(0.0, 1.0))

    def _hotwords(
        self, log_probs: LogProbs, phrases: PhraseSet, options: DecodingOptions
    ) -> list[tuple[str, float]]:
        """Of the phrases those that sound like something in the best path: a beam takes seconds for a thousand."""
        (plain,) = self._greedy.search(log_probs, beam_size=1, max_candidates=1)
        index = index_of(phrases, is_english=(options.language or ENGLISH) == ENGLISH)
        matches = index.matches(self.tokens.text(plain.tokens).split())
        found = {match.phrase.text: match.phrase for match in matches}
        return [
            (self.tokens.fold(text), HOTWORD_FACTOR * phrase.boost)
            for text, phrase in found.items()
            if not self.tokens.missing(text)
        ]

    def _context(self, after: Decided) -> tuple[int, ...]:
        """The last decided words as tokens, where a language model asks for them."""
        separator = self.tokens.separator
        if not self._has_language_model or separator is None:
            return ()
        gaps = [index for index, token in enumerate(after.tokens) if token == separator]
        first = gaps[-CONTEXT_WORDS] + 1 if len(gaps) >= CONTEXT_WORDS else 0
        return after.tokens[first:]

    def _forced(self, context: Sequence[int]) -> LogProbs:
        """Emissions on which only ``context`` and a space can be written: they cost the audio's score nothing."""
        assert self.tokens.separator is not None
        path: list[int] = []
        for token in (*context, self.tokens.separator):
            path += [self.tokens.blank, token] if path and path[-1] == token else [token]
        forced = np.full((len(path), len(self.tokens.labels)), NEVER, np.float32)
        forced[np.arange(len(path)), path] = 0.0
        return forced

    def _without(self, context: Sequence[int], tokens: tuple[int, ...]) -> tuple[int, ...]:
        if not context:
            return tokens
        assert tokens[: len(context)] == tuple(context), (tokens, context)
        rest = tokens[len(context) :]
        return rest[1:] if rest and rest[0] == self.tokens.separator else rest

    def _joined(self, first: tuple[int, ...], then: tuple[int, ...]) -> tuple[int, ...]:
        separator = self.tokens.separator
        return (*first, separator, *then) if first and then and separator is not None else (*first, *then)

    def _trimmed(self, tokens: Sequence[int]) -> list[int]:
        """Without the spaces at the ends, and one of several in a row: they make no difference to the text."""
        separator = self.tokens.separator
        if separator is None:
            return list(tokens)
        padded = [separator, *tokens, separator]
        kept = [after for before, after in pairwise(padded) if not before == after == separator]
        return kept[:-1] if kept and kept[-1] == separator else kept
