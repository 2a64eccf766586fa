"""Glossaries: the terms that matter to a domain, one a line.

Blank lines and lines that begin with # are skipped; flags follow after a TAB (``amoxicillin<TAB>critical``), so that a
term may hold any word, "critical" too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asr.errors import InputError

_FLAGS = frozenset({"critical"})


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word or phrase that matters to a domain.

    Attributes:
        text: as it should be written.
        critical: the user's mark: the gate refuses a version that hears it worse.
    """

    text: str
    critical: bool = False


def read_terms(path: Path) -> list[Term]:
    """Read a term list; a term that stands twice (in any case) counts once, and as critical if either is.

    Raises:
        InputError: the file cannot be read or holds no term, or a flag is unknown; names path and line.
    """
    terms: dict[str, Term] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        text, *flags = (part.strip() for part in line.split("\t"))
        unknown = set(flags) - _FLAGS - {""}
        if unknown or not text:
            raise InputError(
                f"{path}:{number}: {line.strip()!r} is no term; write the term, then after a TAB flags out "
                f"of: {', '.join(sorted(_FLAGS))}"
            )
        text = " ".join(text.split())
        before = terms.get(text.casefold(), Term(text=text))
        terms[text.casefold()] = Term(text=before.text, critical=before.critical or "critical" in flags)
    if not terms:
        raise InputError(f"{path} holds no terms; write one a line")
    return list(terms.values())


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file.

    Raises:
        InputError: the file cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
