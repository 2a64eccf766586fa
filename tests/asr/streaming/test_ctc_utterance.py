"""Laws of a streamed Wav2Vec2-CTC utterance, on the small model that transcribes and on an untrained one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from asr.decoding.ctc import LmWeights, write_weights
from asr.evaluation.wer import word_errors
from asr.models.base import DecodingOptions, Samples
from asr.models.ctc_torch import TorchCtc
from asr.results import Hypothesis
from asr.streaming.ctc_utterance import CtcPartial, CtcUtterance
from asr.streaming.ctc_windows import CtcWindow, WindowOptions

GREEDY = DecodingOptions(beam_size=1)
BEAM = DecodingOptions(beam_size=5, max_alternatives=3)


@pytest.fixture(scope="module")
def engine(small_ctc: Path) -> TorchCtc:
    return TorchCtc(small_ctc, dtype="float32")


@pytest.fixture(scope="module")
def engine_with_lm(small_ctc: Path, tmp_path_factory: pytest.TempPathFactory) -> TorchCtc:
    from training.ngram import write_ngram

    folder = Path(shutil.copytree(small_ctc, tmp_path_factory.mktemp("lm") / "small-ctc"))
    write_ngram((folder / "heldout.txt").read_text().splitlines(), TorchCtc(folder).tokens, folder)
    write_weights(folder / "lm", LmWeights(alpha=0.75, beta=2.0))
    return TorchCtc(folder, dtype="float32")


@pytest.fixture(scope="module")
def long_speech(domain_speech: dict[str, Samples]) -> dict[str, Samples]:
    """Two utterances of four sentences each, about 15 s."""
    gap = np.zeros(4_800, np.float32)
    texts = list(domain_speech)
    return {
        " ".join(group): np.concatenate([part for text in group for part in (domain_speech[text], gap)])
        for group in (texts[:4], texts[4:])
    }


def untrained(small_ctc: Path, folder: Path, **changes: object) -> TorchCtc:
    """A random Wav2Vec2-CTC with the small model's vocabulary, whose outputs differ from frame to frame."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from asr.models.checkpoint import save_wav2vec2

    config = Wav2Vec2Config.from_pretrained(small_ctc)
    config.update({"layer_norm_eps": 1e-5, "hidden_size": 48, "num_attention_heads": 4, **changes})
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(config)
    with torch.no_grad():
        model.lm_head.weight.normal_(0.0, 1.0)
    save_wav2vec2(model, small_ctc, folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"do_normalize": False}))
    return TorchCtc(folder, dtype="float32")


def compute(engine: TorchCtc, window: CtcWindow) -> np.ndarray:
    return engine.window_emissions([window.samples])[0]


def stream(
    engine: TorchCtc,
    samples: Samples,
    options: DecodingOptions,
    pushes: Sequence[int],
    windows: WindowOptions | None = None,
) -> tuple[CtcUtterance, list[CtcPartial], list[Hypothesis]]:
    """An utterance heard up to each of ``pushes`` samples in turn, then ended."""
    utterance = CtcUtterance(engine.decoder, options, windows)
    partials = [
        utterance.add(window, compute(engine, window))
        for heard in (*pushes, len(samples))
        for window in utterance.due(samples[:heard])
    ]
    window = utterance.last(samples)
    return utterance, partials, utterance.finish(window, compute(engine, window))


