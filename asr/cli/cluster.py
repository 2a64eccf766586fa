"""``lexitune transcribe --engine ray``: the same engine on every worker of a Ray cluster, by Ray Data.

The pool of workers grows to what is asked for as long as there is work, and Ray holds reading back when they do not keep
up. Workers read the recordings; transcripts, small beside them, come back to this process, the only one that writes.
So outputs, journal and failures are those of one process, whoever dies. Ray is loaded here only.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from asr.cli.batch import Deliver, Outcome
from asr.cli.failures import WORKER_DIED, Failure
from asr.cli.recipe import Recipe
from asr.cli.sources import Source
from asr.errors import MissingDependencyError, ModelError

TASK_SOURCES = 16  # recordings that a worker is given at a time, ...
TASK_BYTES = (
    16 * 2**20
)  # ... and how much of them: about 10 minutes of 16 bit PCM; a lost node costs no more a worker
TASK_S = 600.0
TRIES = 3  # of a task whose workers die, and then of each of its recordings by itself
# Settings that workers get from here. Ray keeps and shows them: credentials are the nodes' own.
FORWARDED = ("LEXITUNE_HOME", "LEXITUNE_CACHE", "HF_HUB_OFFLINE", "HF_HUB_CACHE")
REGISTRY = "MLFLOW_TRACKING_URI"  # forwarded, too, unless it holds a password


class RayEngine:
    """Workers that hold a :class:`~asr.cli.batch.LocalEngine` each.

    Args:
        recipe: what every worker transcribes with; its model must be found from each node.
        max_workers: at the same time; each has one core, and one GPU if the recipe's device is "cuda".
    """

    def __init__(self, recipe: Recipe, *, max_workers: int) -> None:
        self._recipe, self._max_workers = recipe, max_workers

    def run(self, sources: Sequence[Source], deliver: Deliver) -> None:
        """See :class:`asr.cli.batch.Engine`. A recording that no worker survives is listed as failed.

        Raises:
            MissingDependencyError: Ray is not installed.
            ModelError: the workers could not load the model.
        """
        with connected() as ray:
            tasks = tasks_of(sources, self._max_workers)
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            tries = ray.remote(_Tries).options(num_cpus=0, scheduling_strategy=here).remote()
            rows = [{"number": number, "task": task} for number, task in enumerate(tasks)]
            outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Worker,
                fn_constructor_kwargs={"recipe": self._recipe, "tries": tries},
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(self._max_workers, len(tasks))),
                num_cpus=1,
                num_gpus=1 if self._recipe.device == "cuda" else None,
            )
            try:
                for row in outcomes.iter_rows():
                    for outcome in row["outcomes"]:
                        deliver(outcome)
            except ray.exceptions.RayError as error:
                raise ModelError(f"the workers cannot transcribe: {_last_line(error)}") from error


class _Tries:
    """How often each task and recording was begun and not ended; lives beside the driver, for workers die."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, key: str) -> int:
        """One more, and how many that makes."""
        self._counts[key] += 1
        return self._counts[key]

    def end(self, key: str) -> None:
        """Its worker lives."""
        del self._counts[key]


class _Worker:
    """The engine in a process of some node; Ray makes one of these for each."""

    def __init__(self, recipe: Recipe, tries: Any) -> None:
        self._engine = recipe.open(num_workers=1)
        self._tries = tries

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Outcomes of a batch of one task."""
        found: list[Outcome] = []
        task = list(batch["task"][0])
        if self._begin(f"task {batch['number'][0]}") <= TRIES:
            self._engine.run(task, found.append)
        else:  # whoever had it died: one of its recordings may be the reason
            for source in task:
                if self._begin(source.id) > TRIES:
                    found.append(Outcome(source=source, failure=_deadly(source)))
                else:
                    self._engine.run([source], found.append)
                    self._tries.end.remote(source.id)
        outcomes = np.empty(1, object)
        outcomes[0] = found
        return {"outcomes": outcomes}

    def _begin(self, key: str) -> int:
        import ray

        return int(ray.get(self._tries.begin.remote(key)))


def tasks_of(sources: Sequence[Source], max_workers: int) -> list[list[Source]]:
    """The sources in order, in tasks that are small enough for all workers to have several."""
    limit = max(1, min(TASK_SOURCES, math.ceil(len(sources) / (4 * max_workers))))
    tasks: list[list[Source]] = []
    size = 1.0
    for source in sources:
        if size >= 1.0 or len(tasks[-1]) >= limit:
            tasks.append([])
            size = 0.0
        tasks[-1].append(source)
        size += (source.duration_s or 0.0) / TASK_S if source.duration_s else source.size() / TASK_BYTES
    return tasks


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, on the cluster of ``RAY_ADDRESS``, or else on one of this machine that ends with the run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise MissingDependencyError("--engine ray needs Ray: pip install 'lexitune[ray]'") from error
    is_ours = not ray.is_initialized()
    if is_ours:
        address = os.environ.get("RAY_ADDRESS", "local")
        own = {"include_dashboard": False} if address == "local" else {}
        variables = forwarded(os.environ)
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": variables | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}},
            **own,
        )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is told by us
    try:
        with redirect_stdout(sys.stderr):  # where Ray tells of nodes that died, whatever it is told
            yield ray
    finally:
        if is_ours:
            ray.shutdown()


def forwarded(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that workers get, none of which is a secret."""
    found = {name: environment[name] for name in FORWARDED if name in environment}
    registry = environment.get(REGISTRY, "")
    if registry and urlsplit(registry).password is None:
        found[REGISTRY] = registry
    return found


def _deadly(source: Source) -> Failure:
    return Failure(
        id=source.id,
        path=source.audio_filepath,
        code=WORKER_DIED,
        reason=f"the worker died each of the {TRIES} times that it was tried alone; look at the recording, and at the "
        "memory of the nodes",
    )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
