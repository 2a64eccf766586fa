"""Where ``lexitune transcribe`` puts transcripts: stdout, a file, a folder, or rows of jsonl; whole files or none.

What can be known to be wrong with an output path is found when a sink is made, before anything is decoded. What
--resume keeps is what ``asr.cli.journal`` can prove. Rows of jsonl are in ``asr.cli.rows``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import typer

from asr.cli.formats import FORMATS, SUFFIXES
from asr.cli.journal import Doubts, Journal, Making, checked, sha256_of
from asr.cli.places import is_url, split_url
from asr.cli.sources import Source
from asr.cli.stores import store_of
from asr.errors import InputError, OptionError
from asr.results import Transcript

JSONL = "jsonl"
WRITES_AT_ONCE = 8  # where each takes a round trip
FOLDER_JOURNAL = ".lexitune.journal"


class Sink(Protocol):
    """Keeps the transcripts of its sources."""

    def begin(self, *, resume: bool) -> None:
        """Find what an earlier run left, to keep what is proved of it if ``resume``, else to do it all again.

        Raises:
            UnavailableError: another run writes to the same output.
        """
        ...

    def has(self, source: Source) -> bool:
        """Whether this one is kept from an earlier run."""
        ...

    def write(self, source: Source, recording: str, transcript: Transcript) -> None:
        """Keep one transcript; ``recording`` is the source's digest from before it was read."""
        ...

    def finish(self) -> None:
        """Put everything in its place."""
        ...

    def close(self) -> None:
        """Let go of what is held; what an error left unfinished is there to be resumed."""
        ...


def open_sink(
    output_format: str,
    output: str | Path | None,
    sources: Sequence[Source],
    making: Making,
    *,
    into_folder: bool = False,
) -> Sink:
    """The sink for a format and an ``--output``.

    Args:
        output_format: a name in ``asr.cli.formats``, or "jsonl".
        output: None for stdout; a path, or a URL for documents.
        sources: everything that was asked for, in its order.
        making: what all are made with: "model", its immutable reference, which rows of jsonl note, and the options.
        into_folder: whether documents go into a folder even if there is one source only.

    Raises:
        OptionError: ``output`` cannot be what it has to be, a file or a folder.
        InputError: two sources would write the same file.
    """
    if output_format == JSONL:
        from asr.cli.rows import PrintedRows, Rows

        if output is None:
            return PrintedRows(making)
        if is_url(output):
            raise OptionError(
                f"--format jsonl writes one file row by row, which {output} cannot take; name a file of this machine, "
                "or a folder there and --format json",
                field="output",
            )
        check_file(Path(output))
        return Rows(Path(output), sources, making)
    if output is None:
        return _Printed(output_format)
    if into_folder or len(sources) != 1:
        return _in_folder(output_format, output, sources, making)
    name = str(output).rpartition("/")[2] if is_url(output) else Path(output).name
    if not is_url(output):
        check_file(Path(output))
        folder: str | Path = Path(output).absolute().parent
    else:
        folder, _ = split_url(str(output), "--output")
    journal = Journal(store_of(folder), f".{name}.journal", making)
    return _Documents(output_format, folder, {sources[0].id: name}, sources, journal)


def _in_folder(
    output_format: str, output: str | Path, sources: Sequence[Source], making: Making
) -> _Documents:
    if not is_url(output):
        check_folder(Path(output), f"{len(sources)} recordings need one, or --format jsonl")
    names = {source.id: source.file_name + SUFFIXES[output_format] for source in sources}
    _check_distinct(names, str(output))
    return _Documents(
        output_format, output, names, sources, Journal(store_of(output), FOLDER_JOURNAL, making)
    )


class _Printed:
    """Documents to stdout."""

    def __init__(self, output_format: str) -> None:
        self._format = output_format

    def begin(self, *, resume: bool) -> None:
        """Nothing is kept."""

    def has(self, source: Source) -> bool:
        return False

    def write(self, source: Source, recording: str, transcript: Transcript) -> None:
        typer.echo(FORMATS[self._format](source.id, transcript), nl=False)

    def finish(self) -> None:
        """Every document is out already."""

    def close(self) -> None:
        """Nothing is held."""


class _Documents:
    """A document for each source, as a file of a folder."""

    def __init__(
        self,
        output_format: str,
        folder: str | Path,
        names: dict[str, str],
        sources: Sequence[Source],
        journal: Journal,
    ) -> None:
        self._format, self._folder, self._names, self._sources = output_format, folder, names, sources
        self._store, self._journal = store_of(folder), journal
        self._kept: frozenset[str] = frozenset()
        self._writers = ThreadPoolExecutor(WRITES_AT_ONCE) if is_url(folder) else None
        self._writing: deque[Future[None]] = deque()

    def begin(self, *, resume: bool) -> None:
        self._journal.begin(keeps=resume)
        if resume:
            self._kept = frozenset(checked(self._sources, self._proved, str(self._folder)))

    def has(self, source: Source) -> bool:
        return source.id in self._kept

    def write(self, source: Source, recording: str, transcript: Transcript) -> None:
        payload = FORMATS[self._format](source.id, transcript).encode()
        if self._writers is None:
            self._put(source, recording, payload)
            return
        self._writing.append(self._writers.submit(self._put, source, recording, payload))
        while len(self._writing) > 2 * WRITES_AT_ONCE:
            self._writing.popleft().result()

    def finish(self) -> None:
        """Wait for what is far away; what is here is in its place already."""
        while self._writing:
            self._writing.popleft().result()

    def close(self) -> None:
        if self._writers is not None:
            self._writers.shutdown()
        self._journal.close()

    def _put(self, source: Source, recording: str, payload: bytes) -> None:
        self._store.write(self._names[source.id], payload)
        self._journal.add(source.id, recording=recording, output=payload)

    def _proved(self, source: Source, doubts: Doubts) -> str | None:
        payload = self._store.read(self._names[source.id])
        return None if payload is None else self._journal.proved(source, {sha256_of(payload)}, doubts)


def check_file(path: Path) -> None:
    """Refuse a path that is a folder, or whose folder could not be made or written."""
    if path.is_dir():
        raise OptionError(f"--output {path} is a folder; name a file", field="output")
    check_folder(path.absolute().parent, "name a file in a folder that can be written")


def check_folder(path: Path, remedy: str) -> None:
    """Refuse a folder that is none, or that could not be made or written."""
    nearest = path.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OptionError(f"--output: {nearest} is no folder; {remedy}", field="output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OptionError(f"--output: {nearest} cannot be written; {remedy}", field="output")


def _check_distinct(names: dict[str, str], output: str) -> None:
    owners: dict[str, str] = {}
    for key, name in names.items():
        if (owner := owners.setdefault(name, key)) != key:
            raise InputError(
                f"{owner!r} and {key!r} would both be written to {output}/{name}; give them other ids, or use "
                "--format jsonl"
            )
