"""The store of jobs on both databases: one job a request, tenants apart, one result a part whoever dies when."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from asr.errors import (
    AlreadyExistsError,
    JobNotFoundError,
    LimitError,
    MissingDependencyError,
    OptionError,
    UnavailableError,
    UploadNotFoundError,
)
from server.jobs.database import Database
from server.jobs.leases import MAX_RESULT_CHARS, TOO_LARGE, WORKER_DIED, Leases
from server.jobs.records import Failure, NewJob, NewPart
from server.jobs.schema import PARTS
from server.jobs.states import JobKind, JobState
from server.jobs.store import JobStore

BATCH = JobKind.BATCH
LEASE_S = 10.0


def a_job(request_id: str = "one", *, tenant: str = "t", num_parts: int = 2) -> NewJob:
    parts = tuple(NewPart(name=f"r{index}", document={"number": index}) for index in range(num_parts))
    return NewJob(
        tenant=tenant,
        kind=BATCH,
        request_id=request_id,
        payload_sha256=f"{num_parts}",
        spec={"model": "m"},
        parts=parts,
    )


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database, lease_s=LEASE_S, max_attempts=3)


def test_what_is_asked_for_twice_is_one_job(store: JobStore) -> None:
    first = store.create(a_job(), max_open=1)
    assert store.create(a_job(), max_open=1) == first
    with pytest.raises(AlreadyExistsError, match=f"names job {first.id}"):
        store.create(a_job(num_parts=3), max_open=9)
    assert store.create(a_job(tenant="u"), max_open=1).id != first.id
    assert [one.id for one in store.page("t", BATCH, limit=9)] == [first.id]


def test_a_tenant_has_so_many_open_jobs(store: JobStore, leases: Leases) -> None:
    first = store.create(a_job(), max_open=1)
    with pytest.raises(LimitError, match="1 jobs of this tenant are not over, and 1 are the limit"):
        store.create(a_job("two"), max_open=1)
    store.cancel("t", BATCH, first.id)
    store.create(a_job("two"), max_open=1)


def test_many_that_ask_at_once_get_one_job_or_the_limit(store: JobStore) -> None:
    found: Counter[str] = Counter()

    def ask(request_id: str) -> None:
        try:
            found[store.create(a_job(request_id), max_open=3).id] += 1
        except LimitError:
            found["refused"] += 1

    threads = [threading.Thread(target=ask, args=(f"r{number % 5}",)) for number in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = found.pop("refused")
    assert (len(found), sum(found.values()), refused) == (3, 9, 6)


def test_another_tenants_job_is_none(store: JobStore) -> None:
    job = store.create(a_job(), max_open=1)
    for ask in (store.get, store.cancel, store.delete):
        for tenant, kind in (("u", BATCH), ("", BATCH), ("t", JobKind.ADAPTATION)):
            with pytest.raises(JobNotFoundError):
                ask(tenant, kind, job.id)
    with pytest.raises(JobNotFoundError):
        store.results("u", BATCH, job.id, limit=9)
    assert store.get("t", BATCH, job.id) == job


@pytest.mark.parametrize("job_id", ["", "a\0b", "x" * 41, "ä", "' OR '1'='1"])
def test_what_is_no_id_names_no_job_and_no_upload(store: JobStore, job_id: str) -> None:
    for ask in (store.get, store.cancel, store.delete):
        with pytest.raises(JobNotFoundError):
            ask("t", BATCH, job_id)
    with pytest.raises(UploadNotFoundError):
        store.create(replace(a_job(), upload_ids=frozenset({job_id})), max_open=1)


def test_pages_are_newest_first_and_leave_nothing_out(store: JobStore, clock: Any) -> None:
    made = []
    for number in range(7):
        clock.now_s += number % 2  # some at the same time
        made.append(store.create(a_job(f"r{number}"), max_open=99).id)
    before, found = None, list[str]()
    while page := store.page("t", BATCH, limit=2, before=before):
        found += [one.id for one in page]
        before = (page[-1].created_at, page[-1].id)
    assert sorted(found) == sorted(made)
    assert [store.get("t", BATCH, one).created_at for one in found] == sorted(
        (store.get("t", BATCH, one).created_at for one in made), reverse=True
    )


def test_a_job_from_its_creation_to_its_results(store: JobStore, leases: Leases, clock: Any) -> None:
    job = store.create(a_job(num_parts=3), max_open=1)
    assert (job.state, job.counts.total) == (JobState.QUEUED, 3)
    clock.now_s += 1
    first, second, third = (leases.claim([BATCH]) for _ in range(3))
    assert first is not None and second is not None and third is not None
    assert [one.name for one in (first, second, third)] == ["r0", "r1", "r2"]
    assert (first.spec, first.document, first.attempt) == ({"model": "m"}, {"number": 0}, 1)
    assert leases.claim([BATCH]) is None and leases.claim([JobKind.ADAPTATION]) is None
    assert store.get("t", BATCH, job.id).state is JobState.RUNNING
    assert leases.complete(third, {"text": "three"}, audio_s=2.5)
    assert leases.fail(first, Failure(reason="INVALID_AUDIO", message="no audio"))
    assert [one.index for one in store.results("t", BATCH, job.id, limit=9)] == [0, 2]
    clock.now_s += 1
    assert leases.complete(second, {"text": "two"}, audio_s=1.5)
    over = store.get("t", BATCH, job.id)
    assert (over.state, over.counts.succeeded, over.counts.failed) == (JobState.PARTIAL, 2, 1)
    assert (over.started_at, over.ended_at, over.audio_s) == (1001, 1002, 4.0)
    assert over.revision > job.revision
    results = store.results("t", BATCH, job.id, limit=2)
    assert [(one.document, one.failure) for one in results] == [
        (None, Failure(reason="INVALID_AUDIO", message="no audio")),
        ({"text": "two"}, None),
    ]
    assert [one.index for one in store.results("t", BATCH, job.id, limit=2, after=1)] == [2]
    assert not leases.has_open_jobs([BATCH])


def test_a_page_of_results_holds_what_a_client_can_take(store: JobStore, leases: Leases) -> None:
    job = store.create(a_job(num_parts=5), max_open=1)
    for _ in range(5):
        lease = leases.claim([BATCH])
        assert lease is not None and leases.complete(lease, {"text": "x" * 1000})
    pages, after, is_last = list[list[int]](), -1, False
    while not is_last:
        page = store.results_page("t", BATCH, job.id, limit=4, after=after, max_chars=2500)
        pages.append([one.index for one in page.results])
        after, is_last = pages[-1][-1], page.is_last
    assert pages == [[0, 1], [2, 3], [4]]
    page = store.results_page("t", BATCH, job.id, limit=2, after=-1, max_chars=1)
    assert [one.index for one in page.results] == [0] and not page.is_last


def test_a_result_that_no_client_could_take_is_a_failure(store: JobStore, leases: Leases) -> None:
    job = store.create(a_job(num_parts=1), max_open=1)
    lease = leases.claim([BATCH])
    assert lease is not None and leases.complete(lease, {"text": "x" * MAX_RESULT_CHARS})
    failure = store.get("t", BATCH, job.id).failure
    assert failure is not None and failure.reason == TOO_LARGE


def test_an_expired_lease_is_anothers_and_commits_nothing(
    store: JobStore, leases: Leases, clock: Any
) -> None:
    job = store.create(a_job(num_parts=1), max_open=1)
    slow = leases.claim([BATCH])
    assert slow is not None
    clock.now_s += LEASE_S - 1
    assert leases.renew([slow.token, "unknown"]) == {slow.token}
    clock.now_s += LEASE_S - 1
    assert leases.claim([BATCH]) is None
    clock.now_s += 1
    quick = leases.claim([BATCH])
    assert quick is not None and (quick.attempt, quick.is_suspect) == (1, True)
    assert leases.renew([slow.token]) == set()
    for late in (
        leases.complete(slow, {"text": "slow"}),
        leases.fail(slow, Failure(reason="x", message="y")),
    ):
        assert not late
    assert not leases.release(slow) and not leases.report(slow, {})
    assert leases.complete(quick, {"text": "quick"})
    assert not leases.complete(quick, {"text": "again"})
    assert [one.document for one in store.results("t", BATCH, job.id, limit=9)] == [{"text": "quick"}]


def test_an_expired_lease_that_nobody_took_still_commits(store: JobStore, leases: Leases, clock: Any) -> None:
    job = store.create(a_job(num_parts=1), max_open=1)
    lease = leases.claim([BATCH])
    clock.now_s += 10 * LEASE_S  # the database was away
    assert lease is not None and leases.complete(lease, {})
    assert store.get("t", BATCH, job.id).state is JobState.SUCCEEDED


def test_what_kills_its_workers_alone_fails_at_last(store: JobStore, leases: Leases, clock: Any) -> None:
    job = store.create(a_job(num_parts=1), max_open=1)
    for number in range(4):
        lease = leases.claim([BATCH])
        assert lease is not None and (lease.is_suspect, lease.attempt) == (number > 0, max(1, number))
        assert not lease.is_suspect or leases.isolate(lease)
        clock.now_s += LEASE_S
    assert leases.claim([BATCH]) is None
    over = store.get("t", BATCH, job.id)
    assert over.state is JobState.FAILED and over.failure is not None
    assert over.failure.reason == WORKER_DIED and "begun 3 times" in over.failure.message


def test_a_death_in_company_is_nobodys_attempt(store: JobStore, leases: Leases, clock: Any) -> None:
    store.create(a_job(num_parts=1), max_open=1)
    for _ in range(9):
        lease = leases.claim([BATCH])
        assert lease is not None and lease.attempt == 1
        clock.now_s += LEASE_S
    lease = leases.claim([BATCH])
    assert lease is not None and leases.isolate(lease) and leases.release(lease)
    again = leases.claim([BATCH])
    assert again is not None and (again.attempt, again.is_suspect) == (2, True)
    assert not leases.isolate(lease) and leases.complete(again, {})


def test_a_part_that_is_given_back_waits_and_may_count_as_no_attempt(
    store: JobStore, leases: Leases, clock: Any
) -> None:
    store.create(a_job(num_parts=1), max_open=1)
    for _ in range(5):
        lease = leases.claim([BATCH])
        assert lease is not None and lease.attempt == 1
        assert leases.release(lease, delay_s=5, counts=False)
        assert leases.claim([BATCH]) is None
        clock.now_s += 5


def test_a_cancelled_job_is_over_at_once(store: JobStore, leases: Leases) -> None:
    job = store.create(a_job(), max_open=1)
    first, second = leases.claim([BATCH]), leases.claim([BATCH])
    assert first is not None and second is not None and leases.complete(first, {})
    cancelled = store.cancel("t", BATCH, job.id)
    assert cancelled.state is JobState.CANCELLED and cancelled.ended_at is not None
    assert store.cancel("t", BATCH, job.id) == cancelled
    assert leases.renew([second.token]) == set()
    assert not leases.complete(second, {})
    assert len(store.results("t", BATCH, job.id, limit=9)) == 1


def test_nothing_is_left_of_a_deleted_job(store: JobStore, leases: Leases) -> None:
    job = store.create(a_job(), max_open=1)
    lease = leases.claim([BATCH])
    assert lease is not None
    assert store.delete("t", BATCH, job.id) == []
    assert not leases.complete(lease, {})
    with pytest.raises(JobNotFoundError):
        store.get("t", BATCH, job.id)
    assert store.create(a_job(), max_open=1).id != job.id


def test_tenants_take_turns(store: JobStore, leases: Leases, clock: Any) -> None:
    for number, tenant in enumerate("aab"):
        clock.now_s += 1
        store.create(a_job(f"r{number}", tenant=tenant, num_parts=3), max_open=9)
    claimed = [leases.claim([BATCH]) for _ in range(6)]
    assert [one.tenant for one in claimed if one] == ["a", "b", "a", "b", "a", "b"]


def test_an_upload_that_is_not_there_is_named(store: JobStore) -> None:
    with pytest.raises(UploadNotFoundError, match="no upload 'none'"):
        store.create(replace(a_job(), upload_ids=frozenset({"none"})), max_open=1)
    assert store.page("t", BATCH, limit=9) == []


def test_a_training_tells_its_progress(store: JobStore, leases: Leases) -> None:
    job = store.create(a_job(num_parts=1), max_open=1)
    lease = leases.claim([BATCH])
    assert lease is not None and leases.report(lease, {"stage": "training"})
    assert store.get("t", BATCH, job.id).progress == {"stage": "training"}


def _work(uri: str, barrier: Any) -> None:
    """A process that does what it can claim, now and then twice and too late."""
    database = Database(uri)
    leases = Leases(database, lease_s=60, max_attempts=3)
    barrier.wait()
    while (lease := leases.claim([BATCH])) is not None:
        assert leases.complete(lease, {"by": lease.token})
        assert not leases.complete(lease, {"by": "twice"})
    database.close()


def test_processes_that_claim_at_once_do_each_part_once(database_uri: str) -> None:
    database = Database(database_uri)
    store = JobStore(database)
    jobs = [store.create(a_job(f"r{number}", num_parts=20), max_open=9) for number in range(3)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_work, args=(database_uri, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    for job in jobs:
        over = store.get("t", BATCH, job.id)
        assert (over.state, over.counts.succeeded) == (JobState.SUCCEEDED, 20)
        assert len(store.results("t", BATCH, job.id, limit=99)) == 20
    database.close()


def test_the_databases_own_clock_is_near(database_uri: str) -> None:
    import time

    database = Database(database_uri)
    with database.reading() as connection:
        assert abs(database.now(connection) - time.time()) < 5
    database.close()


@pytest.mark.parametrize("uri", ["mysql://host/name", "jobs.db", "nonsense://x", ""])
def test_another_database_is_refused(uri: str) -> None:
    with pytest.raises((OptionError, MissingDependencyError)):
        Database(uri)


def test_a_mistake_of_ours_is_not_told_as_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(
            PARTS.insert().values(job_id="none", index=0, tenant="t", name="0", document="{}", state="")
        )


def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, not by far")
    with pytest.raises(UnavailableError, match="file cannot be used"):
        Database(f"sqlite:///{tmp_path / 'file'}")
    with pytest.raises(UnavailableError) as refused:
        Database("postgresql://user:secret@127.0.0.1:9/none")
    assert "secret" not in str(refused.value)
