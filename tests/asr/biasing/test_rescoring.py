"""When a phrase takes the place of words: where the text with it, and its bounded boost, is likelier than without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from asr.biasing.phrases import Phrase, PhraseSet, phrase_set
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


@pytest.mark.parametrize("others", [(), ("Dara Navier", "darunavir")])
def test_where_there_are_no_words_no_phrase_comes(others: tuple[str, ...]) -> None:
    phrases = [Phrase(text="darunavir", boost=20.0)]
    for text in ("", "...", "-"):
        assert rescore(text, phrases, {text: -50.0, "darunavir": 0.0, "darunavir.": 0.0}, *others) is None


@pytest.mark.parametrize(
    ("text", "phrase", "likely"),
    [
        (
            "please turn on the kitchen light",
            "turn off the kitchen light",
            "please turn off the kitchen light",
        ),
        ("take 50 milligrams a day", "40 milligrams", "take 40 milligrams a day"),
        ("it is high blood pressure", "low blood pressure", "it is low blood pressure"),
        ("flight number 815 to Boston", "flight number 850", "flight number 850 to Boston"),
        ("take 50 milligrams a day", "5 milligrams", "take 5 milligrams a day"),
    ],
)
@pytest.mark.parametrize("is_in_beam", [False, True])
def test_a_common_word_or_number_stays_where_the_model_is_sure_of_it(
    text: str, phrase: str, likely: str, is_in_beam: bool
) -> None:
    """Whatever else of the phrase is there, and though a search has it, too: e to the 5th less likely is not said."""
    others = [likely] if is_in_beam else []
    phrases = [Phrase(text=phrase)]
    index = PhraseIndex(PhraseSet(tuple(phrases)))
    found = rescored(
        [text, *others], index, scores({text: -1.0, likely: -6.0}), lambda word: len(word.split())
    )
    assert found is None


@pytest.mark.parametrize(
    ("text", "phrase", "likely"),
    [
        ("take 50 milligrams a day", "40 Milligrams", "take 40 milligrams a day"),
        ("take 50 milligrams a day", "5 milligrams", "take 5 milligrams a day"),
        ("flight number 815 to Boston", "flight number 15", "flight number 15 to Boston"),
        ("gates 8 and 1 for flight 7", "flight 81", "gates 8 and 1 for flight 81"),
        ("take fifteen milligrams a day", "fifty milligrams", "take fifty milligrams a day"),
        ("take one milligram a day", "ten milligram", "take ten milligram a day"),
        ("take 1.5 milligram a day", "15 milligram", "take 15 milligram a day"),
        ("take 15 milligram a day", "1.5 milligram", "take 1.5 milligram a day"),
        ("on the fiftieth of May", "fifteenth of May", "on the fifteenth of May"),
        ("take 50 milligrams a day", "sixteen milligrams", "take sixteen milligrams a day"),
        ("seat twenty-five please", "seat thirty-five", "seat thirty-five please"),
    ],
)
@pytest.mark.parametrize("is_in_beam", [False, True])
def test_a_number_has_no_boost_in_place_of_another_however_many_tokens_it_has(
    text: str, phrase: str, likely: str, is_in_beam: bool
) -> None:
    index = PhraseIndex(PhraseSet((Phrase(text=phrase.casefold(), boost=20.0),)))
    likelihoods = scores({text: -1.0, likely: -3.0})
    found = rescored([text, *([likely] if is_in_beam else [])], index, likelihoods, lambda word: 3)
    assert found is None


@pytest.mark.parametrize(
    ("text", "phrase", "sounds_like", "said"),
    [
        (
            "take fifteen milly gram a day",
            "15 milligram",
            "fifteen milligram",
            "take 15 milligram a day",
        ),
        (
            "take twenty five milly gram a day",
            "25 milligram",
            "twenty five milligram",
            "take 25 milligram a day",
        ),
        (
            "the bowing seven forty seven is late",
            "Boeing 747",
            "boeing seven forty seven",
            "the Boeing 747 is late",
        ),
    ],
)
def test_a_number_has_its_boost_in_place_of_itself_written_otherwise(
    text: str, phrase: str, sounds_like: str, said: str
) -> None:
    """Half a token's worth of 8 for each of two words: neither alone outweighs the loss."""
    index = PhraseIndex(PhraseSet((Phrase(text=phrase, sounds_like=(sounds_like,)),)))
    found = rescored([text], index, scores({text: -1.0, said: -6.0}), lambda word: 1)
    assert found == Rewrite(said, -6.0, (phrase,))


def test_a_number_that_stays_takes_no_boost_from_another() -> None:
    """Half a token's worth of 8 for each of two words: neither alone outweighs the loss."""
    for text in ("no one stayed at the for sea sons", "call four one five five two at the for sea sons"):
        said = text.replace("for sea sons", "Four Seasons")
        index = PhraseIndex(PhraseSet((Phrase(text="Four Seasons"),)))
        found = rescored([text], index, scores({text: -1.0, said: -6.0}), lambda word: 1)
        assert found == Rewrite(said, -6.0, ("Four Seasons",)), text


def test_a_class_is_written_from_the_beam_where_the_first_text_spells_its_number() -> None:
    first = "my count number four five six"
    other, said = "my account number four five six", "my account number 456"
    made, _ = phrase_set([Phrase(text="account number $DIGITS")])
    likely = scores({first: -1.0, other: -3.0, said: -5.0})
    found = rescored([first, other], PhraseIndex(made), likely, lambda word: 2)
    assert found is not None and found.text == said


