"""``lexitune data export-corrections``: what persons have corrected, as a manifest for ``lexitune adapt``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli import connection
from asr.cli.console import EXIT_NO, message, print_json, reporting, stdout
from asr.errors import CandidateNotFoundError

if TYPE_CHECKING:
    from asr.cli.console import ProgressReporter
    from asr.client import Candidate, CorrectionsClient
    from asr.data.manifest import Utterance

AUDIO_FOLDER = "audio"
MANIFEST = "manifest.jsonl"
_OURS = re.compile(r"[0-9a-f]{32}\.flac")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written, and how many corrections say that nobody spoke, which are no rows: a row has a text."""

    manifest: Path
    num_utterances: int
    hours: float
    num_without_speech: int
    num_removed: int


def export_corrections(
    out: Annotated[
        Path, typer.Option(help="Folder for manifest.jsonl and audio/; may hold an older export.")
    ],
    server: Annotated[str, typer.Option(help="HOST:PORT of a running lexitune serve.")] = "127.0.0.1:50051",
    at_least: Annotated[int, typer.Option(min=0, help="Exit 1 if there are fewer; they are written.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    tls: connection.Tls = False,
    ca: connection.Ca = None,
    certificate: connection.Certificate = None,
    private_key: connection.PrivateKey = None,
    token_file: connection.TokenFile = None,
) -> None:
    """Write all corrections as recordings and a manifest for adapt --train; what was deleted since goes here, too."""
    from asr.client import CorrectionsClient

    credentials = connection.credentials_of(
        tls=tls, ca=ca, certificate=certificate, private_key=private_key, token_file=token_file
    )
    with CorrectionsClient(server, credentials) as client, reporting() as reporter:
        done = export(client, out, reporter)
    if as_json:
        print_json(
            {
                "manifest": str(done.manifest),
                "utterances": done.num_utterances,
                "hours": round(done.hours, 4),
                "without_speech": done.num_without_speech,
                "removed": done.num_removed,
            }
        )
    else:
        stdout.print(
            f"{done.num_utterances} utterances, {done.hours:.4f} h, {done.manifest}; {done.num_without_speech} without "
            f"speech left out, {done.num_removed} of an older export removed",
            markup=False,
        )
    if done.num_utterances < at_least:
        message(
            f"{done.num_utterances} corrections, and {at_least} are wanted; review more: lexitune data review"
        )
        raise typer.Exit(EXIT_NO)


def export(client: CorrectionsClient, out: Path, reporter: ProgressReporter) -> Exported:
    """Write the corrections of the caller's: recordings first, then the manifest, whole; then what is not in it goes.

    Rows are in the order of their ids, so that the same corrections give the same bytes.

    Args:
        client: of the server.
        out: folder; made if absent.
        reporter: told of each recording.
    """
    from asr.client import CandidateState
    from asr.data.manifest import write_manifest

    corrected = sorted(client.candidates(CandidateState.CORRECTED), key=lambda one: one.id)
    spoken = [one for one in corrected if one.correction]
    rows: list[Utterance] = []
    with reporter.stage("recordings", len(spoken)) as stage:
        for candidate in spoken:
            row = _utterance(client, candidate, out / AUDIO_FOLDER)
            rows += [row] if row is not None else []
            stage.advance()
    write_manifest(out / MANIFEST, rows)
    return Exported(
        manifest=out / MANIFEST,
        num_utterances=len(rows),
        hours=sum(row.duration_s for row in rows) / 3600,
        num_without_speech=len(corrected) - len(spoken),
        num_removed=_remove_others(out / AUDIO_FOLDER, {row.audio_path.name for row in rows}),
    )


def _utterance(client: CorrectionsClient, candidate: Candidate, folder: Path) -> Utterance | None:
    """A row, its recording written unless it is there: a candidate's audio never changes. None: deleted meanwhile."""
    from asr.atomic import write_bytes_atomically
    from asr.data.manifest import Utterance

    path = folder.resolve() / f"{candidate.id}.flac"
    if not path.exists():
        try:
            write_bytes_atomically(path, client.audio(candidate.id))
        except CandidateNotFoundError:
            return None
    return Utterance(
        id=candidate.id,
        audio_path=path,
        duration_s=round(candidate.duration_s, 6),
        text=candidate.correction,
        session=candidate.session,
        language=candidate.language or None,
        extra={"heard": candidate.text, "confidence": candidate.confidence, "model": candidate.model},
    )


def _remove_others(folder: Path, kept: set[str]) -> int:
    """Remove recordings of an older export that are in this one no more; how many."""
    others = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if _OURS.fullmatch(path.name) and path.name not in kept
    ]
    for path in others:
        path.unlink()
    return len(others)
