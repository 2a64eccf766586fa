"""From what the user has to what is trained and measured on: train, dev and general utterances.

Domain text and glossaries are spoken by synthesis; recordings are split by speaker or session. Nothing in dev is in
train, and what is left out is said in a note.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TypeVar

from asr.data.glossary import Term, read_terms
from asr.data.manifest import Utterance, manifest_sha256
from asr.data.splits import split_manifest
from asr.errors import InputError
from asr.text.languages import ENGLISH, normalizer_for
from asr.text.normalize import get_normalizer
from training.inputs import (
    check_languages,
    in_language,
    near_duplicate_notes,
    read_checked,
    refuse_leakage,
    shared_audio,
)
from training.job_audio import JobAudio
from training.progress import Reporter
from training.sounds import write_sounds
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

_T = TypeVar("_T")

MIN_DEV = 4
MAX_GENERAL = 300
MIN_GENERAL_TO_SHARE = 80  # rows of --general from which on some are trained on
GENERAL_REPLAY_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationData:
    """What a job trains and measures on.

    Attributes:
        train: utterances with text.
        dev: to select and gate on.
        test: to gate on alone; empty where none was given.
        general: to measure forgetting on.
        terms: the glossary, plus the terms that rows name.
        critical: those of the glossary that are marked so.
        sounds: recordings in which nobody speaks.
        hashes: content hashes of the three sets.
        recorded_hours: of the recordings in train, without copies, joined windows, replay and synthesis.
        notes: what a reader of the figures must know, e.g. which set was synthesised.
    """

    train: list[Utterance]
    dev: list[Utterance]
    test: list[Utterance]
    general: list[Utterance]
    terms: tuple[str, ...]
    critical: tuple[str, ...]
    sounds: list[Utterance]
    hashes: dict[str, str]
    recorded_hours: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Sources:
    train_sentences: list[Sentence] = field(default_factory=list)
    dev_sentences: list[Sentence] = field(default_factory=list)
    train: list[Utterance] = field(default_factory=list)
    dev: list[Utterance] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(
    spec: AdaptationSpec, folder: Path, reporter: Reporter, *, knows_english: bool = True
) -> AdaptationData:
    """Read, split and synthesise everything that ``spec`` names; audio goes below ``folder``.

    Args:
        spec: of the job.
        folder: of this job.
        reporter: to tell what is being done.
        knows_english: whether the base does; the sentences that ship with the package are English.

    Raises:
        InputError: there is not enough to train or to measure on.
    """
    glossary = read_terms(spec.terms) if spec.terms else []
    sources = _Sources()
    audio = JobAudio(folder, reporter, spec.seed, spec.code)
    if spec.text:
        _split_text(spec, spec.text, sources)
    if glossary:
        _split_carriers(spec, glossary, sources)
    if spec.train:
        _split_recordings(spec, _read(spec, spec.train, audio, sources), sources)
    if sources.train_sentences or sources.dev_sentences:
        sources.notes += audio.voices()
    train: list[Utterance] = []
    dev: list[Utterance] = []
    if not spec.general and not knows_english:
        raise InputError(
            f"{spec.base} does not know English, the language of the built-in general sentences: give --general"
        )
    general, replayed = _general_sets(spec, sources, audio)
    if spec.has_domain:
        train = _train_set(spec, sources, audio, replayed, knows_english=knows_english)
        refuse_leakage(train, general, "--general")
        dev = _dev_set(spec, sources, audio, train)
    else:
        sources.notes.append("no text, terms or recordings: only own lengths are taught, to no domain")
    test = _test_set(spec, sources, audio, [*train, *dev])
    if spec.has_domain:
        _check_sizes(train, dev)
    if not any(row.text for row in general):
        raise InputError("the general set has no transcripts; its rows need text")
    said = {term for row in (*dev, *test, *train) for term in row.terms or ()}
    return AdaptationData(
        train=train,
        dev=dev,
        test=test,
        general=general,
        terms=tuple(dict.fromkeys([*(term.text for term in glossary), *(() if glossary else sorted(said))])),
        critical=tuple(term.text for term in glossary if term.critical),
        sounds=in_language(write_sounds(folder / "sounds", seed=spec.seed), spec.code),
        hashes={
            name: manifest_sha256(rows)
            for name, rows in (("train", train), ("dev", dev), ("test", test), ("general", general))
        },
        recorded_hours=sum(row.duration_s for row in sources.train) / 3600,
        notes=sources.notes,
    )


def _read(spec: AdaptationSpec, path: Path, audio: JobAudio, sources: _Sources) -> list[Utterance]:
    """A manifest of the user's in the job's language."""
    rows = read_checked(path, audio.reporter, sources.notes)
    check_languages(rows, spec.code)
    return in_language(rows, spec.code)


def _train_set(
    spec: AdaptationSpec, sources: _Sources, audio: JobAudio, replayed: Sequence[Utterance],
    *, knows_english: bool,
) -> list[Utterance]:  # fmt: skip
    domain = [
        *sources.train,
        *audio.copy(sources.train, spec.training.recording_copies),
        *audio.speak("train", sources.train_sentences, spec.training.copies),
    ]
    num_replay = round(len(domain) * spec.training.replay_share) if knows_english else 0
    replay = general_sentences("replay", num_replay)
    if replay:
        english = "" if spec.code == ENGLISH else " English"
        sources.notes.append(
            f"replay: {len(replay)} everyday{english} sentences, synthesised, are trained on beside {len(domain)}"
        )
    train = [*domain, *replayed, *audio.speak("replay", replay, language=ENGLISH)]
    return [*train, *audio.join(domain, round(len(domain) * spec.training.window_share))]


def _dev_set(
    spec: AdaptationSpec, sources: _Sources, audio: JobAudio, train: Sequence[Utterance]
) -> list[Utterance]:
    if spec.dev:
        dev = _read(spec, spec.dev, audio, sources)
        refuse_leakage(train, dev, "--dev")
        sources.notes.extend(near_duplicate_notes(train, dev, "--dev"))
    else:
        refuse_leakage(train, sources.dev, "the dev part of --train")
        dev = [*sources.dev, *audio.speak("dev", sources.dev_sentences)]
        sources.notes.append(_origin("dev", len(sources.dev), len(sources.dev_sentences)))
    sources.notes.append(
        "dev chooses the checkpoint and the mix, and judges them: its figures are a little too good"
    )
    return dev


def _test_set(
    spec: AdaptationSpec, sources: _Sources, audio: JobAudio, seen: Sequence[Utterance]
) -> list[Utterance]:
    if not spec.test:
        sources.notes.append("test: none given, so dev alone judges; give --test for a locked one")
        return []
    test = _read(spec, spec.test, audio, sources)
    refuse_leakage(seen, test, "--test")
    sources.notes.extend(near_duplicate_notes(seen, test, "--test"))
    if not any(row.text or row.terms is not None for row in test):
        raise InputError(f"--test {spec.test} cannot be scored: its rows have neither text nor terms")
    return test


def _general_sets(
    spec: AdaptationSpec, sources: _Sources, audio: JobAudio
) -> tuple[list[Utterance], list[Utterance]]:
    """General speech to measure on, and, of the user's own where there is enough, some to train on beside the domain."""
    if not spec.general:
        sentences = general_sentences("general", spec.split.general_sentences)
        general = audio.speak("general", sentences, language=ENGLISH)
        sources.notes.append(
            f"general: {len(general)} everyday sentences, all synthesised; give --general for your own"
            if spec.code == ENGLISH
            else f"general: {len(general)} everyday English sentences, all synthesised: they measure what is forgotten "
            f"of English, nothing of {spec.code}; give --general for speech in {spec.code}"
        )
        return general, []
    rows = in_language(read_checked(spec.general, audio.reporter, sources.notes), spec.code)
    if len(languages := sorted({row.language or "" for row in rows})) > 1:
        raise InputError(
            f"--general {spec.general}: rows are in {', '.join(languages)}; give general speech in one language"
        )
    if not spec.has_domain or not spec.training.replay_share or len(rows) < MIN_GENERAL_TO_SHARE:
        return _general_limited(rows, sources), []
    sizes = Counter(row.speaker or row.id for row in rows)
    room = GENERAL_REPLAY_SHARE * len(rows)
    chosen: set[str] = set()
    for name in sorted(sizes, key=_position):
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    replayed = [row for row in rows if (row.speaker or row.id) in chosen and row.text]
    leaked = set(shared_audio([*replayed, *sources.train], rows))
    measured = [row for row in rows if (row.speaker or row.id) not in chosen and row not in leaked]
    in_dev = set(shared_audio(sources.dev, replayed))
    replayed = [row for row in replayed if row not in in_dev]
    sources.notes.append(
        f"general: {len(replayed)} of {len(rows)} rows are trained on beside the domain, {len(measured)}, by other "
        f"speakers where they are named, are measured on; {len(rows) - len(replayed) - len(measured)} are left out, "
        "which lack a text or share audio with the other part or with --train"
    )
    return _general_limited(measured, sources), replayed


