"""``lexitune evaluate``: one model over a manifest, or two, paired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.console import message, print_json, reporting, stdout
from asr.cli.phrases import Phrases, as_rows, phrases_for
from asr.errors import InputError

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseReport, PhraseSet
    from asr.data.manifest import Utterance
    from asr.evaluation.evaluate import Evaluation
    from asr.models.resolve import ResolvedModel


Manifest = Annotated[Path, typer.Argument(help="JSON Lines of utterances.")]
Model = Annotated[str, typer.Option(help="Model reference.")]
Against = Annotated[str | None, typer.Option(help="Model to compare with, paired.")]
Terms = Annotated[Path | None, typer.Option(help="Glossary; default: the terms that rows name.")]
Language = Annotated[
    str, typer.Option(help="Code of the speech; auto: what the rows name, else left to the model.")
]
Normalizer = Annotated[
    str, typer.Option(help="How texts are normalised before they are compared; default: by the language.")
]
Report = Annotated[
    Path | None,
    typer.Option(
        help="Folder for index.html, report.json and rows.jsonl; the page holds audio of the differences."
    ),
]
EngineName = Annotated[str, typer.Option(help="ctranslate2, or torch as the reference.")]
BeamSize = Annotated[int, typer.Option(min=1, max=16, help="1 is greedy.")]
Workers = Annotated[int, typer.Option(min=1, help="Decodings at the same time.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def evaluate(
    manifest: Manifest,
    model: Model = "bundled:tiny.en",
    against: Against = None,
    terms: Terms = None,
    language: Language = "auto",
    normalizer: Normalizer = "",
    report: Report = None,
    engine: EngineName = "ctranslate2",
    beam_size: BeamSize = 5,
    workers: Workers = 2,
    as_json: AsJson = False,
    phrases: Phrases = None,
) -> None:
    """WER, CER, S/D/I, term recall, precision and F1 with intervals; with --against the paired comparison."""
    from asr.data.glossary import read_terms
    from asr.data.manifest import read_manifest
    from asr.evaluation.evaluate import evaluate_model
    from asr.models.base import DecodingOptions
    from asr.models.resolve import resolve_model
    from asr.recognizer import Recognizer
    from asr.text.languages import ENGLISH, known_code, normalizer_for
    from asr.text.normalize import get_normalizer

    utterances = read_manifest(manifest)
    spoken = _language(manifest, utterances, language)
    name = normalizer or normalizer_for(spoken or ENGLISH)
    get_normalizer(name)
    glossary = [term.text for term in read_terms(terms)] if terms else _terms_of_rows(utterances)
    _check_scorable(manifest, utterances)
    evaluations: list[Evaluation] = []
    hashes: dict[str, str] = {}
    heard: list[tuple[PhraseSet | None, tuple[PhraseReport, ...]]] = []
    looked_for: dict[str, str] = {}
    with reporting() as reporter:
        for reference in (model, *((against,) if against else ())):
            resolved = resolve_model(reference)
            heard.append(phrases_for(resolved, phrases))
            recognizer = Recognizer.open(resolved, engine=engine, num_workers=workers)
            code = known_code(spoken, recognizer.languages, reference) if spoken else None
            options = DecodingOptions(beam_size=beam_size, word_times=False, language=code)
            with reporter.stage(f"evaluating {reference}", len(utterances)) as stage:
                done = evaluate_model(
                    recognizer, utterances, normalizer=name, terms=glossary, options=options,
                    phrases=heard[-1][0],
                    on_row=stage.advance,
                )  # fmt: skip
                evaluations.append(done)
            hashes[f"model {recognizer.reference}"] = recognizer.sha256
            looked_for |= phrases_fact(recognizer.resolved, heard[-1][0], phrases)
            recognizer.close()
    document = _document(manifest, utterances, evaluations)
    if phrases:
        _add_phrases(document, [reports for _, reports in heard])
    if report:
        facts = {"Engine": engine, "Beam size": str(beam_size), "Decodings at the same time": str(workers)}
        facts |= looked_for | _asked(spoken, glossary, terms)
        _write_report(report, document, evaluations)
        _write_page(report, manifest, utterances, evaluations, facts, hashes)
    (print_json if as_json else _print_table)(document)


def phrases_fact(resolved: ResolvedModel, used: PhraseSet | None, path: Path | None) -> dict[str, str]:
    """How many phrases a model looked for, as the report says it: of the file, and of its own."""
    from asr.biasing.phrases import PhraseSet, combined

    asked, own = used or PhraseSet(()), resolved.phrases or PhraseSet(())
    found = [f"{len(asked)} from {path}"] if path else []
    found += [f"{len(combined(asked, own)) - len(asked)} of its own"] if own else []
    return {f"Phrases of {resolved.reference}": ", ".join(found)} if found else {}


def _asked(spoken: str | None, glossary: list[str], terms: Path | None) -> dict[str, str]:
    """Language and terms, as the report names them."""
    given = f"{len(glossary)}, from {terms or 'the rows of the manifest'}" if glossary else "none"
    return {"Language": spoken or "left to the model", "Terms": given}


def _language(manifest: Path, utterances: list[Utterance], asked: str) -> str | None:
    """The one language of the speech, or None where nothing names it."""
    from asr.text.languages import AUTO, language_code

    if asked != AUTO:
        return language_code(asked)
    named = sorted({language_code(row.language) for row in utterances if row.language})
    if len(named) > 1:
        raise InputError(
            f"{manifest}: rows are in {', '.join(named)}, which no one normaliser fits; evaluate each language by "
            "itself, or give --language"
        )
    return named[0] if named else None


def _check_scorable(manifest: Path, utterances: list[Utterance]) -> None:
    lacking = [row.id for row in utterances if row.text is None and row.terms is None]
    if lacking:
        raise InputError(
            f"{manifest}: {lacking[0]} and {len(lacking) - 1} more have neither text nor terms to score"
        )


def _document(manifest: Path, utterances: list[Utterance], evaluations: list[Evaluation]) -> dict[str, Any]:
    from asr.evaluation.evaluate import as_document, compare

    document: dict[str, Any] = {"manifest": str(manifest), **as_document(evaluations[0])}
    document["terms"] = _term_counts(evaluations[0], utterances)
    if len(evaluations) > 1:
        comparison = compare(evaluations[1], evaluations[0])
        document["against"] = {
            **as_document(evaluations[1]),
            "terms": _term_counts(evaluations[1], utterances),
        }
        document["comparison"] = {
            "metric": evaluations[0].error_name,
            "delta": comparison.delta,
            "interval": [comparison.low, comparison.high],
            "prob_better": comparison.prob_better,
            "resampled": comparison.unit,
            "num_resampled": comparison.num_units,
        }
    return document


def _add_phrases(document: dict[str, Any], reports: list[tuple[PhraseReport, ...]]) -> None:
    """What became of each phrase, of each model: one may be unable to write what the other does."""
    documents = [document, *([document["against"]] if "against" in document else [])]
    for one, of_model in zip(documents, reports, strict=True):
        one["phrases"] = as_rows(of_model)


def _term_counts(evaluation: Evaluation, utterances: list[Utterance]) -> dict[str, dict[str, int]]:
    """By term: how often it was said, found and made up."""
    from asr.evaluation.breakdown import by_term

    return {
        term: {"said": counts.said, "found": counts.true_positives, "inserted": counts.false_positives}
        for term, counts in by_term(evaluation, utterances).items()
    }


def _terms_of_rows(utterances: list[Any]) -> list[str]:
    return sorted({term for row in utterances for term in row.terms or ()})


def _write_report(folder: Path, document: dict[str, Any], evaluations: list[Evaluation]) -> None:
    from asr.atomic import write_bytes_atomically

    lines = []
    for rows in zip(*(evaluation.rows for evaluation in evaluations), strict=True):
        line: dict[str, Any] = {
            "id": rows[0].id,
            "reference": rows[0].reference,
            "hypothesis": rows[0].hypothesis,
        }
        if rows[0].words is not None:
            line["errors"] = rows[0].words.errors
        if len(rows) > 1:
            line["against"] = rows[1].hypothesis
            line |= {"errors_against": rows[1].words.errors} if rows[1].words is not None else {}
        lines.append(json.dumps(line, ensure_ascii=False))
    write_bytes_atomically(
        folder / "report.json", json.dumps(document, indent=2, ensure_ascii=False).encode()
    )
    write_bytes_atomically(folder / "rows.jsonl", "".join(f"{line}\n" for line in lines).encode())


def _write_page(
    folder: Path,
    manifest: Path,
    utterances: list[Utterance],
    evaluations: list[Evaluation],
    facts: dict[str, str],
    hashes: dict[str, str],
) -> None:
    from datetime import UTC, datetime

    from asr import __version__
    from asr.data.manifest import manifest_sha256
    from asr.evaluation.report import Report, SetResult, write

    model, *others = (evaluation.model for evaluation in evaluations)
    against = others[0] if others else ""
    names = {"Model": model} | ({"Compared with": against} if against else {})
    result = SetResult(
        name=manifest.stem,
        description=str(manifest),
        adapted=evaluations[0],
        base=evaluations[1] if against else None,
        utterances=tuple(utterances),
    )
    page = Report(
        title=f"{_short(model)} on {manifest.stem}",
        summary=f"Compared with {_short(against)}, paired, over the same utterances." if against else "",
        created_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        facts=names | {"Normaliser": evaluations[0].normalizer} | facts,
        hashes={"manifest and audio": manifest_sha256(utterances)} | hashes | {"lexitune": __version__},
        results=(result,),
        base_name=_short(against) + (" (against)" if against == model else ""),
        adapted_name=_short(model),
    )
    message(f"report: {write(page, folder)}")


def _short(reference: str) -> str:
    """A reference, or the folder's name where it is a path."""
    return Path(reference).name if Path(reference).is_absolute() else reference