def test_a_phrase_that_is_said_twice_is_written_twice() -> None:
    text, said = "mix darunavir and Dara Navier", "mix darunavir and darunavir"
    phrases = [Phrase(text="darunavir")]
    assert rescore(text, phrases, {text: -5.0, said: -9.0}) == Rewrite(said, -9.0, ("darunavir",))
    assert rescore(said, phrases, {said: -9.0, text: -5.0}, text) is None


@pytest.mark.parametrize("left", [-0.5, -2.0])
def test_where_the_model_is_sure_only_what_sounds_nearly_the_same_is_tried(left: float) -> None:
    near, far = "stop darunavir", "stop darunafenac"
    index = PhraseIndex(PhraseSet((Phrase(text="darunavir"), Phrase(text="darunafenac"))))
    asked: list[str] = []

    def score(texts: Sequence[str]) -> list[float]:
        asked.extend(texts)
        return [-1.0] * len(texts)

    rescored(["stop Darunaver"], index, score, lambda word: 4, lambda text: -1.0 + left)
    assert near in asked
    assert (far in asked) == (left > -1.0)


@pytest.mark.parametrize("boost", [1.0, 20.0])
def test_what_sounds_otherwise_is_tried_only_where_its_boost_may_outweigh_how_unlike_it_is(
    boost: float,
) -> None:
    near, far = "stop darunavir", "stop darunafenac"
    index = PhraseIndex(
        PhraseSet((Phrase(text="darunavir", boost=boost), Phrase(text="darunafenac", boost=boost)))
    )
    asked: list[str] = []

    def score(texts: Sequence[str]) -> list[float]:
        asked.extend(texts)
        return [-1.0] * len(texts)

    rescored(["stop Darunaver"], index, score, lambda word: 4, lambda text: -1.0)
    assert near in asked
    assert (far in asked) == (boost == 20.0)


@pytest.mark.parametrize(("is_english", "wins"), [(True, False), (False, True)])
def test_in_english_what_sounds_otherwise_is_refused_though_it_would_win_by_little(
    is_english: bool, wins: bool
) -> None:
    text, said = "stop Darunaver", "stop darunafenac"
    index = PhraseIndex(PhraseSet((Phrase(text="darunafenac", boost=1.0),)), is_english=is_english)
    likely = {text: -9.0, said: -9.5}
    found = rescored([text], index, scores(likely), lambda word: 4, lambda one: likely[one])
    assert (found is not None) == wins


@pytest.mark.parametrize(("searched", "is_scored"), [(-0.1, False), (-9.0, True)])
def test_nothing_is_scored_where_all_that_the_search_leaves_to_others_would_not_make_a_phrase_win(
    searched: float, is_scored: bool
) -> None:
    asked: list[str] = []

    def score(texts: Sequence[str]) -> list[float]:
        asked.extend(texts)
        return [searched] * len(texts)

    index = PhraseIndex(PhraseSet((Phrase(text="darunafenac", boost=1.0),)))
    found = rescored(["stop Darunaver"], index, score, lambda word: 4, searched=searched)
    assert bool(asked) == is_scored
    assert (found is not None) == is_scored


def test_a_phrase_that_is_written_otherwise_is_put_as_it_was_asked_for() -> None:
    for text, phrase in (("fly the a 320 today", "A320"), ("ask open ai first", "OpenAI")):
        with_it = text.replace("a 320", phrase).replace("open ai", phrase)
        assert rescore(text, [Phrase(text=phrase)], {text: -5.0, with_it: -7.0}) == Rewrite(
            with_it, -7.0, (phrase,)
        )


def test_another_text_of_the_search_ends_as_the_first_does() -> None:
    first, other, said = "stop the car for her.", "stop Dara Navier", "stop darunavir."
    found = rescore(first, [Phrase(text="darunavir")], {first: -5.0, said: -7.0}, other)
    assert found == Rewrite(said, -7.0, ("darunavir",))


def test_what_the_search_loses_of_a_phrase_counts_against_it() -> None:
    first, other = "mix darunavir and fosfomycin", "mix Dara Navier and fosfomycin"
    phrases = [Phrase(text="darunavir"), Phrase(text="fosfomycin")]
    assert rescore(first, phrases, {first: -9.0, other: -5.0}, other) is None


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
    """A bound that holds changes how many texts are scored, not which phrases that sound alike are written."""
    said = {
        "Dara Navier": "darunavir",
        "fosfa mycin": "fosfomycin",
        "ten of a fear": "tenofovir",
        "a pixel ban": "apixaban",
    }
    phrases = [Phrase(text=text) for text in (*said.values(), "darunavar", "navigator", "fosfamide", "tenor")]
    heard = "mix " + " and ".join(said) + ", navy gate or not"
    index = PhraseIndex(PhraseSet(tuple(phrases)))

    def log_prob(text: str) -> float:
        return (
            -9.0
            + sum(1.0 if phrase in text else 0.0 for phrase in said.values())
            - 40.0
            * ("darunavar" in text or "navigator" in text or "fosfamide" in text or "tenor" in text.split())
        )

    results = []
    for at_most in (lambda text: 0.0, log_prob):
        scored: list[str] = []

        def score(texts: Sequence[str], scored: list[str] = scored) -> list[float]:
            scored.extend(texts)
            return [log_prob(one) for one in texts]

        results.append((rescored([heard], index, score, lambda word: len(word) // 3, at_most), len(scored)))
    (plain, num_plain), (bounded, num_bounded) = results
    assert plain == bounded
    assert bounded is not None and set(bounded.phrases) == set(said.values())
    assert num_bounded < num_plain
