"""When a phrase takes the place of words: where the text with it, and its bounded boost, is likelier than without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from asr.biasing.phrases import Phrase, PhraseSet
from asr.biasing.rescoring import Rewrite, rescored
from asr.biasing.retrieval import PhraseIndex


def scores(likely: dict[str, float], other: float = -100.0) -> Callable[[Sequence[str]], list[float]]:
    return lambda texts: [likely.get(text, other) for text in texts]


def rescore(text: str, phrases: Sequence[Phrase], likely: dict[str, float], *others: str) -> Rewrite | None:
    index = PhraseIndex(PhraseSet(tuple(phrases)))
    return rescored([text, *others], index, scores(likely), lambda text: len(text) // 3)


TEXT = "stop Dara Navier, please"
WITH = "stop darunavir, please"


@pytest.mark.parametrize(
    ("loss", "boost", "wins"), [(1.0, 5.0, True), (9.0, 5.0, True), (9.0, 2.0, False), (40.0, 20.0, True)]
)
def test_a_phrase_wins_if_its_boost_outweighs_what_the_audio_says_against_it(
    loss: float, boost: float, wins: bool
) -> None:
    found = rescore(TEXT, [Phrase(text="darunavir", boost=boost)], {TEXT: -5.0, WITH: -5.0 - loss})
    assert found == (Rewrite(WITH, -5.0 - loss, ("darunavir",)) if wins else None)


def test_no_boost_is_large_enough_for_what_sounds_otherwise() -> None:
    text = "stop the car, please"
    assert rescore(text, [Phrase(text="darunavir", boost=20.0)], {text: -5.0, WITH: -5.0}) is None


def test_where_there_are_no_words_no_phrase_comes() -> None:
    assert rescore("", [Phrase(text="darunavir", boost=20.0)], {"": -50.0, "darunavir": 0.0}) is None


def test_two_phrases_are_both_written_where_both_are_said() -> None:
    text = "mix Dara Navier and fosfa mycin"
    one, other = "mix darunavir and fosfa mycin", "mix Dara Navier and fosfomycin"
    both = "mix darunavir and fosfomycin"
    phrases = [Phrase(text="darunavir"), Phrase(text="fosfomycin")]
    found = rescore(text, phrases, {text: -9.0, one: -8.0, other: -8.5, both: -7.0})
    assert found == Rewrite(both, -7.0, ("darunavir", "fosfomycin"))
    alone = rescore(text, phrases, {text: -9.0, one: -8.0, other: -8.5, both: -60.0})
    assert alone is not None and alone.phrases in {("darunavir",), ("fosfomycin",)}


def test_of_two_phrases_in_one_place_the_likelier_is_written() -> None:
    phrases = [Phrase(text="darunavir"), Phrase(text="darunavar")]
    found = rescore(TEXT, phrases, {TEXT: -5.0, WITH: -9.0, "stop darunavar, please": -6.0})
    assert found is not None and found.phrases == ("darunavar",)


def test_a_phrase_is_found_in_another_text_of_the_search_where_the_first_hides_it() -> None:
    first, other, said = "stop the car for her", "stop Dara Navier", "stop darunavir"
    likely = {first: -5.0, other: -6.0, said: -7.0}
    phrases = [Phrase(text="darunavir")]
    assert rescore(first, phrases, likely) is None
    assert rescore(first, phrases, likely, other) == Rewrite(said, -7.0, ("darunavir",))
    assert rescore(first, phrases, {**likely, said: -90.0}, other) is None


def test_another_text_that_holds_a_phrase_has_its_boost_and_one_that_lacks_one_has_not() -> None:
    right, wrong = "stop darunavir", "stop the car"
    phrases = [Phrase(text="darunavir", boost=5.0)]
    assert rescore(wrong, phrases, {wrong: -5.0, right: -12.0}, right) == Rewrite(
        right, -12.0, ("darunavir",)
    )
    assert rescore(wrong, phrases, {wrong: -5.0, right: -80.0}, right) is None
    pair = [*phrases, Phrase(text="fosfomycin", boost=0.5)]
    traded = "stop fosfa mycin"
    likely = {right: -5.0, traded: -6.0, "stop fosfomycin": -4.0}
    assert rescore(right, pair, likely, traded) is None


def test_the_first_text_stays_where_no_phrase_is_near_any() -> None:
    assert rescore("the car", [Phrase(text="darunavir")], {"the car": -5.0}, "the bar", "a car") is None


def test_what_cannot_win_is_not_scored_and_the_rest_is_as_it_was() -> None:
    """Law: the bound changes how many texts are scored, never which one is written."""
    phrases = [
        Phrase(text=text) for text in ("darunavir", "darunavar", "fosfomycin", "navigator", "tenofovir")
    ]
    text = "mix Dara Navier and fosfa mycin and ten of a fear, navy gate or not"
    index = PhraseIndex(PhraseSet(tuple(phrases)))
    likely = {text: -9.0, text.replace("Dara Navier", "darunavir"): -8.0}
    scored: list[str] = []

    def score(texts: Sequence[str]) -> list[float]:
        scored.extend(texts)
        return [likely.get(one, -30.0) for one in texts]

    found = []
    for at_most in (lambda one: 0.0, lambda one: likely.get(one, -25.0)):
        scored.clear()
        found.append((rescored([text], index, score, lambda one: len(one) // 3, at_most), len(scored)))
    assert (
        found[0][0] == found[1][0] == Rewrite(text.replace("Dara Navier", "darunavir"), -8.0, ("darunavir",))
    )
    assert found[1][1] < found[0][1]