_RATES = ("wer", "cer", "term_recall", "term_precision", "term_f1", "biased_wer", "unbiased_wer")
_COUNTS = (
    "substitutions", "deletions", "insertions", "reference_words", "reference_characters", "terms_said",
    "terms_missed", "terms_inserted", "utterances",
)  # fmt: skip


def _print_table(document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    columns = [document] + ([document["against"]] if "against" in document else [])
    table = Table(
        "", *(escape(column["model"]) for column in columns), caption=f"normaliser {document['normalizer']}"
    )
    for key in _RATES:
        if document[key] is not None:
            table.add_row(key.replace("_", " "), *(f"{column[key]:.2%}" for column in columns))
    rate = document["metric"].lower()
    if document.get(f"{rate}_interval"):
        intervals = (column[f"{rate}_interval"] for column in columns)
        table.add_row(f"{rate}, 95 % interval", *(f"{low:.2%} to {high:.2%}" for low, high in intervals))
    for key in _COUNTS:
        if document[key] is not None:
            table.add_row(key.replace("_", " "), *(str(column[key]) for column in columns))
    table.add_row("RTFx", *(str(column["rtfx"]) for column in columns))
    stdout.print(table)
    if "comparison" in document:
        c = document["comparison"]
        interval = f"{c['interval'][0]:+.2%} to {c['interval'][1]:+.2%}"
        stdout.print(
            f"{c['metric']} {c['delta']:+.2%} ({interval}), P(better) {c['prob_better']:.3f}, "
            f"{c['num_resampled']} {c['resampled']}s resampled",
            markup=False,
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)
