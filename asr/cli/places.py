"""Where recordings lie: files of this machine, folders and patterns of them, and URLs of any fsspec file system.

fsspec is loaded for a URL only. What a scheme needs (s3fs for ``s3://``, gcsfs for ``gs://``) is installed beside it.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asr.errors import AudioError, InputError, MissingDependencyError, OptionError

Samples = NDArray[np.float32]

_CONTENT_KEYS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "checksum",
)  # what stores tell of an object's content


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A recording that an argument names: its id, without suffix, and its size where a listing told it."""

    id: str
    path: str
    num_bytes: int | None = None


class Place(Protocol):
    """A path or URL."""

    def expand(self) -> list[Found]:
        """The recordings that it stands for: itself, or those below it or matched by it, by name.

        Raises:
            InputError: a folder or pattern without one.
        """
        ...

    def stands_for_many(self) -> bool:
        """Whether it is a folder or a pattern, however many recordings it has now."""
        ...

    def read_audio(self, offset_s: float, duration_s: float | None) -> Samples:
        """A span as 16 kHz samples (T,), channels averaged; raises AudioError."""
        ...

    def read_channels(self, offset_s: float, duration_s: float | None) -> Samples:
        """A span as (T, C) at 16 kHz; raises AudioError."""
        ...

    def digest(self) -> str:
        """Identifies the content; raises AudioError."""
        ...


def is_url(path: str | Path) -> bool:
    """Whether this is a URL of a file system, such as ``s3://bucket/folder``."""
    scheme, separator, _ = str(path).partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def split_url(url: str, option: str) -> tuple[str, str]:
    """The folder and the name of a file's URL.

    Raises:
        OptionError: it has no folder, or no name; says so of ``option``.
    """
    folder, _, name = url.rpartition("/")
    if not name or not is_url(folder) or folder.endswith("//"):
        raise OptionError(f"{option} {url} is no file in a folder; give one, such as s3://bucket/folder/file")
    return folder, name


def place_of(path: str | Path) -> Place:
    """The place that a path or URL names."""
    return RemotePlace(str(path)) if is_url(path) else LocalPlace(str(path))


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A path of this machine."""

    path: str

    def __str__(self) -> str:
        return self.path

    def expand(self) -> list[Found]:
        """See :class:`Place`. Hidden files, and links to folders below a folder, are left out."""
        if Path(self.path).is_dir():
            return _found(self.path, _files_below(self.path), self.path)
        if not self.stands_for_many():
            return [Found(id=Path(self.path).stem, path=self.path)]
        matches = [path for path in glob.glob(self.path, recursive=True) if Path(path).is_file()]  # noqa: PTH207
        return _found(_fixed_part(self.path), matches, self.path)

    def stands_for_many(self) -> bool:
        """See :class:`Place`. A file that is really called ``a[1].wav`` is no pattern."""
        path = Path(self.path)
        return path.is_dir() or (glob.has_magic(self.path) and not path.exists())

    def read_audio(self, offset_s: float, duration_s: float | None) -> Samples:
        """See :class:`Place`."""
        from asr.audio.files import read_audio

        return read_audio(Path(self.path), offset_s=offset_s, duration_s=duration_s)

    def read_channels(self, offset_s: float, duration_s: float | None) -> Samples:
        """See :class:`Place`."""
        from asr.audio.files import read_channels

        return read_channels(Path(self.path), offset_s=offset_s, duration_s=duration_s)

    def digest(self) -> str:
        """Hex sha256 of the bytes; read once for all rows of a manifest that lie in one recording."""
        try:
            facts = Path(self.path).stat()
        except FileNotFoundError as error:
            raise AudioError(f"{self.path}: no such file") from error
        except OSError as error:
            raise AudioError(f"{self.path} cannot be read: {error.strerror}") from error
        return _sha256(self.path, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A URL that fsspec opens."""

    url: str

    def __str__(self) -> str:
        return self.url

    def expand(self) -> list[Found]:
        """See :class:`Place`."""
        files, path = file_system(self.url)
        with told(self.url):
            if glob.has_magic(self.url) and not files.exists(path):
                listed = files.glob(path, detail=True)
            elif files.isdir(path):
                listed = files.find(path, detail=True)
            else:
                return [Found(id=PurePosixPath(path).stem, path=self.url)]
        sizes = {
            name: facts.get("size") for name, facts in listed.items() if facts.get("type") != "directory"
        }
        found = _found(_fixed_part(path), sorted(sizes), self.url)
        return [
            Found(id=one.id, path=files.unstrip_protocol(one.path), num_bytes=sizes[one.path])
            for one in found
        ]

    def stands_for_many(self) -> bool:
        """See :class:`Place`."""
        files, path = file_system(self.url)
        with told(self.url):
            return bool(files.isdir(path) or (glob.has_magic(path) and not files.exists(path)))

    def read_audio(self, offset_s: float, duration_s: float | None) -> Samples:
        """See :class:`Place`."""
        from asr.audio.files import read_audio_bytes

        return read_audio_bytes(self._bytes(), self.url, offset_s=offset_s, duration_s=duration_s)

    def read_channels(self, offset_s: float, duration_s: float | None) -> Samples:
        """See :class:`Place`."""
        from asr.audio.files import read_channels_bytes

        return read_channels_bytes(self._bytes(), self.url, offset_s=offset_s, duration_s=duration_s)

    def digest(self) -> str:
        """The store's own mark of the content (an ETag, an MD5), or hex sha256 of the bytes where it has none."""
        files, path = file_system(self.url)
        with told(self.url, AudioError):
            facts = files.info(path)
        for key in _CONTENT_KEYS:
            if facts.get(key):
                return f"{key}:{facts[key]}"
        return hashlib.sha256(self._bytes()).hexdigest()

    def _bytes(self) -> bytes:
        files, path = file_system(self.url)
        with told(self.url, AudioError):
            payload: bytes = files.cat_file(path)
            return payload


@contextmanager
def told(url: str, kind: type[InputError] = InputError) -> Iterator[None]:
    """Errors of a file system as one of ours that names the URL."""
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"{url}: no such file") from error
    except OSError as error:
        raise kind(f"{url} cannot be reached: {error}") from error


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        MissingDependencyError: fsspec, or what the scheme needs, is not installed.
        OptionError: no file system has this scheme.
    """
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(f"{url} cannot be opened: {error}") from error
    except ValueError as error:
        raise OptionError(
            f"{url}: {error}; use a scheme that fsspec knows, as s3://, gs:// or file://"
        ) from error
    return files, path.rstrip("/")


@lru_cache(maxsize=1024)
def _sha256(path: str, facts: tuple[int, ...]) -> str:
    from asr.data.manifest import audio_sha256

    return audio_sha256(Path(path))


def _files_below(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in names)  # noqa: PTH118  # thousands of them


def _fixed_part(pattern: str) -> str:
    """The folder that all matches of a pattern lie below."""
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return str(Path(*fixed)) if fixed else ""


def _found(folder: str, paths: Iterable[str], argument: str) -> list[Found]:
    from asr.audio.files import AUDIO_SUFFIXES

    found = []
    for path in paths:
        name = PurePosixPath(path)
        below = name.relative_to(folder) if folder not in ("", ".") else name
        if name.suffix.lower() in AUDIO_SUFFIXES and not any(part.startswith(".") for part in below.parts):
            found.append(Found(id=str(below.with_suffix("")), path=path))
    if not found:
        raise InputError(
            f"{argument} holds no recording; those of a folder or pattern end in {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return sorted(found, key=lambda one: one.path)