def _general_limited(rows: list[Utterance], sources: _Sources) -> list[Utterance]:
    """At most MAX_GENERAL rows, drawn over all speakers."""
    if len(rows) > MAX_GENERAL:
        rows = sorted(rows, key=lambda row: _position(row.id))
    return _limited(rows, MAX_GENERAL, "general", sources.notes)


def general_sentences(kind: str, limit: int) -> list[Sentence]:
    """The everyday sentences that ship with the package: "general" to measure on, "replay" to train on; disjoint."""
    lines = resources.files("training.synth").joinpath(f"{kind}.txt").read_text().splitlines()
    return [Sentence(id=f"{kind}-{index:03d}", text=line) for index, line in enumerate(lines[:limit])]


def _split_text(spec: AdaptationSpec, path: Path, sources: _Sources) -> None:
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
    ranked = sorted(unique, key=lambda line: _position(line.casefold()))
    num_dev = (
        0 if spec.dev else min(spec.split.max_dev, max(MIN_DEV, round(len(ranked) * spec.split.dev_share)))
    )
    dev, train = ranked[:num_dev], ranked[num_dev:]
    train = _limited(train, spec.training.max_train_sentences, "text", sources.notes)
    sources.train_sentences += [_sentence("text", line, None) for line in train]
    sources.dev_sentences += [_sentence("text", line, None) for line in dev]


