"""How a job reports progress, without knowing a terminal: the command line gives bars, a child process lines."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol


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
