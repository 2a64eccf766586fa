"""Latency arithmetic: known answers from small logs."""

from __future__ import annotations

import pytest

from benchmarks.measure.latency import (
    Shown,
    StreamLog,
    TimedWord,
    add_up,
    as_document,
    count_churn,
    count_promises,
    measure,
    percentiles,
    settled_words,
    with_reference_times,
)


def timed(*words: tuple[str, float, float]) -> tuple[TimedWord, ...]:
    return tuple(TimedWord(text=text, start_s=start_s, end_s=end_s) for text, start_s, end_s in words)


def interim(at_s: float, text: str, utterance: int = 1, num_promised: int = 0) -> Shown:
    return Shown(at_s=at_s, utterance=utterance, words=tuple(text.split()), num_promised=num_promised)


def final(at_s: float, words: tuple[TimedWord, ...], utterance: int = 1) -> Shown:
    texts = tuple(word.text for word in words)
    return Shown(
        at_s=at_s, utterance=utterance, words=texts, num_promised=len(texts), is_final=True, timed=words
    )


CALL = [
    interim(1.0, "a"),
    interim(2.0, "a lot"),
    interim(3.0, "A latte, with milk"),
    final(
        4.0,
        timed(
            ("A", 0.2, 0.5), ("latte", 0.6, 1.5), ("with", 1.6, 2.0), ("oat", 2.1, 2.4), ("milk", 2.5, 3.0)
        ),
    ),
]


def test_a_word_is_committed_when_its_place_changes_for_the_last_time() -> None:
    assert [(word.text, word.committed_s) for word in settled_words(CALL)] == [
        ("A", 1.0),  # case and punctuation are no change
        ("latte", 3.0),
        ("with", 3.0),
        ("oat", 4.0),
        ("milk", 4.0),  # it was displayed before, in another place
    ]


def test_a_word_that_went_and_came_back_is_committed_when_it_came_back() -> None:
    displays = [interim(1, "go home"), interim(2, "go"), interim(3, "go home"), interim(4, "go home")]
    assert [word.committed_s for word in settled_words(displays)] == [1, 3]


def test_a_word_is_promised_when_the_system_says_so() -> None:
    displays = [
        interim(1, "go home", num_promised=1),
        interim(2, "go home now", num_promised=2),
        interim(3, "go home now"),
    ]
    ended = [
        *displays[:2],
        Shown(at_s=3, utterance=1, words=("go", "home", "now"), num_promised=3, is_final=True),
    ]
    assert [word.promised_s for word in settled_words(ended)] == [1, 2, 3]


def test_a_system_that_promises_nothing_has_no_promises() -> None:
    log = StreamLog(shown=[interim(1.0, "go home")], half_close_s=2.0, ended_s=2.0)
    figures = measure(log, timed(("go", 0.0, 0.2), ("home", 0.3, 0.6)))
    assert figures.commit_s == [pytest.approx(0.8), pytest.approx(0.4)]
    assert figures.promise_s == []


def test_a_promise_is_broken_when_the_last_display_says_otherwise() -> None:
    displays = [interim(1, "go home", num_promised=2), interim(2, "go home now", num_promised=3)]
    kept = [*displays, final(3, timed(("Go", 0.0, 0.1), ("home", 0.2, 0.5), ("now", 0.6, 0.9)))]
    broken = [*displays, final(3, timed(("Go", 0.0, 0.1), ("Rome", 0.2, 0.5)))]
    assert count_promises(kept) == (3, 0)
    assert count_promises(broken) == (3, 2)
    assert [word.promised_s for word in settled_words(broken)] == [1, 3]
    assert count_promises(kept[-1:]) == (0, 0)


def test_churn_counts_words_that_interims_showed_and_took_back() -> None:
    # shown: a | lot | latte with milk; changed: lot -> latte, milk -> oat; the final's own words are no interim's.
    assert count_churn(CALL) == (5, 2)
    assert count_churn([interim(1, "a b c"), interim(2, "a")]) == (3, 2)
    assert count_churn([CALL[-1]]) == (0, 0)


