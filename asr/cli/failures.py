"""What ``lexitune transcribe`` could not do, in a file of its own: a row of id, path, code and reason for each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from asr.cli.places import is_url, split_url
from asr.cli.stores import Store, store_of
from asr.errors import OptionError

MISSING = "missing-audio"
UNREADABLE = "unreadable-audio"  # cut off, no audio, lacks a span, a channel or a leg
UNDECODED = "decoding-failed"  # read, but the engine could not decode it, not even alone
WORKER_DIED = "worker-died"  # whoever tried to decode it died of it


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A source without transcript, and why."""

    id: str
    path: str
    code: str
    reason: str


class FailureList:
    """The failures of a run. The file is there if, and only if, there are some; of an earlier run, none stay.

    Here each is written as it happens; where files cannot be appended to, all are when the list is closed.

    Raises:
        OptionError: ``path`` is a folder, or a file that holds something else.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.failures: list[Failure] = []
        self._store: Store | None = None
        if path is not None:
            self._store, self._name = _split(path)
            self._check(self._store, path)

    def _check(self, store: Store, path: str) -> None:
        if not is_url(path) and Path(path).is_dir():
            raise OptionError(f"--failures {path} is a folder; name a file in it", field="failures")
        found = store.read(self._name) or b""
        if not all(_is_row(line) for line in found.splitlines() if line.strip()):
            raise OptionError(
                f"--failures {path} holds something else than failures, and would be replaced; name another file",
                field="failures",
            )

    def begin(self) -> None:
        """Forget those of an earlier run."""
        if self._store is not None:
            self._store.remove(self._name)

    def add(self, failure: Failure) -> None:
        """One more."""
        self.failures.append(failure)
        if self.path is not None and not is_url(self.path):
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(_row(failure))

    def close(self) -> None:
        """Write what is not yet."""
        if self._store is not None and self.failures and is_url(self.path or ""):
            self._store.write(self._name, "".join(map(_row, self.failures)).encode())


def failures_path(output: str | Path | None, *, is_folder: bool) -> str | None:
    """Where failures are listed by default: in a folder of outputs, beside a file, nowhere for stdout."""
    if output is None:
        return None
    text = str(output).rstrip("/")
    if is_folder:
        return f"{text}/failures.jsonl"
    parent, separator, name = text.rpartition("/")
    return f"{parent}{separator}{name.rpartition('.')[0] or name}.failures.jsonl"


def _row(failure: Failure) -> str:
    return json.dumps(asdict(failure), ensure_ascii=False) + "\n"


def _is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and row.keys() == {one.name for one in fields(Failure)}


def _split(path: str) -> tuple[Store, str]:
    if is_url(path):
        folder, name = split_url(path, "--failures")
        return store_of(folder), name
    return store_of(Path(path).absolute().parent), Path(path).name
