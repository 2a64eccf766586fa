"""The Wav2Vec2-CTC engine on a model that truly transcribes (tests/data/small-ctc), and its laws on untrained ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.errors import ModelError, OptionError
from asr.models.base import DecodingOptions, Samples
from asr.models.ctc_frames import normalized
from asr.models.ctc_torch import TorchCtc, card_languages, geometry
from asr.models.resolve import resolve_model
from asr.recognizer import Recognizer

GREEDY = DecodingOptions(beam_size=1)


@pytest.fixture(scope="module")
def engine(small_ctc: Path) -> TorchCtc:
    return TorchCtc(small_ctc, dtype="float32")


@pytest.fixture
def changed(small_ctc: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the small model with other settings in one of its JSON files."""

    def change(file_name: str, **settings: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(small_ctc, folder)
        content = json.loads((folder / file_name).read_text())
        (folder / file_name).write_text(json.dumps(content | settings))
        return folder

    return change


def errors(text: str, reference: str) -> int:
    from asr.evaluation.wer import word_errors

    return word_errors(reference, text).errors


def test_it_transcribes_sentences_that_it_was_not_trained_on(
    engine: TorchCtc, domain_speech: dict[str, Samples]
) -> None:
    decoded = engine.decode(list(domain_speech.values()), GREEDY)
    wrong = sum(errors(row[0].text, text) for row, text in zip(decoded, domain_speech, strict=True))
    assert wrong <= 0.2 * sum(len(text.split()) for text in domain_speech)


def test_emissions_are_those_of_transformers(
    engine: TorchCtc, small_ctc: Path, domain_speech: dict[str, Samples]
) -> None:
    import torch
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    extractor = Wav2Vec2FeatureExtractor.from_pretrained(str(small_ctc))
    model = Wav2Vec2ForCTC.from_pretrained(str(small_ctc)).float().eval()
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(str(small_ctc))
    for samples in domain_speech.values():
        inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt")
        np.testing.assert_allclose(normalized(samples), inputs.input_values[0], atol=1e-5)
        with torch.inference_mode():
            theirs = model(inputs.input_values).logits[0].log_softmax(-1).numpy()
        ours = engine.emissions(samples)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        text = " ".join(tokenizer.decode(theirs.argmax(-1)).split())
        assert engine.decode([samples], GREEDY)[0][0].text == text


def test_a_batch_gives_each_segment_the_text_that_it_gives_alone(
    engine: TorchCtc, domain_speech: dict[str, Samples]
) -> None:
    segments = [*domain_speech.values(), np.zeros(0, np.float32), np.zeros(100, np.float32)]
    for together, samples in zip(engine.batch_emissions(segments), segments, strict=True):
        np.testing.assert_allclose(together, engine.emissions(samples), atol=1e-4)
    for options in (GREEDY, DecodingOptions(beam_size=4)):
        together_texts = [row[0].text for row in engine.decode(segments, options)]
        assert together_texts == [engine.decode([samples], options)[0][0].text for samples in segments]


def test_group_norm_models_are_batched_without_padding(tmp_path: Path, small_ctc: Path) -> None:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from asr.models.checkpoint import save_wav2vec2

    config = Wav2Vec2Config.from_pretrained(small_ctc)
    config.update({"feat_extract_norm": "group", "do_stable_layer_norm": False, "num_hidden_layers": 1})
    torch.manual_seed(0)
    save_wav2vec2(Wav2Vec2ForCTC(config), small_ctc, tmp_path / "group")
    engine = TorchCtc(tmp_path / "group", dtype="float32")
    rng = np.random.default_rng(0)
    segments = [rng.standard_normal(length).astype(np.float32) for length in (16_000, 15_000, 14_000)]
    for together, samples in zip(engine.batch_emissions(segments), segments, strict=True):
        np.testing.assert_allclose(together, engine.emissions(samples), atol=1e-5)


@pytest.mark.parametrize("num_samples", [0, 415, 416, 735, 736, 16_000, 16_001, 480_000])
def test_there_is_a_frame_for_each_whole_receptive_field(engine: TorchCtc, num_samples: int) -> None:
    receptive, stride = geometry(engine._model.config)
    assert (stride, engine.stride_samples) == (320, 320)
    log_probs = engine.emissions(np.zeros(num_samples, np.float32))
    assert log_probs.shape == (max(0, (num_samples - receptive) // stride + 1), 32)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, atol=1e-5)


def test_word_times_rise_within_the_audio_and_words_are_the_text(
    engine: TorchCtc, domain_speech: dict[str, Samples]
) -> None:
    for beam_size in (1, 5):
        for samples in domain_speech.values():
            best = engine.decode([samples], DecodingOptions(beam_size=beam_size))[0][0]
            assert " ".join(word.text for word in best.words) == best.text
            times = [time for word in best.words for time in (word.start_s, word.end_s)]
            assert times == sorted(times)
            assert times[0] >= 0 and times[-1] <= len(samples) / 16_000
            assert all(word.end_s > word.start_s and 0 < word.confidence <= 1 for word in best.words)
            assert 0 < best.confidence <= 1 and best.no_speech_prob < 0.5


def test_words_move_with_the_audio(engine: TorchCtc, domain_speech: dict[str, Samples]) -> None:
    samples = next(iter(domain_speech.values()))
    later = np.concatenate([np.zeros(16_000, np.float32), samples])
    before, after = (engine.decode([one], GREEDY)[0][0].words for one in (samples, later))
    assert after[-1].end_s - before[-1].end_s == pytest.approx(1.0, abs=0.06)


def test_alternatives_are_different_texts_and_silence_is_no_text(
    engine: TorchCtc, domain_speech: dict[str, Samples]
) -> None:
    options = DecodingOptions(beam_size=8, max_alternatives=4)
    clear = next(iter(domain_speech.values()))
    noisy = (clear + 0.03 * np.random.default_rng(0).standard_normal(len(clear))).astype(np.float32)
    alternatives = engine.decode([noisy], options)[0]
    assert len({one.text for one in alternatives}) == len(alternatives) == 4
    sure = engine.decode([clear], options)[0]
    assert len({one.text for one in sure}) == len(sure) >= 1  # fewer where the others are too unlikely
    assert [bool(one.words) for one in alternatives] == [True, False, False, False]
    assert engine.decode([np.zeros(0, np.float32)], options)[0][0].text == ""


def test_bfloat16_hears_what_float32_hears(small_ctc: Path, domain_speech: dict[str, Samples]) -> None:
    texts = [
        [row[0].text for row in TorchCtc(small_ctc, dtype=dtype).decode(list(domain_speech.values()), GREEDY)]
        for dtype in ("float32", "bfloat16")
    ]
    wrong = sum(errors(other, text) for text, other in zip(*texts, strict=True))
    assert wrong <= 0.1 * sum(len(text.split()) for text in texts[0])


def test_a_segment_too_long_and_an_unknown_language_are_refused(engine: TorchCtc) -> None:
    with pytest.raises(OptionError, match=r"lasts 30\.1 s; at most 30 s"):
        engine.emissions(np.zeros(481_000, np.float32))
    with pytest.raises(OptionError, match="'de' is not known"):
        engine.check_options(DecodingOptions(language="de"))
    with pytest.raises(OptionError, match="'de' is not known"):
        engine.decode([np.zeros(16_000, np.float32)], DecodingOptions(language="de"))


def test_languages_are_the_model_cards(tmp_path: Path) -> None:
    assert card_languages(tmp_path) == ("en",)
    card = tmp_path / "README.md"
    for written, languages in (("de", ("de",)), ("[fr, pt-BR]", ("fr", "pt")), ("multilingual", ("en",))):
        card.write_text(f"---\nlanguage: {written}\n---\n# A model\n")
        assert card_languages(tmp_path) == languages
    card.write_text("# A model without metadata\n")
    assert card_languages(tmp_path) == ("en",)


@pytest.mark.parametrize("missing", ["vocab.json", "preprocessor_config.json", "tokenizer_config.json"])
def test_a_folder_that_lacks_a_file_is_one_clear_error(small_ctc: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "incomplete"
    shutil.copytree(small_ctc, folder)
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"lacks {missing}"):
        resolve_model(str(folder))


def test_another_rate_and_a_model_without_text_are_refused(changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="wants audio at 8000 Hz"):
        TorchCtc(changed("preprocessor_config.json", sampling_rate=8000))


def test_a_pretrained_model_without_a_head_is_refused(changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="writes no text"):
        TorchCtc(changed("config.json", architectures=["Wav2Vec2ForPreTraining"]))


def test_the_recognizer_loads_it_by_its_folder(small_ctc: Path, domain_speech: dict[str, Samples]) -> None:
    recognizer = Recognizer.load(str(small_ctc), engine="torch")
    assert (recognizer.version, recognizer.languages) == ("local", ("en",))
    samples = next(iter(domain_speech.values()))
    silence = np.zeros(32_000, np.float32)
    transcript = recognizer.transcribe(np.concatenate([silence, samples, silence]), GREEDY)
    assert len(transcript.segments) == 1 and transcript.words[0].start_s > 1.5
