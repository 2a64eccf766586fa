"""A value read from files and read again when they have changed; a new content that is broken leaves the old in force.

Not a watcher: whoever needs the value asks, and a question costs one ``stat`` a file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from asr.errors import LexituneError

Value = TypeVar("Value")

Signature = tuple[tuple[int, ...], ...]
"""Of files: differs once one was written, replaced or removed."""

_LOG = logging.getLogger(__name__)


class Reloaded(Generic[Value]):
    """What ``read`` makes of ``paths``. Safe for several threads.

    Args:
        name: what it is, for the log.
        paths: the files that ``read`` reads.
        read: reads them all.

    Raises:
        LexituneError: the first reading fails.
        OSError: likewise.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        self._name, self._paths, self._read = name, tuple(paths), read
        self._lock = threading.Lock()
        self._signature = _signature(self._paths)
        self._value = read()

    def current(self) -> Value:
        """The newest content that can be used."""
        with self._lock:
            signature = _signature(self._paths)
            if signature != self._signature:
                self._reload(signature)
            return self._value

    def _reload(self, signature: Signature) -> None:
        try:
            value = self._read()
        except (LexituneError, OSError) as error:
            _LOG.error("%s: the new content is not used, the old stays in force: %s", self._name, error)
            self._signature = signature
            return
        if _signature(self._paths) == signature:  # else it was read while it was written: again the next time
            self._value, self._signature = value, signature
            _LOG.info("%s was read again", self._name)


def _signature(paths: Sequence[Path]) -> Signature:
    return tuple(_signature_of(path) for path in paths)


def _signature_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
