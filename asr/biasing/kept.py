"""Phrases that a server keeps by name, as plain values that client and server share; kept by ``asr.phrase_store``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from asr.biasing.phrases import Phrase


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptPhrases:
    """A kept set.

    Attributes:
        name: 1 to 128 letters, digits, '.', '-' or '_'.
        phrases: as they were sent; ``$NAME`` in one stands for each item of a class.
        classes: items by name; a class that is not here has to come with the call.
        created_at: None before it is kept.
        updated_at: of the last change; None before it is kept.
    """

    name: str
    phrases: tuple[Phrase, ...] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptSummary:
    """A kept set without its phrases."""

    name: str
    num_phrases: int
    created_at: datetime
    updated_at: datetime
