"""Where Lexitune keeps things, and how they come to be there: by one rename, or not at all.

``LEXITUNE_HOME`` holds what must not be lost (the registry, runs), ``LEXITUNE_CACHE`` what can be made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from asr.errors import ChecksumError, UnavailableError


def home_dir(*parts: str) -> Path:
    """A folder under LEXITUNE_HOME (default: the platform's user data folder), made if absent."""
    return _made(Path(os.environ.get("LEXITUNE_HOME") or platformdirs.user_data_dir("lexitune")), parts)


def cache_dir(*parts: str) -> Path:
    """A folder under LEXITUNE_CACHE (default: the platform's user cache folder), made if absent."""
    return _made(Path(os.environ.get("LEXITUNE_CACHE") or platformdirs.user_cache_dir("lexitune")), parts)


def _made(root: Path, parts: tuple[str, ...]) -> Path:
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def exclusive(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold a folder for this process alone; the lock goes with the process, however that ends.

    Args:
        folder: need not exist.
        waits: whether to wait for a process that holds it. That one removes the lock when it is done, so look then
            whether its result is there.

    Raises:
        UnavailableError: another process holds it, and we do not wait.
    """
    lock = folder.with_name(folder.name + ".lock")
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UnavailableError(
                f"another process works on the same job in {folder}; wait for it, or stop it and run this again"
            ) from error
        yield
        lock.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def build_folder(target: Path, build: Callable[[Path], None]) -> Path:
    """Make the folder ``target`` whole: ``build`` fills a temporary neighbour, which is then renamed.

    If another process finishes first, its folder stays and ours is dropped: both hold the same. If ``build`` raises,
    nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        build(temporary)
        _sync_tree(temporary)
        temporary.chmod(0o755)
        with contextlib.suppress(OSError):
            temporary.rename(target)
        if not target.is_dir():
            raise OSError(f"{target} could not be made from {temporary}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def read_verified(folder: Path, name: str, sha256: str) -> dict[str, bytes]:
    """All files of a folder by their names, held in memory so that nobody can change what was checked.

    Args:
        folder: without the folders in it.
        name: of the file that is checked.
        sha256: that it must have.

    Raises:
        ChecksumError: it has another one.
    """
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    actual = hashlib.sha256(files.get(name, b"")).hexdigest()
    if actual != sha256:
        raise ChecksumError(
            f"{folder / name}: sha256 is {actual}, published was {sha256}; import or publish the version again"
        )
    return files


def is_older(path: Path, age_s: float) -> bool:
    """Whether a file or folder was last written so long ago; not so if it is gone."""
    try:
        return path.stat().st_mtime < time.time() - age_s
    except FileNotFoundError:
        return False
