"""``--phrases``: a file of phrases, what became of each, and the refused ones told on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.console import message

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseReport, PhraseSet
    from asr.models.resolve import ResolvedModel

Phrases = Annotated[
    Path | None,
    typer.Option(
        help="Phrases that may be said, one a line; behind TABs critical, boost=NUMBER, sounds_like=SPELLING."
    ),
]


def phrases_of(path: Path | None) -> tuple[PhraseSet | None, tuple[PhraseReport, ...]]:
    """The phrases of a file and what became of each; None without a file, or if all were refused.

    Raises:
        InputError: the file cannot be used.
    """
    from asr.biasing.phrases import read_phrases

    if path is None:
        return None, ()
    phrases, reports = read_phrases(path)
    tell_refused(reports)
    return phrases or None, reports


def phrases_for(
    resolved: ResolvedModel, path: Path | None
) -> tuple[PhraseSet | None, tuple[PhraseReport, ...]]:
    """As :func:`phrases_of`, without what this model cannot write; a line for each such phrase."""
    from asr.biasing.phrases import read_phrases
    from asr.models.writable import refusal_of, tokens_of

    if path is None:
        return None, ()
    tokens = tokens_of(resolved)
    if tokens is None:
        phrases, reports = read_phrases(path)
    else:
        phrases, reports = read_phrases(path, refusal=refusal_of(tokens))
    tell_refused(reports)
    return phrases or None, reports


def tell_refused(reports: Iterable[PhraseReport]) -> None:
    """A line for each phrase that is not used, with the reason."""
    from asr.biasing.phrases import PhraseState

    for one in reports:
        if one.state is PhraseState.REFUSED:
            message(f"phrase {one.text!r} is not used: {one.reason}")


def as_rows(reports: Iterable[PhraseReport]) -> list[dict[str, Any]]:
    """What became of each, for ``--json``."""
    return [{"text": one.text, "state": str(one.state), "reason": one.reason} for one in reports]
