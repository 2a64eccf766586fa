"""What the user gave, split into train, dev and test before any audio is made.

Sentences are split by their hash, recordings by speaker or session. Nothing is in two parts; what is left out is said in
a note. Where there is enough, a test set is locked away that chooses nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from asr.data.glossary import Term
from asr.data.manifest import Utterance
from asr.data.splits import split_manifest
from asr.errors import InputError
from asr.text.languages import ENGLISH, normalizer_for
from asr.text.normalize import get_normalizer
from training.inputs import shared_audio
from training.spec import AdaptationSpec
from training.synth.dataset import Sentence
from training.synth.text import (
    BARE_TEMPLATES,
    TEMPLATES,
    CarrierSentence,
    carrier_sentences,
    read_templates,
    read_text_lines,
)

MIN_DEV = 4
MIN_LINES_TO_LOCK = 200  # of --text from which on some are locked away
MIN_ROWS_TO_LOCK = 200  # likewise recordings, of
MIN_SPEAKERS_TO_LOCK = 10  # or more speakers or sessions,
MIN_SPEAKERS_LOCKED = 3  # of which so many are locked away at least: fewer are no sample of speakers

_T = TypeVar("_T")


@dataclass(slots=True)
class Sources:
    """A job's sentences and recordings, by the part that they are for, and what a reader must know of the split."""

    train_sentences: list[Sentence] = field(default_factory=list)
    dev_sentences: list[Sentence] = field(default_factory=list)
    test_sentences: list[Sentence] = field(default_factory=list)
    train: list[Utterance] = field(default_factory=list)
    dev: list[Utterance] = field(default_factory=list)
    test: list[Utterance] = field(default_factory=list)
    text_lines: list[str] = field(default_factory=list)  # of the text, but for those of dev and test
    notes: list[str] = field(default_factory=list)


def split_text(spec: AdaptationSpec, path: Path, sources: Sources) -> None:
    """Lines by their hash, each said once: dev where none was given, then a locked test where there are enough."""
    lines = read_text_lines(path)
    said = get_normalizer(normalizer_for(spec.code))
    first: dict[str, str] = {}
    for line in lines:
        first.setdefault(said(line) or line.casefold(), line)
    unique = list(first.values())
    if len(unique) < len(lines):
        sources.notes.append(
            f"text: {len(lines) - len(unique)} of {len(lines)} lines are repeated, but for case, punctuation or how "
            "numbers are written, and used once"
        )
    ranked = sorted(unique, key=lambda line: position(line.casefold()))
    num_dev = (
        0 if spec.dev else min(spec.split.max_dev, max(MIN_DEV, round(len(ranked) * spec.split.dev_share)))
    )
    locks = _locks(spec) and len(ranked) >= MIN_LINES_TO_LOCK
    num_test = min(spec.split.max_dev, round(len(ranked) * spec.split.test_share)) if locks else 0
    dev, test, train = (
        ranked[:num_dev],
        ranked[num_dev : num_dev + num_test],
        ranked[num_dev + num_test :],
    )
    sources.text_lines += train
    train = limited(train, spec.training.max_train_sentences, "text", sources.notes)
    sources.train_sentences += [_sentence("text", line, None) for line in train]
    sources.dev_sentences += [_sentence("text", line, None) for line in dev]
    sources.test_sentences += [_sentence("text", line, None) for line in test]


