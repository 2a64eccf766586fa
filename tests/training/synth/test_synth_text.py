"""Texts to speak: term lists, long lines, carrier sentences that hold their terms and do not depend on the "
"list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.glossary import Term, read_terms
from asr.errors import InputError, OptionError
from training.synth.text import (
    TEMPLATES,
    carrier_sentences,
    read_templates,
    read_text_lines,
    split_long,
)


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / "lines.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_terms_are_read_with_flags_comments_and_duplicates(tmp_path: Path) -> None:
    content = (
        "\ufeff# drugs\n\namoxicillin\tcritical\r\nskim  milk \n  # more\nSkim Milk\tcritical\ncritical\n"
    )
    assert read_terms(_file(tmp_path, content)) == [
        Term(text="amoxicillin", critical=True),
        Term(text="skim milk", critical=True),
        Term(text="critical"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tcritcal", r"lines\.txt:1: .*critical"),
        ("\n\tcritical", ":2:"),
        ("# only\n", "no terms"),
        (b"\xff", "UTF-8"),
    ],
)
def test_bad_term_lists(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_terms(_file(tmp_path, content))
    with pytest.raises(InputError, match="cannot be read"):
        read_terms(tmp_path / "none.txt")


def test_text_lines(tmp_path: Path) -> None:
    assert read_text_lines(_file(tmp_path, "one  two\n\n # three \n")) == ["one two", "# three"]
    with pytest.raises(InputError, match="no text"):
        read_text_lines(_file(tmp_path, " \n\n"))


WORDS = st.lists(st.sampled_from(["a", "bee.", "sea?", "dee,", "e"]), max_size=60)


@given(words=WORDS, max_words=st.integers(1, 20))
def test_splitting_long_text_loses_no_word(words: list[str], max_words: int) -> None:
    parts = split_long(" ".join(words), max_words)
    assert " ".join(parts).split() == words
    assert all(0 < len(part.split()) <= max_words for part in parts)


def test_long_text_is_split_at_sentence_ends() -> None:
    assert split_long("One two three. Four five. Six seven eight nine.", 5) == [
        "One two three. Four five.",
        "Six seven eight nine.",
    ]


TERMS = [Term(text="amoxicillin"), Term(text="skim milk"), Term(text="C++ {x}")]


def test_each_term_gets_its_sentences_with_the_term_in_them() -> None:
    sentences = carrier_sentences(TERMS, 60, seed=3)
    assert len(sentences) == 180
    for term in TERMS:
        own = [sentence for sentence in sentences if sentence.terms[0] == term.text]
        assert len(own) == 60
        assert len({sentence.text.replace(term.text, "{term}") for sentence in own}) >= len(TEMPLATES) - 1
    for sentence in sentences:
        assert all(term in sentence.text for term in sentence.terms)
        assert len(set(sentence.terms)) == len(sentence.terms)


def test_the_choice_is_seeded_and_independent_of_the_rest_of_the_list() -> None:
    templates = [template for template in TEMPLATES if "{other}" not in template]
    longer = [*TERMS, Term(text="another")]
    first = carrier_sentences(TERMS, 4, seed=1, templates=templates)
    assert first == carrier_sentences(TERMS, 4, seed=1, templates=templates)
    assert first == carrier_sentences(longer, 4, seed=1, templates=templates)[:12]
    assert first != carrier_sentences(TERMS, 4, seed=2, templates=templates)


def test_the_built_in_templates_are_distinct_and_enough() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 40
    assert sum("{other}" in template for template in TEMPLATES) >= 5


def test_a_single_term_uses_no_template_for_two() -> None:
    assert all(len(sentence.terms) == 1 for sentence in carrier_sentences([Term(text="x")], 50, seed=0))
    with pytest.raises(OptionError, match="one term"):
        carrier_sentences([Term(text="x")], 1, seed=0, templates=["{term} {other}"])


@pytest.mark.parametrize("template", ["no term", "{other} only", "{term} and {third}", "{term} and {}"])
def test_bad_templates(tmp_path: Path, template: str) -> None:
    with pytest.raises(OptionError, match=r"must hold \{term\}"):
        read_templates(_file(tmp_path, f"# comment\nfill {{term}}\n{template}\n"))
    with pytest.raises(OptionError, match=r"must hold \{term\}"):
        carrier_sentences(TERMS, 1, seed=0, templates=[template])


def test_no_templates_and_no_terms(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no template"):
        read_templates(_file(tmp_path, "# nothing\n"))
    with pytest.raises(OptionError, match="at least 1"):
        carrier_sentences([], 1, seed=0)
    assert read_templates(_file(tmp_path, "give {term}\n")) == ["give {term}"]
