"""The emissions of a whole recording from chunks that overlap, so that memory follows the chunk and not the hour.

E encoder frames of the recording, V vocabulary. Chunks begin on whole strides, so their frames lie where those of the
whole recording would; a recording that fits into one chunk gives exactly the engine's own emissions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from asr.data.manifest import Utterance, load_samples
from asr.decoding.ctc_alignment import LogProbs
from asr.errors import InputError
from asr.models.ctc_torch import MAX_SEGMENT_S, TorchCtc
from asr.units import SAMPLE_RATE_HZ, to_samples, to_seconds

CONTEXT_S = 2.5  # heard on both sides of what is kept of a chunk
STEP_S = MAX_SEGMENT_S - 2 * CONTEXT_S
MAX_VALUES = 2**28  # of E * V: 1 GiB of float32


def recording_emissions(
    engine: TorchCtc, recording: Utterance, on_chunk: Callable[[], None] = lambda: None
) -> LogProbs:
    """Log probabilities (E, V) of a recording of any length.

    Args:
        engine: the model.
        recording: with a duration; its offset and channel are kept to.
        on_chunk: called after each of :func:`count_chunks`.

    Raises:
        InputError: the recording is over the limit.
        AudioError: it cannot be read.
    """
    _check_size(engine, recording)
    kept = []
    for begin, first, last, end in _chunks(engine.stride_samples, to_samples(recording.duration_s)):
        begin_s = to_seconds(begin * engine.stride_samples)
        length_s = min(recording.duration_s, to_seconds(end * engine.stride_samples)) - begin_s
        span = replace(recording, offset_s=recording.offset_s + begin_s, duration_s=length_s)
        log_probs = engine.emissions(load_samples(span))
        kept.append(log_probs[first - begin : None if last is None else last - begin])
        on_chunk()
    return np.concatenate(kept)


def count_chunks(engine: TorchCtc, recording: Utterance) -> int:
    """How many chunks :func:`recording_emissions` takes."""
    return sum(1 for _ in _chunks(engine.stride_samples, to_samples(recording.duration_s)))


def _chunks(stride: int, num_samples: int) -> Iterator[tuple[int, int, int | None, int]]:
    """Per chunk, in frames: where it begins, what is kept of it from and up to (None: all), where it ends."""
    step, context = (round(seconds * SAMPLE_RATE_HZ) // stride for seconds in (STEP_S, CONTEXT_S))
    first = 0
    while True:
        end = first + step + context
        is_last = end * stride >= num_samples
        yield max(0, first - context), first, None if is_last else first + step, end
        if is_last:
            return
        first += step


def _check_size(engine: TorchCtc, recording: Utterance) -> None:
    per_second = SAMPLE_RATE_HZ / engine.stride_samples * len(engine.tokens.labels)
    if recording.duration_s * per_second > MAX_VALUES:
        raise InputError(
            f"{recording.id} lasts {recording.duration_s / 60:.0f} min; with this model's {len(engine.tokens.labels)} "
            f"outputs at most {MAX_VALUES / per_second / 60:.0f} min are aligned at once: cut the recording"
        )
