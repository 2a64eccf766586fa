"""A server as a child process of the benchmark: started, waited for, stopped; its own cost read from the system."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asr.errors import UnavailableError

STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProcess:
    """A server that answers at ``address``; ``pid`` is 0 if somebody else started it."""

    address: str
    pid: int = 0

    def processor_s(self) -> float | None:
        """Processor time of the process and its children so far, s; None where the system does not tell."""
        if not self.pid or not Path("/proc/self/stat").exists():
            return None
        ticks = sum(_ticks(pid) for pid in (self.pid, *_descendants(self.pid)))
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float | None:
        """Resident memory of the process and its children, MB; pages that they share count for each."""
        if not self.pid or not Path("/proc/self/statm").exists():
            return None
        pages = 0
        for pid in (self.pid, *_descendants(self.pid)):
            fields = _read(f"/proc/{pid}/statm").split()
            pages += int(fields[1]) if fields else 0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def num_descriptors(self) -> int | None:
        """Open descriptors of the process and its children."""
        if not self.pid or not Path("/proc/self/fd").exists():
            return None
        return sum(
            len(list(Path(f"/proc/{pid}/fd").glob("*"))) for pid in (self.pid, *_descendants(self.pid))
        )


def free_address() -> str:
    """HOST:PORT of a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def serving(models: Sequence[str], config: Path | None) -> Iterator[ServerProcess]:
    """``lexitune serve`` on a port of the system's choice, drained at the end.

    Raises:
        UnavailableError: it ended before it served; with its last lines.
    """
    command = [sys.executable, "-m", "server.cli", "serve", "--address", "127.0.0.1:0"]
    command += [part for model in models for part in ("--model", model)]
    command += ["--config", str(config)] if config else []
    with child(command, {}) as (process, log):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise UnavailableError(f"the server did not start; its last lines:\n{last_lines(log)}")
        yield ServerProcess(address=address, pid=process.pid)


@contextmanager
def child(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A child process with text pipes and its stderr in a file; SIGTERM at the end, SIGKILL if that does not help."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, text=True,
                env={**os.environ, **environment},
            )  # fmt: skip
        try:
            yield process, log
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a child's stderr."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


def _descendants(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in _read(str(task)).split()
    ]
    return children + [below for child in children for below in _descendants(child)]


def _ticks(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rsplit(") ", 1)[-1].split()
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0


def _read(path: str) -> str:
    """A file of /proc; "" once the process is gone."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ProcessLookupError):
        return ""
