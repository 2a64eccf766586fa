"""How commands talk: results to stdout, messages and progress to stderr, one JSON document with ``--json``.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or input, 70 a fault of ours, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

EXIT_NO = 1
EXIT_USAGE = 2
EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h: 1 would say that the answer is no
EXIT_INTERRUPTED = 130
_LINE_INTERVAL_S = 10.0

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
stdout = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def message(text: str) -> None:
    """A line on stderr, taken literally."""
    stderr.print(text, markup=False)


class Stage:
    """One stage's progress: call :meth:`advance` as work gets done, from any thread."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._bar = bar
        self._task: TaskID | None = bar.add_task(name, total=total) if bar else None
        self._next_line = time.monotonic() + _LINE_INTERVAL_S

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is None and error is None:
            message(f"{self._name}: {self._done}/{self._total} done")

    def advance(self, note: str = "") -> None:
        """One more is done; ``note`` is shown behind the bar."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=f"{self._name} {note}".rstrip())
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_INTERVAL_S
            message(f"{self._name}: {self._done}/{self._total} {note}".rstrip())


class ProgressReporter:
    """Progress bars on a terminal, a line now and then elsewhere."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def stage(self, name: str, total: int) -> Stage:
        """Begin a stage of ``total`` pieces of work."""
        return Stage(name, total, self._bar)

    def note(self, text: str) -> None:
        """A message above the bars."""
        if self._bar is None:
            message(text)
        else:
            self._bar.console.print(text, markup=False)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: a note says them."""


@contextmanager
def reporting() -> Iterator[ProgressReporter]:
    """A progress reporter on stderr."""
    if not stderr.is_terminal:
        yield ProgressReporter(None)
        return
    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr) as bar:
        yield ProgressReporter(bar)