def test_stitched_emissions_of_a_bounded_receptive_field_are_the_offline_pass(
    small_ctc: Path, tmp_path: Path, long_speech: dict[str, Samples]
) -> None:
    """Without attention a frame sees 31 frames of the positional convolution: 0.34 s to each side."""
    engine = untrained(small_ctc, tmp_path / "convolutions", num_hidden_layers=0)
    for samples in long_speech.values():
        offline = engine.emissions(samples)
        exact, revised, cut = (
            stream(engine, samples, GREEDY, (), windows)[0].log_probs
            for windows in (
                WindowOptions(left_s=1.0, right_s=0.4, revise_s=0.0),
                WindowOptions(left_s=2.0, right_s=0.1, revise_s=1.0),
                WindowOptions(left_s=1.0, right_s=0.1, revise_s=0.0),
            )
        )
        np.testing.assert_allclose(exact, offline, atol=1e-4)
        np.testing.assert_allclose(revised, offline, atol=1e-4)
        # so that the equalities above say something: too little context is seen, and so would a frame out of place be
        assert np.abs(cut - offline).max() > 0.1
        assert np.abs(offline[1:] - offline[:-1]).max() > 0.1


def test_with_attention_they_differ_by_what_lies_beyond_the_context(
    small_ctc: Path, tmp_path: Path, long_speech: dict[str, Samples]
) -> None:
    engine = untrained(small_ctc, tmp_path / "attention", num_hidden_layers=2)
    for samples in long_speech.values():
        offline = np.exp(engine.emissions(samples))
        means = [
            np.abs(
                np.exp(
                    stream(engine, samples, GREEDY, (), WindowOptions(left_s=left_s, revise_s=0.0))[
                        0
                    ].log_probs
                )
                - offline
            ).mean()
            for left_s in (0.0, 4.0, 12.0)
        ]
        assert means[0] > means[1] > means[2]
        assert means[1] < 0.01


