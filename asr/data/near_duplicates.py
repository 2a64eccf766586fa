"""Texts that nearly repeat each other: MinHash finds the candidates, the exact Jaccard similarity decides.

Two texts are compared as sets of character 4-grams of their ``basic-1`` form, so case and punctuation do not count, and
one word changed in a long sentence leaves it a near duplicate. The threshold is that of Lee et al. 2022 (Deduplicating
Training Data Makes Language Models Better). Judges texts only: equal audio is ``asr.data.validate``'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asr.data.manifest import ParsedRow, parse_rows
from asr.data.validate import Problem
from asr.text.normalize import basic

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE_CHARACTERS = 4
MIN_SIMILARITY = (
    0.8  # of Jaccard: eight words keep it when an ending or a short word changes, twenty when one word does
)
NEAR_DUPLICATE_CODE = "near-duplicate-text"
_NUM_PERMUTATIONS = 126
# 21 bands of 6 rows: a pair of similarity s is a candidate with 1 - (1 - s^6)^21, which is 0.998 at 0.8 and 0.28 at 0.5.
_BANDS_AND_ROWS = (21, 6)
_MASK_BITS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicate:
    """A text and the one that it resembles most.

    Attributes:
        index: of the text, in the order given.
        other: index of the text that it resembles.
        similarity: Jaccard similarity of their shingles, from ``MIN_SIMILARITY`` to 1.
    """

    index: int
    other: int
    similarity: float


def shingles(text: str) -> frozenset[str]:
    """The character 4-grams of ``text`` in its ``basic-1`` form; a shorter text is one shingle, an empty one none."""
    plain = basic(text)
    if len(plain) <= SHINGLE_CHARACTERS:
        return frozenset({plain} if plain else ())
    return frozenset(
        plain[start : start + SHINGLE_CHARACTERS] for start in range(len(plain) - SHINGLE_CHARACTERS + 1)
    )


class TextIndex:
    """Texts to look near duplicates up in (Broder 1997: MinHash; Indyk and Motwani 1998: banding).

    A pair at the threshold itself is missed with a chance of 0.2 %, less above it; what is found is exact.
    """

    def __init__(self) -> None:
        """An empty index."""
        from datasketch import MinHash, MinHashLSH

        self._template = MinHash(num_perm=_NUM_PERMUTATIONS, seed=1)
        self._candidates = MinHashLSH(num_perm=_NUM_PERMUTATIONS, params=_BANDS_AND_ROWS)
        self._entries: dict[int, tuple[frozenset[str], int]] = {}
        self._keys: dict[frozenset[str], int] = {}

    def add(self, key: int, text: str) -> None:
        """Put ``text`` in under ``key``; of equal texts the first stands for all, and empty ones are left out."""
        parts = shingles(text)
        if parts and parts not in self._keys:
            self._keys[parts] = key
            self._entries[key] = parts, _mask(parts)
            self._candidates.insert(key, self._sketch(parts))

    def nearest(self, text: str) -> tuple[int, float] | None:
        """Key and similarity of the most similar text in the index, the earliest of equals; None below the threshold."""
        parts = shingles(text)
        if parts in self._keys:
            return self._keys[parts], 1.0
        if not parts:
            return None
        mask = _mask(parts)
        best = (-1, 0.0)
        for key in sorted(self._candidates.query(self._sketch(parts))):
            other, other_mask = self._entries[key]
            # Each bit that the other lacks is a shingle, or more, that it lacks: a bound that is cheaper than the sets.
            at_most = _similarity(len(parts) - (mask & ~other_mask).bit_count(), parts, other)
            if at_most < MIN_SIMILARITY or at_most <= best[1]:
                continue
            similarity = _similarity(len(parts & other), parts, other)
            if similarity > best[1]:
                best = (key, similarity)
        return best if best[1] >= MIN_SIMILARITY else None

    def _sketch(self, parts: frozenset[str]) -> MinHash:
        sketch = self._template.copy()
        sketch.update_batch([part.encode() for part in sorted(parts)])
        return sketch


def _similarity(num_shared: int, first: frozenset[str], second: frozenset[str]) -> float:
    return num_shared / (len(first) + len(second) - num_shared)


def _mask(parts: frozenset[str]) -> int:
    """A bit for each shingle, by its checksum; some share one."""
    mask = 0
    for part in parts:
        mask |= 1 << (zlib.crc32(part.encode()) % _MASK_BITS)
    return mask


def near_duplicates(texts: Sequence[str], progress: Callable[[], None] = lambda: None) -> list[NearDuplicate]:
    """The texts that resemble an earlier one, each with the most similar; ``progress`` is called after each text."""
    index = TextIndex()
    found = []
    for number, text in enumerate(texts):
        if (match := index.nearest(text)) is not None:
            found.append(NearDuplicate(index=number, other=match[0], similarity=match[1]))
        index.add(number, text)
        progress()
    return found


def near_duplicates_of(texts: Iterable[str], known: Sequence[str]) -> list[NearDuplicate]:
    """The ``texts`` that resemble one of ``known``, each with the most similar; ``other`` counts in ``known``."""
    index = TextIndex()
    for number, text in enumerate(known):
        index.add(number, text)
    matches = ((number, index.nearest(text)) for number, text in enumerate(texts))
    return [NearDuplicate(index=n, other=m[0], similarity=m[1]) for n, m in matches if m is not None]


def near_duplicate_warnings(
    manifest: Path, against: Path | None = None, *, progress: Callable[[], None] = lambda: None
) -> list[Problem]:
    """The rows whose text nearly repeats that of an earlier row, or of a row of ``against``.

    A warning, not a fault: people say the same short things, and read the same prompts. It matters where rows are drawn
    into parts that must not know each other.

    Args:
        manifest: whose rows are judged; malformed rows are left to ``validate_manifest``.
        against: another manifest, such as the training set of a test set.
        progress: called after each text of ``manifest``.

    Raises:
        ManifestError: a manifest cannot be opened.
    """
    rows = _texts(manifest)
    texts = [text for _row, text in rows]
    warnings = [
        _warning(rows[pair.index][0], f"line {rows[pair.other][0].line}", pair.similarity)
        for pair in near_duplicates(texts, progress)
    ]
    if against is not None:
        others = _texts(against)
        pairs = near_duplicates_of(texts, [text for _row, text in others])
        warnings += [
            _warning(rows[pair.index][0], f"line {others[pair.other][0].line} of {against}", pair.similarity)
            for pair in pairs
        ]
    return sorted(warnings, key=lambda warning: warning.row)


def _texts(manifest: Path) -> list[tuple[ParsedRow, str]]:
    def written() -> Iterator[tuple[ParsedRow, str]]:
        for row in parse_rows(manifest):
            if isinstance(row, ParsedRow) and row.utterance.text:
                yield row, row.utterance.text

    return list(written())


def _warning(row: ParsedRow, where: str, similarity: float) -> Problem:
    alike = "equals" if similarity == 1.0 else f"is {similarity:.2f} like"
    remedy = f"at {MIN_SIMILARITY:g} and above keep both in the same part, or one of them"
    return Problem(
        row=row.line,
        id=row.utterance.id,
        code=NEAR_DUPLICATE_CODE,
        message=f"the text {alike} that of {where}; {remedy}",
    )
