"""An open utterance of a Wav2Vec2-CTC stream: windows out, emissions in, partial hypotheses whose first words stay.

Sans-IO: the model runs elsewhere. A driver asks :meth:`CtcUtterance.due` for windows, has them computed
(``TorchCtc.window_emissions``, many streams' together), and gives each to :meth:`CtcUtterance.add`; at the end of the
utterance it does the rest of them, then :meth:`CtcUtterance.last` and :meth:`CtcUtterance.finish`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from asr.decoding.ctc_alignment import LogProbs, TokenSpan, WordSpan, words_of
from asr.decoding.ctc_decoder import NOTHING, CtcDecoder, Decided, Reading
from asr.models.base import DecodingOptions, Samples
from asr.results import Hypothesis, Word
from asr.streaming.ctc_windows import CtcWindow, Emissions, WindowOptions, WindowPlan
from asr.units import SAMPLE_RATE_HZ, to_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class CtcPartial:
    """What is known of an open utterance.

    Attributes:
        hypothesis: the text so far, its words always with times.
        num_committed: how many of its first words neither change nor move any more.
        heard_s: audio that it is of.
    """

    hypothesis: Hypothesis
    num_committed: int
    heard_s: float


@dataclass(frozen=True, slots=True)
class _OpenWord:
    """A word of the open frames; ``closed`` is the frame after the space that ends it, None while it may grow."""

    word: WordSpan
    last_token: int
    closed: int | None


class CtcUtterance:
    """The emissions of one utterance and the words decided on them.

    Laws: the final of an utterance depends on its samples and on how many were heard before it ended, not on the chunks
    in which they came; committed words are in every later partial and begin the final; each sample is heard a bounded
    number of times.

    A word is committed if two windows in a row read it so (LocalAgreement: Liu et al. 2020), it ends before the last
    frame with right context less the margin, and the space or the word after it is there, too. The best path need not
    agree with the beam: where they differ is what a language model mends. The search then goes on behind the committed
    words, with the last of them as context of the language model.
    """

    def __init__(
        self,
        decoder: CtcDecoder,
        options: DecodingOptions,
        windows: WindowOptions | None = None,
        *,
        commit_limit_s: float = float("inf"),
    ) -> None:
        """Begin an utterance.

        Args:
            decoder: of the model.
            options: of partials and finals alike, else a final could not keep what was committed; checked by
                ``TorchCtc.check_options``.
            windows: how the utterance is heard.
            commit_limit_s: no word that ends later is committed; where an utterance may still be cut in front of audio
                already heard (the last quarter of ``max_utterance_s``), words there may become the next one's.
        """
        windows = windows or WindowOptions()
        self._decoder = decoder
        self._options = replace(options, word_times=True)
        self._word_times = options.word_times
        self._plan = WindowPlan(decoder.grid, windows)
        self._margin_frames = round(windows.commit_margin_s * SAMPLE_RATE_HZ / decoder.grid.stride_samples)
        self._commit_limit_s = commit_limit_s
        self._emissions = Emissions(len(decoder.tokens.labels), self._plan.chunk_frames)
        self._decided = NOTHING
        self._previous: list[str] = []  # the open words of the search before

    @property
    def committed(self) -> tuple[Word, ...]:
        """The words that stay, with their times from the utterance's start."""
        return self._decided.words

    @property
    def log_probs(self) -> LogProbs:
        """The stitched emissions (E, V): every frame that has its right context, or after the end all."""
        return self._emissions.log_probs

    def due(self, samples: Samples) -> list[CtcWindow]:
        """The windows to compute now that the utterance is ``samples`` (T,): all that were not added yet, in order.

        Asking changes nothing: windows that were dropped on the way are given again.
        """
        return self._plan.due(samples, self._emissions.num_windows)

    def add(self, window: CtcWindow, log_probs: LogProbs) -> CtcPartial:
        """Take the emissions of the next window that was due; windows of one utterance are added in order."""
        assert not window.is_last, "the last window goes to finish()"
        self._emissions.add(window, log_probs)
        heard_s = to_seconds(window.end_sample)
        open_frames = self._emissions.open_from(self._decided.end_frame)
        best = self._decoder.search(open_frames, self._options, self._decided)[0]
        hypothesis = self._decoder.hypothesis(best, open_frames, heard_s, self._decided, with_words=True)
        self._commit(open_frames, self._decoder.read(open_frames, best.tokens), heard_s)
        return CtcPartial(hypothesis=hypothesis, num_committed=len(self._decided.words), heard_s=heard_s)

    def last(self, samples: Samples) -> CtcWindow:
        """The window that ends the utterance ``samples`` (T,), which may be shorter than what was heard.

        All windows that were due by then must have been added: an endpoint is decided after audio that no longer belongs
        to the utterance, so give :meth:`due` all audio up to the decision first, and the final does not depend on when it
        was asked.
        """
        return self._plan.last(samples)

    def finish(self, window: CtcWindow, log_probs: LogProbs) -> list[Hypothesis]:
        """Take the emissions of the last window; alternatives best first, all with the committed words in front.

        An utterance that fits one window gives what the offline pass gives, unless a committed word contradicts it.
        """
        assert window.is_last, "add() takes the other windows"
        self._emissions.add(window, log_probs)
        duration_s = to_seconds(window.end_sample)
        if window.is_whole:
            whole = self._decoder.hypotheses(log_probs, duration_s, self._options)
            if self._continues(whole[0]):
                return [self._answer(one) for one in whole if self._continues(one)]
        open_frames = self._emissions.open_from(self._decided.end_frame)
        found = self._decoder.hypotheses(open_frames, duration_s, self._options, self._decided)
        return [self._answer(one) for one in found]

    def _commit(self, log_probs: LogProbs, reading: Reading, heard_s: float) -> None:
        """Decide the first open words that no later audio should change."""
        words = self._open_words(reading.spans)
        texts = [one.word.text for one in words]
        agreed = _num_common(texts, self._previous)
        settled = self._emissions.num_frames - self._decided.end_frame
        num_decided = 0
        for one in words[:agreed]:
            timed = self._decoder.timed(one.word, self._decided.end_frame, heard_s)
            ends = one.word.end <= settled - self._margin_frames and timed.end_s <= self._commit_limit_s
            if not ends or one.closed is None or one.closed > settled:
                break
            num_decided += 1
        self._previous = texts[num_decided:]
        if num_decided:
            self._decide(log_probs, reading, words[:num_decided], heard_s)

    def _decide(
        self, log_probs: LogProbs, reading: Reading, words: Sequence[_OpenWord], heard_s: float
    ) -> None:
        before, end = self._decided, words[-1].closed
        assert end is not None
        spans = reading.spans[: words[-1].last_token + 1]
        separator = self._decoder.tokens.separator
        tokens = [span.token for span in spans]
        gap = [separator] if before.tokens and tokens and separator is not None else []
        timed = [self._decoder.timed(one.word, before.end_frame, heard_s) for one in words]
        chosen = log_probs[:end][range(end), reading.path[:end]]
        self._decided = Decided(
            tokens=(*before.tokens, *gap, *_single_spaces(tokens, separator)),
            words=(*before.words, *timed),
            token_log_probs=(*before.token_log_probs, *(span.log_prob for span in spans)),
            log_prob=before.log_prob + float(chosen.sum()),
            no_speech_prob=min(before.no_speech_prob, self._decoder.no_speech_prob(log_probs[:end])),
            end_frame=before.end_frame + end,
        )

    def _open_words(self, spans: Sequence[TokenSpan]) -> list[_OpenWord]:
        """The words of the open frames, as :func:`words_of` has them, and where each is closed."""
        tokens = self._decoder.tokens
        if tokens.separator is None:
            closings = [after.start for _, after in pairwise(spans)]
            words = words_of(spans, tokens)
            return [
                _OpenWord(word, index, closed)
                for index, (word, closed) in enumerate(zip(words, [*closings, None], strict=True))
            ]
        ends = [
            (index, after.end if after is not None else None)
            for index, (span, after) in enumerate(zip(spans, [*spans[1:], None], strict=True))
            if span.token != tokens.separator and (after is None or after.token == tokens.separator)
        ]
        return [
            _OpenWord(word, index, closed)
            for word, (index, closed) in zip(words_of(spans, tokens), ends, strict=True)
        ]

    def _continues(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis begins with the committed words."""
        committed = self._decoder.tokens.text(self._decided.tokens)
        if not committed or hypothesis.text == committed:
            return True
        gap = "" if self._decoder.tokens.separator is None else " "
        return hypothesis.text.startswith(committed + gap)

    def _answer(self, hypothesis: Hypothesis) -> Hypothesis:
        """With the committed words' own times, or without words if none were asked for."""
        if not self._word_times or not hypothesis.words:
            return replace(hypothesis, words=())
        committed = self._decided.words
        earliest_s = committed[-1].end_s if committed else 0.0
        rest = [
            replace(word, start_s=max(word.start_s, earliest_s), end_s=max(word.end_s, earliest_s))
            for word in hypothesis.words[len(committed) :]
        ]
        return replace(hypothesis, words=(*committed, *rest))


def _num_common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words lead both."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


def _single_spaces(tokens: Sequence[int], separator: int | None) -> list[int]:
    """Without spaces in front, and one of several in a row."""
    kept: list[int] = []
    for token in tokens:
        if token != separator or (kept and kept[-1] != separator):
            kept.append(token)
    return kept
