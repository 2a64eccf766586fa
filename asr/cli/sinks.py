"""Where ``lexitune transcribe`` puts transcripts: stdout, a file, a folder, or rows of jsonl; whole files or none.

What can be known to be wrong with an output path is found when a sink is made, before anything is decoded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import typer

from asr.atomic import write_bytes_atomically
from asr.cli.console import message
from asr.cli.formats import FORMATS, SUFFIXES, as_row
from asr.cli.sources import Source
from asr.errors import InputError, OptionError
from asr.results import Transcript

JSONL = "jsonl"


class Sink(Protocol):
    """Keeps the transcripts of its sources."""

    def begin(self, *, resume: bool) -> None:
        """Find what an earlier run left, to keep it if ``resume``, else to do it all again."""
        ...

    def has(self, source: Source) -> bool:
        """Whether this one is kept from an earlier run."""
        ...

    def write(self, source: Source, transcript: Transcript) -> None:
        """Keep one transcript."""
        ...

    def finish(self) -> None:
        """Put everything in its place."""
        ...


def open_sink(
    output_format: str, output: Path | None, sources: Sequence[Source], model: str, *, phrases: str = ""
) -> Sink:
    """The sink for a format and an ``--output``.

    Args:
        output_format: a name in ``asr.cli.formats``, or "jsonl".
        output: None for stdout.
        sources: everything that was asked for, in its order.
        model: the immutable reference of the model, which rows of jsonl note.
        phrases: key of the phrases that recordings may hold, which they note, too; "" for none.

    Raises:
        OptionError: ``output`` cannot be what it has to be, a file or a folder.
        InputError: two sources would write the same file.
    """
    if output_format == JSONL:
        return _Rows(output, sources, model, phrases)
    return _Documents(output_format, output, sources)


class _Documents:
    """A document for each source: to stdout, to the one file, or into a folder."""

    def __init__(self, output_format: str, output: Path | None, sources: Sequence[Source]) -> None:
        self._format = output_format
        self._paths: dict[str, Path] = {}
        self._kept: frozenset[str] = frozenset()
        if output is None:
            return
        if len(sources) == 1:
            _check_file(output)
            self._paths = {sources[0].id: output}
            return
        _check_folder(output, f"{len(sources)} recordings need one, or --format jsonl")
        for source in sources:
            self._paths[source.id] = output / (source.id.replace("/", "_") + SUFFIXES[output_format])
        _check_distinct(self._paths)

    def begin(self, *, resume: bool) -> None:
        if resume:
            self._kept = frozenset(key for key, path in self._paths.items() if path.is_file())

    def has(self, source: Source) -> bool:
        return source.id in self._kept

    def write(self, source: Source, transcript: Transcript) -> None:
        text = FORMATS[self._format](source.id, transcript)
        if path := self._paths.get(source.id):
            write_bytes_atomically(path, text.encode())
        else:
            typer.echo(text, nl=False)

    def finish(self) -> None:
        """Every document is in its place already."""


class _Rows:
    """One row of jsonl a source; ``OUTPUT.partial`` holds them until all are done."""

    def __init__(self, output: Path | None, sources: Sequence[Source], model: str, phrases: str) -> None:
        self._output, self._phrases = output, phrases
        self._ids = dict.fromkeys(source.id for source in sources)
        self._model = model
        self._rows: dict[str, str] = {}
        if output is not None:
            _check_file(output)

    def begin(self, *, resume: bool) -> None:
        if self._output is None:
            return
        if resume:
            self._read(self._output)
            self._read(self._partial(self._output))
        # Written anew: behind half a row that a killed run left, the next row would be lost too.
        write_bytes_atomically(self._partial(self._output), self._in_order())

    def has(self, source: Source) -> bool:
        return source.id in self._rows

    def write(self, source: Source, transcript: Transcript) -> None:
        row = as_row(source.id, source.audio_filepath, self._model, transcript)
        if self._phrases:
            row["phrases"] = self._phrases
        line = self._rows[source.id] = json.dumps(row, ensure_ascii=False)
        if self._output is None:
            typer.echo(line)
            return
        with self._partial(self._output).open("a", encoding="utf-8") as partial:
            partial.write(line + "\n")

    def finish(self) -> None:
        if self._output is not None:
            write_bytes_atomically(self._output, self._in_order())
            self._partial(self._output).unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        """Take over the rows of this model and phrases that were asked for again; say which others are done anew."""
        others: set[str] = set()
        num_broken = num_others = 0
        for line in path.read_bytes().split(b"\n") if path.is_file() else ():
            if not line.strip():
                continue
            row = _parse(line)
            if row is None:
                num_broken += 1
            elif row["id"] not in self._ids:
                continue
            elif row.get("model") == self._model and row.get("phrases", "") == self._phrases:
                self._rows[row["id"]] = json.dumps(row, ensure_ascii=False)
            else:
                num_others += 1
                others.add(_made_by(row))
        if num_broken:
            message(f"{path}: {num_broken} broken rows; what they held is done again")
        if num_others:
            message(
                f"{path}: {num_others} rows are of {', '.join(sorted(others))}; done again with "
                f"{_made_by({'model': self._model, 'phrases': self._phrases})}"
            )

    def _in_order(self) -> bytes:
        return "".join(f"{self._rows[key]}\n" for key in self._ids if key in self._rows).encode()

    @staticmethod
    def _partial(output: Path) -> Path:
        return output.with_name(output.name + ".partial")


def _made_by(row: Mapping[str, Any]) -> str:
    model, phrases = str(row.get("model", "a model that it does not name")), str(row.get("phrases", ""))
    return f"{model} and phrases {phrases[:12]}" if phrases else model


def _parse(line: bytes) -> dict[str, Any] | None:
    """A row of ours, or None for whatever else the line holds."""
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("text"), str)
    return row if is_row else None


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise OptionError(f"--output {path} is a folder; name a file", field="output")
    _check_folder(path.absolute().parent, "name a file in a folder that can be written")


def _check_folder(path: Path, remedy: str) -> None:
    """Refuse a folder that is none, or that could not be made or written."""
    nearest = path.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OptionError(f"--output: {nearest} is no folder; {remedy}", field="output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OptionError(f"--output: {nearest} cannot be written; {remedy}", field="output")


def _check_distinct(paths: dict[str, Path]) -> None:
    owners: dict[Path, str] = {}
    for key, path in paths.items():
        if (owner := owners.setdefault(path, key)) != key:
            raise InputError(
                f"{owner!r} and {key!r} would both be written to {path}; give them other ids, or use --format jsonl"
            )
