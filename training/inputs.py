"""A user's manifests on their way into a job: what cannot be used stops it, all at once; the rest is said in a note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asr.data.manifest import Utterance, read_manifest
from asr.data.validate import validate_manifest
from asr.errors import InputError
from training.progress import Reporter

FATAL = frozenset(
    {"malformed-row", "empty-manifest", "missing-audio", "unreadable-audio", "bad-offset", "duplicate-id"}
)
_MAX_NAMED = 5


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


def refuse_leakage(train: Sequence[Utterance], dev: Sequence[Utterance]) -> None:
    """Check that no stretch of audio is both trained and measured on.

    Raises:
        InputError: some is; names the first.
    """
    trained = {(row.audio_path, row.offset_s, row.channel) for row in train}
    shared = [row.id for row in dev if (row.audio_path, row.offset_s, row.channel) in trained]
    if shared:
        raise InputError(
            f"{len(shared)} utterances are in both --train and --dev, {shared[0]!r} first: what is trained on proves "
            "nothing; lexitune data split makes parts that share none"
        )