def test_the_figures_of_a_call() -> None:
    log = StreamLog(duration_s=3.2, shown=CALL, half_close_s=3.2, ended_s=4.1)
    figures = measure(log)
    assert figures.first_interim_s == [pytest.approx(0.8)]
    assert figures.commit_s == [pytest.approx(value) for value in (0.5, 1.5, 1.0, 1.6, 1.0)]
    assert figures.promise_s == [pytest.approx(value) for value in (3.5, 2.5, 2.0, 1.6, 1.0)]
    assert figures.half_close_final_s == [pytest.approx(0.8)]
    assert figures.ended_s == [pytest.approx(0.9)]
    assert figures.final_s == []  # its final was forced by the half-close
    assert figures.churn == pytest.approx(0.4)
    assert log.is_complete
    assert log.text == "A latte with oat milk"


def test_a_final_by_silence_counts_from_the_end_of_speech() -> None:
    silent = final(2.0, timed(("yes", 0.5, 1.0)))
    log = StreamLog(duration_s=5, shown=[silent], half_close_s=5.0, ended_s=5.1)
    figures = measure(log)
    assert figures.final_s == [pytest.approx(1.0)]
    assert figures.half_close_final_s == []


def test_utterances_do_not_mix() -> None:
    first, second = final(2.0, timed(("yes", 0.5, 1.0)), 1), final(4.0, timed(("no", 2.5, 3.0)), 2)
    log = StreamLog(
        shown=[interim(1.5, "yes", 1), first, interim(3.5, "no", 2), second], half_close_s=5.0, ended_s=5.0
    )
    figures = measure(log)
    assert figures.commit_s == [pytest.approx(0.5), pytest.approx(0.5)]
    assert figures.first_interim_s == [pytest.approx(1.0), pytest.approx(1.0)]
    assert figures.num_changed == 0
    assert log.text == "yes no"


def test_words_are_timed_by_a_common_reference_where_one_is_given() -> None:
    reference = timed(("a", 0.0, 0.4), ("latte", 0.5, 1.0), ("oat", 1.5, 2.0), ("milk", 2.0, 2.5))
    words = with_reference_times(settled_words(CALL), reference)
    assert [word.end_s for word in words] == [0.4, 1.0, None, 2.0, 2.5]
    figures = measure(StreamLog(shown=CALL, half_close_s=3.2, ended_s=4.1), reference)
    assert figures.num_words == 5
    assert figures.num_untimed == 1
    assert figures.commit_s == [pytest.approx(value) for value in (0.6, 2.0, 2.0, 1.5)]


def test_a_stream_without_words_has_no_latency() -> None:
    figures = measure(StreamLog(shown=[final(1.0, ())], half_close_s=1.0, ended_s=1.0))
    assert figures.commit_s == figures.first_interim_s == []
    assert as_document(figures)["word_commit_s"] == {
        "p50": None, "p90": None, "p95": None, "p99": None, "mean": None, "n": 0
    }  # fmt: skip


def test_a_broken_stream_is_not_complete() -> None:
    assert not StreamLog(half_close_s=1.0, ended_s=2.0, failure="UNAVAILABLE").is_complete
    assert not StreamLog(half_close_s=1.0).is_complete


def test_percentiles_are_linear_between_neighbours() -> None:
    assert percentiles([float(value) for value in range(101)]) == {
        "p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "mean": 50.0, "n": 101
    }  # fmt: skip
    assert percentiles([1.0, 2.0])["p90"] == pytest.approx(1.9)


def test_figures_of_streams_add_up() -> None:
    log = StreamLog(shown=CALL, half_close_s=3.2, ended_s=4.1, late_s=[0.01])
    total = add_up([measure(log), measure(log)])
    assert total.num_words == 10
    assert total.churn == pytest.approx(0.4)
    assert len(total.commit_s) == 10
    assert total.late_s == [0.01, 0.01]
