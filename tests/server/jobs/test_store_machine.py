"""Workers that claim, die, come back late and commit twice, in every order that Hypothesis thinks of, against a model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from server.jobs.database import Database
from server.jobs.leases import ATTEMPTS, WORKER_DIED, Leases
from server.jobs.records import Failure, Lease, NewJob, NewPart
from server.jobs.states import JobKind, JobState
from server.jobs.store import JobStore

BATCH = JobKind.BATCH
LEASE_S, MAX_ATTEMPTS, NUM_PARTS = 10.0, 3, 2
GIVEN_UP = (ATTEMPTS, WORKER_DIED)
KEY = tuple[str, int]


class Machine(RuleBasedStateMachine):
    """A few jobs of two tenants; the model knows who holds what, and what was committed."""

    jobs = Bundle("jobs")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._now_s = 0.0
        self._database = Database(f"sqlite:///{Path(self._folder.name) / 'jobs.db'}", lambda: self._now_s)
        self._store = JobStore(self._database)
        self._leases = Leases(self._database, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS)
        self._tenants: dict[str, str] = {}
        self._closed: set[str] = set()  # cancelled
        self._held: dict[KEY, str] = {}  # tokens
        self._until_s: dict[KEY, float] = {}
        self._results: dict[KEY, str] = {}

    def teardown(self) -> None:
        self._database.close()
        self._folder.cleanup()

    @rule(target=jobs, tenant=st.sampled_from("ab"), request=st.integers(0, 3))
    def create(self, tenant: str, request: int) -> str:
        parts = tuple(NewPart(name=str(index), document={}) for index in range(NUM_PARTS))
        new = NewJob(
            tenant=tenant, kind=BATCH, request_id=str(request), payload_sha256="x", spec={}, parts=parts
        )
        job = self._store.create(new, max_open=99)
        self._tenants[job.id] = tenant
        return job.id

    @rule(target=leases)
    def claim(self) -> Lease | None:
        lease = self._leases.claim([BATCH])
        if lease is not None:
            key = (lease.job_id, lease.index)
            assert key not in self._results and lease.job_id not in self._closed
            assert key not in self._held or self._until_s[key] <= self._now_s, "another holds it"
            self._held[key], self._until_s[key] = lease.token, self._now_s + LEASE_S
        return lease

    def _holds(self, lease: Lease) -> bool:
        key = (lease.job_id, lease.index)
        is_open = lease.job_id not in self._closed and key not in self._results
        given_up = self._given_up(key)
        return is_open and not given_up and self._held.get(key) == lease.token

    def _given_up(self, key: KEY) -> bool:
        tenant = self._tenants[key[0]]
        found = self._store.results(tenant, BATCH, key[0], limit=99)
        return any(one.index == key[1] and one.failure and one.failure.reason in GIVEN_UP for one in found)

    @rule(lease=leases, succeeds=st.booleans())
    def commit(self, lease: Lease | None, succeeds: bool) -> None:
        if lease is None:
            return
        holds = self._holds(lease)
        if succeeds:
            assert self._leases.complete(lease, {"by": lease.token}) == holds
        else:
            assert self._leases.fail(lease, Failure(reason="R", message=lease.token)) == holds
        if holds:
            self._results[(lease.job_id, lease.index)] = lease.token

    @rule(lease=leases, counts=st.booleans())
    def give_back(self, lease: Lease | None, counts: bool) -> None:
        if lease is None:
            return
        holds = self._holds(lease) or (
            lease.job_id in self._closed and self._held.get((lease.job_id, lease.index)) == lease.token
            and (lease.job_id, lease.index) not in self._results
        )  # fmt: skip
        assert self._leases.release(lease, counts=counts) == holds
        if holds:
            del self._held[(lease.job_id, lease.index)]

    @rule(lease=leases)
    def renew(self, lease: Lease | None) -> None:
        if lease is None:
            return
        holds = self._holds(lease)
        assert self._leases.renew([lease.token]) == ({lease.token} if holds else set())
        if holds:
            self._until_s[(lease.job_id, lease.index)] = self._now_s + LEASE_S

    @rule(lease=leases)
    def isolate(self, lease: Lease | None) -> None:
        if lease is not None:
            holds = self._holds(lease)
            assert self._leases.isolate(lease) or not holds

    @rule(by_s=st.sampled_from([1.0, LEASE_S / 2, LEASE_S]))
    def wait(self, by_s: float) -> None:
        self._now_s += by_s

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        before = self._store.get(self._tenants[job_id], BATCH, job_id)
        after = self._store.cancel(self._tenants[job_id], BATCH, job_id)
        if before.state.is_over:
            assert after == before
        else:
            assert after.state is JobState.CANCELLED
            self._closed.add(job_id)

    @invariant()
    def what_was_committed_is_there_once_and_counted(self) -> None:
        for job_id, tenant in self._tenants.items():
            job = self._store.get(tenant, BATCH, job_id)
            found = self._store.results(tenant, BATCH, job_id, limit=99)
            assert len({one.index for one in found}) == len(found) == job.counts.succeeded + job.counts.failed
            for one in found:
                by = one.document["by"] if one.document else one.failure.message  # type: ignore[union-attr]
                if one.failure is None or one.failure.reason not in GIVEN_UP:
                    assert self._results[(job_id, one.index)] == by
            if job_id not in self._closed:
                assert job.state.is_over == (len(found) == NUM_PARTS)
            assert (job.state is JobState.CANCELLED) == (job_id in self._closed)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
