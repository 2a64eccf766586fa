"""Error counts: identities, bounds, additivity, agreement with jiwer's own figures, and empty sides."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import InputError, OptionError
from asr.evaluation.wer import (
    AlignedWord,
    ErrorCounts,
    align_words,
    char_errors,
    char_errors_by_row,
    count,
    sum_counts,
    word_errors,
    word_errors_by_row,
)

RAW = "raw-1"
TEXT = st.lists(st.sampled_from(["a", "bee", "sea", "dee"]), max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=8)


@given(text=TEXT)
def test_a_text_has_no_errors_against_itself(text: str) -> None:
    assert word_errors(text, text, RAW) == ErrorCounts(hits=len(text.split()))
    assert char_errors(text, text, RAW).errors == 0


@given(reference=TEXT, hypothesis=TEXT)
def test_bounds_and_mirror(reference: str, hypothesis: str) -> None:
    counts = word_errors(reference, hypothesis, RAW)
    num_reference, num_hypothesis = len(reference.split()), len(hypothesis.split())
    assert counts.num_reference == num_reference and counts.num_hypothesis == num_hypothesis
    assert abs(num_reference - num_hypothesis) <= counts.errors <= max(num_reference, num_hypothesis)
    assert word_errors(hypothesis, reference, RAW).errors == counts.errors


@given(pairs=PAIRS)
def test_the_corpus_is_the_sum_of_its_rows_and_jiwers_figure(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = word_errors_by_row(references, hypotheses, RAW)
    assert rows == [word_errors(reference, hypothesis, RAW) for reference, hypothesis in pairs]
    total = sum_counts(rows)
    if total.num_reference:
        output = jiwer.process_words(references, hypotheses)
        assert total.rate == pytest.approx(output.wer)
        assert (total.substitutions, total.deletions) == (output.substitutions, output.deletions)


@given(pairs=PAIRS)
def test_alignments_hold_both_sides_whole(pairs: list[tuple[str, str]]) -> None:
    alignments = align_words([pair[0] for pair in pairs], [pair[1] for pair in pairs], RAW)
    for (reference, hypothesis), alignment in zip(pairs, alignments, strict=True):
        assert [step.reference for step in alignment if step.reference is not None] == reference.split()
        assert [step.hypothesis for step in alignment if step.hypothesis is not None] == hypothesis.split()
        assert all((step.reference == step.hypothesis) == (step.kind == "hit") for step in alignment)


def test_known_answer() -> None:
    [alignment] = align_words(["two skim lattes please"], ["2 slim lattes to go"], "basic-1")
    assert count(alignment).errors == 4
    assert alignment[2] == AlignedWord("hit", "lattes", "lattes")
    assert word_errors("TWO SIXTY", "260.") == ErrorCounts(hits=1)
    assert char_errors("cat", "cut", RAW) == ErrorCounts(substitutions=1, hits=2)


def test_empty_sides_are_counted_and_never_dropped() -> None:
    assert word_errors("", "", RAW) == ErrorCounts()
    assert word_errors("", "a b", RAW) == ErrorCounts(insertions=2)
    assert word_errors("a b", "", RAW) == ErrorCounts(deletions=2)
    assert (ErrorCounts().rate, word_errors("", "a b", RAW).rate) == (0.0, 2.0)
    assert word_errors_by_row([], []) == []
    total = sum_counts(word_errors_by_row(["a b", ""], ["a b", "c"], RAW))
    assert total.rate == 0.5
    assert char_errors_by_row([""], ["ab"], RAW) == [ErrorCounts(insertions=2)]


def test_unequal_sides_and_unknown_normalisers() -> None:
    with pytest.raises(InputError, match="2 references and 1 hypotheses"):
        word_errors_by_row(["a", "b"], ["a"])
    with pytest.raises(OptionError, match="no normaliser"):
        word_errors("a", "a", "none")
