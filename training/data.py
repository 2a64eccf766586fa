"""From what the user has to what is trained and measured on: train, dev and general utterances.

Domain text and glossaries are spoken by synthesis; recordings are split by speaker or session. Nothing in dev is in
train, and what is left out is said in a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from asr.data.glossary import read_terms
from asr.data.manifest import Utterance, manifest_sha256
from asr.errors import InputError
from asr.text.languages import ENGLISH
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
from training.sources import (
    MIN_DEV,
    Sources,
    limited,
    position,
    split_glossary,
    split_recordings,
    split_text,
)
from training.spec import AdaptationSpec
from training.synth.dataset import Sentence
from training.synth.everyday import everyday_sentences

MAX_GENERAL = 300
MIN_GENERAL_TO_SHARE = 80  # rows of --general from which on some are trained on
GENERAL_REPLAY_SHARE = 0.25
TERM_COPIES = 2  # of sentences around a term, unless the job says otherwise
MAX_REPLAY = 400  # everyday sentences beside the domain
REPLAY_SEED = 1000  # other made-up sentences than those that teach own lengths


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationData:
    """What a job trains and measures on.

    Attributes:
        train: utterances with text.
        dev: to select and gate on.
        test: to gate on alone; empty where none was given and there was too little to hold one out.
        general: to measure forgetting on.
        terms: the glossary; without one, the terms that rows name.
        critical: those of the glossary that are marked so.
        sounds: recordings in which nobody speaks.
        hashes: content hashes of the three sets.
        text_lines: those of the text that are neither in dev nor in the test, also where too many to train on.
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
    text_lines: tuple[str, ...] = ()
    recorded_hours: float = 0.0
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
    sources = Sources()
    audio = JobAudio(folder, reporter, spec.seed, spec.code)
    if spec.text:
        split_text(spec, spec.text, sources)
    if glossary:
        split_glossary(spec, glossary, sources)
    if spec.train:
        split_recordings(spec, _read(spec, spec.train, audio, sources), sources)
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
        train = replayed
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
        text_lines=tuple(sources.text_lines),
        recorded_hours=sum(row.duration_s for row in sources.train) / 3600,
        notes=sources.notes,
    )


def _read(spec: AdaptationSpec, path: Path, audio: JobAudio, sources: Sources) -> list[Utterance]:
    """A manifest of the user's in the job's language."""
    rows = read_checked(path, audio.reporter, sources.notes)
    check_languages(rows, spec.code)
    return in_language(rows, spec.code)


def _train_set(
    spec: AdaptationSpec, sources: Sources, audio: JobAudio, replayed: Sequence[Utterance],
    *, knows_english: bool,
) -> list[Utterance]:  # fmt: skip
    domain = [
        *sources.train,
        *audio.copy(sources.train, spec.training.recording_copies),
        *_spoken(spec, sources, audio),
    ]
    num_replay = round(len(domain) * spec.training.replay_share) if knows_english else 0
    replay = replay_sentences(num_replay, spec.seed)
    if replay:
        english = "" if spec.code == ENGLISH else " English"
        sources.notes.append(
            f"replay: {len(replay)} everyday{english} sentences, synthesised, are trained on beside {len(domain)}"
        )
    train = [*domain, *replayed, *audio.speak("replay", replay, language=ENGLISH)]
    return [*train, *audio.join(domain, round(len(domain) * spec.training.window_share))]


def _spoken(spec: AdaptationSpec, sources: Sources, audio: JobAudio) -> list[Utterance]:
    """The sentences of train; those around a term more than once, for a new word must be learned from its sound, too."""
    around = [sentence for sentence in sources.train_sentences if sentence.terms]
    others = [sentence for sentence in sources.train_sentences if not sentence.terms]
    copies = spec.training.copies
    return [
        *audio.speak("train", others, copies or 1),
        *audio.speak("terms", around, copies or TERM_COPIES),
    ]


