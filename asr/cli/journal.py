"""What ``--resume`` trusts: a line for each finished output with hashes of what it was made of and of what it holds.

A line is written after its output is in place, so that an output without one may be anything and is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from asr.cli.console import message, reporting
from asr.cli.sources import Source
from asr.cli.stores import Store
from asr.errors import AudioError

CHECKS_AT_ONCE = 4

Making = Mapping[str, Any]  # model, engine, options: what all outputs of a run have in common


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished output: of which recording (``Source.digest``), and the sha256 of what was written."""

    recording: str
    output: str


@dataclass(kw_only=True, slots=True)
class Doubts:
    """Why outputs are made again, counted."""

    unrecorded: int = 0
    made_otherwise: Counter[str] = field(default_factory=Counter)
    changed_output: int = 0
    changed_recording: int = 0

    def add(self, other: Doubts) -> None:
        """Count those of another."""
        self.unrecorded += other.unrecorded
        self.made_otherwise += other.made_otherwise
        self.changed_output += other.changed_output
        self.changed_recording += other.changed_recording

    def tell(self, where: str) -> None:
        """A line on stderr for each reason."""
        if self.unrecorded:
            message(f"{where}: {self.unrecorded} outputs have no record of how they were made; done again")
        for difference, count in sorted(self.made_otherwise.items()):
            message(f"{where}: {count} outputs were made with {difference}; done again")
        if self.changed_output:
            message(f"{where}: {self.changed_output} outputs were changed or cut off since; done again")
        if self.changed_recording:
            message(f"{where}: {self.changed_recording} recordings were changed since; done again")


class Journal:
    """The finished outputs of a store.

    Args:
        store: where it lies.
        name: of the journal there.
        making: what outputs of this run are made with; others are not kept.
    """

    def __init__(self, store: Store, name: str, making: Making) -> None:
        self._store, self._name = store, name
        self._making = json.loads(json.dumps(making))  # as it will be read again
        self._entries: dict[str, list[Entry]] = {}
        self._otherwise: dict[str, str] = {}

    def begin(self, *, keeps: bool) -> None:
        """Hold the journal for this run, and read it if what it tells of may be kept.

        Raises:
            UnavailableError: another run holds it.
        """
        self._store.begin(self._name, keeps=keeps)
        for line in self._store.lines(self._name) if keeps else ():
            row = _parse(line)
            if row is None:
                continue
            if row["making"] == self._making:
                self._entries.setdefault(row["id"], []).append(Entry(row["recording"], row["output"]))
            else:
                self._otherwise[row["id"]] = _difference(row["making"], self._making)

    def proved(self, source: Source, written: Container[str], doubts: Doubts) -> str | None:
        """The sha256 of a source's output if it is as it was finished, and was made as it would be now.

        Args:
            source: what was asked for.
            written: the sha256 of what stands in its output's place; several where there are several rows.
            doubts: counts why not.
        """
        entries = self._entries.get(source.id, ())
        if not entries:
            if source.id in self._otherwise:
                doubts.made_otherwise[self._otherwise[source.id]] += 1
            else:
                doubts.unrecorded += 1
            return None
        whole = [one for one in entries if one.output in written]
        if not whole:
            doubts.changed_output += 1
            return None
        try:
            recording = source.digest()
        except AudioError:  # it fails again when it is read, and is listed then
            recording = ""
        for one in whole:
            if one.recording == recording:
                return one.output
        doubts.changed_recording += 1
        return None

    def add(self, source_id: str, *, recording: str, output: bytes) -> None:
        """Record an output that is in its place."""
        row = {"id": source_id, "recording": recording, "output": sha256_of(output), "making": self._making}
        self._store.add_line(self._name, json.dumps(row, ensure_ascii=False).encode())

    def close(self) -> None:
        """Let other runs have it."""
        self._store.close()


def checked(
    sources: Sequence[Source], proved: Callable[[Source, Doubts], str | None], where: str
) -> dict[str, str]:
    """By id, the sha256 of the outputs that are proved; stderr says what is doubted of others."""
    doubts = [Doubts() for _ in sources]
    kept = dict[str, str]()
    with (
        reporting() as reporter,
        reporter.stage("checking what is done", len(sources)) as stage,
        ThreadPoolExecutor(CHECKS_AT_ONCE) as workers,
    ):
        for source, output in zip(sources, workers.map(proved, sources, doubts), strict=True):
            stage.advance()
            if output is not None:
                kept[source.id] = output
    total = Doubts()
    for one in doubts:
        total.add(one)
    total.tell(where)
    return kept


def sha256_of(payload: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(payload).hexdigest()


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The first thing that was not the same; what was asked for comes before what follows from it."""
    for key in (*ours, *theirs):
        if theirs.get(key) != ours.get(key):
            return f"{key.replace('_', ' ')} {_shown(theirs.get(key))}, not {_shown(ours.get(key))}"
    return "other options"


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text[:80] or "none"


def _parse(line: bytes) -> dict[str, Any] | None:
    """A row of a journal, or None for whatever else the line holds."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("making"), dict):
        return None
    return row if all(isinstance(row.get(key), str) for key in ("id", "recording", "output")) else None
