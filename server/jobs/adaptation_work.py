"""An adaptation job: its files brought together in a folder, ``training.job_program`` run on them, its events passed on.

The training is a child process with a memory limit. It ends with this process, when its lease is lost, when the worker
stops or the time is over; run again, it goes on at its last checkpoint and publishes no second version.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from asr import errors
from asr.data.manifest import measured, write_manifest
from asr.errors import LexituneError, ResourceError, UnavailableError
from asr.jobs import FILES, MANIFESTS
from asr.shown import without_paths
from server.jobs.inputs import Inputs, ManifestSource, Source
from server.jobs.leases import Leases
from server.jobs.options import JobsOptions
from server.jobs.records import Document, Lease
from server.jobs.sweep import ADAPTATIONS
from server.jobs.worker import Held, Lost, PartFailed, Stopping
from training.progress import OUT_OF_MEMORY

MAX_NOTES = 100
LOOK_S = 0.25  # between two looks whether the lease still holds
REPORT_S = 1.0  # between two reports of progress

Event = Mapping[str, Any]


class AdaptationWork:
    """Adapts models.

    Args:
        inputs: where files are.
        leases: that progress is reported to.
        folder: of the jobs.
        options: limits of a training.
    """

    def __init__(self, inputs: Inputs, leases: Leases, folder: Path, options: JobsOptions) -> None:
        self._inputs, self._leases, self._options = inputs, leases, options
        self._folder = folder / ADAPTATIONS
        self.max_s = options.max_training_s

    def __call__(self, held: Held) -> tuple[Document, float]:
        """See :class:`server.jobs.worker.Work`."""
        folder = self._folder / held.lease.job_id
        folder.mkdir(parents=True, exist_ok=True)
        names = {**self._inputs.shown, str(folder): "the job's folder"}
        try:
            return self._adapt(held, folder, names), 0.0
        except LexituneError as error:
            error.args = (without_paths(str(error), names),)
            raise
        finally:  # no process writes there any more
            with contextlib.suppress(UnavailableError):  # then the sweep does it
                if not self._leases.is_kept(held.lease.job_id):
                    shutil.rmtree(folder, ignore_errors=True)

    def kept(self, lease: Lease) -> None:
        """See :class:`server.jobs.worker.Work`."""
        shutil.rmtree(self._folder / lease.job_id, ignore_errors=True)

    def _adapt(self, held: Held, folder: Path, names: dict[str, str]) -> Document:
        task = self._task(held.lease, folder, names)
        progress = _Progress(held.lease.progress)
        with _running(task, folder / "training.log") as events:
            return self._follow(held, lambda wait_s: without_paths(events(wait_s), names), progress)

    def _task(self, lease: Lease, folder: Path, names: dict[str, str]) -> Document:
        """What the child is to do; its files are the same for every attempt, or it would begin anew.

        Args:
            lease: of the job.
            folder: of the job.
            names: by which the client knows paths; the files' are added.
        """
        spec, files = lease.spec, dict[str, str]()
        for option in FILES:
            if option in spec["files"]:
                source = Source.of(spec["files"][option])
                files[option] = str(self._inputs.path(lease.tenant, source, field=option))
        for option in MANIFESTS:
            if option in spec["manifests"]:
                manifest = ManifestSource.of(spec["manifests"][option])
                rows = self._inputs.rows(lease.tenant, manifest, field=option)
                files[option] = str(folder / f"{option}.jsonl")
                write_manifest(folder / f"{option}.jsonl", map(measured, rows))
        names.update({path: option for option, path in files.items()})
        return {
            "job": lease.job_id,
            "folder": str(folder / "work"),
            "base": spec["base"],
            "name": spec["name"],
            "alias": spec["alias"],
            "method": spec["method"],
            "config": spec["config"],
            "files": files,
            "shown": names,
            "workers": self._options.training_workers,
            "memory_bytes": self._options.max_training_memory_mb << 20,
        }

    def _follow(
        self, held: Held, next_event: Callable[[float], Event | None], progress: _Progress
    ) -> Document:
        """Pass events on until the last one; its report.

        Raises:
            Lost: the lease does not hold any more.
            Stopping: the worker ends.
            PartFailed: the time is over or memory ran out.
            LexituneError: the child's.
        """
        reported_s = -REPORT_S
        while True:
            if held.over.is_set():
                raise Lost if held.lost.is_set() else Stopping
            if time.monotonic() >= held.deadline_s:
                raise PartFailed(
                    "TIME_LIMIT", f"the training took over {self.max_s:g} s; raise jobs.max_training_s"
                )
            event = next_event(LOOK_S)
            if event is not None:
                if "report" in event:
                    self._leases.report(held.lease, progress.as_document())
                    report: Document = event["report"]
                    return report
                if "failed" in event:
                    raise _error_of(event)
                progress.take(event)
            if progress.is_new and time.monotonic() >= reported_s + REPORT_S:
                reported_s = time.monotonic()
                if not self._leases.report(held.lease, progress.as_document()):
                    raise Lost


class _Progress:
    """What clients see of a training; goes on from what an earlier attempt had reached."""

    def __init__(self, before: Document) -> None:
        self._stage: Document = before.get("stage", {})
        self._points = {point["step"]: point["values"] for point in before.get("points", ())}
        self._notes: list[str] = list(before.get("notes", ()))
        self.is_new = False

    def take(self, event: Event) -> None:
        self.is_new = True
        if "stage" in event:
            self._stage = event
        elif "step" in event:
            if event["step"] == 0:  # another plan of the job begins anew
                self._points = {}
            self._points[event["step"]] = event["values"]
        else:
            self._notes = [*self._notes, event["note"]][-MAX_NOTES:]

    def as_document(self) -> Document:
        self.is_new = False
        points = [{"step": step, "values": values} for step, values in sorted(self._points.items())]
        return {"stage": self._stage, "points": points, "notes": self._notes}


@contextmanager
def _running(task: Document, log: Path) -> Iterator[Callable[[float], Event | None]]:
    """The child; what is yielded waits so many seconds for its next event. It does not outlive the block."""
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.job_program"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, start_new_session=True,
        )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(child.stdout, events), daemon=True)
    reader.start()

    def next_event(timeout_s: float) -> Event | None:
        try:
            event = events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if event is None:
            code = child.wait()
            raise RuntimeError(
                f"the training ended with {code} and said nothing; its last lines:\n{_end_of(log)}"
            )
        return event

    try:
        with contextlib.suppress(BrokenPipeError):  # it is dead already; the end of its events says so
            child.stdin.write(json.dumps(task).encode() + b"\n")
            child.stdin.flush()
        yield next_event
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        reader.join()
        child.stdout.close()


def _read(stream: IO[bytes], events: queue.SimpleQueue[Event | None]) -> None:
    for line in stream:
        with contextlib.suppress(ValueError):  # a line that a kill has cut
            events.put(json.loads(line))
    events.put(None)


def _error_of(event: Event) -> Exception:
    """The child's error, as one of this process."""
    kind, message = event["failed"], event["message"]
    if kind == OUT_OF_MEMORY:
        return PartFailed("MACHINE", message)
    found = getattr(errors, kind, LexituneError)
    return ResourceError(message) if found is ResourceError else _made(found, message)


def _made(kind: type[LexituneError], message: str) -> LexituneError:
    try:
        return kind(message)
    except TypeError:  # wants a reason, too
        return LexituneError(message)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
