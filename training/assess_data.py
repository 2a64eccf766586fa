"""What an assessment looks at: a sample of each source to transcribe, and rows of other speakers to learn from.

Text and glossaries are spoken by synthesis, as for adaptation. What is left out is said in a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from asr.data.glossary import read_terms
from asr.data.manifest import Utterance, read_manifest
from asr.errors import InputError
from asr.evaluation.evaluate import transcript_of
from asr.storage import cache_dir
from asr.text.languages import ENGLISH, language_code
from training.assess_spec import AssessSpec
from training.data import general_sentences
from training.inputs import read_checked, shared_audio
from training.progress import Reporter
from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset
from training.synth.text import carrier_sentences, read_text_lines

_T = TypeVar("_T", str, Utterance)

EVERYDAY_SENTENCES = 12
MAX_SPOKEN = 40  # sentences of a text or a glossary: they are all alike in voice
_ENGINES = ("hibari",)  # as in adaptation: figures must not depend on what is installed


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One way in which the domain was given.

    Attributes:
        name: "recordings", "text", "terms", or "everyday", which is what the others are compared with.
        rows: the sample that the model transcribes.
        num_rows: of how many.
        texts: all that is known to be said or written there.
        synthesised: whether the sample is spoken by synthesis.
    """

    name: str
    rows: tuple[Utterance, ...]
    num_rows: int
    texts: tuple[str, ...]
    synthesised: bool


@dataclass(kw_only=True, slots=True)
class AssessData:
    """All sources, what to learn from, and what a reader must know.

    Attributes:
        sources: of the domain.
        everyday: general sentences, spoken.
        train: transcribed recordings of speakers who are not in the sample; empty where there are none.
        terms: to count: the glossary, else what rows name.
        notes: lines for a person.
    """

    sources: list[Source] = field(default_factory=list)
    everyday: Source
    train: list[Utterance] = field(default_factory=list)
    terms: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def collect_sources(spec: AssessSpec, folder: Path, reporter: Reporter) -> AssessData:
    """Read, sample and speak what ``spec`` names; audio goes below ``folder``.

    Raises:
        InputError: a file cannot be used, or its rows cannot be scored.
    """
    data = AssessData(everyday=_everyday(reporter))
    if spec.manifest:
        _add_recordings(spec, spec.manifest, data, reporter)
    if spec.text:
        lines = list({line.casefold(): line for line in read_text_lines(spec.text)}.values())
        chosen = _drawn(lines, min(MAX_SPOKEN, spec.max_measured), spec.seed)
        sentences = [Sentence(id=f"text-{_digest(line)[:12]}", text=line) for line in chosen]
        rows = _spoken(sentences, folder / "text", spec.seed, reporter)
        data.sources.append(_source("text", rows, len(lines), lines))
    if spec.terms:
        glossary = read_terms(spec.terms)
        drawn = _drawn([term.text for term in glossary], min(MAX_SPOKEN, spec.max_measured), spec.seed)
        carriers = carrier_sentences(glossary, per_term=1, seed=spec.seed)
        sentences = [
            Sentence(id=f"term-{_digest(carrier.text)[:12]}", text=carrier.text, terms=carrier.terms)
            for carrier in carriers
            if carrier.terms[0] in drawn
        ]
        rows = _spoken(sentences, folder / "terms", spec.seed, reporter)
        texts = [term.text for term in glossary]
        data.sources.append(_source("terms", rows, len(glossary), texts))
        data.terms = tuple(texts)
    else:
        said = {term for source in data.sources for row in source.rows for term in row.terms or ()}
        data.terms = tuple(sorted(said))
    for source in data.sources:
        if len(source.rows) < source.num_rows:
            data.notes.append(
                f"{source.name}: {len(source.rows)} of {source.num_rows} were measured, a sample"
            )
        if source.synthesised:
            data.notes.append(
                f"{source.name}: spoken by synthesis; recordings of your speakers will be harder"
            )
    return data


