"""Encoder outputs, computed once per stretch of audio and kept on disk.

With a frozen encoder every epoch would compute the same outputs again, and they are most of the work. They come from
the serving engine, so that the decoder learns on exactly what it will be served with. E encoder frames, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.atomic import write_bytes_atomically
from asr.data.manifest import Utterance, load_samples
from asr.models.base import Samples
from asr.models.whisper_ct2 import CTranslate2Whisper
from training.contexts import TrainingContexts


class EncoderCache:
    """Float16 outputs (E, D) by content of the audio, in a folder that belongs to one encoder."""

    def __init__(self, folder: Path, engine: CTranslate2Whisper, *, num_workers: int) -> None:
        self._folder = folder
        self._engine = engine
        self._num_workers = num_workers
        self._utterances: dict[Utterance, Path] = {}

    def fill(
        self,
        utterances: Sequence[Utterance],
        on_done: Callable[[], None],
        contexts: TrainingContexts | None = None,
    ) -> None:
        """Compute what is missing; ``on_done`` is called once an utterance. Interrupted, it goes on where it was.

        In the contexts of ``contexts``, by default those that the encoder is served with.

        Files that a kill left half written are removed first, so nobody else may be writing into the folder.
        """
        for remnant in self._folder.glob(".*.part"):
            remnant.unlink()
        with ThreadPoolExecutor(self._num_workers) as workers:
            for _ in workers.map(lambda utterance: self._ensure(utterance, contexts), utterances):
                on_done()

    def load(self, utterance: Utterance, *, is_mapped: bool = False) -> NDArray[np.float16]:
        """The outputs (E, D) of an utterance that :meth:`fill` has seen; ``is_mapped`` reads them as they are used."""
        path = self._utterances[utterance]
        output: NDArray[np.float16] = np.load(path, mmap_mode="r" if is_mapped else None)
        return output

    def encode(self, samples: Samples, num_frames: int) -> NDArray[np.float32]:
        """The outputs (1, E, D) of any samples in a context of ``num_frames`` = 2 E, from disk if they are there."""
        output: NDArray[np.float32] = np.load(self._path(samples, num_frames))[None].astype(np.float32)
        return output

    def _ensure(self, utterance: Utterance, contexts: TrainingContexts | None) -> None:
        samples = load_samples(utterance)
        num_samples = len(samples)
        frames = (
            contexts.frames(utterance, num_samples) if contexts else self._engine.context_frames(num_samples)
        )
        self._utterances[utterance] = self._path(samples, frames)

    def _path(self, samples: Samples, num_frames: int) -> Path:
        key = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()[:32]
        path = self._folder / f"{key}-{num_frames}.npy"
        if not path.is_file():
            sink = BytesIO()
            np.save(sink, self._engine.encode(samples, num_frames)[0].astype(np.float16), allow_pickle=False)
            write_bytes_atomically(path, sink.getvalue())
        return path
