"""``lexitune data validate`` and ``split``. ``data synthesize`` and ``align`` are training's (``training.cli``),
``review`` and ``export-corrections`` are in ``asr.cli.corrections``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_NO, message, print_json, reporting, stdout

if TYPE_CHECKING:
    from asr.data.validate import Problem

data_app = typer.Typer(
    help="Manifests: validate, split, synthesize, align, and what persons corrected.", no_args_is_help=True
)
_MAX_WARNINGS_SHOWN = 20


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
    against: Annotated[
        Path | None, typer.Option(help="Manifest whose texts must not come back, such as the training set's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Report every problem of a manifest, by row and code; exit 1 if there is any. Warnings do not count."""
    from asr.data.near_duplicates import near_duplicate_warnings
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
        with reporter.stage("comparing texts", num_rows) as stage:
            warnings = near_duplicate_warnings(manifest, against, progress=stage.advance)
    if as_json:
        print_json(
            {
                "manifest": str(manifest),
                "rows": num_rows,
                "problems": _documents(problems),
                "warnings": _documents(warnings),
            }
        )
    else:
        _print_findings(manifest, problems, warnings)
    counted = f"{len(warnings)} warnings" if warnings else "no warnings"
    if problems:
        message(f"{len(problems)} problems in {num_rows} rows, {counted}")
        raise typer.Exit(EXIT_NO)
    message(f"{num_rows} rows, no problems, {counted}")


def _documents(problems: list[Problem]) -> list[dict[str, object]]:
    return [{"row": p.row, "id": p.id, "code": p.code, "message": p.message} for p in problems]


def _print_findings(manifest: Path, problems: list[Problem], warnings: list[Problem]) -> None:
    for problem in problems:
        stdout.print(f"{manifest}:{problem.row}: {problem.code}: {problem.message}", markup=False)
    for warning in warnings[:_MAX_WARNINGS_SHOWN]:
        stdout.print(f"{manifest}:{warning.row}: warning {warning.code}: {warning.message}", markup=False)
    if len(warnings) > _MAX_WARNINGS_SHOWN:
        stdout.print(f"{len(warnings) - _MAX_WARNINGS_SHOWN} more warnings; --json lists all", markup=False)


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
    from asr.data.near_duplicates import near_duplicates_of
    from asr.data.splits import split_manifest

    parts = split_manifest(read_manifest(manifest), by.value, dev, test)
    for name, utterances in parts.items():
        write_manifest(out / f"{name}.jsonl", utterances)
    trained = [utterance.text or "" for utterance in parts["train"]]
    summary: dict[str, dict[str, object]] = {
        name: {
            "manifest": str(out / f"{name}.jsonl"),
            "utterances": len(utterances),
            "hours": round(sum(utterance.duration_s for utterance in utterances) / 3600, 4),
        }
        for name, utterances in parts.items()
    }
    for name in ("dev", "test"):
        texts = [utterance.text or "" for utterance in parts[name]]
        summary[name]["texts_like_train"] = alike = len(near_duplicates_of(texts, trained))
        if alike:
            message(
                f"warning: {alike} of {len(texts)} texts of {name} nearly repeat one of train; data validate "
                f"{out / f'{name}.jsonl'} --against {out / 'train.jsonl'} lists them"
            )
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
