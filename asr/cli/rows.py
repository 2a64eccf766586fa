"""Transcripts as rows of one jsonl file: in ``OUTPUT.partial`` as they come, in OUTPUT in the order they were asked for.

Neither the rows nor the file are ever in memory as a whole: what is kept of a row is where it stands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import typer

from asr.atomic import open_atomically
from asr.cli.console import message
from asr.cli.formats import as_row
from asr.cli.journal import Doubts, Journal, Making, checked, sha256_of
from asr.cli.sources import Source
from asr.cli.stores import LocalStore
from asr.results import Transcript


class PrintedRows:
    """One row a source, to stdout."""

    def __init__(self, making: Making) -> None:
        self._making = making

    def begin(self, *, resume: bool) -> None:
        """Nothing is kept."""

    def has(self, source: Source) -> bool:
        """Nothing is."""
        return False

    def write(self, source: Source, recording: str, transcript: Transcript) -> None:
        """Print it."""
        typer.echo(_line(source, transcript, self._making))

    def finish(self) -> None:
        """Every row is out already."""

    def close(self) -> None:
        """Nothing is held."""


class Rows:
    """One row a source, in a file of this machine. See :class:`asr.cli.sinks.Sink`."""

    def __init__(self, output: Path, sources: Sequence[Source], making: Making) -> None:
        self._output, self._sources, self._making = output, sources, making
        self._partial_path = output.with_name(output.name + ".partial")
        folder = output.absolute().parent
        self._journal = Journal(LocalStore(folder), f".{output.name}.journal", making)
        self._places: dict[str, int] = {}  # of the rows in the partial file
        self._partial: BinaryIO | None = None

    def begin(self, *, resume: bool) -> None:
        """See :class:`asr.cli.sinks.Sink`."""
        self._journal.begin(keeps=resume)
        # Written anew: behind half a row that a killed run left, the next row would be lost too.
        kept = self._kept() if resume else {}
        with open_atomically(self._partial_path) as stream:
            for path, rows in kept.items():
                with path.open("rb") as old:
                    for source_id, place in rows.items():
                        old.seek(place)
                        self._places[source_id] = stream.tell()
                        stream.write(old.readline().rstrip(b"\n") + b"\n")
        self._partial = self._partial_path.open("r+b")
        self._partial.seek(0, 2)

    def has(self, source: Source) -> bool:
        """See :class:`asr.cli.sinks.Sink`."""
        return source.id in self._places

    def write(self, source: Source, recording: str, transcript: Transcript) -> None:
        """See :class:`asr.cli.sinks.Sink`."""
        assert self._partial is not None, "a sink is begun before it is written"
        line = _line(source, transcript, self._making).encode()
        self._places[source.id] = self._partial.seek(0, 2)
        self._partial.write(line + b"\n")
        self._partial.flush()
        self._journal.add(source.id, recording=recording, output=line)

    def finish(self) -> None:
        """See :class:`asr.cli.sinks.Sink`."""
        assert self._partial is not None, "a sink is begun before it is finished"
        with open_atomically(self._output) as stream:
            for source in self._sources:
                if (place := self._places.get(source.id)) is not None:
                    self._partial.seek(place)
                    stream.write(self._partial.readline())
        self._partial_path.unlink(missing_ok=True)

    def close(self) -> None:
        """See :class:`asr.cli.sinks.Sink`."""
        if self._partial is not None:
            self._partial.close()
        self._journal.close()

    def _kept(self) -> dict[Path, dict[str, int]]:
        """By file, the proved rows of what was asked for again and where they begin; a row is in one file only."""
        written: dict[str, list[tuple[Path, int, str]]] = {}
        wanted = {source.id for source in self._sources}
        for path in (self._output, self._partial_path):
            for source_id, place, digest in _read(path):
                if source_id in wanted:
                    written.setdefault(source_id, []).append((path, place, digest))

        def proved(source: Source, doubts: Doubts) -> str | None:
            rows = written.get(source.id)
            return self._journal.proved(source, {row[2] for row in rows}, doubts) if rows else None

        kept: dict[Path, dict[str, int]] = {}
        for source_id, output in checked(self._sources, proved, str(self._output)).items():
            path, place, _ = next(row for row in written[source_id] if row[2] == output)
            kept.setdefault(path, {})[source_id] = place
        return kept


def _line(source: Source, transcript: Transcript, making: Making) -> str:
    row = as_row(source.id, source.audio_filepath, making["model"], transcript)
    if making.get("phrases"):
        row["phrases"] = making["phrases"]
    return json.dumps(row, ensure_ascii=False)


def _read(path: Path) -> list[tuple[str, int, str]]:
    """Id, place and sha256 of each row of a file; says how many lines are none."""
    rows: list[tuple[str, int, str]] = []
    if not path.is_file():
        return rows
    num_broken = place = 0
    with path.open("rb") as stream:
        for line in stream:
            if (row := _parse(line)) is not None:
                rows.append((row["id"], place, sha256_of(line.rstrip(b"\n"))))
            elif line.strip():
                num_broken += 1
            place += len(line)
    if num_broken:
        message(f"{path}: {num_broken} broken rows; what they held is done again")
    return rows


def _parse(line: bytes) -> dict[str, Any] | None:
    """A row of ours, or None for whatever else the line holds."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("id"), str) else None
