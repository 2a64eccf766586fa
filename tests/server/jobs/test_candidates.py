"""Candidates in both databases: kept whole, within a tenant's room, each tenant's own; and gone when they are deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import read_audio_bytes
from asr.candidates import CandidateState
from asr.errors import CandidateNotFoundError, LimitError, ResourceError, UnavailableError
from server.candidates.options import CandidatesOptions
from server.candidates.records import Candidate, NewCandidate
from server.candidates.store import FOLDER, ORPHANED_S, CandidateStore
from server.jobs.database import Database
from server.jobs.installation import Installation
from server.jobs.options import DAY_S, HOUR_S, JobsOptions

SECOND = (0.1 * np.sin(np.arange(16_000) / 7)).astype(np.float32)
WORDS = "xylophone quagmire"
NEW = NewCandidate(
    tenant="clinic", session="s", model="models:/orders/3", text=WORDS, confidence=0.4, duration_s=1.0
)


@pytest.fixture
def store(database: Database, tmp_path: Path) -> CandidateStore:
    return CandidateStore(database, tmp_path, CandidatesOptions())


def _with(store: CandidateStore, database: Database, **options: Any) -> CandidateStore:
    return CandidateStore(database, store.folder.parent, CandidatesOptions(**options))


def _files(store: CandidateStore) -> list[Path]:
    return [path for path in store.folder.rglob("*") if path.is_file()]


def test_what_is_kept_is_what_was_heard(store: CandidateStore) -> None:
    kept = store.keep(NEW, SECOND)
    assert (kept.text, kept.confidence, kept.state) == (WORDS, 0.4, CandidateState.WAITING)
    assert store.get("clinic", kept.id) == kept
    heard = read_audio_bytes(store.audio("clinic", kept.id), "a.flac")
    assert np.abs(heard - SECOND).max() < 1e-4
    assert WORDS not in repr(kept) + repr(NEW)


def test_pages_are_by_confidence_and_state_and_stay_whole_while_they_are_reviewed(
    store: CandidateStore,
) -> None:
    for confidence in (0.5, 0.1, 0.3, 0.1, 0.2):
        store.keep(replace(NEW, confidence=confidence), SECOND)
    seen = list[Candidate]()
    while page := store.page(
        "clinic",
        limit=2,
        state=CandidateState.WAITING,
        after=(seen[-1].confidence, seen[-1].id) if seen else None,
    ):
        seen += page
        store.correct("clinic", page[0].id, "said", "ann")
    assert [one.confidence for one in seen] == [0.1, 0.1, 0.2, 0.3, 0.5]
    assert len({one.id for one in seen}) == 5
    assert len(store.page("clinic", limit=9, state=CandidateState.CORRECTED)) == 3
    assert len(store.page("clinic", limit=9)) == 5


def test_the_last_review_counts(store: CandidateStore, clock: Any) -> None:
    kept = store.keep(NEW, SECOND)
    clock.now_s += 5
    rejected = store.reject("clinic", kept.id, "ann")
    assert (rejected.state, rejected.correction, rejected.reviewer) == (CandidateState.REJECTED, None, "ann")
    corrected = store.correct("clinic", kept.id, "", "bob")
    assert (corrected.state, corrected.correction, corrected.reviewer) == (
        CandidateState.CORRECTED, "", "bob",
    )  # fmt: skip
    assert corrected.reviewed_at == clock.now_s and corrected.text == WORDS


def test_another_tenants_are_none(store: CandidateStore) -> None:
    kept = store.keep(NEW, SECOND)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: store.get("shop", kept.id),
        lambda: store.audio("shop", kept.id),
        lambda: store.correct("shop", kept.id, "x", ""),
        lambda: store.reject("shop", kept.id, ""),
        lambda: store.get("clinic", "../" + kept.id),
    )
    for call in calls:
        with pytest.raises(CandidateNotFoundError, match="list the candidates again"):
            call()
    assert store.page("shop", limit=9) == []
    assert store.delete("shop", [kept.id]) == store.delete_all("shop") == 0
    assert store.get("clinic", kept.id) == kept


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"max_per_hour": 2}, "max_per_hour"),
        ({"max_stored_s": 2.5}, "max_stored_s"),
        ({"max_stored_mb": 1}, "max_stored_mb"),
    ],
)
def test_a_tenant_has_so_much_room_and_no_more(
    store: CandidateStore, database: Database, clock: Any, options: dict[str, float], limit: str
) -> None:
    bounded = _with(store, database, **options)
    noise = np.random.default_rng(0).uniform(-1, 1, 16_000 * 14).astype(np.float32)  # 440 kB as FLAC
    for _ in range(2):
        bounded.keep(NEW, noise)
    with pytest.raises(LimitError, match=rf"have candidates\.{limit} raised") as refused:
        bounded.keep(NEW, noise)
    assert refused.value.reason == "TENANT_QUOTA"
    assert len(_files(store)) == 2
    bounded.keep(replace(NEW, tenant="shop"), SECOND)
    clock.now_s += HOUR_S + 1
    if limit == "max_per_hour":
        bounded.keep(NEW, noise)
    else:
        bounded.delete("clinic", [bounded.page("clinic", limit=1)[0].id])
        bounded.keep(NEW, SECOND)


def test_deleted_is_gone_from_the_folder_and_from_every_file_of_the_database(
    tmp_path: Path, clock: Any
) -> None:
    uri = f"sqlite:///{tmp_path / 'jobs.db'}"
    database = Database(uri, clock)
    store = CandidateStore(database, tmp_path / "files", CandidatesOptions())
    ids = [store.keep(replace(NEW, tenant=tenant), SECOND).id for tenant in ("clinic", "clinic", "shop")]
    store.correct("clinic", ids[0], f"no {WORDS}", "ann")

    def bytes_on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())

    assert bytes_on_disk().count(WORDS.encode()) >= 3  # so that the search below can find them
    assert store.delete("clinic", [ids[0], "0" * 32]) == 1
    assert f"no {WORDS}".encode() not in bytes_on_disk() and ids[0] not in str(_files(store))
    assert store.delete_all("clinic") == 1
    assert [path.stem for path in _files(store)] == [ids[2]]
    store.delete_all("shop")
    assert _files(store) == []
    assert WORDS.encode() not in bytes_on_disk()
    assert all(one.encode() not in bytes_on_disk() for one in ids)
    assert store.page("clinic", limit=9) == []
    database.close()


def test_deleting_all_takes_what_a_kill_left_behind(store: CandidateStore) -> None:
    kept = store.keep(NEW, SECOND)
    left = _files(store)[0].with_name("f" * 32 + ".flac")
    left.write_bytes(b"audio")
    left.with_name(".x.part").write_bytes(b"audio")
    assert store.delete_all("clinic") == 1
    assert _files(store) == []
    with pytest.raises(CandidateNotFoundError):
        store.audio("clinic", kept.id)


def test_no_row_is_without_a_file_and_no_file_without_a_row_whoever_deletes_meanwhile(
    store: CandidateStore,
) -> None:
    def keep(_number: int) -> bool:
        try:
            store.keep(NEW, SECOND[:160])
        except UnavailableError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        keeping = threads.map(keep, range(40))
        deleted = sum(store.delete_all("clinic") for _ in range(20))
        kept = sum(keeping)
    rows = {one.id for one in store.page("clinic", limit=99)}
    assert {path.stem for path in _files(store)} == rows
    assert kept == deleted + len(rows)


def test_a_row_whose_file_is_gone_can_be_deleted(store: CandidateStore) -> None:
    kept = store.keep(NEW, SECOND)
    _files(store)[0].unlink()  # a kill came in the middle of a deletion
    with pytest.raises(CandidateNotFoundError):
        store.audio("clinic", kept.id)
    assert store.delete("clinic", [kept.id]) == 1


def test_what_is_over_its_time_goes_reviewed_or_not(store: CandidateStore, clock: Any) -> None:
    old = [store.keep(NEW, SECOND).id for _ in range(2)]
    store.correct("clinic", old[0], "said", "")
    clock.now_s += 29 * DAY_S
    young = store.keep(NEW, SECOND)
    orphan, fresh = (_files(store)[0].with_name(name * 32 + ".flac") for name in "ef")
    for path in (orphan, fresh):
        path.write_bytes(b"audio")
    aged = fresh.stat().st_mtime - ORPHANED_S - 1
    os.utime(orphan, (aged, aged))
    assert store.sweep() == 1
    clock.now_s += DAY_S + 1
    assert store.sweep() == 2
    assert sorted(path.stem for path in _files(store)) == sorted([young.id, "f" * 32])
    assert store.page("clinic", limit=9) == [young]


def test_the_sweep_of_jobs_sweeps_them_too(tmp_path: Path) -> None:
    options = JobsOptions(database=f"sqlite:///{tmp_path / 'jobs.db'}", folder=str(tmp_path / "files"))
    parts = Installation.open(options, CandidatesOptions(retention_days=0))
    parts.candidates.keep(NEW, SECOND)
    assert parts.sweep().candidates == 1
    assert list((tmp_path / "files" / FOLDER).glob("*/*")) == []
    parts.database.close()


def test_a_full_disk_keeps_nothing_and_leaves_nothing(
    database: Database, small_disk: Path, fill: Callable[[Path], Path]
) -> None:
    store = CandidateStore(database, small_disk, CandidatesOptions())
    first = store.keep(NEW, SECOND)
    ballast = fill(small_disk)
    with pytest.raises(ResourceError, match="free some space"):
        store.keep(NEW, SECOND)
    assert [path.stem for path in _files(store)] == [first.id]
    ballast.unlink()
    store.keep(NEW, SECOND)
