"""Streaming voice activity: Silero VAD (v6, MIT) on ONNX Runtime, without torch.

The weights are read out of the ``silero-vad`` wheel, which is never imported: its export for sequences, which takes all
frames that have come in one call (snakers4/silero-vad#795). Gives probabilities only; what counts as speech is decided
in ``asr.streaming.endpointer``.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import MissingDependencyError

VAD_FRAME_SAMPLES = 512  # 32 ms, fixed by the model
_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
MAX_FRAMES = 512  # in one call, 16 s: more gains nothing and takes memory
_WEIGHTS = "data/silero_vad_16k_sequence.onnx"


def _weights_path() -> Path:
    spec = importlib.util.find_spec("silero_vad")
    path = Path(spec.origin).parent / _WEIGHTS if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise MissingDependencyError(
            f"voice activity needs {_WEIGHTS} of the package silero-vad, which is not installed or too old: "
            "pip install 'silero-vad>=6.2.3'"
        )
    return path


@functools.cache
def _session() -> Any:
    """The process's one ONNX session, single-threaded; ONNX Runtime lets threads share it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(_weights_path()), options, providers=["CPUExecutionProvider"])


class VoiceActivityDetector:
    """Speech probability of each 32 ms frame of one 16 kHz stream; not for use by two threads at once.

    Raises:
        MissingDependencyError: the wheel with the weights is not installed.
    """

    def __init__(self) -> None:
        self._onnx = _session()
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._hidden: NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._cell: NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        # The last samples of the frame before, then the samples that wait for a whole frame.
        self._pending: NDArray[np.float32] = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take (T,) samples; give (N,) probabilities, one for each 512-sample frame that is now whole."""
        pending = np.concatenate((self._pending, samples), dtype=np.float32)
        num_frames = (pending.size - _CONTEXT_SAMPLES) // VAD_FRAME_SAMPLES
        if not num_frames:
            self._pending = pending
            return np.empty(0, np.float32)
        self._pending = pending[num_frames * VAD_FRAME_SAMPLES :].copy()
        return np.concatenate(
            [
                self._step(_frames(pending[first * VAD_FRAME_SAMPLES :], min(MAX_FRAMES, num_frames - first)))
                for first in range(0, num_frames, MAX_FRAMES)
            ]
        )

    def _step(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames (N, 64 + 512), each with its context -> probabilities (N,); moves the state on."""
        inputs = {"input": frames, "h": self._hidden, "c": self._cell}
        probs: NDArray[np.float32]
        probs, self._hidden, self._cell = self._onnx.run(None, inputs)
        return probs


def _frames(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The first ``count`` frames (count, 64 + 512), each with its context."""
    whole = count * VAD_FRAME_SAMPLES
    frames = np.empty((count, _CONTEXT_SAMPLES + VAD_FRAME_SAMPLES), np.float32)
    frames[:, :_CONTEXT_SAMPLES] = samples[:whole].reshape(count, -1)[:, :_CONTEXT_SAMPLES]
    frames[:, _CONTEXT_SAMPLES:] = samples[_CONTEXT_SAMPLES:][:whole].reshape(count, -1)
    return frames