def split_speakers(
    rows: Sequence[Utterance], share: float, seed: int
) -> tuple[list[Utterance], list[Utterance], str]:
    """Rows to learn from, rows to measure on, and what keeps them apart: "speaker", "session" or "row".

    Whole speakers are measured on, in an order that their names and the seed decide, until they have ``share`` of the
    rows; at least one is measured on and one is left.
    """
    by = "row"
    if all(row.speaker for row in rows):
        by = "speaker"
    elif all(row.session for row in rows):
        by = "session"

    def voice(row: Utterance) -> str:
        return {"speaker": row.speaker, "session": row.session, "row": row.id}[by] or ""

    ordered = sorted({voice(row) for row in rows}, key=lambda name: _digest(f"{seed}\0dev\0{name}"))
    dev_voices: set[str] = set()
    for name in ordered[:-1]:
        if sum(voice(row) in dev_voices for row in rows) >= share * len(rows):
            break
        dev_voices.add(name)
    train = [row for row in rows if voice(row) not in dev_voices]
    return train, [row for row in rows if voice(row) in dev_voices], by


def _add_recordings(spec: AssessSpec, path: Path, data: AssessData, reporter: Reporter) -> None:
    rows = read_checked(path, reporter, data.notes)
    others = sorted({row.language for row in rows if row.language and language_code(row.language) != ENGLISH})
    if others:
        raise InputError(
            f"{path}: rows are in {', '.join(others)}, and assess knows English alone; leave them out, or adapt to them "
            f"with lexitune adapt --language {language_code(others[0])}, whose gate says whether it helped"
        )
    usable = [row for row in rows if transcript_of(row) is not None or row.terms is not None]
    if not usable:
        raise InputError(
            f"{path} cannot be assessed: none of its {len(rows)} rows has text or terms to score"
        )
    if len(usable) < len(rows):
        data.notes.append(f"recordings: {len(rows) - len(usable)} rows left out, with neither text nor terms")
    spoken = [row for row in usable if row.text and row.text.strip()]
    if len({row.speaker or row.session or row.id for row in spoken}) < 2:
        data.notes.append("no learning curve: it needs transcribed recordings of two speakers or more")
        measured = usable
    else:
        data.train, measured, by = split_speakers(spoken, spec.dev_share, spec.seed)
        if by == "row":
            data.notes.append(
                "rows name neither speaker nor session: the sample may hold voices that are learned from"
            )
        leaked = set(shared_audio(data.train, measured))
        if leaked:
            data.notes.append(
                f"recordings: {len(leaked)} rows of the sample left out, whose audio is learned from"
            )
            measured = [row for row in measured if row not in leaked]
        if not measured:
            raise InputError(
                f"{path}: all speakers share their audio; give each row's own span in offset and duration"
            )
    sample = _drawn(measured, spec.max_measured, spec.seed)
    texts = [row.text for row in usable if row.text]
    data.sources.append(
        Source(
            name="recordings", rows=tuple(sample), num_rows=len(usable), texts=tuple(texts), synthesised=False
        )
    )


def _everyday(reporter: Reporter) -> Source:
    """The same for every assessment, so it is spoken once for a machine."""
    sentences = general_sentences("general", EVERYDAY_SENTENCES)
    rows = _spoken(sentences, cache_dir("everyday"), 0, reporter)
    return _source("everyday", rows, len(rows), [sentence.text for sentence in sentences])


def _spoken(sentences: Sequence[Sentence], folder: Path, seed: int, reporter: Reporter) -> list[Utterance]:
    with reporter.stage(f"speaking {folder.name}", len(sentences)) as stage:
        options = SynthesisOptions(seed=seed, engines=_ENGINES)
        manifest = synthesize_dataset(sentences, folder, options=options, progress=stage.advance)
    return read_manifest(manifest)


def _source(name: str, rows: Sequence[Utterance], num_rows: int, texts: Sequence[str]) -> Source:
    return Source(name=name, rows=tuple(rows), num_rows=num_rows, texts=tuple(texts), synthesised=True)


def _drawn(rows: Sequence[_T], limit: int, seed: int) -> list[_T]:
    """At most ``limit`` rows, in their order, by their text's or id's hash: the same whatever else is there."""

    def key(row: _T) -> str:
        return _digest(f"{seed}\0{row if isinstance(row, str) else row.id}")

    kept = set(sorted(key(row) for row in rows)[:limit])
    return [row for row in rows if key(row) in kept]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