def _split_carriers(spec: AdaptationSpec, glossary: Sequence[Term], sources: _Sources) -> None:
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
    unique = {carrier.text: carrier for carrier in train}.values()
    sources.train_sentences += [_sentence("term", carrier.text, carrier.terms) for carrier in unique]
    if spec.dev:
        return
    per_dev = max(
        1, -(-2 * MIN_DEV // len(glossary))
    )  # a glossary of one or two terms is measured on enough, too
    kept: dict[str, CarrierSentence] = {}
    pool = TEMPLATES if spec.code == ENGLISH else templates
    drawn = _dev_carriers(glossary, pool, spec)
    for term in glossary:
        fresh = [carrier for carrier in drawn[term.text] if carrier.text not in texts]
        kept |= {carrier.text: carrier for carrier in fresh[:per_dev]}
    sources.dev_sentences += [_sentence("term", carrier.text, carrier.terms) for carrier in kept.values()]


def _dev_carriers(
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


def _split_recordings(spec: AdaptationSpec, rows: list[Utterance], sources: _Sources) -> None:
    if spec.dev:
        sources.train += rows
        return
    if all(row.speaker for row in rows):
        parts = split_manifest(rows, "speaker", spec.split.dev_share, 0.0)
    elif all(row.session for row in rows):
        parts = split_manifest(rows, "session", spec.split.dev_share, 0.0)
    else:
        sources.notes.append("dev: rows name neither speaker nor session, so dev may hear voices of train")
        chosen = {row.id for row in rows if _position(row.id) < spec.split.dev_share}
        parts = {"train": [r for r in rows if r.id not in chosen], "dev": [r for r in rows if r.id in chosen]}
    if not parts["dev"]:
        raise InputError(
            f"--train {spec.train}: too few speakers or sessions in {len(rows)} rows for dev; give --dev, or raise "
            f"split.dev_share above {spec.split.dev_share}"
        )
    leaked = set(shared_audio(parts["train"], parts["dev"]))
    if leaked:
        sources.notes.append(f"dev: {len(leaked)} rows left out, whose audio is in train too")
    sources.train += parts["train"]
    sources.dev += [row for row in parts["dev"] if row not in leaked]


def _sentence(kind: str, text: str, terms: tuple[str, ...] | None) -> Sentence:
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Sentence(id=f"{kind}-{key}", text=text, terms=terms)


def _position(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _limited(rows: list[_T], limit: int, name: str, notes: list[str]) -> list[_T]:
    if len(rows) <= limit:
        return rows
    notes.append(f"{name}: {limit} of {len(rows)} are used, {len(rows) - limit} left out")
    return rows[:limit]


def _origin(part: str, num_recorded: int, num_spoken: int) -> str:
    if not num_recorded:
        return (
            f"{part}: {num_spoken} held-out sentences, all synthesised; give --dev for a gate on recordings"
        )
    return f"{part}: {num_recorded} recordings, {num_spoken} synthesised sentences"


def _check_sizes(train: Sequence[Utterance], dev: Sequence[Utterance]) -> None:
    for name, rows, option in (
        ("train", train, "--text, --terms or --train"),
        ("dev", dev, "--dev or more input"),
    ):
        if len(rows) < MIN_DEV:
            raise InputError(
                f"{len(rows)} utterances for {name}; at least {MIN_DEV} are needed: give {option}"
            )
    if not any(row.text or row.terms is not None for row in dev):
        raise InputError("the dev set cannot be scored: its rows have neither text nor terms")
