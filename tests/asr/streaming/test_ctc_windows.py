"""Windows of a growing utterance: they give every frame once, whatever the chunks, at a bounded cost.

The model here is arithmetic: a frame's only output is the sample at which its receptive field begins, so that a frame out
of place is a wrong number.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decoding.ctc_alignment import LogProbs
from asr.errors import OptionError
from asr.models.base import Samples
from asr.models.ctc_frames import FrameGrid, normalized
from asr.streaming.ctc_windows import CtcWindow, Emissions, WindowOptions, WindowPlan

GRID = FrameGrid(stride_samples=320, receptive_samples=736, normalizes=False)
OPTIONS = st.builds(
    lambda left_s, chunk_s, right_s, revised: WindowOptions(
        left_s=left_s, chunk_s=chunk_s, right_s=right_s, revise_s=revised * left_s
    ),
    left_s=st.floats(0, 5),
    chunk_s=st.floats(0.1, 2),
    right_s=st.floats(0.05, 1.5),
    revised=st.floats(0, 1),
)
LENGTHS = st.integers(0, 300_000)
RAMP = np.arange(320_000, dtype=np.float32)


def frames_of(samples: Samples) -> LogProbs:
    """(T,) to (E, 1): the first sample that a frame sees."""
    num_frames = max(0, (len(samples) - GRID.receptive_samples) // GRID.stride_samples + 1)
    return samples[: num_frames * GRID.stride_samples : GRID.stride_samples, None]


def stitched(samples: Samples, options: WindowOptions, heard: int = 0) -> tuple[Emissions, list[CtcWindow]]:
    """The emissions of an utterance of which ``heard`` samples, perhaps beyond its end, were heard first."""
    plan = WindowPlan(GRID, options)
    emissions = Emissions(1, plan.chunk_frames)
    windows = [*plan.due(RAMP[:heard], 0), *plan.due(samples, plan.num_due(heard)), plan.last(samples)]
    for window in windows:
        emissions.add(window, frames_of(window.samples))
    return emissions, windows


@given(num_samples=LENGTHS, options=OPTIONS)
@settings(max_examples=200, deadline=None)
def test_every_frame_is_there_once_and_in_its_place(num_samples: int, options: WindowOptions) -> None:
    samples = RAMP[:num_samples]
    emissions, windows = stitched(samples, options)
    np.testing.assert_array_equal(emissions.log_probs, frames_of(samples))
    assert emissions.num_frames == len(frames_of(samples))
    assert all(after.keep <= (before.keep_end or 0) for before, after in pairwise(windows))
    assert all(window.first_frame <= window.keep for window in windows)
    assert len(emissions.open_from(0)) == len(frames_of(samples))


@given(num_samples=LENGTHS, options=OPTIONS)
@settings(max_examples=100, deadline=None)
def test_a_sample_is_heard_a_bounded_number_of_times(num_samples: int, options: WindowOptions) -> None:
    _, windows = stitched(RAMP[:num_samples], options)
    times = np.zeros(num_samples + 1, np.int64)
    for window in windows:
        times[int(window.samples[0]) if len(window.samples) else 0] += 1
        times[window.end_sample] -= 1
    span_s = options.left_s + options.chunk_s + options.right_s
    assert times.cumsum().max(initial=0) <= np.ceil((span_s + 0.06) / (options.chunk_s - 0.01)) + 2
    plan = WindowPlan(GRID, options)
    assert max(len(window.samples) for window in windows) <= plan.span_samples


@given(data=st.data(), num_samples=LENGTHS, options=OPTIONS)
@settings(max_examples=50, deadline=None)
def test_windows_are_the_same_whatever_the_chunks(
    data: st.DataObject, num_samples: int, options: WindowOptions
) -> None:
    pushes = sorted(data.draw(st.lists(st.integers(0, num_samples), max_size=20)))
    plan, seen = WindowPlan(GRID, options), []
    for heard in (*pushes, num_samples):
        seen += plan.due(RAMP[:heard], len(seen))
    expected = WindowPlan(GRID, options).due(RAMP[:num_samples], 0)
    assert [window.index for window in seen] == list(range(len(expected)))
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert (one.first_frame, one.keep, one.keep_end) == (other.first_frame, other.keep, other.keep_end)


@given(num_samples=LENGTHS, beyond=st.integers(0, 19_000), options=OPTIONS)
@settings(max_examples=50, deadline=None)
def test_audio_heard_beyond_the_end_leaves_no_trace(
    num_samples: int, beyond: int, options: WindowOptions
) -> None:
    emissions, _ = stitched(RAMP[:num_samples], options, heard=num_samples + beyond)
    np.testing.assert_array_equal(emissions.log_probs, frames_of(RAMP[:num_samples]))


def test_without_revision_frames_only_grow_and_the_right_context_is_shown_meanwhile() -> None:
    plan = WindowPlan(GRID, WindowOptions(revise_s=0.0))
    emissions = Emissions(1, plan.chunk_frames)
    settled = []
    for window in plan.due(RAMP[:100_000], 0):
        emissions.add(window, frames_of(window.samples))
        settled.append(emissions.log_probs)
        np.testing.assert_array_equal(emissions.open_from(0), frames_of(RAMP[: window.end_sample]))
        np.testing.assert_array_equal(emissions.open_from(37), frames_of(RAMP[: window.end_sample])[37:])
    assert [len(one) for one in settled] == [50 * (index + 1) for index in range(5)]
    for before, after in pairwise(settled):
        np.testing.assert_array_equal(after[: len(before)], before)


def test_an_utterance_that_fits_a_window_is_whole_in_its_last() -> None:
    plan = WindowPlan(GRID, WindowOptions())
    assert plan.span_samples == 88_000
    for num_samples in (0, 100, 16_000, 88_000):
        window = plan.last(RAMP[:num_samples])
        assert window.is_whole and len(window.samples) == num_samples
    assert not plan.last(RAMP[:88_001]).is_whole


def test_each_window_is_at_its_own_level_where_the_model_wants_one() -> None:
    grid = FrameGrid(stride_samples=320, receptive_samples=736)
    samples = np.random.default_rng(0).standard_normal(100_000).astype(np.float32) * np.linspace(
        0, 1, 100_000
    )
    samples = samples.astype(np.float32)
    plan = WindowPlan(grid, WindowOptions())
    for window in [*plan.due(samples, 0), plan.last(samples)]:
        begin = window.first_frame * grid.stride_samples
        np.testing.assert_array_equal(window.samples, normalized(samples[begin : window.end_sample]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chunk_s": 0.01}, "chunk_s is 0.01, outside 0.1 to 5"),
        ({"left_s": float("nan")}, "left_s is nan"),
        ({"right_s": 9.0}, "right_s is 9"),
        ({"left_s": 1.0, "revise_s": 2.0}, "revise_s is 2, outside 0 to 1"),
        ({"commit_margin_s": -0.1}, "commit_margin_s is -0.1"),
    ],
)
def test_options_outside_their_range_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        WindowOptions(**values)
    assert caught.value.field in values


def test_a_model_that_sees_further_needs_more_context() -> None:
    wide = FrameGrid(stride_samples=320, receptive_samples=3_200)
    with pytest.raises(OptionError, match=r"right_s is 0\.1, less than .* give at least 0\.18"):
        WindowPlan(wide, WindowOptions(right_s=0.1))


def test_a_revised_frame_is_what_the_newest_window_that_keeps_it_gave() -> None:
    plan = WindowPlan(GRID, WindowOptions(left_s=2.0, revise_s=1.0))
    emissions = Emissions(1, plan.chunk_frames)
    samples = RAMP[:80_000]
    for window in [*plan.due(samples, 0), plan.last(samples)]:
        emissions.add(window, np.full_like(frames_of(window.samples), window.index))
    assert [window.keep for window in plan.due(samples, 0)] == [0, 0, 50, 100]
    assert emissions.log_probs[:, 0].tolist() == [1] * 50 + [2] * 50 + [3] * 50 + [4] * 98
