"""``lexitune transcribe``: recordings or a manifest to text, json, jsonl, srt, vtt or ctm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.atomic import write_bytes_atomically
from asr.cli.console import EXIT_NO, message, reporting
from asr.cli.formats import FORMATS, SUFFIXES, as_row
from asr.errors import AudioError, InputError, OptionError
from asr.results import Transcript


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


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to transcribe: its id, the path as it will be reported, and how to read it."""

    id: str
    audio_filepath: str
    read: Callable[[], Any]


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
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what --output already holds; do the rest.")
    ] = False,
    engine: Annotated[str, typer.Option(help="ctranslate2, or torch as the reference.")] = "ctranslate2",
    beam_size: Annotated[int, typer.Option(min=1, max=16, help="1 is greedy.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Decodings at the same time.")] = 2,
) -> None:
    """Transcribe recordings of any length; failures are listed, the rest is done, exit 1 if any failed."""
    from asr.models.base import DecodingOptions

    if bool(files) == bool(manifest):
        raise OptionError("give recordings or --manifest, one of the two")
    if resume and output is None:
        raise OptionError("--resume needs --output: it goes on with what that holds")
    sources = _manifest_sources(manifest) if manifest else _file_sources(files or [], channels)
    sink = _Sink(output_format, output, len(sources))
    todo = [source for source in sources if not (resume and sink.has(source))]
    if skipped := len(sources) - len(todo):
        message(f"{skipped} of {len(sources)} are done already")
    failures = _run(todo, sink, model, engine, workers, DecodingOptions(beam_size=beam_size)) if todo else []
    sink.finish()
    for failure in failures:
        message(failure)
    if failures:
        message(f"{len(failures)} of {len(sources)} failed")
        raise typer.Exit(EXIT_NO)


def _run(
    sources: list[Source], sink: _Sink, model: str, engine: str, workers: int, options: Any
) -> list[str]:
    import time

    from asr.recognizer import Recognizer

    recognizer = Recognizer.load(model, engine=engine, num_workers=workers)
    failures: list[str] = []
    readable: list[Source] = []

    def recordings() -> Iterator[Any]:
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
        for index, transcript in enumerate(recognizer.transcribe_many(recordings(), options)):
            sink.write(readable[index], transcript)
            audio_s += transcript.duration_s
            stage.advance(f"RTFx {audio_s / max(1e-6, time.monotonic() - started):.1f}")
    return failures


class _Sink:
    """Where transcripts go: stdout, one file, or a folder; whole files or none."""

    def __init__(self, output_format: Format, output: Path | None, num_sources: int) -> None:
        self._format = output_format
        self._output = output
        self._is_folder = output is not None and num_sources > 1 and output_format is not Format.JSONL
        self._rows: dict[str, str] = {}
        self._part = (
            output.with_name(output.name + ".partial") if output and output_format is Format.JSONL else None
        )
        if self._is_folder and output is not None and output.is_file():
            raise OptionError(
                f"--output {output} is a file; {num_sources} recordings need a folder, or --format jsonl"
            )
        if output is not None and not self._is_folder and output.is_dir():
            raise OptionError(f"--output {output} is a folder; name a file")
        if self._part is not None:
            self._part.parent.mkdir(parents=True, exist_ok=True)

    def has(self, source: Source) -> bool:
        """Whether an earlier run has written this one; reads what it left on first use."""
        if self._part is None:
            path = self._path(source)
            return path is not None and path.is_file()
        if not self._rows:
            for path in (self._output, self._part):
                for line in path.read_text().splitlines() if path and path.is_file() else ():
                    if line.endswith("}"):  # a killed run may leave half a line at the end
                        self._rows[json.loads(line)["id"]] = line
        return source.id in self._rows

    def write(self, source: Source, transcript: Transcript) -> None:
        """Keep one transcript."""
        if self._format is Format.JSONL:
            line = json.dumps(as_row(source.id, source.audio_filepath, transcript), ensure_ascii=False)
            self._rows[source.id] = line
            if self._part is None:
                typer.echo(line)
            else:
                with self._part.open("a") as part:
                    part.write(line + "\n")
            return
        text = FORMATS[self._format](source.id, transcript)
        path = self._path(source)
        if path is None:
            typer.echo(text, nl=False)
        else:
            write_bytes_atomically(path, text.encode())

    def finish(self) -> None:
        """Put the rows in their place."""
        if self._part is not None and self._output is not None:
            write_bytes_atomically(self._output, "".join(f"{row}\n" for row in self._rows.values()).encode())
            self._part.unlink(missing_ok=True)

    def _path(self, source: Source) -> Path | None:
        if self._output is None:
            return None
        name = source.id.replace("/", "_") + SUFFIXES[self._format]
        return self._output / name if self._is_folder else self._output


def _file_sources(files: list[Path], channels: Channels) -> list[Source]:
    from asr.audio.files import count_channels, read_audio, read_channels

    sources = []
    for path in files:
        if channels is Channels.MIX:
            sources.append(Source(path.stem, str(path), lambda path=path: read_audio(path)))  # type: ignore[misc]
            continue
        for channel in range(count_channels(path)):

            def read(path: Path = path, channel: int = channel) -> Any:
                return read_channels(path)[:, channel]

            sources.append(Source(f"{path.stem}#{channel}", str(path), read))
    _refuse_same_ids(sources)
    return sources


def _manifest_sources(manifest: Path) -> list[Source]:
    from asr.data.manifest import load_samples, read_manifest

    sources = [
        Source(utterance.id, str(utterance.audio_path), lambda utterance=utterance: load_samples(utterance))  # type: ignore[misc]
        for utterance in read_manifest(manifest)
    ]
    _refuse_same_ids(sources)
    return sources


def _refuse_same_ids(sources: list[Source]) -> None:
    seen: set[str] = set()
    for source in sources:
        if source.id in seen:
            raise InputError(f"{source.id!r} names two recordings; give them in a manifest with an id each")
        seen.add(source.id)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transcribe)
