"""Breakdowns: every one sums to the corpus, and the merged alignment still holds all three texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.manifest import Utterance
from asr.evaluation.breakdown import (
    Confusion,
    GroupCounts,
    alignments,
    by_length,
    by_speaker,
    by_term,
    confusions,
    merge_alignments,
    rank_differences,
    rank_errors,
    term_outcomes,
)
from asr.evaluation.evaluate import evaluate_texts
from asr.evaluation.terms import TermCounts
from asr.evaluation.wer import ErrorCounts, align_words

GLOSSARY = ("iced coffee", "coffee", "oat milk", "never said")
WORDS = st.lists(st.sampled_from(["iced", "coffee", "oat", "milk", "x", "y"]), max_size=7).map(" ".join)
TERMS = st.lists(st.sampled_from(["iced coffee", "oat milk", "honey"]), max_size=2).map(tuple)


@st.composite
def _corpora(draw: st.DrawFn) -> tuple[list[Utterance], list[str]]:
    rows = []
    for number in range(draw(st.integers(1, 6))):
        text, terms = draw(st.one_of(st.tuples(WORDS, st.none()), st.tuples(st.none(), TERMS)))
        speaker = draw(st.sampled_from([None, "a", "b"]))
        seconds = draw(st.floats(0.1, 60))
        rows.append(
            Utterance(
                id=f"u{number}", audio_path=Path("x.wav"), duration_s=seconds, text=text, terms=terms, speaker=speaker
            )
        )  # fmt: skip
    return rows, [draw(WORDS) for _ in rows]


@given(corpus=_corpora())
def test_every_breakdown_sums_to_the_corpus(corpus: tuple[list[Utterance], list[str]]) -> None:
    rows, texts = corpus
    done = evaluate_texts(rows, texts, normalizer="raw-1", terms=GLOSSARY)
    words, terms = done.words or ErrorCounts(), done.terms or TermCounts()
    whole = GroupCounts(num_utterances=len(rows), words=words, terms=terms)
    assert sum(by_speaker(done).values(), GroupCounts()) == whole
    assert sum(by_length(done, rows).values(), GroupCounts()) == whole
    assert sum(by_term(done, rows).values(), TermCounts()) == terms
    counted = confusions(alignments(done))
    kinds = [
        sum(n for error, n in counted.items() if error.kind == kind)
        for kind in ("substitution", "deletion", "insertion")
    ]
    assert kinds == [words.substitutions, words.deletions, words.insertions]
    assert [o.counts for o in term_outcomes(done, rows)] == [r.terms or TermCounts() for r in done.rows]


def test_every_term_of_the_glossary_has_a_row() -> None:
    row = Utterance(id="u", audio_path=Path("x.wav"), duration_s=1, terms=("oat milk", "honey"))
    done = evaluate_texts([row], ["honey and an iced coffee"], terms=GLOSSARY)
    table = by_term(done, [row])
    assert set(table) == {*GLOSSARY, "honey"}
    assert table["oat milk"] == TermCounts(false_negatives=1)
    assert table["iced coffee"] == TermCounts(false_positives=1)
    assert table["never said"] == TermCounts()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.99, (0.0, 2.0)), (2.0, (2.0, 4.0)), (30.0, (30.0, None)), (3600, (30.0, None))],
)
def test_a_length_belongs_to_the_range_that_it_begins(
    seconds: float, expected: tuple[float, float | None]
) -> None:
    row = Utterance(id="u", audio_path=Path("x.wav"), duration_s=seconds, text="a")
    assert list(by_length(evaluate_texts([row], ["a"]), [row])) == [expected]


def test_rows_are_ranked_by_how_much_changed() -> None:
    rows = [
        Utterance(id=f"u{number}", audio_path=Path("x.wav"), duration_s=1, text="red green blue")
        for number in range(4)
    ]
    base = evaluate_texts(rows, ["red green blue", "red", "", "red green blue"])
    other = evaluate_texts(rows, ["red", "red green", "red green blue", "red green blue"])
    worse, better = rank_differences(base, other)
    assert [(row.index, row.base_errors, row.errors, row.delta) for row in worse] == [(0, 0, 2, 2)]
    assert [(row.index, row.delta) for row in better] == [(2, -3), (1, -1)]
    assert rank_differences(base, base) == ([], [])
    assert [(row.index, row.errors) for row in rank_errors(other)] == [(0, 2), (1, 1)]


def test_confusions_known_answer() -> None:
    (aligned,) = align_words(["two boxes of aspirin at noon"], ["too boxes aspirin at noon now"], "raw-1")
    assert confusions([aligned, None]) == {
        Confusion("substitution", "two", "too"): 1,
        Confusion("deletion", "of", None): 1,
        Confusion("insertion", None, "now"): 1,
    }


@given(reference=WORDS, first=WORDS, second=WORDS)
def test_merged_columns_read_as_the_three_texts(reference: str, first: str, second: str) -> None:
    base, adapted = align_words([reference, reference], [first, second], "raw-1")
    columns = merge_alignments(base, adapted)
    assert " ".join(column.reference for column in columns if column.reference) == reference
    for side, text in (("base", first), ("adapted", second)):
        steps = [getattr(column, side) for column in columns]
        assert " ".join(step.hypothesis for step in steps if step and step.hypothesis) == text
    assert all(column.base and column.adapted for column in columns if column.reference)
    alone = merge_alignments(None, adapted)
    assert [column.adapted for column in alone] == list(adapted) and not any(c.base for c in alone)
