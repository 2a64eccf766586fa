"""Files that appear whole or not at all: write beside the target, fsync, rename.

For single files. Folders of a model are published by ``asr.registry``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_bytes_atomically(path: Path, payload: bytes) -> None:
    """Replace ``path`` by ``payload``; a reader sees the old bytes or the new ones, never a part.

    Parent folders are made. The file gets the permissions that the process's umask gives new files.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    with open_atomically(path) as stream:
        stream.write(payload)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes replace ``path`` when the with block ends well, and are dropped when it raises.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk, where a rename alone may be lost with the power.

    Raises:
        OSError: the folder cannot be read.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
