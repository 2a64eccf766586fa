"""How a job reports progress, without knowing a terminal: the command line gives bars, a child process lines."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

OUT_OF_MEMORY = "OutOfMemory"
"""What a child process says has failed where memory ran out: tried again, it would again. Else an error's class."""


class Stage(Protocol):
    """One stage's progress, a context manager."""

    def __enter__(self) -> Stage:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def advance(self, note: str = "") -> None:
        """One more piece of work is done."""
        ...


class Reporter(Protocol):
    """Where progress goes."""

    def stage(self, name: str, total: int) -> Stage:
        """Begin a stage of ``total`` pieces."""
        ...

    def note(self, text: str) -> None:
        """A line for the person who waits."""
        ...

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """What was measured at a step of training, for a program that waits; a person gets a note of it."""
        ...


class SilentStage:
    """A stage that nobody watches."""

    def __enter__(self) -> SilentStage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def advance(self, note: str = "") -> None:
        """See :class:`Stage`."""


class SilentReporter:
    """Of a process that works along with the one that reports."""

    def stage(self, name: str, total: int) -> SilentStage:
        """See :class:`Reporter`."""
        del name, total
        return SilentStage()

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`Reporter`."""
