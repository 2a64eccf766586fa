"""``lexitune adapt`` and ``lexitune data synthesize``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_NO, message, print_json, reporting, stdout
from asr.cli.data import data_app
from asr.cli.models import models_app
from asr.errors import OptionError
from training.aliases_command import register as register_phrases
from training.align_command import align
from training.assess_command import assess
from training.import_command import import_model

if TYPE_CHECKING:
    from training.report import AdaptationReport


class MethodName(StrEnum):
    """What is trained."""

    AUTO = "auto"
    DECODER = "decoder"
    LORA = "lora"
    FULL = "full"
    CTC = "ctc"


def adapt(
    name: Annotated[str, typer.Option(help="Registered name of the result.")],
    base: Annotated[str, typer.Option(help="Model to start from.")] = "bundled:tiny.en",
    text: Annotated[Path | None, typer.Option(help="Domain text, one utterance a line.")] = None,
    terms: Annotated[Path | None, typer.Option(help="Glossary, one term a line.")] = None,
    train: Annotated[Path | None, typer.Option(help="Manifest of transcribed audio.")] = None,
    dev: Annotated[Path | None, typer.Option(help="Manifest to select and gate on.")] = None,
    test: Annotated[Path | None, typer.Option(help="Manifest that only the gate sees, once.")] = None,
    general: Annotated[
        Path | None, typer.Option(help="Manifest of general speech, for the forgetting check.")
    ] = None,
    templates: Annotated[Path | None, typer.Option(help="Carrier sentences with {term}, one a line.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Code of the domain's language, such as cy; auto: what the rows name.")
    ] = None,
    method: Annotated[MethodName, typer.Option(help="What is trained.")] = MethodName.AUTO,
    alias: Annotated[str, typer.Option(help="Alias to move to the new version if the gate passes.")] = "",
    config: Annotated[Path | None, typer.Option(help="TOML with [training], [split] and [gate].")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Adapt a model, prove it, publish it; exit 1 if the gate refuses. Run again after an interrupt, it goes on."""
    from training.spec import AdaptationSpec, read_option_groups

    groups = read_option_groups(config) if config else {}
    if seed is not None:
        groups["seed"] = seed
    if language is not None:
        groups["language"] = language
    spec = AdaptationSpec(
        base=base, name=name, text=text, terms=terms, train=train, dev=dev, test=test, general=general,
        templates=templates, method=method.value, alias=alias, **groups,
    )  # fmt: skip
    from training.adapt import adapt as run_job

    with reporting() as reporter:
        report = run_job(spec, reporter, num_workers=workers)
    if report is None:  # the launcher's main process reports
        return
    if as_json:
        print_json(report.as_document())
    else:
        _print_report(report)
    if not report.verdict.passed:
        raise typer.Exit(EXIT_NO)


def _print_report(report: AdaptationReport) -> None:
    from rich.table import Table

    evaluation = report.card["evaluation"]
    table = Table("set", "metric", "base", "adapted", title=report.reference)
    for name in ("dev", "test", "general"):
        if name not in evaluation["base"]:
            continue
        for key in ("wer", "cer", "term_recall", "term_precision", "term_f1"):
            before, after = evaluation["base"][name][key], evaluation["adapted"][name][key]
            if before is not None and (name != "general" or key in ("wer", "cer")):
                table.add_row(name, key.replace("_", " "), f"{before:.2%}", f"{after:.2%}")
    stdout.print(table)
    for check in report.verdict.checks:
        stdout.print(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.detail}", markup=False)
    verdict = "passed" if report.verdict.passed else "refused"
    promoted = f", {report.promoted_alias} now points at it" if report.promoted_alias else ""
    stdout.print(f"gate {verdict}: published {report.reference}{promoted}", markup=False)
    stdout.print(f"report: {report.page}", markup=False, soft_wrap=True)


def synthesize(
    out: Annotated[Path, typer.Option(help="Folder for audio and manifest.jsonl.")],
    text: Annotated[Path | None, typer.Option(help="Sentences, one a line.")] = None,
    terms: Annotated[Path | None, typer.Option(help="Glossary: carrier sentences are made for it.")] = None,
    templates: Annotated[Path | None, typer.Option(help="Carrier sentences with {term}, one a line.")] = None,
    per_term: Annotated[int, typer.Option(min=1, help="Carrier sentences for each term.")] = 8,
    copies: Annotated[int, typer.Option(min=1, help="Renderings of each sentence.")] = 1,
    language: Annotated[str, typer.Option(help="Code of the text; other than en by espeak-ng.")] = "en",
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
) -> None:
    """Speak text or a glossary: varied speed, pitch, room, noise and telephone band, seeded for each utterance."""
    from asr.data.glossary import read_terms
    from asr.text.languages import ENGLISH, language_code
    from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset
    from training.synth.text import (
        BARE_TEMPLATES,
        TEMPLATES,
        carrier_sentences,
        read_templates,
        read_text_lines,
    )

    code = language_code(language)
    if bool(text) == bool(terms):
        raise OptionError("give --text or --terms, one of the two")
    if text:
        sentences = [
            Sentence(id=f"line-{number:05d}", text=line)
            for number, line in enumerate(read_text_lines(text), 1)
        ]
    else:
        assert terms is not None
        built_in = TEMPLATES if code == ENGLISH else BARE_TEMPLATES
        lines = read_templates(templates) if templates else built_in
        carriers = carrier_sentences(read_terms(terms), per_term=per_term, seed=seed, templates=lines)
        sentences = [
            Sentence(id=f"term-{number:05d}", text=carrier.text, terms=carrier.terms)
            for number, carrier in enumerate(carriers, 1)
        ]
    with reporting() as reporter, reporter.stage("synthesising", len(sentences) * copies) as stage:
        options = SynthesisOptions(copies=copies, seed=seed, language=code)
        manifest = synthesize_dataset(sentences, out, options=options, progress=stage.advance)
    message(f"{len(sentences) * copies} utterances")
    stdout.print(str(manifest), markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(assess)
    app.command()(adapt)
    data_app.command()(synthesize)
    data_app.command()(align)
    models_app.command("import")(import_model)
    register_phrases(app)
