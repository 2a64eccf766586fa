"""``lexitune phrases``: what a model makes of phrases, as spellings under which it will find them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import message, print_json, reporting, stdout

phrases_app = typer.Typer(help="Phrases for recognition requests.", no_args_is_help=True)


@phrases_app.command()
def aliases(
    phrases: Annotated[Path, typer.Argument(help="Phrases or a glossary, one a line.")],
    out: Annotated[Path, typer.Option(help="File to write: the phrases with what the model makes of them.")],
    model: Annotated[str, typer.Option(help="Model that will be served.")] = "bundled:tiny.en",
    language: Annotated[str, typer.Option(help="Code of the phrases.")] = "en",
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Speak each phrase, recognise it, and add the misspellings to it that are no ordinary words."""
    from asr.atomic import write_bytes_atomically
    from asr.biasing.phrases import format_phrases, read_phrases
    from asr.models.resolve import resolve_model
    from asr.recognizer import Recognizer
    from training.aliases import find_aliases, with_aliases
    from training.synth.speech import available_engines

    wanted, reports = read_phrases(phrases)
    engine = available_engines(language)[0]
    # what the model makes of them by itself: without the phrases that its version carries
    recognizer = Recognizer.open(replace(resolve_model(model), phrases=None))
    with reporting() as reporter:
        found = find_aliases(wanted, recognizer, engine, reporter, seed=seed)
    recognizer.close()
    write_bytes_atomically(out, format_phrases(with_aliases(wanted, found)).encode())
    for report in reports:
        if report.reason:
            message(f"left out: {report.text}: {report.reason}")
    if as_json:
        document = [
            {
                "phrase": one.phrase,
                "aliases": list(one.aliases),
                "refused": [list(some) for some in one.refused],
            }
            for one in found
        ]
        print_json({"model": recognizer.reference, "phrases": document, "out": str(out)})
        return
    for one in found:
        if one.aliases:
            stdout.print(f"{one.phrase}: {', '.join(one.aliases)}", markup=False, highlight=False)
    num_aliased = sum(bool(one.aliases) for one in found)
    message(f"{num_aliased} of {len(found)} phrases have other spellings; written to {out}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(phrases_app, name="phrases")
