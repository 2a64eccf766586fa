"""A job as a child process: its task comes on stdin, and what it does goes to stdout, one JSON object a line.

Events: ``{"stage", "done", "total", "note"}``, ``{"note"}``, ``{"step", "values"}``, and at last ``{"report"}`` or
``{"failed", "message"}``; without one of these two the process was killed. It ends, with all that it has started, when
stdin is closed: with whoever started it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from asr.errors import LexituneError, ResourceError
from training.progress import OUT_OF_MEMORY

if TYPE_CHECKING:
    from training.report import AdaptationReport

STAGE_INTERVAL_S = 0.25
_NO_ROOM = "failed to map segment"  # the loader's words for a library that memory has no room for


class EventStream:
    """Writes events; a reporter. Safe to use from several threads."""

    def __init__(self, sink: TextIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    def send(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        with self._lock:
            self._sink.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._sink.flush()

    def stage(self, name: str, total: int) -> EventStage:
        """See :class:`training.progress.Reporter`."""
        return EventStage(self, name, total)

    def note(self, text: str) -> None:
        """See :class:`training.progress.Reporter`."""
        self.send({"note": text})

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`training.progress.Reporter`."""
        self.send({"step": step, "values": values})


class EventStage:
    """A stage whose progress is written now and then."""

    def __init__(self, stream: EventStream, name: str, total: int) -> None:
        self._stream, self._name, self._total = stream, name, total
        self._done = 0
        self._next_s = 0.0

    def __enter__(self) -> EventStage:
        self._send("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send("")

    def advance(self, note: str = "") -> None:
        """See :class:`training.progress.Stage`."""
        self._done += 1
        if (now_s := time.monotonic()) >= self._next_s:
            self._next_s = now_s + STAGE_INTERVAL_S
            self._send(note)

    def _send(self, note: str) -> None:
        self._stream.send({"stage": self._name, "done": self._done, "total": self._total, "note": note})


def report_document(report: AdaptationReport) -> dict[str, Any]:
    """What was published, for a program: the gate's checks, and figures by MODEL.SET.METRIC."""
    from training.report import flat_metrics

    return {
        "reference": report.reference,
        "promoted_alias": report.promoted_alias,
        "gate_passed": report.card["gate"]["passed"],
        "gate_reason": report.card["gate"]["reason"],
        "checks": [
            {key: value for key, value in asdict(check).items() if key in ("name", "passed", "detail")}
            for check in report.verdict.checks
        ],
        "metrics": flat_metrics(report.card),
    }


def main() -> int:
    """Do the task; 0 if there is a report."""
    events = EventStream(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # what libraries print is no event
    task = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if limit := task["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from training.adapt import Owner, adapt
        from training.spec import spec_of

        owner = Owner(job=task["job"], folder=Path(task["folder"]), names=task["shown"])

        report = adapt(spec_of(task), events, num_workers=task["workers"], owner=owner)
    except LexituneError as error:
        events.send({"failed": _kind_of(error), "message": str(error)})
        return 2
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and _NO_ROOM not in str(error):
            raise
        what = f"memory ran out at {task['memory_bytes'] >> 20} MiB; have jobs.max_training_memory_mb raised"
        events.send({"failed": OUT_OF_MEMORY, "message": what})
        return 2
    assert report is not None, "one process is the main one"
    events.send({"report": report_document(report)})
    return 0


def _kind_of(error: LexituneError) -> str:
    if isinstance(error, ResourceError) and isinstance(error.__cause__, MemoryError | RuntimeError):
        return OUT_OF_MEMORY
    return type(error).__name__


def _end_with_stdin() -> None:
    """Wait for the end of stdin, then end this process and its children: they share its process group."""
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