def _dev_set(
    spec: AdaptationSpec, sources: Sources, audio: JobAudio, train: Sequence[Utterance]
) -> list[Utterance]:
    if spec.dev:
        dev = _read(spec, spec.dev, audio, sources)
        refuse_leakage(train, dev, "--dev")
        sources.notes.extend(near_duplicate_notes(train, dev, "--dev"))
    else:
        refuse_leakage(train, sources.dev, "the dev part of --train")
        dev = [*sources.dev, *audio.speak("dev", sources.dev_sentences)]
        sources.notes.extend(near_duplicate_notes(train, sources.dev, "dev"))
        sources.notes.append(_origin("dev", len(sources.dev), len(sources.dev_sentences)))
    sources.notes.append(
        "dev chooses the checkpoint and the mix, and judges them: its figures are a little too good"
    )
    return dev


def _test_set(
    spec: AdaptationSpec, sources: Sources, audio: JobAudio, seen: Sequence[Utterance]
) -> list[Utterance]:
    if not spec.test:
        refuse_leakage(seen, sources.test, "the test part of --train")
        test = [*sources.test, *audio.speak("test", sources.test_sentences)]
        sources.notes.extend(near_duplicate_notes(seen, sources.test, "the locked test"))
        if test:
            origin = _origin("test", len(sources.test), len(sources.test_sentences))
            sources.notes.append(f"{origin}; nothing is chosen by it")
        elif spec.has_domain:
            sources.notes.append("test: none given, so dev alone judges; give --test for a locked one")
        return test
    test = _read(spec, spec.test, audio, sources)
    refuse_leakage(seen, test, "--test")
    sources.notes.extend(near_duplicate_notes(seen, test, "--test"))
    if not any(row.text or row.terms is not None for row in test):
        raise InputError(f"--test {spec.test} cannot be scored: its rows have neither text nor terms")
    return test


def _general_sets(
    spec: AdaptationSpec, sources: Sources, audio: JobAudio
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
    if not spec.training.replay_share or len(rows) < MIN_GENERAL_TO_SHARE:
        if not spec.has_domain:
            sources.notes.append(
                f"general: {len(rows)} rows, all measured on; of {MIN_GENERAL_TO_SHARE} and more, a quarter teaches own "
                "lengths"
            )
        return _general_limited(rows, sources), []
    sizes = Counter(row.speaker or row.id for row in rows)
    room = GENERAL_REPLAY_SHARE * len(rows)
    chosen: set[str] = set()
    for name in sorted(sizes, key=position):
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    replayed = [row for row in rows if (row.speaker or row.id) in chosen]
    if spec.has_domain:  # to teach own lengths, no transcript is needed
        replayed = [row for row in replayed if row.text]
    leaked = set(shared_audio([*replayed, *sources.train], rows))
    measured = [row for row in rows if (row.speaker or row.id) not in chosen and row not in leaked]
    in_measured = set(shared_audio([*sources.dev, *sources.test], replayed))
    replayed = [row for row in replayed if row not in in_measured]
    use = "are trained on beside the domain" if spec.has_domain else "teach own lengths"
    sources.notes.append(
        f"general: {len(replayed)} of {len(rows)} rows {use}, {len(measured)}, by other speakers "
        f"where they are named, are measured on; {len(rows) - len(replayed) - len(measured)} are left out, "
        "which lack a text or share audio with the other part or with --train"
    )
    return _general_limited(measured, sources), replayed


def _general_limited(rows: list[Utterance], sources: Sources) -> list[Utterance]:
    """At most MAX_GENERAL rows, drawn over all speakers."""
    if len(rows) > MAX_GENERAL:
        rows = sorted(rows, key=lambda row: position(row.id))
    return limited(rows, MAX_GENERAL, "general", sources.notes)


def replay_sentences(count: int, seed: int) -> list[Sentence]:
    """Everyday sentences to train on beside the domain, none of which is measured on: written ones, then made-up ones."""
    count = min(count, MAX_REPLAY)
    written = general_sentences("replay", count)
    return [*written, *everyday_sentences(count - len(written), REPLAY_SEED + seed)]


def general_sentences(kind: str, limit: int) -> list[Sentence]:
    """The everyday sentences that ship with the package: "general" to measure on, "replay" to train on; disjoint."""
    lines = resources.files("training.synth").joinpath(f"{kind}.txt").read_text().splitlines()
    return [Sentence(id=f"{kind}-{index:03d}", text=line) for index, line in enumerate(lines[:limit])]


def _origin(part: str, num_recorded: int, num_spoken: int) -> str:
    if not num_recorded:
        return f"{part}: {num_spoken} held-out sentences, all synthesised; give --{part} for a gate on recordings"
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
