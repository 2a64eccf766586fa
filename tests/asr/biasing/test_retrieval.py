"""Which phrases are looked for in a text: those that sound like a part of it, however many others there are."""

from __future__ import annotations

import numpy as np
import pytest

from asr.biasing.phrases import MAX_WORDS, Phrase, PhraseSet
from asr.biasing.retrieval import MATCHES, MAX_MATCHES, PhraseIndex, index_of
from asr.biasing.sounds import SoundTable, consonants, letters


def index(*texts: str, **values: object) -> PhraseIndex:
    return PhraseIndex(PhraseSet(tuple(Phrase(text=one, **values) for one in texts)))  # type: ignore[arg-type]


def distractors(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    parts = ["ba", "ke", "lo", "mu", "ni", "po", "ra", "sti", "tro", "vex", "zan", "gru"]
    return ["".join(rng.choice(parts, size=4)) for _ in range(count)]


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("Dara Navier", "darunavir"),
        ("fosfamycin", "fosfomycin"),
        ("capital", "capitate"),
        ("trip coffee", "drip coffee"),
    ],
)
def test_what_sounds_alike_is_alike_however_it_is_spaced_and_accented(heard: str, meant: str) -> None:
    table = SoundTable([meant, "umbrella"], is_english=True)
    (row,) = table.similarities([heard])
    assert row[0] > 0.6 > 0.45 > row[1]
    assert table.similarities([f" {meant.upper()}! "])[0, 0] == pytest.approx(1.0)
    assert letters("Crème Brûlée") == letters("creme brulee")
    assert consonants("fosfomycin") == consonants("phosphomicin")


def test_a_misspelt_phrase_is_found_in_its_place_among_a_thousand() -> None:
    found = index("darunavir", *distractors(1000)).matches(
        ["We", "had", "to", "stop", "Dara", "Navier,", "because", "of", "it."]
    )
    assert (found[0].phrase.text, found[0].start, found[0].end) == ("darunavir", 4, 6)
    assert len(found) <= MATCHES + 3


def test_other_spellings_find_the_phrase_as_it_is_written() -> None:
    plain, aliased = index("Xeljanz"), index("Xeljanz", sounds_like=("cell chance",))
    words = ["put", "the", "sell", "chance", "back"]
    assert aliased.matches(words)[0].phrase.text == "Xeljanz"
    assert aliased.matches(words)[0].similarity > plain.matches(words)[0].similarity + 0.2


def test_what_the_text_holds_is_no_match_and_makes_way_only_for_what_it_is_a_part_of() -> None:
    found = index("coffee", "drip coffee", "toffee").matches(["one", "trip", "coffee", "please"])
    assert {(one.phrase.text, one.start, one.end) for one in found} == {("drip coffee", 1, 3)}
    assert index("coffee").matches(["coffee"]) == []
    assert index("coffee").matches(["Coffee,"]) == []


def test_a_phrase_is_written_as_it_was_asked_for() -> None:
    assert [one.phrase.text for one in index("ice-cream").matches(["an", "ice", "cream", "please"])] == [
        "ice-cream"
    ]
    assert [one.phrase.text for one in index("iPhone").matches(["my", "iphone", "rang"])] == ["iPhone"]
    assert index("iPhone").matches(["my", "iPhone", "rang"]) == []


def test_critical_phrases_come_first_and_the_number_is_bounded() -> None:
    same = [Phrase(text=f"melatoni{end}") for end in "abcdefghijklmpqrst"]
    critical = Phrase(text="melatonio", critical=True)
    found = PhraseIndex(PhraseSet((*same, critical))).matches(["melatonin"])
    assert found[0].phrase == critical
    assert len(found) == MATCHES
    long = PhraseIndex(PhraseSet(tuple(same))).matches(["melatonin"] * 200)
    assert len(long) <= MAX_MATCHES


def test_held_are_the_phrases_as_written_the_longest_first_and_none_within_another() -> None:
    found = index("coffee", "drip coffee", "iPhone").held(
        ["Drip", "coffee,", "and", "coffee", "iphone", "iPhone"]
    )
    assert [(one.phrase.text, one.start, one.end) for one in found] == [
        ("drip coffee", 0, 2), ("coffee", 3, 4), ("iPhone", 5, 6),
    ]  # fmt: skip
    assert index("coffee").held([]) == []


def test_nothing_to_find_is_nothing_found() -> None:
    assert index("darunavir").matches([]) == []
    assert PhraseIndex(PhraseSet()).matches(["words"]) == []
    assert index("darunavir").matches(["the", "umbrella", "by", "the", "window"]) == []


def test_an_index_is_made_once_for_equal_sets() -> None:
    first, second = (PhraseSet((Phrase(text="oat milk"),)) for _ in range(2))
    assert index_of(first) is index_of(second)
    assert index_of(first) is not index_of(first, is_english=False)


@pytest.mark.parametrize("num_words", range(1, MAX_WORDS + 1))
def test_a_phrase_of_any_allowed_length_is_held_where_it_is_said(num_words: int) -> None:
    said = ["please", "transfer", "this", "caller", "to", "the", "billing", "department", "now"][:num_words]
    index = PhraseIndex(PhraseSet((Phrase(text=" ".join(said)),)))
    words = ["well,", *said, "thanks"]
    assert [(one.start, one.end) for one in index.held(words)] == [(1, 1 + num_words)]
    assert index.matches(words) == []
