"""A batch job while its workers and its server are killed (SIGKILL) at random every few seconds until it is over.

Recordings are uploaded, one job is created and watched by a client that only ever reconnects; then the same without
kills. Every recording must have exactly one result, and each the same as in the undisturbed run; exit code 1 if not.
``--database`` is sqlite, postgresql (one of the run's own), or a URL of an empty database.

    python benchmarks/jobs_kills.py --manifest data/an4/manifest.jsonl --count 500 --database postgresql
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from asr.client import BatchJob, FileOnServer, JobsClient, RecordingOnServer
from asr.data.manifest import Utterance, read_manifest
from asr.errors import LexituneError
from benchmarks.measure.postgresql import throwaway_postgresql
from benchmarks.measure.server_process import free_address

SERVER = "server"
PATIENCE_S = 300.0  # of the client
STUCK_S = 900.0  # without a new result


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one run is made with; ``folder`` holds its configuration, files and logs."""

    folder: Path
    database: str
    model: str
    num_workers: int
    lease_s: float

    def write(self, address: str) -> Path:
        """The configuration of its server and workers."""
        path = self.folder / "server.toml"
        path.write_text(
            f'models = ["{self.model}"]\naddress = "{address}"\ndecode_workers = 1\nlog_level = "info"\n'
            f'[jobs]\ndatabase = "{self.database}"\nfolder = "{self.folder / "files"}"\n'
            f"lease_s = {self.lease_s}\nworker_threads = 1\nmax_attempts = 50\n"
        )
        return path


class Processes:
    """The server and the workers of a run; one that is killed is started again at once."""

    def __init__(self, setting: Setting) -> None:
        self.address = free_address()
        self._config = setting.write(self.address)
        self._folder = setting.folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.names = (SERVER, *(f"worker-{number}" for number in range(setting.num_workers)))
        for name in self.names:
            self._start(name)

    def kill(self, name: str) -> None:
        """End one at once, with all that it has started, and start it again."""
        self._end(name, signal.SIGKILL)
        self._start(name)

    def close(self) -> None:
        """End all of them as an operator would."""
        for name in self.names:
            self._running[name].send_signal(signal.SIGTERM)
        for name in self.names:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running[name].wait(60)
            self._end(name, signal.SIGKILL)

    def _start(self, name: str) -> None:
        command = "serve" if name == SERVER else "worker"
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "server.cli", command, "--config", str(self._config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                cwd=Path(__file__).resolve().parents[1],
            )  # fmt: skip

    def _end(self, name: str, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running[name].pid, how)
        self._running[name].wait()


class Killer(threading.Thread):
    """Kills one process after another, at random."""

    def __init__(self, processes: Processes, *, every_s: tuple[float, float], seed: int) -> None:
        super().__init__(name="killer", daemon=True)
        self._processes, self._every_s = processes, every_s
        self._random = random.Random(seed)
        self._over = threading.Event()
        self.kills: Counter[str] = Counter()

    def run(self) -> None:
        """Kill until told to stop."""
        while not self._over.wait(self._random.uniform(*self._every_s)):
            name = self._random.choice(self._processes.names)
            self._processes.kill(name)
            self.kills[name] += 1

    def stop(self) -> None:
        """Kill nothing more."""
        self._over.set()
        self.join()


@contextmanager
def running(setting: Setting) -> Iterator[Processes]:
    """A server and its workers."""
    processes = Processes(setting)
    try:
        yield processes
    finally:
        processes.close()


