"""Laws of the engines: alone = in a batch, words inside the segment, torch and CTranslate2 agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.errors import ModelError, OptionError
from asr.models.base import DecodingOptions
from asr.models.bundled import unpack_bundled
from asr.models.export import check_parity, export_ctranslate2
from asr.models.guards import is_loop
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_torch import TorchWhisper, monotonic_path
from asr.models.word_times import token_starts
from asr.results import LOOP, SILENCE, Hypothesis

OPTIONS = DecodingOptions()


@pytest.fixture(scope="module")
def served() -> CTranslate2Whisper:
    return CTranslate2Whisper(unpack_bundled("tiny.en").ctranslate2_dir, num_threads=2)


def test_a_batch_gives_what_each_segment_gives_alone(served: CTranslate2Whisper, spoken: Any) -> None:
    segments = [*spoken.values(), next(iter(spoken.values()))[:20_000]]
    together = served.decode(segments, OPTIONS)
    assert together == [served.decode([samples], OPTIONS)[0] for samples in segments]


def test_words_spell_the_text_and_follow_each_other_within_the_segment(
    served: CTranslate2Whisper, spoken: Any
) -> None:
    for samples, (best, *_) in zip(
        spoken.values(), served.decode(list(spoken.values()), OPTIONS), strict=True
    ):
        assert " ".join(word.text for word in best.words) == best.text
        times = [time for word in best.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[-1] <= len(samples) / 16_000
        assert all(0 < word.confidence <= 1 for word in best.words)


def test_word_times_of_both_engines_agree(served: CTranslate2Whisper, spoken: Any) -> None:
    samples = list(spoken.values())[:1]
    reference = TorchWhisper(unpack_bundled("tiny.en").transformers_dir).decode(samples, OPTIONS)[0][0]
    found = served.decode(samples, OPTIONS)[0][0]
    assert [word.text for word in found.words] == [word.text for word in reference.words]
    gaps = [abs(a.start_s - b.start_s) for a, b in zip(found.words, reference.words, strict=True)]
    assert float(np.median(gaps)) <= 0.06  # three encoder frames
    assert found.avg_log_prob == pytest.approx(reference.avg_log_prob, abs=0.1)


def test_alternatives_come_best_first_and_are_no_more_than_asked_for(
    served: CTranslate2Whisper, spoken: Any
) -> None:
    options = DecodingOptions(beam_size=4, max_alternatives=3, word_times=False)
    hypotheses = served.decode(list(spoken.values())[:1], options)[0]
    assert len(hypotheses) == 3
    assert sorted(hypotheses, key=lambda one: -one.avg_log_prob) == hypotheses


def test_no_samples_are_no_text(served: CTranslate2Whisper) -> None:
    assert served.decode([np.zeros(0, np.float32)], OPTIONS) == [[Hypothesis(text="", no_speech_prob=1.0)]]


def test_a_segment_longer_than_a_window_is_refused(served: CTranslate2Whisper) -> None:
    with pytest.raises(OptionError, match=r"31\.0 s; a Whisper window holds 30 s"):
        served.decode([np.zeros(31 * 16_000, np.float32)], OPTIONS)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        CTranslate2Whisper(tmp_path)


@pytest.mark.parametrize(("beam", "alternatives"), [(0, 1), (17, 1), (2, 3), (5, 0)])
def test_options_out_of_range_are_refused(beam: int, alternatives: int) -> None:
    with pytest.raises(OptionError, match="give 1 to"):
        DecodingOptions(beam_size=beam, max_alternatives=alternatives)


def test_parity_sees_a_different_model(small_whisper: Path, tmp_path: Path, spoken: Any) -> None:
    export_ctranslate2(small_whisper, tmp_path / "other")
    probes = list(spoken.values())[:1]
    greedy = DecodingOptions(beam_size=1, word_times=False)
    reference = TorchWhisper(unpack_bundled("tiny.en").transformers_dir)
    same = CTranslate2Whisper(unpack_bundled("tiny.en").ctranslate2_dir)
    assert check_parity(reference, same, probes, greedy).passed
    assert not check_parity(reference, CTranslate2Whisper(tmp_path / "other"), probes, greedy).passed


def test_repeated_text_is_a_loop_and_ordinary_text_is_not() -> None:
    assert is_loop("thank you. " * 30)
    assert not is_loop("The train to the coast leaves at half past seven every morning.")
    assert not is_loop("")


def test_the_cheapest_path_is_found() -> None:
    cost = np.ones((3, 6))
    for row, columns in enumerate(((0, 1), (2, 3, 4), (5,))):
        cost[row, list(columns)] = 0
    assert monotonic_path(cost) == [0, 2, 5]


def test_token_starts_never_go_back() -> None:
    assert token_starts([(0, 0), (0, 1), (2, 5)], 3) == pytest.approx([0.0, 0.1, 0.1, 0.12])


def test_what_the_guards_did_is_told(
    served: CTranslate2Whisper, spoken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = next(iter(spoken.values()))
    options = DecodingOptions(beam_size=1, word_times=False)
    [[usual]] = served.decode([samples], options)
    assert usual.text and usual.guard == ""
    monkeypatch.setattr("asr.models.guards.SURELY_NO_SPEECH_PROB", -1.0)
    [[withheld]] = served.decode([samples], options)
    assert (withheld.text, withheld.guard) == ("", SILENCE)
    monkeypatch.setattr("asr.models.guards.SURELY_NO_SPEECH_PROB", 2.0)
    monkeypatch.setattr("asr.models.guards.MAX_COMPRESSION_RATIO", 0.1)
    [[again]] = served.decode([samples], options)
    assert (again.text, again.guard) == (usual.text, LOOP)  # nothing was repeated, so nothing changed


def test_encoding_in_a_batch_says_what_encoding_one_by_one_says(
    served: CTranslate2Whisper, spoken: Any
) -> None:
    folder = unpack_bundled("tiny.en").ctranslate2_dir
    batched = CTranslate2Whisper(folder, num_threads=2, batch_encoding=True, own_length=True)
    alone = CTranslate2Whisper(folder, num_threads=2, own_length=True)
    segments = [*spoken.values(), next(iter(spoken.values()))[:20_000], np.zeros(0, np.float32)]
    for one, other in zip(batched.decode(segments, OPTIONS), alone.decode(segments, OPTIONS), strict=True):
        assert [hypothesis.text for hypothesis in one] == [hypothesis.text for hypothesis in other]
        assert one[0].avg_log_prob == pytest.approx(other[0].avg_log_prob, abs=1e-3)
