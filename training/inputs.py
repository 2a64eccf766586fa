"""A user's manifests on their way into a job: what cannot be used stops it, all at once; the rest is said in a note."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asr.data.manifest import Utterance, audio_sha256, manifest_sha256, read_manifest
from asr.data.near_duplicates import MIN_SIMILARITY, near_duplicates_of
from asr.data.validate import validate_manifest
from asr.errors import InputError
from asr.text.languages import ENGLISH, language_code
from training.progress import Reporter
from training.spec import AdaptationSpec

FATAL = frozenset(
    {"malformed-row", "empty-manifest", "missing-audio", "unreadable-audio", "bad-offset", "duplicate-id"}
)
_MAX_NAMED = 5
_MAX_EXAMPLES = 3


def read_checked(path: Path, reporter: Reporter, notes: list[str]) -> list[Utterance]:
    """Read a manifest after validating it; problems that do not stop a job are counted in ``notes``.

    Raises:
        InputError: rows that cannot be used; names the first and says how to see them all.
    """
    num_rows = len(path.read_bytes().splitlines())
    with reporter.stage(f"validating {path.name}", num_rows) as stage:
        problems = validate_manifest(path, progress=lambda _row: stage.advance())
    fatal = [problem for problem in problems if problem.code in FATAL]
    if fatal:
        named = "; ".join(f"{path}:{p.row}: {p.code}: {p.message}" for p in fatal[:_MAX_NAMED])
        more = f" and {len(fatal) - _MAX_NAMED} more" if len(fatal) > _MAX_NAMED else ""
        raise InputError(f"{named}{more}; lexitune data validate {path} lists every problem")
    for code, count in sorted(Counter(problem.code for problem in problems).items()):
        notes.append(f"{path.name}: {count} of {num_rows} rows have {code}; see lexitune data validate")
    return read_manifest(path)


def refuse_leakage(train: Sequence[Utterance], measured: Sequence[Utterance], option: str) -> None:
    """Check that no stretch of audio is both trained and measured on.

    Raises:
        InputError: some is; names the first.
    """
    shared = shared_audio(train, measured)
    if shared:
        raise InputError(
            f"{len(shared)} utterances of {option} are trained on too, {shared[0].id!r} first: what is trained on "
            "proves nothing; lexitune data split makes parts that share none"
        )


def shared_audio(train: Sequence[Utterance], measured: Sequence[Utterance]) -> list[Utterance]:
    """The rows of ``measured`` whose audio, by its bytes, overlaps with a row of ``train`` on the same channel."""
    spans: dict[str, list[Utterance]] = {}
    hashes: dict[Path, str] = {}

    def digest(row: Utterance) -> str:
        if row.audio_path not in hashes:
            hashes[row.audio_path] = audio_sha256(row.audio_path)
        return hashes[row.audio_path]

    for row in train:
        spans.setdefault(digest(row), []).append(row)
    return [row for row in measured if any(_overlap(row, other) for other in spans.get(digest(row), ()))]


def _overlap(row: Utterance, other: Utterance) -> bool:
    apart = row.channel is not None and other.channel is not None and row.channel != other.channel
    begins, ends = max(row.offset_s, other.offset_s), min(_end_s(row), _end_s(other))
    return not apart and begins < ends


def _end_s(row: Utterance) -> float:
    return row.offset_s + row.duration_s


def near_duplicate_notes(seen: Sequence[Utterance], measured: Sequence[Utterance], option: str) -> list[str]:
    """A note on the texts of ``measured`` that nearly repeat one of ``seen``: how many, and the first few.

    ``seen`` is what the job trains and selects on. Not a refusal: in a closed domain people truly say the same short
    things (orders, read-back, spelled names), and a test set without them would be no sample of it. The count says how
    much of a figure may be recall of sentences.
    """
    texts = [row.text or "" for row in measured]
    known = [row.text or "" for row in seen]
    pairs = near_duplicates_of(texts, known)
    if not pairs:
        return []
    equal = sum(pair.similarity == 1.0 for pair in pairs)
    named = "; ".join(f"{texts[p.index]!r} ~ {known[p.other]!r}" for p in pairs[:_MAX_EXAMPLES])
    return [
        f"{option}: {len(pairs)} of {len(texts)} texts nearly repeat one of train or dev (similarity of "
        f"{MIN_SIMILARITY:g} or more; {equal} equal): {named}; short utterances of a closed domain repeat "
        "legitimately, so they stay"
    ]


def check_languages(rows: Sequence[Utterance], language: str = ENGLISH) -> None:
    """Check that every row that names a language names the job's.

    Raises:
        InputError: another language.
    """
    others = sorted(
        {row.language for row in rows if row.language and language_code(row.language) != language}
    )
    if others:
        raise InputError(
            f"rows are in {', '.join(others)}, and the job is in {language}: leave them out, adapt in their language "
            f"with --language {language_code(others[0])}, or drop the key language if it is wrong"
        )


def in_language(rows: Sequence[Utterance], language: str) -> list[Utterance]:
    """The rows with the code of their language; those that name none are taken to be in ``language``."""
    return [replace(row, language=language_code(row.language or language)) for row in rows]


def input_hashes(spec: AdaptationSpec) -> list[str]:
    """What the input files hold; of manifests the audio, too, so that changed recordings are another job."""
    files = [path.read_bytes() if path else b"" for path in (spec.text, spec.terms, spec.templates)]
    manifests = [path for path in (spec.train, spec.dev, spec.test, spec.general) if path]
    return [
        *(hashlib.sha256(content).hexdigest() for content in files),
        *(manifest_sha256(read_manifest(path)) for path in manifests),
    ]
