"""Phrases that a request asks for: what they are, what they may be, and what became of each.

A file of phrases is a glossary with more flags (``asr.data.glossary``): after the phrase, separated by TABs,
``critical``, ``boost=NUMBER`` and ``sounds_like=SPELLING``, the last as often as needed. ``$NAME=ITEM|ITEM`` on a line
of its own is a class, which phrases name as ``$NAME``; ``asr.biasing.spoken`` has two more.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path

from asr.biasing.spoken import BUILT_IN
from asr.data.glossary import read_lines
from asr.errors import InputError, OptionError

DEFAULT_BOOST = 8.0
MAX_BOOST = 20.0
MAX_CHARACTERS = 100
MAX_WORDS = 8
MAX_SPELLINGS = 10  # of one phrase
MAX_PHRASES = 5_000  # of one set, its classes written out
Refusal = Callable[[str], str]
_KEPT_SETS = 256
_CLASS = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrase:
    """A word or a few that an utterance may hold.

    Attributes:
        text: as it is to be written, at most 100 characters and 8 words.
        boost: how much is forgiven where audio and phrase differ, natural log a token of the words that it brings; above
            0, at most 20.
        sounds_like: other spellings under which it may be heard, at most 10.
        critical: looked for ahead of others where an utterance resembles many.
    """

    text: str
    boost: float = DEFAULT_BOOST
    sounds_like: tuple[str, ...] = ()
    critical: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _checked(self.text))
        object.__setattr__(self, "sounds_like", tuple(_checked(one) for one in self.sounds_like))
        if not 0 < self.boost <= MAX_BOOST:
            raise OptionError(
                f"the boost of {self.text!r} is {self.boost:g}; give a number above 0, at most {MAX_BOOST:g}",
                field="boost",
            )
        if len(self.sounds_like) > MAX_SPELLINGS:
            raise OptionError(
                f"{self.text!r} has {len(self.sounds_like)} spellings; at most {MAX_SPELLINGS} are allowed",
                field="sounds_like",
            )


class PhraseState(enum.StrEnum):
    """What became of a phrase."""

    ACTIVE = "active"
    ALIASED = "aliased"  # active, under other spellings too
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseReport:
    """A phrase as it was asked for, what became of it, and if it was refused, why."""

    text: str
    state: PhraseState
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PhraseSet:
    """Phrases of one request, none twice. Equal and hashed by content, whatever its size.

    Attributes:
        phrases: in the order in which they were asked for.
        key: SHA-256 of them.
    """

    phrases: tuple[Phrase, ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        parts = [[one.text, one.boost, one.sounds_like, one.critical] for one in self.phrases]
        object.__setattr__(self, "key", hashlib.sha256(json.dumps(parts).encode()).hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhraseSet) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __len__(self) -> int:
        return len(self.phrases)

    def __iter__(self) -> Iterator[Phrase]:
        return iter(self.phrases)


def phrase_set(
    phrases: Iterable[Phrase],
    classes: Mapping[str, Sequence[str]] | None = None,
    *,
    max_phrases: int = MAX_PHRASES,
    refusal: Refusal = lambda text: "",
) -> tuple[PhraseSet, tuple[PhraseReport, ...]]:
    """The set that a request means, and what became of each of its phrases.

    Args:
        phrases: as they were asked for; ``$NAME`` in one stands for each item of that class, and is refused if one of the
            phrases that it stands for is.
        classes: items by name, without the dollar sign.
        max_phrases: of the set, its classes written out.
        refusal: why a model cannot look for a phrase, "" if it can.

    Raises:
        OptionError: there are more than ``max_phrases``.
    """
    items = {name.removeprefix("$").upper(): tuple(values) for name, values in (classes or {}).items()}
    kept: dict[str, Phrase] = {}
    reports = []
    for phrase in phrases:
        reason = _refusal(phrase, items, kept)
        if not reason:
            heard: dict[str, Phrase] = {}
            for one in _written_out(phrase, items):
                if reason := _unheard(one.text) or refusal(one.text):
                    reason = reason if one is phrase else f"of its class {one.text!r}: {reason}"
                    heard = {}
                    break
                if (key := one.text.casefold()) not in kept:
                    heard.setdefault(key, one)
                if len(kept) + len(heard) > max_phrases:
                    raise OptionError(
                        f"more than {max_phrases} phrases, which is the limit; send fewer, or with smaller classes",
                        field="phrases",
                    )
            kept |= heard
        active = PhraseState.ALIASED if phrase.sounds_like else PhraseState.ACTIVE
        state = PhraseState.REFUSED if reason else active
        reports.append(PhraseReport(text=phrase.text, state=state, reason=reason))
    return PhraseSet(tuple(kept.values())), tuple(reports)


def read_phrases(
    path: Path, *, max_phrases: int = MAX_PHRASES, refusal: Refusal = lambda text: ""
) -> tuple[PhraseSet, tuple[PhraseReport, ...]]:
    """Read a file of phrases.

    Args:
        path: of the file.
        max_phrases: of the set, its classes written out.
        refusal: as for :func:`phrase_set`.

    Raises:
        InputError: it cannot be read, holds no phrase, or a line cannot be understood; names path and line.
    """
    phrases: list[Phrase] = []
    classes: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, separator, values = stripped.partition("=")
        if separator and _CLASS.fullmatch(name):
            classes[name] = [" ".join(one.split()) for one in values.split("|") if one.strip()]
            continue
        try:
            phrases.append(_parse(line))
        except (OptionError, ValueError) as error:
            raise InputError(
                f"{path}:{number}: {error}; write the phrase, then after TABs critical, boost=NUMBER or "
                "sounds_like=SPELLING"
            ) from error
    if not phrases:
        raise InputError(f"{path} holds no phrases; write one a line")
    return phrase_set(phrases, classes, max_phrases=max_phrases, refusal=refusal)


@lru_cache(_KEPT_SETS)
def combined(asked: PhraseSet, carried: PhraseSet) -> PhraseSet:
    """Phrases of a request and those that a version carries; of one that is in both, as it is asked for."""
    known = {one.text.casefold() for one in asked}
    return PhraseSet((*asked, *(one for one in carried if one.text.casefold() not in known)))


def format_phrases(phrases: PhraseSet) -> str:
    """The file that :func:`read_phrases` reads as this set."""
    lines = []
    for one in phrases:
        flags = ["critical"] if one.critical else []
        flags += [f"boost={one.boost:.17g}"] if one.boost != DEFAULT_BOOST else []
        lines.append("\t".join([one.text, *flags, *(f"sounds_like={form}" for form in one.sounds_like)]))
    return "".join(f"{line}\n" for line in lines)


def _parse(line: str) -> Phrase:
    text, *flags = (part.strip() for part in line.split("\t"))
    boost, critical, spellings = DEFAULT_BOOST, False, []
    for flag in filter(None, flags):
        name, _, value = flag.partition("=")
        if flag == "critical":
            critical = True
        elif name == "boost" and value:
            boost = float(value)
        elif name == "sounds_like" and value:
            spellings.append(value)
        else:
            raise OptionError(f"{flag!r} is no flag", field="flags")
    return Phrase(text=text, boost=boost, critical=critical, sounds_like=tuple(spellings))


def _checked(text: str) -> str:
    joined = " ".join(unicodedata.normalize("NFC", text).split())
    if not joined or len(joined) > MAX_CHARACTERS:
        shown = f"{joined[:40]!r}..." if joined else "an empty one"
        raise OptionError(
            f"a phrase of {len(joined)} characters ({shown}); give 1 to {MAX_CHARACTERS}", field="text"
        )
    return joined


def _refusal(phrase: Phrase, items: Mapping[str, Sequence[str]], kept: Mapping[str, Phrase]) -> str:
    """Why a phrase cannot be used; "" if it can."""
    if _CLASS.fullmatch(phrase.text.partition("=")[0]) and "=" in phrase.text:
        return "it is written as a class is in a file of phrases"
    names = [name.upper() for name in _CLASS.findall(phrase.text)]
    built_in = [name for name in names if name in BUILT_IN and name[1:] not in items]
    for name in names:
        if name not in built_in and not items.get(name[1:]):
            known = ", ".join(sorted({f"${one}" for one in items} | set(BUILT_IN)))
            return f"there is no class {name}, or it is empty; there are {known}"
    if len(built_in) > 1:
        return f"{len(built_in)} of {', '.join(BUILT_IN)} in it; one is allowed"
    if names and phrase.sounds_like:
        return (
            f"it names {names[0]} and has {len(phrase.sounds_like)} other spellings, which are looked for as they stand; "
            "leave them out, or write the phrases out without the class"
        )
    if phrase.text.casefold() in kept:
        return "it is asked for twice; the first one counts"
    return _unheard(phrase.text)


def _unheard(text: str) -> str:
    """Why nothing can be heard of a phrase; "" if it can."""
    if not any(letter.isalpha() for letter in text):
        return "no letter in it, so that nothing can be heard of it; write numbers as they are spoken"
    if len(text.split()) > MAX_WORDS:
        return f"{len(text.split())} words; at most {MAX_WORDS}: give the part that is misheard"
    return ""


def _written_out(phrase: Phrase, items: Mapping[str, Sequence[str]]) -> Iterator[Phrase]:
    """The phrase with each item of the classes that it names, in every combination."""
    names = [name.upper() for name in _CLASS.findall(phrase.text)]
    if not any(name[1:] in items for name in names):
        yield phrase
        return
    literals = _CLASS.split(phrase.text)
    for chosen in product(*(items.get(name[1:], (name,)) for name in names)):
        parts = [literals[0], *(piece for pair in zip(chosen, literals[1:], strict=True) for piece in pair)]
        yield Phrase(text="".join(parts), boost=phrase.boost, critical=phrase.critical)
