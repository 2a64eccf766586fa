"""What a caller's vocabulary means: its own phrases and those of its kept sets, within the limits; what became of each.

A kept set is read when a call begins or asks for it on the way, off the event loop; a call without phrases asks nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from asr.biasing.kept import KeptPhrases
from asr.biasing.phrases import Phrase, PhraseReport, PhraseSet, phrase_set
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import LexituneError, OptionError, PhraseSetNotFoundError
from asr.models.writable import refusal_of
from asr.phrase_store import PhraseStore
from asr.streaming.messages import Finalize, Limits, Marker, Vocabulary, VocabularyApplied

CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMED = re.compile(rf"\$({CLASS_NAME.pattern})")

Classes = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Phrases that a call may hold, None for none, and what became of each that was asked for, with these classes."""

    phrases: PhraseSet | None = None
    reports: tuple[PhraseReport, ...] = ()
    asked: tuple[Phrase, ...] = ()
    classes: Classes = field(default_factory=dict)

    def by(self, tokens: CtcTokens | None) -> Resolved:
        """Once the model is known: without what a CTC model cannot write."""
        if tokens is None or self.phrases is None:
            return self
        found, reports = phrase_set(
            self.asked, self.classes, max_phrases=sys.maxsize, refusal=refusal_of(tokens)
        )
        return Resolved(found or None, reports)


@dataclass(frozen=True, slots=True)
class PhraseChange:
    """What a stream does with a vocabulary: tell ``applied``, and unless that is an error take ``phrases``.

    ``resolved`` is what they are of, for a model that cannot write all of them.
    """

    applied: VocabularyApplied
    phrases: PhraseSet | None = None
    resolved: Resolved = field(default_factory=Resolved)

    @property
    def num_bytes(self) -> int:
        """What it takes while it waits, about."""
        phrases = (*(self.phrases or ()), *self.resolved.asked)
        kept = sum(len(form) for one in phrases for form in (one.text, *one.sounds_like))
        items = sum(len(item) for values in self.resolved.classes.values() for item in values)
        return kept + items + sum(len(one.text) + len(one.reason) for one in self.applied.phrases)


ServedInput = bytes | Finalize | Marker | PhraseChange
"""A stream's message as the server works on it."""


async def written_by(tokens: CtcTokens, inputs: AsyncIterator[ServedInput]) -> AsyncIterator[ServedInput]:
    """A stream's messages, without the phrases that its CTC model cannot write."""
    async for one in inputs:
        yield changed(one.resolved.by(tokens)) if isinstance(one, PhraseChange) and one.phrases else one


class Vocabularies:
    """Resolves vocabularies.

    Args:
        limits: of one vocabulary.
        open_store: opens the kept sets; blocking.
    """

    def __init__(self, limits: Limits, open_store: Callable[[], PhraseStore]) -> None:
        self._limits = limits
        self._open_store = open_store

    async def resolve(
        self, vocabulary: Vocabulary | None, tenant: str, path: str = "config.vocabulary"
    ) -> Resolved:
        """What a tenant's vocabulary means now.

        Args:
            vocabulary: None is an empty one.
            tenant: whose kept sets it may name.
            path: of the vocabulary in the message, for errors.

        Raises:
            OptionError: there are too many phrases, or two kept sets have other items for one class.
            PhraseSetNotFoundError: the tenant keeps none of a name.
            UnavailableError: kept sets cannot be read.
        """
        if vocabulary is None:
            return Resolved()
        kept: list[KeptPhrases] = []
        if names := tuple(dict.fromkeys(vocabulary.phrase_sets)):
            kept = await asyncio.to_thread(self._read, names, tenant, f"{path}.phrase_sets")
        phrases = [*vocabulary.phrases, *(one for each in kept for one in each.phrases)]
        classes = _merged(vocabulary.classes, kept, f"{path}.classes")
        check_number(phrases, classes, self._limits, f"{path}.phrases")
        try:
            found, reports = phrase_set(phrases, classes, max_phrases=self._limits.max_phrases)
        except OptionError as error:
            raise OptionError(str(error), field=f"{path}.phrases") from error
        return Resolved(found or None, reports, tuple(phrases), classes)

    async def change(self, vocabulary: Vocabulary, tenant: str) -> PhraseChange:
        """What a stream does with a vocabulary that came on it; never an error."""
        try:
            resolved = await self.resolve(vocabulary, tenant, "vocabulary")
        except LexituneError as error:
            return unusable(error)
        return changed(resolved)

    def _read(self, names: Sequence[str], tenant: str, path: str) -> list[KeptPhrases]:
        store = self._open_store()
        try:
            return [store.get(tenant, name) for name in names]
        except PhraseSetNotFoundError as error:
            raise PhraseSetNotFoundError(str(error), field=path) from error


def changed(resolved: Resolved) -> PhraseChange:
    """The change to a vocabulary."""
    return PhraseChange(VocabularyApplied(phrases=resolved.reports), resolved.phrases, resolved)


def unusable(error: LexituneError) -> PhraseChange:
    """No change, and the client is told why."""
    return PhraseChange(VocabularyApplied(error=str(error)))


def check_number(phrases: Iterable[Phrase], classes: Classes, limits: Limits, path: str) -> None:
    """Refuse more phrases than one vocabulary may have, before any is written out: classes multiply.

    Raises:
        OptionError: there are more.
    """
    sizes = {name.removeprefix("$").upper(): len(items) for name, items in classes.items()}
    number = sum(
        math.prod(sizes.get(name.upper(), 0) or 1 for name in _NAMED.findall(phrase.text))
        for phrase in phrases
    )
    if number > limits.max_phrases:
        raise too_many(number, limits, path)


def too_many(number: int, limits: Limits, path: str) -> OptionError:
    """The error for more phrases than one vocabulary may have."""
    return OptionError(
        f"{number} phrases, classes written out; at most {limits.max_phrases} are allowed: send those that this call "
        "may hold, or smaller classes",
        field=path,
    )


def _merged(own: Classes, kept: Sequence[KeptPhrases], path: str) -> dict[str, Sequence[str]]:
    """The classes of a call and of its kept sets by name; the call's own count first.

    Raises:
        OptionError: two kept sets have other items for one class.
    """
    asked = {name.upper(): items for name, items in own.items()}
    merged: dict[str, Sequence[str]] = {}
    owners: dict[str, str] = {}
    for one in kept:
        for name, items in one.classes.items():
            key = name.upper()
            if key in merged and key not in asked and tuple(merged[key]) != tuple(items):
                raise OptionError(
                    f"the phrase sets {owners[key]!r} and {one.name!r} both have a class ${name}, with other items; "
                    "send the class with the call, or rename one",
                    field=path,
                )
            merged[key], owners[key] = items, one.name
    return merged | asked
