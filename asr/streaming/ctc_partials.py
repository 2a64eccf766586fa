"""Partial hypotheses of many open utterances of one Wav2Vec2-CTC: only what is new of each is computed.

What an utterance has heard is remembered by its key, for as many utterances as are worth it; one that was forgotten, or
heard in another process before, is heard again from its start and says the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asr.models.base import DecodingOptions, Samples
from asr.results import Hypothesis
from asr.streaming.ctc_utterance import CtcUtterance
from asr.streaming.ctc_windows import WindowOptions

if TYPE_CHECKING:
    from asr.models.ctc_torch import TorchCtc

MAX_UTTERANCES = 256
WINDOWS = WindowOptions(
    chunk_s=0.5
)  # twice the work of the default chunk, and words a second earlier (docs/experiments.md)

Key = tuple[str, int]


class CtcPartials:
    """The open utterances of one model. For one thread."""

    def __init__(self, model: TorchCtc, *, max_utterances: int = MAX_UTTERANCES) -> None:
        self._model = model
        self._max_utterances = max_utterances
        self._open: OrderedDict[tuple[Key, DecodingOptions], tuple[CtcUtterance, Hypothesis]] = OrderedDict()

    def decode(
        self, keys: Sequence[Key], segments: Sequence[Samples], options: DecodingOptions
    ) -> list[list[Hypothesis]]:
        """What is known of utterances that are ``segments`` so far.

        Args:
            keys: which utterances they are; different ones.
            segments: (T,) each, from the utterance's start.
            options: how to search; the words that are committed under other options are others.

        Raises:
            OptionError: the language is not known.
        """
        self._model.check_options(options)
        states = [self._state(key, options) for key in keys]
        due = [utterance.due(samples) for (utterance, _), samples in zip(states, segments, strict=True)]
        emissions = iter(
            self._model.window_emissions([window.samples for windows in due for window in windows])
        )
        results = []
        for key, (utterance, hypothesis), windows in zip(keys, states, due, strict=True):
            for window in windows:
                hypothesis = utterance.add(window, next(emissions)).hypothesis
            self._open[key, options] = utterance, hypothesis
            results.append([hypothesis])
        while len(self._open) > self._max_utterances:
            self._open.popitem(last=False)
        return results

    def _state(self, key: Key, options: DecodingOptions) -> tuple[CtcUtterance, Hypothesis]:
        """Of an utterance, taken out until it is put back as the newest."""
        known = self._open.pop((key, options), None)
        return known or (CtcUtterance(self._model.decoder, options, WINDOWS), Hypothesis(text=""))
