"""``lexitune data validate`` and ``split``. ``data synthesize`` is training's (``training.cli``)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import EXIT_NO, message, print_json, reporting, stdout

data_app = typer.Typer(help="Manifests: validate, split, synthesize.", no_args_is_help=True)


class SplitBy(StrEnum):
    """What must not be in two parts."""

    SPEAKER = "speaker"
    SESSION = "session"


@data_app.command()
def validate(
    manifest: Annotated[Path, typer.Argument(help="JSON Lines of utterances.")],
    model: Annotated[
        str, typer.Option(help="Whose tokenizer must be able to write the text.")
    ] = "bundled:tiny.en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Report every problem of a manifest, by row and code; exit 1 if there is any."""
    from asr.data.validate import validate_manifest
    from asr.models.resolve import resolve_model
    from asr.models.whisper_tokens import WhisperTokenizer

    tokenizer = WhisperTokenizer(resolve_model(model).transformers_dir / "tokenizer.json")
    with reporting() as reporter:
        num_rows = len(manifest.read_bytes().splitlines()) if manifest.is_file() else 0
        with reporter.stage("validating", num_rows) as stage:
            problems = validate_manifest(
                manifest,
                tokenizer_check=tokenizer.unwritable,
                token_count=lambda text: len(tokenizer.encode(text)),
                progress=lambda _row: stage.advance(),
            )
    if as_json:
        rows = [{"row": p.row, "id": p.id, "code": p.code, "message": p.message} for p in problems]
        print_json({"manifest": str(manifest), "rows": num_rows, "problems": rows})
    for problem in [] if as_json else problems:
        stdout.print(f"{manifest}:{problem.row}: {problem.code}: {problem.message}", markup=False)
    if problems:
        message(f"{len(problems)} problems in {num_rows} rows")
        raise typer.Exit(EXIT_NO)
    message(f"{num_rows} rows, no problems")


@data_app.command()
def split(
    manifest: Annotated[Path, typer.Argument(help="JSON Lines of utterances.")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl, dev.jsonl and test.jsonl.")],
    by: Annotated[SplitBy, typer.Option(help="What must not be in two parts.")] = SplitBy.SPEAKER,
    dev: Annotated[float, typer.Option(min=0, max=1, help="Share for dev.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share for test.")] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Split without leakage: no speaker (or session) in two parts, and new rows move no old ones."""
    from asr.data.manifest import read_manifest, write_manifest
    from asr.data.splits import split_manifest

    parts = split_manifest(read_manifest(manifest), by.value, dev, test)
    for name, utterances in parts.items():
        write_manifest(out / f"{name}.jsonl", utterances)
    summary = {
        name: {
            "manifest": str(out / f"{name}.jsonl"),
            "utterances": len(utterances),
            "hours": round(sum(utterance.duration_s for utterance in utterances) / 3600, 4),
        }
        for name, utterances in parts.items()
    }
    if as_json:
        print_json(summary)
        return
    for name, part in summary.items():
        stdout.print(
            f"{name}: {part['utterances']} utterances, {part['hours']} h, {part['manifest']}", markup=False
        )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data_app, name="data")
