"""``lexitune transcribe``: recordings or a manifest to text, json, jsonl, srt, vtt or ctm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_NO, message, reporting
from asr.cli.phrases import Phrases, phrases_of
from asr.cli.sources import Samples, Source, file_sources, manifest_sources
from asr.errors import AudioError, OptionError

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseSet
    from asr.cli.sinks import Sink
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer


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


def transcribe(
    files: Annotated[list[Path] | None, typer.Argument(help="Recordings.")] = None,
    model: Annotated[str, typer.Option(help="Model reference.")] = "bundled:tiny.en",
    manifest: Annotated[
        Path | None, typer.Option(help="Transcribe the utterances of a manifest instead.")
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option(help="File, or folder for several recordings; default: stdout.")
    ] = None,
    channels: Annotated[
        Channels, typer.Option(help="Mix channels down, or transcribe each by itself.")
    ] = Channels.MIX,
    language: Annotated[str, typer.Option(help="Code of the speech; auto leaves it to the model.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what --output already holds; do the rest.")
    ] = False,
    engine: Annotated[str, typer.Option(help="ctranslate2, or torch as the reference.")] = "ctranslate2",
    beam_size: Annotated[int, typer.Option(min=1, max=16, help="1 is greedy.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Decodings at the same time.")] = 2,
    phrases: Phrases = None,
) -> None:
    """Transcribe recordings of any length; failures are listed, the rest is done, exit 1 if any failed."""
    if resume and output is None:
        raise OptionError("--resume needs --output: it goes on with what that holds")
    sources = _sources(files or [], manifest, channels)
    wanted, _ = phrases_of(phrases)

    from asr.cli.sinks import open_sink
    from asr.models.base import DecodingOptions
    from asr.models.resolve import resolve_model
    from asr.recognizer import Recognizer
    from asr.text.languages import AUTO, known_code

    reference = resolve_model(model).reference
    sink = open_sink(output_format, output, sources, reference, phrases=wanted.key if wanted else "")
    sink.begin(resume=resume)
    todo = [source for source in sources if not sink.has(source)]
    if skipped := len(sources) - len(todo):
        message(f"{skipped} of {len(sources)} are done already")
    failures: list[str] = []
    if todo:
        recognizer = Recognizer.load(reference, engine=engine, num_workers=workers)
        code = None if language == AUTO else known_code(language, recognizer.languages, reference)
        options = DecodingOptions(beam_size=beam_size, language=code)
        failures = _run(todo, sink, recognizer, options, wanted)
    sink.finish()
    for failure in failures:
        message(failure)
    if failures:
        message(f"{len(failures)} of {len(sources)} failed")
        raise typer.Exit(EXIT_NO)


def _sources(files: Sequence[Path], manifest: Path | None, channels: Channels) -> list[Source]:
    if bool(files) == bool(manifest):
        raise OptionError("give recordings or --manifest, one of the two")
    if manifest is None:
        return file_sources(files, split_channels=channels is Channels.SPLIT)
    if channels is Channels.SPLIT:
        raise OptionError(
            "--channels split is for recordings, not for --manifest; give each channel a row with its channel",
            field="channels",
        )
    return manifest_sources(manifest)


def _run(
    sources: Sequence[Source],
    sink: Sink,
    recognizer: Recognizer,
    options: DecodingOptions,
    phrases: PhraseSet | None,
) -> list[str]:
    """Transcribe what can be read; the failures of the rest, a line each."""
    failures: list[str] = []
    readable: list[Source] = []

    def recordings() -> Iterator[Samples]:
        for source in sources:
            try:
                samples = source.read()
            except AudioError as error:
                failures.append(f"{source.id}: {error}")
                stage.advance()
                continue
            readable.append(source)
            yield samples

    started = time.monotonic()
    audio_s = 0.0
    with reporting() as reporter, reporter.stage("transcribing", len(sources)) as stage:
        transcripts = recognizer.transcribe_many(recordings(), options, phrases=phrases)
        for index, transcript in enumerate(transcripts):
            sink.write(readable[index], transcript)
            audio_s += transcript.duration_s
            stage.advance(f"RTFx {audio_s / max(1e-6, time.monotonic() - started):.1f}")
    return failures


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transcribe)
