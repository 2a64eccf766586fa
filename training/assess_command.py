"""``lexitune assess``: what adapting would bring, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import print_json, reporting, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.assess_report import Assessment, CurveReport, Distance


def assess(
    manifest: Annotated[
        Path | None, typer.Argument(help="Recordings; with transcripts, a learning curve is drawn.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model reference.")] = "bundled:tiny.en",
    text: Annotated[Path | None, typer.Option(help="Domain text, one utterance a line.")] = None,
    terms: Annotated[Path | None, typer.Option(help="Glossary, one term a line.")] = None,
    budget_minutes: Annotated[
        float, typer.Option(help="Stop before a run that would take longer, and say so.")
    ] = 5.0,
    own_length: Annotated[
        bool,
        typer.Option(
            "--own-length",
            help="First teach a Whisper own lengths, as adapt does: once, minutes; runs get faster.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """How far a domain is from a model, and what adapting would bring: a learning curve with its forecast."""
    from training.assess_spec import AssessSpec

    spec = AssessSpec(
        model=model, manifest=manifest, text=text, terms=terms, budget_minutes=budget_minutes,
        own_length=own_length, seed=seed,
    )  # fmt: skip
    from training.assess import assess as run

    with reporting() as reporter:
        assessment = run(spec, reporter, num_workers=workers)
    if as_json:
        print_json(assessment.as_document())
    else:
        _print(assessment)


def _print(assessment: Assessment) -> None:
    from rich.table import Table

    distances = [*assessment.distances, assessment.everyday]
    table = Table("", *(distance.source.name for distance in distances), title=assessment.base.reference)
    for name, cells in _rows(distances):
        table.add_row(name, *cells)
    stdout.print(table)
    for distance in assessment.distances:
        if distance.unrecognised and distance.unrecognised.named:
            named = ", ".join(word for word, _count in distance.unrecognised.named)
            stdout.print(f"never recognised in {distance.source.name}: {named}", markup=False)
    if assessment.curve:
        stdout.print(_curve_table(assessment.curve))
        stdout.print(assessment.curve.sentence, markup=False)
    for note in assessment.notes:
        stdout.print(f"note: {note}", markup=False)


def _rows(distances: Sequence[Distance]) -> list[tuple[str, list[str]]]:
    """Lines of the table: a name, and a cell for each source."""
    documents = [distance.as_document() for distance in distances]

    def cells(group: str, key: str, form: str) -> list[str]:
        values = [(document[group] or {}).get(key) for document in documents]
        return ["" if value is None else format(value, form) for value in values]

    return [
        ("utterances transcribed", [str(document["measured"]) for document in documents]),
        ("WER", cells("evaluation", "wer", ".1%")),
        ("term recall", cells("evaluation", "term_recall", ".1%")),
        ("words never recognised", cells("unrecognised_words", "share", ".1%")),
        ("tokens per word", cells("fragmentation", "tokens_per_word", ".2f")),
        ("words of several tokens", cells("fragmentation", "split_share", ".1%")),
        ("perplexity", cells("surprise", "perplexity", ".2f")),
        ("bits per character", cells("surprise", "bits_per_character", ".3f")),
    ]


def _curve_table(report: CurveReport) -> object:
    from rich.table import Table

    table = Table("audio", "utterances", "WER", title="learning curve")
    table.add_row("none", "0", f"{report.base.error:.1%}")
    for run, error in sorted(
        zip(report.curve.runs, report.errors, strict=True), key=lambda pair: pair[0].hours
    ):
        table.add_row(f"{60 * run.hours:.1f} min", str(run.part.count), f"{error:.1%}")
    for forecast in report.forecasts or ():
        expected = f"{forecast.error:.1%} ({forecast.low:.1%} - {forecast.high:.1%})"
        table.add_row(f"{60 * forecast.hours:.1f} min", "forecast", expected)
    return table
