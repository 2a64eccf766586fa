"""Partials of many utterances at once: each says what it says alone, also after it was forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.models.base import DecodingOptions
from asr.models.ctc_torch import TorchCtc
from asr.streaming.ctc_partials import CtcPartials

OPTIONS = DecodingOptions(beam_size=1, word_times=False)


@pytest.fixture(scope="module")
def model(small_ctc: Path) -> TorchCtc:
    return TorchCtc(small_ctc, dtype="float32")


def test_utterances_together_or_forgotten_say_what_each_says_alone(
    model: TorchCtc, domain_speech: dict[str, Any]
) -> None:
    speech = [np.asarray(samples, np.float32) for samples in list(domain_speech.values())[:3]]
    keys = [("stream", number) for number in range(len(speech))]
    alone = [CtcPartials(model) for _ in speech]
    together, forgetful = CtcPartials(model), CtcPartials(model, max_utterances=1)
    for end in range(8_000, max(map(len, speech)), 8_000):
        heard = [samples[:end] for samples in speech]
        expected = [
            one.decode([key], [samples], OPTIONS)[0][0].text
            for one, key, samples in zip(alone, keys, heard, strict=True)
        ]
        for partials in (together, forgetful):
            assert [row[0].text for row in partials.decode(keys, heard, OPTIONS)] == expected
    assert all(expected)
