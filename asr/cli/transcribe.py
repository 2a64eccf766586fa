"""``lexitune transcribe``: recordings or a manifest to text, json, jsonl, srt, vtt or ctm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_NO, message
from asr.cli.phrases import Phrases, phrases_for
from asr.errors import OptionError

if TYPE_CHECKING:
    from asr.cli.batch import Engine
    from asr.cli.failures import FailureList
    from asr.cli.recipe import Recipe
    from asr.cli.sinks import Sink
    from asr.cli.sources import Source

CTRANSLATE2, RAY = "ctranslate2", "ray"
ENGINES = (CTRANSLATE2, "torch", RAY)
MAX_TOLD = 20  # failures on stderr; all are in their list


class Format(StrEnum):
    """How transcripts are written."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SRT = "srt"
    VTT = "vtt"
    CTM = "ctm"


class Channels(StrEnum):
    """What is done with several channels."""

    MIX = "mix"
    SPLIT = "split"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        help="Recordings, folders of them, patterns such as 'calls/**/*.wav', and URLs of any of these."
    ),
]
Output = Annotated[str | None, typer.Option(help="File, or folder for several recordings; default: stdout.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep what --output holds and hashes prove; do the rest.")
]
Legs = Annotated[
    str | None,
    typer.Option(help="Names of the channels, as agent,customer: each by itself, merged by time into one."),
]
Failures = Annotated[
    str | None,
    typer.Option(help="Where failures are listed; default: failures.jsonl in the folder, beside a file."),
]
EngineName = Annotated[
    str, typer.Option(help="ctranslate2, or torch as the reference, or ray for a cluster of ctranslate2.")
]
Workers = Annotated[int, typer.Option(min=1, help="Decodings at the same time; with ray, workers at most.")]
Steps = Annotated[
    str | None, typer.Option(help="Done to the text, comma-separated: itn-en-1 writes spoken numbers.")
]
Redact = Annotated[str | None, typer.Option(help="Taken out of the text: some of numbers,names,cards,dates.")]


def transcribe(
    files: Files = None,
    model: Annotated[str, typer.Option(help="Model reference.")] = "bundled:tiny.en",
    manifest: Annotated[
        Path | None, typer.Option(help="Transcribe the utterances of a manifest instead.")
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TEXT,
    output: Output = None,
    channels: Annotated[
        Channels, typer.Option(help="Mix channels down, or transcribe each by itself.")
    ] = Channels.MIX,
    legs: Legs = None,
    language: Annotated[str, typer.Option(help="Code of the speech; auto leaves it to the model.")] = "auto",
    resume: Resume = False,
    failures: Failures = None,
    engine: EngineName = CTRANSLATE2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    beam_size: Annotated[int, typer.Option(min=1, max=16, help="1 is greedy.")] = 5,
    workers: Workers = 2,
    phrases: Phrases = None,
    steps: Steps = None,
    redact: Redact = None,
) -> None:
    """Transcribe recordings of any length; failures are listed, the rest is done, exit 1 if any failed."""
    if resume and output is None:
        raise OptionError("--resume needs --output: it goes on with what that holds")
    _check_engine(engine, output)
    sources = _sources(files or [], manifest, channels, _legs(legs))

    from asr.cli.failures import FailureList, failures_path
    from asr.cli.recipe import Recipe
    from asr.cli.sinks import JSONL, open_sink
    from asr.models.resolve import resolve_model

    resolved = resolve_model(model)
    wanted, _ = phrases_for(resolved, phrases)
    recipe = Recipe(
        model=resolved.reference,
        engine=CTRANSLATE2 if engine == RAY else engine,
        device=device,
        beam_size=beam_size,
        language=language,
        phrases=wanted,
        steps=_names(steps),
        redact=_names(redact),
    )
    recipe.finisher()  # what it needs is missed before any work
    is_folder = output_format != JSONL and (len(sources) != 1 or _stands_for_many(files or []))
    making = recipe.making(resolved, output_format)
    sink = open_sink(output_format, output, sources, making, into_folder=is_folder)
    listed = FailureList(failures or failures_path(output, is_folder=is_folder))
    _run(sources, sink, listed, lambda: _open(recipe, workers, on_ray=engine == RAY), resume=resume)
    if listed.failures:
        _tell(listed, len(sources))
        raise typer.Exit(EXIT_NO)


def _sources(
    files: Sequence[str], manifest: Path | None, channels: Channels, legs: tuple[str, ...]
) -> list[Source]:
    from asr.cli.sources import file_sources, manifest_sources

    if bool(files) == bool(manifest):
        raise OptionError("give recordings or --manifest, one of the two")
    if manifest is None:
        return file_sources(files, split_channels=channels is Channels.SPLIT, legs=legs)
    if channels is Channels.SPLIT and not legs:
        raise OptionError(
            "--channels split is for recordings, not for --manifest; give each channel a row with its channel, or "
            "name the channels by --legs",
            field="channels",
        )
    return manifest_sources(manifest, legs=legs)


def _legs(names: str | None) -> tuple[str, ...]:
    if names is None:
        return ()
    legs = tuple(name.strip() for name in names.split(","))
    if len(legs) < 2 or len(set(legs)) < len(legs) or not all(legs):
        raise OptionError(
            f"--legs is {names!r}; give a name of its own to each of two or more channels, as agent,customer",
            field="legs",
        )
    return legs


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


def _stands_for_many(files: Sequence[str]) -> bool:
    from asr.cli.places import place_of

    return any(place_of(file).stands_for_many() for file in files)


def _check_engine(engine: str, output: str | None) -> None:
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} is not known; there are {', '.join(ENGINES)}", field="engine")
    if engine == RAY and output is None:
        raise OptionError(
            "--engine ray needs --output: stdout is no place for the work of many", field="output"
        )


def _open(recipe: Recipe, workers: int, *, on_ray: bool) -> Engine:
    if not on_ray:
        return recipe.open(num_workers=workers)
    from asr.cli.cluster import RayEngine

    return RayEngine(recipe, max_workers=workers)


def _run(
    sources: Sequence[Source],
    sink: Sink,
    failures: FailureList,
    open_engine: Callable[[], Engine],
    *,
    resume: bool,
) -> None:
    """Transcribe what the sink does not keep; the model is loaded only if something is left to do."""
    from asr.cli.batch import run_batch

    with closing(sink):
        sink.begin(resume=resume)
        failures.begin()
        todo = [source for source in sources if not sink.has(source)]
        if skipped := len(sources) - len(todo):
            message(f"{skipped} of {len(sources)} are done already")
        if todo:
            run_batch(open_engine(), todo, sink, failures)
        sink.finish()


def _tell(listed: FailureList, num_sources: int) -> None:
    for failure in listed.failures[:MAX_TOLD]:
        message(f"{failure.id}: {failure.reason}")
    if len(listed.failures) > MAX_TOLD:
        message(f"and {len(listed.failures) - MAX_TOLD} more")
    where = f"; {listed.path} lists them" if listed.path else ""
    message(f"{len(listed.failures)} of {num_sources} failed{where}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transcribe)
