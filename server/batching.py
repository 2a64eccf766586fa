"""The decode queue: finals before interims, tenants in turn, the earliest deadline first, what fits together in a batch.

One thread for each worker process takes batches and waits for their results; the queue itself computes nothing. A waiting
decode is cancelled by its future, which is looked at when a batch is formed. Every future is resolved: a request whose
worker dies is tried once more, alone, and then fails.
"""

from __future__ import annotations

import contextvars
import enum
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from asr.biasing.phrases import PhraseSet
from asr.errors import LimitError, UnavailableError
from asr.models.base import CPU_BATCH_SEGMENTS, DecodingOptions, Samples
from asr.results import Hypothesis
from asr.units import HOP_SAMPLES, SAMPLE_RATE_HZ
from server.turns import TenantTurns

MAX_ATTEMPTS = 2
FIRST_COST = 0.05  # worker seconds for a second of context, until one batch is done
COST_WEIGHT = 0.2  # of the newest batch in the average

_LOG = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """A worker process ended, or was ended because it did not answer."""


class Urgency(enum.IntEnum):
    """What is taken first."""

    FINAL = 0
    EARLY = 1  # a final that may turn out not to be one
    INTERIM = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodeWork:
    """One segment to decode.

    Attributes:
        model: immutable reference of a loaded model.
        samples: (T,) float32 at 16 kHz, at most 30 s.
        options: how to search.
        context: feature frames in which the model hears it; segments of one context are decoded together.
        utterance: set for an open utterance of a model that hears only what is new of it: the stream and the number.
        phrases: that it may hold, those apart that its model carries.
        carries_phrases: whether its model carries some.
    """

    model: str
    samples: Samples
    options: DecodingOptions
    context: int = 0
    utterance: tuple[str, int] | None = None
    phrases: PhraseSet | None = None
    carries_phrases: bool = False

    @property
    def group(self) -> Hashable:
        """Equal for work that one batch may hold; work without phrases would wait for the scoring of others'."""
        return self.model, self.options, self.context, self.utterance is None, self.seeks_phrases

    @property
    def seeks_phrases(self) -> bool:
        """Whether phrases are looked for in it, which takes time of its own."""
        return bool(self.phrases) or self.carries_phrases

    @property
    def context_s(self) -> float:
        """Seconds that the model hears, the silence behind the segment included: its cost goes by them."""
        return max(1, len(self.samples), self.context * HOP_SAMPLES) / SAMPLE_RATE_HZ


class Worker(Protocol):
    """What decodes: a process of its own, or in tests a thread."""

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        """Decode work of one group; alternatives best first.

        Raises:
            WorkerDiedError: the process ended.
            LexituneError: the work cannot be done; for a deterministic reason.
        """
        ...

    def wait_alive(self) -> None:
        """Return when a dead process has been replaced, or never will be."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """When work was submitted, by the queue's clock, and the context variables of who did."""

    at_s: float
    context: contextvars.Context


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTimes:
    """A batch that was decoded, for who measures; times of the queue's clock."""

    model: str
    urgency: Urgency
    submitted: tuple[Submitted, ...]
    taken_s: float
    done_s: float


@dataclass(order=True, slots=True)
class _Job:
    urgency: Urgency
    deadline_s: float
    number: int
    tenant: str = field(compare=False)
    stream: str = field(compare=False)
    work: DecodeWork = field(compare=False)
    future: Future[list[Hypothesis]] = field(compare=False)
    submitted: Submitted = field(compare=False)
    attempts: int = field(default=0, compare=False)
    charged_s: float = field(default=0.0, compare=False)  # worker seconds, by guess until it is done
    num_alike: int = field(default=1, compare=False)  # streams that it shares its turn with, itself included

    @property
    def party(self) -> tuple[str, bool]:
        """Whose turns it takes: of the streams with phrases, or without, of a tenant."""
        return self.tenant, self.work.seeks_phrases