def test_the_small_model_hears_in_windows_what_it_hears_at_once(
    engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    errors, offline_errors = 0, 0
    for text, samples in long_speech.items():
        offline = engine.emissions(samples)
        utterance, _, finals = stream(engine, samples, GREEDY, ())
        assert utterance.log_probs.shape == offline.shape
        assert np.abs(np.exp(utterance.log_probs) - np.exp(offline)).mean() < 0.006
        assert (utterance.log_probs.argmax(-1) != offline.argmax(-1)).mean() < 0.08
        errors += word_errors(text, finals[0].text).errors
        offline_errors += word_errors(text, engine.decode([samples], GREEDY)[0][0].text).errors
    assert errors <= offline_errors + 2


@pytest.mark.parametrize("options", [GREEDY, BEAM])
def test_an_utterance_in_one_window_is_the_offline_pass(
    engine: TorchCtc, domain_speech: dict[str, Samples], options: DecodingOptions
) -> None:
    same = 0
    for samples in domain_speech.values():
        utterance, _, finals = stream(engine, samples, options, range(0, len(samples), 1_600))
        np.testing.assert_array_equal(utterance.log_probs, engine.emissions(samples))
        offline = engine.decode([samples], options)[0]
        committed = " ".join(word.text for word in utterance.committed)
        if f"{offline[0].text} ".startswith(f"{committed} "):
            assert (finals[0].text, finals[0].confidence) == (offline[0].text, offline[0].confidence)
            same += 1
        assert f"{finals[0].text} ".startswith(f"{committed} ".lstrip())
        uncommitted = CtcUtterance(engine.decoder, options, commit_limit_s=0.0)
        for window in uncommitted.due(samples):
            uncommitted.add(window, compute(engine, window))
        window = uncommitted.last(samples)
        assert uncommitted.finish(window, compute(engine, window)) == offline
    assert same >= 4
    for num_samples in (0, 100, 735, 736, 16_000):
        short = next(iter(domain_speech.values()))[:num_samples]
        utterance, partials, finals = stream(engine, short, options, (num_samples // 2,))
        assert partials == []
        assert finals == engine.decode([short], options)[0]


@pytest.mark.parametrize("options", [GREEDY, BEAM])
def test_any_chunking_gives_the_same_emissions_partials_and_final(
    engine_with_lm: TorchCtc, long_speech: dict[str, Samples], options: DecodingOptions
) -> None:
    samples = next(iter(long_speech.values()))
    rng = np.random.default_rng(0)
    irregular = np.sort(rng.integers(0, len(samples), 25)).tolist()
    whole, *others = [
        stream(engine_with_lm, samples, options, pushes)
        for pushes in ((), range(0, len(samples), 3_777), irregular)
    ]
    for utterance, partials, finals in others:
        np.testing.assert_array_equal(utterance.log_probs, whole[0].log_probs)
        assert partials == whole[1]
        assert finals == whole[2]


@pytest.mark.parametrize("options", [GREEDY, BEAM])
@pytest.mark.parametrize("model", ["engine", "engine_with_lm"])
def test_committed_words_are_never_revised_and_begin_the_final(
    request: pytest.FixtureRequest, model: str, long_speech: dict[str, Samples], options: DecodingOptions
) -> None:
    engine: TorchCtc = request.getfixturevalue(model)
    num_words = num_committed = 0
    for samples in long_speech.values():
        utterance, partials, finals = stream(engine, samples, options, range(0, len(samples), 1_600))
        committed: tuple[object, ...] = ()
        for partial in partials:
            words = partial.hypothesis.words
            assert words[: len(committed)] == committed
            assert partial.num_committed >= len(committed)
            committed = words[: partial.num_committed]
            assert all(
                word.end_s <= partial.heard_s - 0.5 - 0.2 + 0.02 for word in words[: partial.num_committed]
            )
            assert " ".join(word.text for word in words) == partial.hypothesis.text
        assert utterance.committed == committed
        for alternative in finals:
            assert alternative.text.startswith(" ".join(word.text for word in utterance.committed) + " ")
        words = finals[0].words
        assert words[: len(committed)] == committed
        assert " ".join(word.text for word in words) == finals[0].text
        times = [time for word in words for time in (word.start_s, word.end_s)]
        assert times == sorted(times) and times[-1] <= len(samples) / 16_000
        assert len({one.text for one in finals}) == len(finals)
        num_words, num_committed = num_words + len(words), num_committed + len(committed)
    assert num_committed >= 0.6 * num_words


def test_committing_changes_nothing_of_a_best_path_that_is_not_revised(
    engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    for samples in long_speech.values():
        utterance, partials, finals = stream(engine, samples, GREEDY, (), WindowOptions(revise_s=0.0))
        at_once = engine.decode_emissions(utterance.log_probs, len(samples) / 16_000, GREEDY)[0]
        assert (finals[0].text, finals[0].words) == (at_once.text, at_once.words)
        assert finals[0].avg_log_prob == pytest.approx(at_once.avg_log_prob, rel=0.05)
        assert finals[0].confidence == pytest.approx(at_once.confidence, abs=0.02)
        assert finals[0].no_speech_prob == pytest.approx(at_once.no_speech_prob, abs=1e-6)
        assert partials[-1].num_committed > 20


def test_a_language_model_helps_as_it_does_offline(
    engine_with_lm: TorchCtc, engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    """Of one set of emissions: searched at once, and word by word as they were committed."""
    errors = {"plain": 0, "committed": 0, "at once": 0}
    for text, samples in long_speech.items():
        utterance, _, finals = stream(engine_with_lm, samples, BEAM, ())
        at_once = engine_with_lm.decode_emissions(utterance.log_probs, len(samples) / 16_000, BEAM)[0].text
        plain = engine.decode_emissions(utterance.log_probs, len(samples) / 16_000, GREEDY)[0].text
        for name, heard in (("plain", plain), ("committed", finals[0].text), ("at once", at_once)):
            errors[name] += word_errors(text, heard).errors
    assert errors["at once"] < errors["plain"]
    assert errors["committed"] <= errors["at once"] + 3
    assert errors["committed"] < errors["plain"]


def test_windows_of_many_streams_may_be_computed_together(
    engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    recordings = list(long_speech.values())
    utterances = [CtcUtterance(engine.decoder, GREEDY) for _ in recordings]
    for heard in range(0, max(map(len, recordings)), 16_000):
        windows = [one.due(samples[:heard]) for one, samples in zip(utterances, recordings, strict=True)]
        together = iter(engine.window_emissions([window.samples for due in windows for window in due]))
        for utterance, due in zip(utterances, windows, strict=True):
            for window in due:
                utterance.add(window, next(together))
    for utterance, samples in zip(utterances, recordings, strict=True):
        alone = CtcUtterance(engine.decoder, GREEDY)
        for window in alone.due(samples[: len(samples) // 16_000 * 16_000]):
            alone.add(window, compute(engine, window))
        num_frames = min(len(utterance.log_probs), len(alone.log_probs))
        assert num_frames > 500
        np.testing.assert_allclose(utterance.log_probs[:num_frames], alone.log_probs[:num_frames], atol=1e-4)


def test_windows_that_were_dropped_are_due_again(engine: TorchCtc, long_speech: dict[str, Samples]) -> None:
    samples = next(iter(long_speech.values()))
    utterance = CtcUtterance(engine.decoder, GREEDY)
    assert [window.index for window in utterance.due(samples[:40_000])] == [0, 1]
    first, *_ = utterance.due(samples[:60_000])
    utterance.add(first, compute(engine, first))
    assert [window.index for window in utterance.due(samples[:60_000])] == [1, 2]


def test_words_behind_the_limit_are_not_committed_and_can_be_cut_off(
    engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    """An utterance cut at 8 s after 12 s were heard is, with nothing committed beyond, one that ended there."""
    samples = next(iter(long_speech.values()))
    cut, utterance = samples[:128_000], CtcUtterance(engine.decoder, BEAM, commit_limit_s=7.0)
    for window in utterance.due(samples[:192_000]):
        partial = utterance.add(window, compute(engine, window))
    assert utterance.committed and utterance.committed[-1].end_s <= 7.0
    assert partial.hypothesis.words[-1].end_s > 9.0
    window = utterance.last(cut)
    finals = utterance.finish(window, compute(engine, window))
    np.testing.assert_array_equal(utterance.log_probs, stream(engine, cut, BEAM, ())[0].log_probs)
    assert finals[0].words[: len(utterance.committed)] == utterance.committed
    assert all(word.end_s <= 8.0 for word in finals[0].words)


def test_group_norm_sees_one_window_as_the_offline_pass_sees_it(
    small_ctc: Path, tmp_path: Path, domain_speech: dict[str, Samples]
) -> None:
    changes = {"feat_extract_norm": "group", "do_stable_layer_norm": False, "num_hidden_layers": 1}
    engine = untrained(small_ctc, tmp_path / "group", **changes)
    samples = next(iter(domain_speech.values()))
    np.testing.assert_array_equal(stream(engine, samples, GREEDY, ())[0].log_probs, engine.emissions(samples))


def test_bfloat16_streams_what_float32_streams(
    small_ctc: Path, engine: TorchCtc, long_speech: dict[str, Samples]
) -> None:
    half = TorchCtc(small_ctc, dtype="bfloat16")
    texts = [
        [stream(one, samples, GREEDY, ())[2][0].text for samples in long_speech.values()]
        for one in (engine, half)
    ]
    wrong = sum(word_errors(text, other).errors for text, other in zip(*texts, strict=True))
    assert wrong <= 0.1 * sum(len(text.split()) for text in texts[0])


def test_planning_and_search_need_no_torch() -> None:
    code = "import sys, asr.streaming.ctc_utterance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_can_be_left_out_of_finals(engine: TorchCtc, long_speech: dict[str, Samples]) -> None:
    samples = next(iter(long_speech.values()))
    options = DecodingOptions(beam_size=1, word_times=False)
    utterance, partials, finals = stream(engine, samples, options, ())
    assert finals[0].words == () and finals[0].text and utterance.committed
    assert partials[-1].hypothesis.words
