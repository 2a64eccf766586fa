"""Laws of the session: chunking never matters, audio is in one final or none, silence gives none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asr.audio.vad import VAD_FRAME_SAMPLES, VoiceActivityDetector
from asr.errors import OptionError
from asr.streaming import (
    DecodeRequest,
    Event,
    FinalReason,
    Session,
    SessionOptions,
    SpeechAwaited,
    SpeechEnded,
    SpeechStarted,
)
from asr.streaming.endpointer import MIN_SPEECH_FRAMES
from asr.units import to_samples

Samples = NDArray[np.float32]


class ScriptedProbabilities:
    """A detector whose answers are given, one for each 512 samples; then silence."""

    def __init__(self, probs: list[float]) -> None:
        self._probs = probs
        self._num_samples = 0

    def push(self, samples: Samples) -> Samples:
        first = self._num_samples // VAD_FRAME_SAMPLES
        self._num_samples += samples.size
        last = self._num_samples // VAD_FRAME_SAMPLES
        padded = self._probs + [0.0] * (last - len(self._probs))
        return np.array(padded[first:last], np.float32)


def chunked(samples: Samples, sizes: list[int]) -> list[Samples]:
    """Cut into chunks of the sizes, taken round and round."""
    chunks, start, turn = [], 0, 0
    while start < samples.size:
        chunks.append(samples[start : start + sizes[turn % len(sizes)]])
        start, turn = start + sizes[turn % len(sizes)], turn + 1
    return chunks


def run(session: Session, chunks: list[Samples]) -> list[Event]:
    return [event for chunk in chunks for event in session.push(chunk)] + session.flush()


def finals(events: list[Event]) -> list[DecodeRequest]:
    return [event for event in events if isinstance(event, DecodeRequest) and event.is_final]


def keys(requests: list[DecodeRequest]) -> list[tuple[object, ...]]:
    return [
        (one.utterance_id, one.start_s, one.end_s, one.final_reason, one.samples.tobytes())
        for one in requests
    ]


def ramp(num_samples: int) -> Samples:
    """Samples that tell where they were."""
    return np.arange(num_samples, dtype=np.float32)


prob_runs = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9]), st.integers(1, 40)), max_size=8)
chunk_sizes = st.lists(
    st.sampled_from([1, 113, 160, 511, 512, 513, 9000]), min_size=3, max_size=6, unique=True
)
speedy = SessionOptions(max_utterance_s=2.0, end_silence_s=0.4, padding_s=0.2)


def _probs(runs: list[tuple[float, int]]) -> list[float]:
    """Runs of equal probabilities, made distinct so that a forced cut has one least frame."""
    flat = [prob for prob, length in runs for _ in range(length)]
    return [prob + 1e-4 * (index % 37) for index, prob in enumerate(flat)]


@settings(max_examples=60, deadline=None)
@given(runs=prob_runs, sizes=chunk_sizes, tail=st.integers(0, 600))
def test_any_chunking_gives_the_same_finals(
    runs: list[tuple[float, int]], sizes: list[int], tail: int
) -> None:
    probs = _probs(runs)
    samples = ramp(len(probs) * VAD_FRAME_SAMPLES + tail)
    whole = finals(run(Session(speedy, ScriptedProbabilities(probs)), [samples]))
    pieces = finals(run(Session(speedy, ScriptedProbabilities(probs)), chunked(samples, sizes)))
    assert keys(pieces) == keys(whole)


@settings(max_examples=60, deadline=None)
@given(runs=prob_runs, finalize_at=st.lists(st.integers(0, 200_000), max_size=3), sizes=chunk_sizes)
def test_finals_are_in_order_apart_within_limits_and_hold_their_own_audio(
    runs: list[tuple[float, int]], finalize_at: list[int], sizes: list[int]
) -> None:
    probs = _probs(runs)
    samples = ramp(len(probs) * VAD_FRAME_SAMPLES)
    session = Session(speedy, ScriptedProbabilities(probs))
    events: list[Event] = []
    for part in np.split(samples, sorted(min(at, samples.size) for at in finalize_at)):
        events += [event for chunk in chunked(part, sizes) for event in session.push(chunk)]
        events += session.finalize()
    requests = finals([*events, *session.flush()])
    assert [one.utterance_id for one in requests] == list(range(1, len(requests) + 1))
    for one in requests:
        span = slice(to_samples(one.start_s), to_samples(one.end_s))
        assert np.array_equal(one.samples, samples[span])
        assert 0 < one.samples.size <= to_samples(speedy.max_utterance_s)
    assert all(before.end_s <= after.start_s for before, after in pairwise(requests))


@settings(max_examples=60, deadline=None)
@given(runs=prob_runs, sizes=chunk_sizes)
def test_all_speech_is_in_a_final(runs: list[tuple[float, int]], sizes: list[int]) -> None:
    probs = _probs(runs)
    samples = ramp(len(probs) * VAD_FRAME_SAMPLES)
    requests = finals(run(Session(speedy, ScriptedProbabilities(probs)), chunked(samples, sizes)))
    covered = np.zeros(samples.size, bool)
    for one in requests:
        covered[to_samples(one.start_s) : to_samples(one.end_s)] = True
    # The rest of a forced cut may be shorter than what opens an utterance: runs of four frames must be whole.
    is_speech = [prob >= speedy.start_threshold for prob in probs]
    for index in range(len(probs) - MIN_SPEECH_FRAMES + 1):
        if all(is_speech[index : index + MIN_SPEECH_FRAMES]):
            start = index * VAD_FRAME_SAMPLES
            assert covered[start : start + MIN_SPEECH_FRAMES * VAD_FRAME_SAMPLES].all()


@settings(max_examples=60, deadline=None)
@given(runs=prob_runs, sizes=chunk_sizes)
def test_settled_audio_is_in_no_later_final(runs: list[tuple[float, int]], sizes: list[int]) -> None:
    probs = _probs(runs)
    session = Session(speedy, ScriptedProbabilities(probs))
    settled_s = 0.0
    for chunk in chunked(ramp(len(probs) * VAD_FRAME_SAMPLES), sizes):
        requests = finals(session.push(chunk))
        assert all(one.start_s >= settled_s for one in requests)
        assert session.settled_s >= settled_s
        settled_s = session.settled_s
        assert 0 <= session.skipped_s <= settled_s <= session.received_s
    session.flush()
    assert session.settled_s == session.received_s


def test_the_real_detector_splits_synthesised_speech_the_same_in_any_chunking(two_sentences: Samples) -> None:
    options = SessionOptions(interim_results=True)
    whole = finals(run(Session(options, VoiceActivityDetector()), [two_sentences]))
    assert [one.final_reason for one in whole] == [FinalReason.SILENCE, FinalReason.SILENCE]
    for sizes in ([112], [320], [1600], [16_000], [1, 5000, 37]):
        pieces = run(Session(options, VoiceActivityDetector()), chunked(two_sentences, sizes))
        assert keys(finals(pieces)) == keys(whole)


def test_interim_requests_grow_and_start_where_their_final_does(two_sentences: Samples) -> None:
    options = SessionOptions(interim_results=True, interim_interval_s=0.5)
    events = run(Session(options, VoiceActivityDetector()), chunked(two_sentences, [320]))
    requests = [event for event in events if isinstance(event, DecodeRequest)]
    first = [one for one in requests if one.utterance_id == 1]
    assert [one.is_final for one in first] == [False] * (len(first) - 1) + [True]
    assert len(first) >= 4
    assert all(after.end_s - before.end_s >= 0.5 for before, after in pairwise(first[:-1]))
    assert {one.start_s for one in first} == {first[0].start_s}


@pytest.mark.parametrize("size", [320, 1600])
def test_an_early_request_holds_what_its_final_does_unless_more_is_said(
    two_sentences: Samples, size: int
) -> None:
    plain = finals(run(Session(SessionOptions(), VoiceActivityDetector()), chunked(two_sentences, [size])))
    session = Session(SessionOptions(early_finals=True), VoiceActivityDetector())
    events = [one for one in run(session, chunked(two_sentences, [size])) if isinstance(one, DecodeRequest)]
    assert [(one.start_s, one.end_s) for one in events if one.is_final] == [
        (one.start_s, one.end_s) for one in plain
    ]
    for early, final in pairwise(events):
        if final.is_final:  # the last thing that was asked for before it
            assert early.is_early
            assert early.utterance_id == final.utterance_id
            assert (early.start_s, early.end_s) == (final.start_s, final.end_s)
            assert np.array_equal(early.samples, final.samples)


def test_events_of_an_utterance_come_in_order_with_the_start_offset(two_sentences: Samples) -> None:
    options = SessionOptions(start_offset_s=100.0)
    events = run(Session(options, VoiceActivityDetector()), [two_sentences])
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded, DecodeRequest] * 2
    started, ended, request = events[:3]
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert isinstance(request, DecodeRequest)
    assert 100.0 <= request.start_s <= started.time_s < ended.time_s <= request.end_s


def test_finalize_ends_the_open_utterance_and_the_rest_is_the_next() -> None:
    samples = ramp(80 * VAD_FRAME_SAMPLES)
    session = Session(SessionOptions(), ScriptedProbabilities([0.9] * 80))
    middle = 40 * VAD_FRAME_SAMPLES + 100
    session.push(samples[:middle])
    (first,) = finals(session.finalize())
    assert session.settled_s == session.received_s
    assert (first.final_reason, to_samples(first.end_s)) == (FinalReason.CLIENT, middle)
    session.push(samples[middle:])
    (second,) = finals(session.flush())
    assert second.final_reason is FinalReason.END_OF_STREAM
    assert np.array_equal(np.concatenate([first.samples, second.samples]), samples)


def test_a_long_utterance_is_cut_at_its_least_speech_like_frame() -> None:
    probs = [0.9] * 100
    quiet = 55  # in the last quarter of 62 frames, 2 s
    probs[quiet] = 0.5
    events = run(Session(speedy, ScriptedProbabilities(probs)), [ramp(100 * VAD_FRAME_SAMPLES)])
    first, second = finals(events)
    assert first.final_reason is FinalReason.MAX_UTTERANCE
    assert (
        to_samples(first.end_s)
        == to_samples(second.start_s)
        == quiet * VAD_FRAME_SAMPLES + VAD_FRAME_SAMPLES // 2
    )


@pytest.mark.parametrize("colour", ["digital silence", "white", "pink"])
def test_a_minute_without_speech_gives_nothing(colour: str) -> None:
    noise = np.random.default_rng(0).standard_normal(60 * 16_000)
    if colour == "pink":
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)))
    level = {"digital silence": 0.0, "white": 0.05, "pink": 0.05}[colour]
    session = Session(SessionOptions(), VoiceActivityDetector())
    assert run(session, [(level * noise / noise.std()).astype(np.float32)]) == []
    assert session.skipped_s == 60.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("end_silence_s", 0.0), ("stop_threshold", 0.5), ("max_utterance_s", 28.1), ("interim_interval_s", 0.0)],
)
def test_an_option_outside_its_range_is_named(field: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{field} is {value:g}, outside") as caught:
        SessionOptions(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_not_a_number_is_refused() -> None:
    with pytest.raises(OptionError, match="padding_s is nan"):
        SessionOptions(padding_s=float("nan"))


@pytest.mark.parametrize("sizes", [[512], [100, 7000], [48_000]])
@pytest.mark.parametrize(("speech_at", "times"), [(10, []), (100, [1.0]), (None, [1.0])])
def test_silence_at_the_start_is_told_once(
    sizes: list[int], speech_at: int | None, times: list[float]
) -> None:
    probs = [0.0] * 200
    if speech_at is not None:
        probs[speech_at : speech_at + 20] = [0.9] * 20
    session = Session(SessionOptions(start_timeout_s=1.0), ScriptedProbabilities(probs))
    events = run(session, chunked(np.zeros(200 * 512, np.float32), sizes))
    assert [event.time_s for event in events if isinstance(event, SpeechAwaited)] == times
    assert len(finals(events)) == (speech_at is not None)


@pytest.mark.parametrize("timeout_s", [0.0, 301.0, float("nan")])
def test_a_start_timeout_has_its_range(timeout_s: float) -> None:
    with pytest.raises(OptionError, match="start_timeout_s"):
        SessionOptions(start_timeout_s=timeout_s)
