"""How a peer in a process of its own is driven: one JSON line asks for streams, one answers with their logs.

A peer's interpreter may be another one (``--peer-python``), for peers pin versions that ours excludes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr.errors import MissingDependencyError
from benchmarks.measure.latency import Shown, StreamLog, TimedWord
from benchmarks.measure.server_process import child, last_lines

CHECKOUT = Path(__file__).resolve().parents[2]
READY = "ready"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Wav files to stream at the same time, begun at ``starts_s``; the rest as in ``pacing.schedule``."""

    wavs: tuple[str, ...]
    starts_s: tuple[float, ...]
    seed: int
    chunk_ms: tuple[int, int]
    jitter_s: float


class Replayer:
    """A peer's process."""

    def __init__(self, name: str, stdin: Any, stdout: Any, log: Path) -> None:
        self.name = name
        self._stdin = stdin
        self._stdout = stdout
        self._log = log

    def run(self, request: Request) -> list[StreamLog]:
        """Stream, and give what was seen.

        Raises:
            MissingDependencyError: the process ended.
        """
        self._stdin.write(json.dumps(asdict(request)) + "\n")
        self._stdin.flush()
        return [read_log(one) for one in json.loads(self._line())]

    def wait_until_ready(self) -> dict[str, Any]:
        """What the peer says of itself once its model is loaded."""
        found: dict[str, Any] = json.loads(self._line())[READY]
        return found

    def _line(self) -> str:
        line: str = self._stdout.readline()
        if not line:
            raise MissingDependencyError(f"{self.name} could not be run:\n{last_lines(self._log)}")
        return line


@contextmanager
def replaying(
    name: str, python: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[Replayer, dict[str, Any]]]:
    """``benchmarks/measure/NAME.py`` under ``python``, and what it says of itself."""
    script = Path(__file__).with_name(f"{name}.py")
    inherited = {"PYTHONPATH": str(CHECKOUT), **environment}
    with child([python, str(script), *arguments], inherited) as (process, log):
        replayer = Replayer(name, process.stdin, process.stdout, log)
        yield replayer, replayer.wait_until_ready()


def answer(about: dict[str, Any], run: Callable[[Request], list[StreamLog]]) -> None:
    """The peer's side: say that it is ready, then answer requests until there are none."""
    print(json.dumps({READY: about}), flush=True)
    for line in sys.stdin:
        fields = json.loads(line)
        request = Request(
            wavs=tuple(fields["wavs"]),
            starts_s=tuple(fields["starts_s"]),
            seed=fields["seed"],
            chunk_ms=(fields["chunk_ms"][0], fields["chunk_ms"][1]),
            jitter_s=fields["jitter_s"],
        )
        print(json.dumps([asdict(log) for log in run(request)]), flush=True)


def read_log(fields: Mapping[str, Any]) -> StreamLog:
    """A log from its JSON form."""
    shown = [
        Shown(
            at_s=one["at_s"],
            utterance=one["utterance"],
            words=tuple(one["words"]),
            num_promised=one["num_promised"],
            is_final=one["is_final"],
            timed=tuple(TimedWord(**word) for word in one["timed"]),
        )
        for one in fields["shown"]
    ]
    return StreamLog(**{**fields, "shown": shown})
