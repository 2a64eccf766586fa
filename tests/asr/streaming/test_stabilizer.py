"""Laws and known answers of the stabiliser: what two hypotheses agree on is committed, and stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asr.results import Hypothesis
from asr.streaming import Stabilizer

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8).map(" ".join), max_size=12)


def _shown(*texts: str) -> list[tuple[str, int]]:
    stabilizer = Stabilizer()
    stable = [stabilizer.update(Hypothesis(text=text)) for text in texts]
    return [(one.text, one.num_committed) for one in stable]


def test_words_are_committed_when_two_hypotheses_agree_and_are_not_taken_back() -> None:
    texts = ["one two", "one two three four", "one too three for five", "one two three for five", ""]
    assert _shown(*texts) == [
        ("one two", 0),
        ("one two three four", 2),
        ("one two three for five", 3),  # says a committed word otherwise, and agrees on the next
        ("one two three for five", 4),
        ("one two three for", 4),
    ]


def test_a_word_that_is_put_in_early_repeats_nothing() -> None:
    texts = ["open the", "open the door", "well open the door please", "well open the door please now"]
    assert [text for text, _ in _shown(*texts)] == [
        "open the",
        "open the door",
        "open the door please",
        "open the door please now",
    ]


def test_case_and_punctuation_do_not_count() -> None:
    assert _shown("Yes, the blue", "yes the Blue.") == [("Yes, the blue", 0), ("yes the Blue.", 2)]


def test_reset_forgets_the_utterance() -> None:
    stabilizer = Stabilizer()
    for _ in range(2):
        stable = stabilizer.update(Hypothesis(text="one two"))
    assert stable.stability == 0.5  # the last word may have been cut
    stabilizer.reset()
    assert stabilizer.update(Hypothesis(text="one")).stability == 0.0


@given(TEXTS)
def test_what_is_committed_grows_and_never_changes(texts: list[str]) -> None:
    stabilizer = Stabilizer()
    committed: tuple[str, ...] = ()
    for text in texts:
        stable = stabilizer.update(Hypothesis(text=text))
        assert stable.words[: len(committed)] == committed
        assert stable.num_committed >= len(committed)
        tail = stable.words[stable.num_committed :]
        assert not tail or tuple(text.split())[-len(tail) :] == tail
        committed = stable.words[: stable.num_committed]
