"""``lexitune worker``: does batch and adaptation jobs until SIGTERM or Ctrl-C; what it is at is given back, not lost."""

from __future__ import annotations

import os
import signal
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import EXIT_INTERRUPTED, message
from server.config import CONFIG_VARIABLE, ServerConfig, load_layers
from server.logs import configure_logging

if TYPE_CHECKING:
    from server.jobs.installation import Installation
    from server.jobs.worker import Worker


class Kind(StrEnum):
    """What a worker does."""

    ALL = "all"
    BATCH = "batch"
    ADAPTATION = "adaptation"


def worker(
    config: Annotated[
        Path | None,
        typer.Option(
            help=f"The server's TOML file; variables LEXITUNE_SERVER_... go over it. [{CONFIG_VARIABLE}]"
        ),
    ] = None,
    kind: Annotated[Kind, typer.Option(help="Which jobs.")] = Kind.ALL,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End once no job is open.")] = False,
) -> None:
    """Do the jobs that servers with the same configuration keep; run as many workers as there is room for."""
    options = load_layers(config, {"device": device}, os.environ).config
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # recordings are done side by side; each takes one core
    configure_logging(level=options.log_level, form=options.log_format)
    from server.jobs.installation import Installation

    installation = Installation.open(options.jobs)
    made = make_worker(options, installation, kind)
    stopping: list[int] = []
    stopped = threading.Event()

    def stop(number: int, _frame: object) -> None:
        stopping.append(number)
        stopped.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, stop)
    made.start()
    message("working; Ctrl-C stops")
    typer.echo("working")
    if until_idle:
        made.wait_until_idle(stopped)
    else:
        stopped.wait()
    made.stop(options.drain_grace_s)
    installation.database.close()
    message("stopped")
    if signal.SIGINT in stopping:
        raise typer.Exit(EXIT_INTERRUPTED)


def make_worker(options: ServerConfig, installation: Installation, kind: Kind) -> Worker:
    """A worker and its parts; nothing else constructs them."""
    from asr.recognizer import Recognizer
    from server.jobs.adaptation_work import AdaptationWork
    from server.jobs.batch_work import BatchWork, Recognizers
    from server.jobs.states import JobKind
    from server.jobs.worker import Work, Worker

    jobs = options.jobs
    num_threads = jobs.worker_threads or len(os.sched_getaffinity(0))

    def load(reference: str) -> Recognizer:
        return Recognizer.load(
            reference, engine=options.engine, device=options.device, num_workers=num_threads
        )

    works: dict[JobKind, Work] = {}
    if kind is not Kind.ADAPTATION:
        works[JobKind.BATCH] = BatchWork(
            Recognizers(load), installation.inputs, beam_size=options.beam_size, options=jobs
        )
    if kind is not Kind.BATCH:
        works[JobKind.ADAPTATION] = AdaptationWork(
            installation.inputs, installation.leases, installation.folder, jobs
        )
    threads = {JobKind.BATCH: num_threads, JobKind.ADAPTATION: 1}
    return Worker(installation.leases, works, threads)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)