def run(
    setting: Setting, recordings: Sequence[Utterance], *, every_s: tuple[float, float] | None, seed: int
) -> dict[str, Any]:
    """One job from its uploads to its results; killed at random if ``every_s`` says how often, s."""
    began_s = time.monotonic()
    with ExitStack() as stack:
        processes = stack.enter_context(running(setting))
        killer = Killer(processes, every_s=every_s, seed=seed) if every_s else None
        client = stack.enter_context(JobsClient(processes.address, patience_s=PATIENCE_S))
        if killer is not None:
            killer.start()
            stack.callback(killer.stop)
        uploads = [client.upload(row.audio_path) for row in recordings]
        job = client.create_batch_job(
            [
                RecordingOnServer(file=FileOnServer(upload_id=upload.id), id=row.id)
                for upload, row in zip(uploads, recordings, strict=True)
            ]
        )
        created_s = time.monotonic()
        over = watched(client, job)
        done_s = time.monotonic()
        if killer is not None:
            killer.stop()
        results = [asdict(result) for result in client.batch_results(job.id)]
    return {
        "state": over.state.value,
        "uploads_s": round(created_s - began_s, 1),
        "job_s": round(done_s - created_s, 1),
        "kills": dict(killer.kills) if killer is not None else {},
        "results": json.loads(json.dumps(results)),
    }


def watched(client: JobsClient, job: BatchJob) -> BatchJob:
    """The job when it is over; says how far it is now and then.

    Raises:
        LexituneError: nothing more is done.
    """
    last_s, done = time.monotonic(), 0
    for job in client.watch_batch_job(job.id):  # noqa: B020  # the same job, later
        now_done = job.num_succeeded + job.num_failed
        if now_done // 50 != done // 50:
            print(f"{now_done}/{job.num_recordings} done", file=sys.stderr, flush=True)
        if now_done == done and time.monotonic() - last_s > STUCK_S:
            raise LexituneError(f"nothing new for {STUCK_S:g} s, {done} of {job.num_recordings} done")
        last_s, done = (time.monotonic(), now_done) if now_done != done else (last_s, done)
    return job


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if name == "sqlite":
        yield f"sqlite:///{folder / 'jobs.db'}"
    elif name == "postgresql":
        with throwaway_postgresql() as url:
            yield url
    else:
        yield name


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both runs, and what differs."""
    recordings = read_manifest(options.manifest)[: options.count]
    assert len(recordings) == options.count, f"{options.manifest} has only {len(recordings)} rows"

    def setting(name: str, uri: str) -> Setting:
        (folder / name).mkdir()
        return Setting(
            folder=folder / name,
            database=uri,
            model=options.model,
            num_workers=options.workers,
            lease_s=options.lease_s,
        )

    if options.expected is not None and options.expected.exists():
        undisturbed = json.loads(options.expected.read_text())
    else:
        uri = f"sqlite:///{folder / 'undisturbed.db'}"
        undisturbed = run(setting("undisturbed", uri), recordings, every_s=None, seed=0)
        if options.expected is not None:
            options.expected.write_text(json.dumps(undisturbed))
    with database(options.database, folder) as uri:
        disturbed = run(
            setting("disturbed", uri), recordings, every_s=tuple(options.every_s), seed=options.seed
        )
    expected, found = undisturbed.pop("results"), disturbed.pop("results")
    names = Counter(one["recording_id"] for one in found)
    return {
        "recordings": len(recordings),
        "undisturbed": undisturbed,
        "disturbed": disturbed,
        "num_kills": sum(disturbed["kills"].values()),
        "results": len(found),
        "missing": len({row.id for row in recordings} - names.keys()),
        "twice": sum(number > 1 for number in names.values()),
        "failed": sum(one["fault"] is not None for one in found),
        "different": sum(a != b for a, b in zip(expected, found, strict=False)),
    }


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="of the manifest's first rows")
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or a URL")
    parser.add_argument("--model", default="bundled:tiny.en")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lease-s", type=float, default=3.0)
    parser.add_argument("--every-s", type=float, nargs=2, default=(2.0, 6.0), help="between two kills, s")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--expected", type=Path, help="file that keeps the undisturbed run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lexitune-jobs-kills-") as temporary:
        report = measure(options, Path(temporary))
    report = {"database": options.database.split(":")[0], "seed": options.seed, **report}
    print(json.dumps(report, indent=1))
    wrong = ("missing", "twice", "failed", "different")
    sys.exit(1 if any(report[name] for name in wrong) or report["results"] != options.count else 0)


if __name__ == "__main__":
    main()