def split_glossary(spec: AdaptationSpec, glossary: Sequence[Term], sources: Sources) -> None:
    """Sentences around every term: train from the user's templates or ours, dev always from ours, no text in both."""
    wanted = spec.split.carriers_per_term
    limit = spec.training.max_train_sentences
    built_in = TEMPLATES if spec.code == ENGLISH else BARE_TEMPLATES
    templates = read_templates(spec.templates) if spec.templates else list(built_in)
    if templates == list(BARE_TEMPLATES):
        sources.notes.append(
            f"terms: no carrier sentences in {spec.code} are built in, so terms are spoken bare, in train and in dev; "
            "give --templates"
        )
    per_term = max(1, min(wanted, limit // len(glossary), len(templates) - 1 or 1))
    if per_term < wanted:
        sources.notes.append(
            f"terms: {per_term} sentences for each of {len(glossary)} terms, not {wanted}: there are {len(templates)} "
            f"templates, and training.max_train_sentences is {limit}"
        )
    train = carrier_sentences(glossary, per_term=per_term, seed=spec.seed, templates=templates)
    texts = {carrier.text for carrier in train}
    sources.train_sentences += _spoken_once(train)
    pool = TEMPLATES if spec.code == ENGLISH else templates
    fresh = [
        [carrier for carrier in dict.fromkeys(drawn) if carrier.text not in texts]
        for drawn in _measured_carriers(glossary, pool, spec).values()
    ]
    num_dev, num_test = _measured_per_term(spec, len(glossary), min(map(len, fresh)))
    dev = [one for carriers in fresh for one in carriers[:num_dev]]
    test = [one for carriers in fresh for one in carriers[num_dev : num_dev + num_test]]
    in_dev = {carrier.text for carrier in dev}  # a pair of terms may be drawn for either of them
    sources.dev_sentences += _spoken_once(dev)
    sources.test_sentences += _spoken_once([one for one in test if one.text not in in_dev])


def _measured_per_term(spec: AdaptationSpec, num_terms: int, available: int) -> tuple[int, int]:
    """Sentences of each term for dev and for the locked test, about ``max_dev`` in each as far as they last.

    A glossary of one or two terms is measured on enough, too; where there is little, dev comes first.
    """
    least = max(1, -(-2 * MIN_DEV // num_terms))
    wanted = max(least, spec.split.max_dev // num_terms)
    if spec.dev:
        return 0, min(wanted, available) if _locks(spec) else 0
    if _locks(spec) and available >= 2 * least:
        return min(wanted, available // 2), min(wanted, available // 2)
    return min(wanted, max(available, least)), 0


def _locks(spec: AdaptationSpec) -> bool:
    """Whether a test set is to be held out: none was given, and the job does not say that it wants none."""
    return not spec.test and spec.split.test_share > 0


def _spoken_once(carriers: Sequence[CarrierSentence]) -> list[Sentence]:
    unique = {carrier.text: carrier for carrier in carriers}.values()
    return [_sentence("term", carrier.text, carrier.terms) for carrier in unique]


def _measured_carriers(
    glossary: Sequence[Term], pool: Sequence[str], spec: AdaptationSpec
) -> dict[str, list[CarrierSentence]]:
    """Every sentence that ``pool`` makes of each term; in English, where there are many, without a second term."""
    seed, count = spec.seed + 1, len(pool)
    if spec.code == ENGLISH:
        return {
            term.text: carrier_sentences([term], per_term=count, seed=seed, templates=pool)
            for term in glossary
        }
    drawn = carrier_sentences(glossary, per_term=count, seed=seed, templates=pool)
    return {term.text: drawn[index * count : (index + 1) * count] for index, term in enumerate(glossary)}


def split_recordings(spec: AdaptationSpec, rows: list[Utterance], sources: Sources) -> None:
    """Recordings by speaker, else by session: dev where none was given, then a locked test where there are enough."""
    rest = rows if spec.dev else _without_dev(spec, rows, sources)
    test = locked_rows(rest, spec.split.test_share) if _locks(spec) else []
    test_ids = {row.id for row in test}
    train = [row for row in rest if row.id not in test_ids]
    for part, measured in (("dev", sources.dev), ("test", test)):
        leaked = set(shared_audio(train, measured))
        if leaked:
            sources.notes.append(f"{part}: {len(leaked)} rows left out, whose audio is in train too")
            measured[:] = [row for row in measured if row not in leaked]
    sources.train += train
    sources.test += test


def _without_dev(spec: AdaptationSpec, rows: list[Utterance], sources: Sources) -> list[Utterance]:
    """The rows that are left once dev is drawn."""
    if all(row.speaker for row in rows):
        parts = split_manifest(rows, "speaker", spec.split.dev_share, 0.0)
    elif all(row.session for row in rows):
        parts = split_manifest(rows, "session", spec.split.dev_share, 0.0)
    else:
        sources.notes.append("dev: rows name neither speaker nor session, so dev may hear voices of train")
        chosen = {row.id for row in rows if position(row.id) < spec.split.dev_share}
        parts = {"train": [r for r in rows if r.id not in chosen], "dev": [r for r in rows if r.id in chosen]}
    if not parts["dev"]:
        raise InputError(
            f"--train {spec.train}: too few speakers or sessions in {len(rows)} rows for dev; give --dev, or raise "
            f"split.dev_share above {spec.split.dev_share}"
        )
    sources.dev += parts["dev"]
    return parts["train"]


def locked_rows(rows: Sequence[Utterance], share: float) -> list[Utterance]:
    """The rows of some speakers or sessions, about ``share`` of all rows; none where there are few.

    Not by ``split_manifest``: what a user has already split by the same hash has no group left at its low end.
    """
    groups = [row.speaker or row.session or "" for row in rows]
    sizes = Counter(groups)
    if len(rows) < MIN_ROWS_TO_LOCK or len(sizes) < MIN_SPEAKERS_TO_LOCK or "" in sizes:
        return []
    room = share * len(rows)
    chosen: set[str] = set()
    for name in sorted(sizes, key=lambda name: position(f"locked {name}")):
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    if len(chosen) < MIN_SPEAKERS_LOCKED:
        return []
    return [row for row, group in zip(rows, groups, strict=True) if group in chosen]


def _sentence(kind: str, text: str, terms: tuple[str, ...] | None) -> Sentence:
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Sentence(id=f"{kind}-{key}", text=text, terms=terms)


def position(key: str) -> float:
    """Where a name stands in [0, 1), by its hash."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def limited(rows: list[_T], limit: int, name: str, notes: list[str]) -> list[_T]:
    """The first ``limit`` rows, and a note where there are more."""
    if len(rows) <= limit:
        return rows
    notes.append(f"{name}: {limit} of {len(rows)} are used, {len(rows) - limit} left out")
    return rows[:limit]
