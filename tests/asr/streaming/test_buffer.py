"""The buffer answers as the whole stream would, and forgets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.streaming.buffer import SampleBuffer


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 400)), max_size=20))
def test_what_is_not_forgotten_is_the_stream_itself(steps: list[tuple[int, int]]) -> None:
    buffer, stream, forgotten = SampleBuffer(), np.zeros(0, np.float32), 0
    for num_samples, kept in steps:
        samples = np.arange(stream.size, stream.size + num_samples, dtype=np.float32)
        buffer.append(samples)
        stream = np.concatenate([stream, samples])
        forgotten = max(forgotten, stream.size - kept)
        buffer.forget_before(forgotten)
        assert np.array_equal(buffer.cut(forgotten, buffer.end), stream[forgotten:])


def test_an_hour_that_is_forgotten_takes_no_hour_of_memory() -> None:
    buffer, second = SampleBuffer(), np.zeros(16_000, np.float32)
    for _ in range(3600):
        buffer.append(second)
        buffer.forget_before(buffer.end - 8000)
    assert buffer._storage.size < 10 * 16_000
