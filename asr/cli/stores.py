"""Where outputs are put: a folder of this machine, or of any fsspec file system. Each file appears whole or not at all.

Lines of a journal are kept as they come: appended to a file here, an object each where nothing can be appended to.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from asr.atomic import write_bytes_atomically
from asr.cli.places import file_system, is_url, told
from asr.errors import OptionError, UnavailableError

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oci", "oss", "memory"})


class Store(Protocol):
    """A folder of outputs."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None if there is none."""
        ...

    def write(self, name: str, payload: bytes) -> None:
        """Replace a file; a reader sees the old bytes or the new ones."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        ...

    def lines(self, journal: str) -> list[bytes]:
        """The whole lines of a journal, and what a killed run left of one."""
        ...

    def add_line(self, journal: str, line: bytes) -> None:
        """Add a line without its end; it is kept when this returns, whatever happens to the process."""
        ...

    def begin(self, journal: str, *, keeps: bool) -> None:
        """Hold a journal for this process alone, with the lines that it has or empty.

        Raises:
            UnavailableError: another process holds it.
        """
        ...

    def close(self) -> None:
        """Let others write here."""
        ...


def store_of(folder: str | Path) -> Store:
    """The store that a path or URL names."""
    return RemoteStore(str(folder)) if is_url(folder) else LocalStore(Path(folder))


class LocalStore:
    """A folder of this machine; made when the first file is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal: BinaryIO | None = None

    def read(self, name: str) -> bytes | None:
        """See :class:`Store`."""
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, name: str, payload: bytes) -> None:
        """See :class:`Store`."""
        write_bytes_atomically(self._folder / name, payload)

    def remove(self, name: str) -> None:
        """See :class:`Store`."""
        (self._folder / name).unlink(missing_ok=True)

    def lines(self, journal: str) -> list[bytes]:
        """See :class:`Store`."""
        return (self.read(journal) or b"").split(b"\n")

    def begin(self, journal: str, *, keeps: bool) -> None:
        """See :class:`Store`."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._journal = (self._folder / journal).open("ab", buffering=0)
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise UnavailableError(
                f"another run writes to {self._folder / journal}; wait for it, or give this one another --output"
            ) from error
        except OSError:  # a file system without locks, as some that are shared
            pass
        if not keeps:
            self._journal.truncate(0)
        elif (self.read(journal) or b"\n")[-1:] != b"\n":
            self._journal.write(
                b"\n"
            )  # behind half a line that a killed run left, the next would be lost too

    def add_line(self, journal: str, line: bytes) -> None:
        """See :class:`Store`."""
        assert self._journal is not None, "a journal is begun before it is written"
        self._journal.write(line + b"\n")
        os.fsync(self._journal.fileno())

    def close(self) -> None:
        """See :class:`Store`."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


class RemoteStore:
    """A folder of an fsspec file system: what is written gets another name first, and is then moved.

    In an object store it is put where it belongs at once, for objects appear whole there and moving one copies it.
    A journal is a folder with an object for each line, for object stores append nothing. Nobody is locked out of it: a
    line says only what an output was made of, which stays true beside those of another run.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._files, self._folder = file_system(url)
        self._holds_objects = not OBJECT_STORES.isdisjoint(_protocols(self._files))

    def read(self, name: str) -> bytes | None:
        """See :class:`Store`."""
        with told(self._url, OptionError):
            try:
                payload: bytes = self._files.cat_file(f"{self._folder}/{name}")
            except FileNotFoundError:
                return None
        return payload

    def write(self, name: str, payload: bytes) -> None:
        """See :class:`Store`."""
        path = f"{self._folder}/{name}"
        parent, _, last = path.rpartition("/")
        temporary = f"{parent}/.{last}.{secrets.token_hex(6)}.part"
        with told(self._url, OptionError):
            if self._holds_objects:
                self._files.pipe_file(path, payload)
                return
            self._files.makedirs(parent, exist_ok=True)
            self._files.pipe_file(temporary, payload)
            self._files.mv(temporary, path)

    def remove(self, name: str) -> None:
        """See :class:`Store`; of a folder nothing is removed."""
        with told(self._url, OptionError), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._folder}/{name}")

    def lines(self, journal: str) -> list[bytes]:
        """See :class:`Store`."""
        with told(self._url, OptionError):
            paths = self._files.find(f"{self._folder}/{journal}")
            return list(self._files.cat(paths).values()) if paths else []

    def begin(self, journal: str, *, keeps: bool) -> None:
        """See :class:`Store`."""
        if not keeps:
            with told(self._url, OptionError), contextlib.suppress(FileNotFoundError):
                self._files.rm(f"{self._folder}/{journal}", recursive=True)

    def add_line(self, journal: str, line: bytes) -> None:
        """See :class:`Store`."""
        self.write(f"{journal}/{secrets.token_hex(12)}.json", line)

    def close(self) -> None:
        """See :class:`Store`."""


def _protocols(files: Any) -> set[str]:
    return {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
