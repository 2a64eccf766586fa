"""``lexitune data align``: long recordings with one transcript each become rows that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_NO, message, print_json, reporting, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.data.manifest import Utterance
    from training.alignment.dataset import AlignedManifest

DEFAULT_MODEL = "facebook/wav2vec2-base-960h"
_MAX_SHOWN = 20


def align(
    manifest: Annotated[
        Path, typer.Argument(help="Long recordings, each with its transcript in text or text_filepath.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and rejected.jsonl.")],
    model: Annotated[str, typer.Option(help="A Wav2Vec2-CTC of the recordings' language.")] = DEFAULT_MODEL,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Rows below it are rejected.")] = 0.2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Align long recordings with their transcripts and cut them into rows of at most 20 s; exit 1 if none is usable."""
    from asr.models.ctc_torch import TorchCtc
    from asr.models.resolve import resolve_model
    from training.alignment.dataset import AlignOptions, align_manifest, read_recordings

    options = AlignOptions(min_score=min_score)
    recordings = read_recordings(manifest)
    resolved = resolve_model(model)
    engine = TorchCtc(resolved.transformers_dir)
    with reporting() as reporter:
        aligned = align_manifest(
            recordings, out, engine, model_sha256=resolved.sha256, options=options, reporter=reporter
        )
    if as_json:
        print_json(_document(aligned, recordings, resolved.reference))
    else:
        _print_summary(aligned)
    if not aligned.rows:
        raise typer.Exit(EXIT_NO)


def _document(aligned: AlignedManifest, recordings: Sequence[Utterance], reference: str) -> dict[str, object]:
    return {
        "model": reference,
        "manifest": str(aligned.manifest),
        "rejected": str(aligned.rejected),
        "recordings": len(recordings),
        "hours": _hours(recordings),
        "rows": len(aligned.rows),
        "rows_hours": _hours(aligned.rows),
        "rejected_rows": len(aligned.rejected_rows),
        "rejected_hours": _hours(aligned.rejected_rows),
        "unwritable_characters": aligned.unwritable,
        "rejections": [
            {"id": row.id, "offset": row.offset_s, "duration": row.duration_s, "text": row.text, **row.extra}
            for row in aligned.rejected_rows
        ],
    }


def _hours(rows: Sequence[Utterance]) -> float:
    return round(sum(row.duration_s for row in rows) / 3600, 4)


def _print_summary(aligned: AlignedManifest) -> None:
    for row in aligned.rejected_rows[:_MAX_SHOWN]:
        span = f"{row.offset_s:.1f} to {row.offset_s + row.duration_s:.1f} s"
        message(f"rejected {row.id}, {span}, {(row.text or '')[:60]!r}: {row.extra['reason']}")
    if len(aligned.rejected_rows) > _MAX_SHOWN:
        message(f"rejected: {len(aligned.rejected_rows) - _MAX_SHOWN} more in {aligned.rejected}")
    if aligned.unwritable:
        listed = ", ".join(
            f"{sign} in {count} words" for sign, count in list(aligned.unwritable.items())[:10]
        )
        message(f"the model cannot write {listed}; these words are kept, but could not be checked")
    message(
        f"{len(aligned.rows)} rows, {_hours(aligned.rows)} h; {len(aligned.rejected_rows)} rejected, "
        f"{_hours(aligned.rejected_rows)} h"
    )
    stdout.print(str(aligned.manifest), markup=False)