class DecodeQueue:
    """Hands batches to workers.

    Args:
        workers: started already; closed with the queue.
        max_waiting: how much may wait.
        max_batch: how much is decoded together at most.
        observe: told of every batch that was decoded, on a thread of the queue.
        clock: monotonic, s.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        max_waiting: int,
        max_batch: int = CPU_BATCH_SEGMENTS,
        observe: Callable[[BatchTimes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_waiting, self._max_batch, self._observe = max_waiting, max_batch, observe
        self._clock = clock
        self._numbers = itertools.count()
        self._jobs: list[_Job] = []
        self._turns = {urgency: TenantTurns() for urgency in Urgency}
        self._cost = FIRST_COST
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._num_idle = 0
        self._workers = list(workers)
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"decode-{index}", daemon=True)
            for index, worker in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        """Work that waits and was not cancelled."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._jobs)

    def submit(
        self, work: DecodeWork, urgency: Urgency, *, within_s: float = 0.0, tenant: str = "", stream: str = ""
    ) -> Future[list[Hypothesis]]:
        """Queue ``work``; cancel the future to take it back while it waits.

        Args:
            work: the segment.
            urgency: finals go first.
            within_s: among equals the one whose time ends first goes first; nothing is dropped when it has.
            tenant: whose it is; where several wait, each gets the same share of the workers' time.
            stream: of which stream; the scoring of phrases takes time from those that have some, not from the others.

        Raises:
            LimitError: the queue is full, and the tenant has its share of it.
            UnavailableError: the queue was closed.
        """
        future: Future[list[Hypothesis]] = Future()
        now_s = self._clock()
        submitted = Submitted(now_s, contextvars.copy_context())
        job = _Job(urgency, now_s + within_s, next(self._numbers), tenant, stream, work, future, submitted)
        with self._changed:
            if self._closed.is_set():
                raise _shutting_down()
            if len(self._jobs) >= self._max_waiting:
                self._make_room(urgency, tenant)
            self._turns[urgency].wait(*job.party)
            self._jobs.append(job)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Cancel what waits, let what runs finish, end the threads and the workers."""
        with self._changed:
            self._closed.set()
            waiting, self._jobs = self._jobs, []
            self._changed.notify_all()
        for job in waiting:
            if job.attempts or job.future.set_running_or_notify_cancel():
                job.future.set_exception(_shutting_down())
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.close()

    def _make_room(self, urgency: Urgency, tenant: str) -> None:
        """Forget what was cancelled; a final takes the place of the interim that would be decoded last.

        A tenant with less than its share goes beyond the limit rather than make way for one that fills the queue.
        """
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]
        if len(self._jobs) >= self._max_waiting and urgency is Urgency.FINAL:
            last = max(self._jobs)
            if last.urgency is not Urgency.FINAL and last.future.cancel():
                self._jobs.remove(last)
        own = sum(job.tenant == tenant for job in self._jobs)
        num_tenants = len({tenant, *(job.tenant for job in self._jobs)})
        if len(self._jobs) >= self._max_waiting and own * num_tenants >= self._max_waiting:
            raise LimitError(
                f"{self._max_waiting} decodings wait already; try again later or raise max_waiting_decodes",
                reason="DECODE_QUEUE",
            )

    def _serve(self, worker: Worker) -> None:
        while batch := self._take():
            running = [job for job in batch if job.attempts or job.future.set_running_or_notify_cancel()]
            if not running:
                continue
            taken_s = self._clock()
            try:
                results = worker.decode([job.work for job in running])
                assert len(results) == len(running), (len(results), len(running))
            except WorkerDiedError as death:
                self._settle(running, self._clock() - taken_s)
                self._retry(running, death)
                worker.wait_alive()
            except BaseException as error:  # the batch boundary: whoever waits must learn of it
                self._settle(running, self._clock() - taken_s)
                for job in running:
                    job.future.set_exception(error)
            else:
                self._settle(running, self._clock() - taken_s)
                for job, hypotheses in zip(running, results, strict=True):
                    job.future.set_result(hypotheses)
                self._tell(running, taken_s)
            del batch, running  # hold no audio while waiting for the next

    def _tell(self, jobs: Sequence[_Job], taken_s: float) -> None:
        if self._observe is None:
            return
        first = jobs[0]
        times = BatchTimes(
            model=first.work.model,
            urgency=first.urgency,
            submitted=tuple(job.submitted for job in jobs),
            taken_s=taken_s,
            done_s=self._clock(),
        )
        try:
            self._observe(times)
        except Exception:  # the batch boundary: a measurement is worth no decoding
            _LOG.exception("a batch was not measured")

    def _take(self) -> list[_Job]:
        """A batch; [] at the end."""
        with self._changed:
            self._num_idle += 1
            self._changed.wait_for(self._is_due)
            num_idle, self._num_idle = self._num_idle, self._num_idle - 1
            if not self._jobs:
                return []
            batch = self._batch(num_idle)
            taken = {job.number for job in batch}
            self._jobs = [job for job in self._jobs if job.number not in taken]
            return batch

    def _batch(self, num_idle: int) -> list[_Job]:
        """The most urgent job and those that fit to it, tenants in turn, a fair share of them for each idle worker."""
        urgency = min(job.urgency for job in self._jobs)
        turns = self._turns[urgency]
        equals = [job for job in self._jobs if job.urgency == urgency]
        first = _next(equals, turns)
        turns.begin(*first.party)
        num_streams = _num_streams(equals)
        self._charge(first, num_streams)
        if first.attempts:
            return [first]  # it may have killed its worker: no other work is put at risk
        fitting = [
            job
            for job in equals
            if job is not first and not job.attempts and job.work.group == first.work.group
        ]
        share = -(-(1 + len(fitting)) // num_idle)
        batch = [first]
        while fitting and len(batch) < min(share, self._max_batch):
            job = _next(fitting, turns)
            self._charge(job, num_streams)
            fitting.remove(job)
            batch.append(job)
        return batch

    def _charge(self, job: _Job, num_streams: Mapping[tuple[str, bool], int]) -> None:
        """Charge a job that is taken with what such work took of late."""
        job.charged_s, job.num_alike = self._cost * job.work.context_s, num_streams[job.party]
        self._turns[job.urgency].charge(*job.party, job.charged_s, job.num_alike)

    def _settle(self, jobs: Sequence[_Job], seconds: float) -> None:
        """Charge a batch that has ended, well or not, with what it took instead, each job by its context."""
        cost = seconds / sum(job.work.context_s for job in jobs)
        with self._changed:
            self._cost += COST_WEIGHT * (cost - self._cost)
            for job in jobs:
                more_s = cost * job.work.context_s - job.charged_s
                self._turns[job.urgency].charge(*job.party, more_s, job.num_alike)

    def _retry(self, jobs: Sequence[_Job], death: WorkerDiedError) -> None:
        """Once more for those who were not tried twice, ahead of their equals: they have waited already."""
        again = []
        for job in jobs:
            job.attempts += 1
            if job.attempts < MAX_ATTEMPTS and not self._closed.is_set():
                again.append(job)
                continue
            error = UnavailableError(
                f"the engine's process ended while it worked on this request, {job.attempts} times ({death}); try again",
                reason="ENGINE_CRASH",
            )
            job.future.set_exception(error)
        with self._changed:
            self._jobs += again
            self._changed.notify(len(again))

    def _is_due(self) -> bool:
        """Whether there is work that was not cancelled, or the end; forgets what was cancelled first."""
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]
        return bool(self._jobs) or self._closed.is_set()


def _next(jobs: Sequence[_Job], turns: TenantTurns) -> _Job:
    """Of equally urgent jobs: of those whose turn it is the one that is due first."""
    return min(jobs, key=lambda job: (turns.clock(*job.party), job))


def _num_streams(jobs: Sequence[_Job]) -> Counter[tuple[str, bool]]:
    """Streams that wait, by whose turns they take."""
    return Counter(party for party, _ in {(job.party, job.stream) for job in jobs})


def _shutting_down() -> UnavailableError:
    return UnavailableError("the server is shutting down; try again", reason="DRAINING")
