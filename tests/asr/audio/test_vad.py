"""Voice activity: the same probabilities as the publisher's own wrapper, for any chunking, without torch."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hibari import SAMPLE_RATE as HIBARI_RATE
from hibari import Hibari

from asr.audio.resample import resample
from asr.audio.vad import MAX_FRAMES, VAD_FRAME_SAMPLES, VoiceActivityDetector


@pytest.fixture(scope="module")
def utterance() -> np.ndarray:
    """A second of silence, a spoken sentence, a second of silence; 16 kHz."""
    speech = resample(Hibari()("Two tablets in the morning, please.", seed=1), HIBARI_RATE)
    silence = np.zeros(16_000, np.float32)
    return np.concatenate([silence, speech, silence])


def test_probabilities_equal_the_publishers_wrapper(utterance: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import silero_vad
        import torch
        from silero_vad.utils_vad import OnnxWrapper

        path = Path(silero_vad.__file__).parent / "data" / "silero_vad_16k_op15.onnx"
        reference = OnnxWrapper(str(path), force_onnx_cpu=True)
    frames = utterance[: utterance.size // VAD_FRAME_SAMPLES * VAD_FRAME_SAMPLES].reshape(
        -1, VAD_FRAME_SAMPLES
    )
    expected = [reference(torch.from_numpy(frame.copy()), 16_000).item() for frame in frames]
    np.testing.assert_allclose(VoiceActivityDetector().push(utterance), expected, atol=1e-6)


def test_speech_is_speech_and_silence_is_not(utterance: np.ndarray) -> None:
    probs = VoiceActivityDetector().push(utterance)
    assert probs.shape == (utterance.size // VAD_FRAME_SAMPLES,)
    assert probs[:25].max() < 0.2
    assert np.mean(probs[31:-31] > 0.5) > 0.6  # the synthesiser's own pauses count
    assert probs.max() > 0.95
    assert probs[-15:].max() < 0.2


@pytest.mark.parametrize("chunk", [1_000, 320, 513, 7_777])
def test_any_chunking_gives_the_same(utterance: np.ndarray, chunk: int) -> None:
    detector = VoiceActivityDetector()
    parts = [detector.push(utterance[start : start + chunk]) for start in range(0, utterance.size, chunk)]
    np.testing.assert_array_equal(np.concatenate(parts), VoiceActivityDetector().push(utterance))


def test_a_long_recording_at_once_is_the_same_recording_in_chunks(utterance: np.ndarray) -> None:
    """Longer than what the model is given in one call."""
    recording = np.tile(utterance, 8)
    assert recording.size > 1.5 * MAX_FRAMES * VAD_FRAME_SAMPLES
    detector = VoiceActivityDetector()
    parts = [detector.push(recording[start : start + 1_600]) for start in range(0, recording.size, 1_600)]
    np.testing.assert_array_equal(np.concatenate(parts), VoiceActivityDetector().push(recording))


def test_reset_starts_a_new_stream(utterance: np.ndarray) -> None:
    detector = VoiceActivityDetector()
    first = detector.push(utterance)
    detector.reset()
    np.testing.assert_array_equal(detector.push(utterance), first)


def test_the_detector_needs_no_torch() -> None:
    program = (
        "import sys, numpy; from asr.audio.vad import VoiceActivityDetector; "
        "VoiceActivityDetector().push(numpy.zeros(1024, 'f4')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
