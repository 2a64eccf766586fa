"""What a phrase may be, what a set holds, and what its file says."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from asr.biasing.phrases import (
    MAX_CHARACTERS,
    MAX_SPELLINGS,
    MAX_WORDS,
    Phrase,
    PhraseSet,
    PhraseState,
    format_phrases,
    phrase_set,
    read_phrases,
)
from asr.errors import InputError, OptionError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "  "}, "0 characters"),
        ({"text": "a" * (MAX_CHARACTERS + 1)}, "101 characters .* give 1 to 100"),
        ({"text": "a", "boost": 0.0}, "is 0; give a number above 0"),
        ({"text": "a", "boost": 20.5}, "is 20.5; .* at most 20"),
        ({"text": "a", "sounds_like": ("b",) * (MAX_SPELLINGS + 1)}, "11 spellings; at most 10"),
        ({"text": "a", "sounds_like": ("",)}, "0 characters"),
    ],
)
def test_a_phrase_outside_its_limits_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Phrase(**values)  # type: ignore[arg-type]


def test_every_phrase_is_reported_and_what_cannot_be_used_says_why() -> None:
    asked = [
        Phrase(text="oat  milk"),
        Phrase(text="Zolpidem", sounds_like=("soul bedem",)),
        Phrase(text="42"),
        Phrase(text="OAT MILK"),
        Phrase(text=" ".join(["word"] * (MAX_WORDS + 1))),
        Phrase(text="order $SIZE latte"),
    ]
    made, reports = phrase_set(asked)
    assert [one.text for one in made] == ["oat milk", "Zolpidem"]
    assert [one.text for one in reports] == [one.text for one in asked]
    assert [one.state for one in reports] == [
        PhraseState.ACTIVE,
        PhraseState.ALIASED,
        *[PhraseState.REFUSED] * 4,
    ]
    reasons = [one.reason for one in reports]
    assert reasons[:2] == ["", ""]
    for reason, part in zip(
        reasons[2:], ["no letter", "twice", "9 words; at most 8", "no class $SIZE"], strict=True
    ):
        assert part in reason


def test_a_class_is_written_out_in_every_combination() -> None:
    classes = {"SIZE": ["small", "large"], "$milk": ["oat", "soy", "skim"]}
    made, (report,) = phrase_set([Phrase(text="$SIZE $MILK latte", boost=3.0)], classes)
    assert report.state is PhraseState.ACTIVE
    assert [one.text for one in made] == [
        f"{size} {milk} latte" for size in ("small", "large") for milk in ("oat", "soy", "skim")
    ]
    assert {one.boost for one in made} == {3.0}


def test_more_phrases_than_the_limit_are_refused_with_it() -> None:
    asked = [Phrase(text=f"word {'x' * index}") for index in range(1, 8)]
    assert len(phrase_set(asked, max_phrases=7)[0]) == 7
    with pytest.raises(OptionError, match="more than 6 phrases, which is the limit"):
        phrase_set(asked, max_phrases=6)
    with pytest.raises(OptionError, match="more than 6 phrases"):
        phrase_set([Phrase(text="$A x")], {"A": [f"w{'y' * index}" for index in range(7)]}, max_phrases=6)


def test_sets_are_equal_by_content_and_survive_another_process() -> None:
    first, second = (PhraseSet((Phrase(text="oat milk"), Phrase(text="latte"))) for _ in range(2))
    other = PhraseSet((Phrase(text="oat milk", boost=6.0), Phrase(text="latte")))
    assert first == second and hash(first) == hash(second) and first != other
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301


def test_a_file_holds_phrases_flags_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text(
        "# drugs\n$UNIT=milligram|gram\n\namoxicillin\tcritical\tboost=7.5\n"
        "darunavir\tsounds_like=Dara Navier\tsounds_like=darn a veer\none $UNIT\n"
    )
    made, reports = read_phrases(path)
    assert list(made) == [
        Phrase(text="amoxicillin", critical=True, boost=7.5),
        Phrase(text="darunavir", sounds_like=("Dara Navier", "darn a veer")),
        Phrase(text="one milligram"),
        Phrase(text="one gram"),
    ]
    assert [one.state.value for one in reports] == ["active", "aliased", "active"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# nothing\n", "holds no phrases"),
        ("a\n\nb\tboost=much\n", ":3: could not convert"),
        ("a\tloud\n", ":1: 'loud' is no flag; write the phrase, then after TABs"),
        ("a\tboost=21\n", ":1: the boost of 'a' is 21"),
    ],
)
def test_a_line_that_cannot_be_understood_names_its_place(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_phrases(path)


def test_a_set_written_to_a_file_is_read_back(tmp_path: Path) -> None:
    asked = [
        Phrase(text="amoxicillin", critical=True, boost=7.5),
        Phrase(text="darunavir", sounds_like=("Dara Navier", "darn a veer")),
        Phrase(text="oat milk"),
    ]
    (tmp_path / "phrases.txt").write_text(format_phrases(PhraseSet(tuple(asked))))
    assert list(read_phrases(tmp_path / "phrases.txt")[0]) == asked


def test_a_class_phrase_that_is_refused_leaves_none_of_its_phrases_behind() -> None:
    long = "a name of many more words than may be"
    asked = [
        Phrase(text="call $DOC"),
        Phrase(text="call Ann"),
        Phrase(text="see $DOC", sounds_like=("sea dock",)),
    ]
    made, reports = phrase_set(asked, {"$DOC": ["Ann", long]})
    assert [one.text for one in made] == ["call Ann"]
    assert [one.state for one in reports] == [PhraseState.REFUSED, PhraseState.ACTIVE, PhraseState.REFUSED]
    assert "at most 8" in reports[0].reason and "other spellings" in reports[2].reason
