"""A PostgreSQL of a run's own, where its programs are installed: made in a folder, thrown away afterwards.

Debian's package postgresql brings the programs; the server refuses to run as root, so as root it runs as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PLACES = "/usr/lib/postgresql/*/bin/initdb"
_USERS = ("postgres", "nobody")
_OPTIONS = "-c listen_addresses='' -c fsync=off"  # it is killed with nobody's data, and no power fails


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = sorted(Path("/").glob(_PLACES.removeprefix("/")), key=lambda path: path.parts[-3])
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextmanager
def throwaway_postgresql() -> Iterator[str]:
    """The URL of an empty database on a server that is stopped and removed at the end.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    folder_of_programs = programs()
    if folder_of_programs is None:
        raise FileNotFoundError("initdb is not installed; apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="lexitune-postgresql-") as temporary:
        folder = Path(temporary)
        user = _owner(folder)
        pg_ctl = str(folder_of_programs / "pg_ctl")
        cluster = str(folder / "data")
        initdb = [str(folder_of_programs / "initdb"), "-D", cluster, "-U", "lexitune", "-A", "trust"]
        _run([*initdb, "--no-sync", "--encoding", "UTF8", "--locale", "C"], folder, user)
        options = f"{_OPTIONS} -k {folder}"
        _run([pg_ctl, "-D", cluster, "-w", "-l", str(folder / "log"), "-o", options, "start"], folder, user)
        try:
            yield f"postgresql+psycopg://lexitune@/postgres?host={folder}"
        finally:
            _run([pg_ctl, "-D", cluster, "-w", "-m", "immediate", "stop"], folder, user)


def _owner(folder: Path) -> str | None:
    """Who runs the server: as root an unprivileged user, who is given the folder; else whoever runs this."""
    if os.geteuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    user = next(name for name in _USERS if name in known)
    shutil.chown(folder, user)
    return user


def _run(command: Sequence[str], folder: Path, user: str | None) -> None:
    options: dict[str, Any] = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid}
    output = folder.parent / f"{folder.name}.out"  # a pipe would stay open as long as the server runs
    try:
        with output.open("w+") as sink:
            done = subprocess.run(
                command, cwd=folder, stdout=sink, stderr=sink, timeout=120, check=False, **options
            )
            if done.returncode:
                sink.seek(0)
                raise RuntimeError(f"{command[0]} ended with {done.returncode}: {sink.read()[-2000:]}")
    finally:
        output.unlink(missing_ok=True)
