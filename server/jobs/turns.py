"""Threads of a process that work together, or one of them alone: what a worker died with is tried with none beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_S = 0.25  # between two looks whether there is still something to wait for


class Turns:
    """Many at the same time, or one. Who wants to be alone goes before all who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_together = 0
        self._num_alone = 0  # that are, or want to be
        self._is_alone = False

    @contextmanager
    def together(self, over: threading.Event) -> Iterator[bool]:
        """A block beside others; False if ``over`` was set before it could begin."""

        def begin() -> None:
            self._num_together += 1

        with self._changed:
            is_in = self._wait(lambda: not self._num_alone, over, begin)
        try:
            yield is_in
        finally:
            with self._changed:
                self._num_together -= is_in
                self._changed.notify_all()

    @contextmanager
    def alone(self, over: threading.Event) -> Iterator[bool]:
        """A block beside which there is no other; False if ``over`` was set before it could begin."""

        def begin() -> None:
            self._is_alone = True

        with self._changed:
            self._num_alone += 1
            is_in = self._wait(lambda: not self._num_together and not self._is_alone, over, begin)
        try:
            yield is_in
        finally:
            with self._changed:
                self._num_alone -= 1
                self._is_alone = self._is_alone and not is_in
                self._changed.notify_all()

    def _wait(self, is_free: Callable[[], bool], over: threading.Event, begin: Callable[[], None]) -> bool:
        while not over.is_set():
            if self._changed.wait_for(is_free, LOOK_S):
                begin()
                return True
        return False
