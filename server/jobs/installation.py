"""All parts of the store of one installation, opened together: what servers and workers share."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from server.candidates.options import CandidatesOptions
from server.candidates.store import CandidateStore
from server.jobs.database import Database
from server.jobs.inputs import Inputs
from server.jobs.leases import Leases
from server.jobs.options import JobsOptions
from server.jobs.states import JobKind
from server.jobs.store import JobStore
from server.jobs.sweep import ADAPTATIONS, Swept, sweep
from server.jobs.uploads import UploadStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """The parts. Blocking; safe to use from several threads."""

    options: JobsOptions
    folder: Path
    database: Database
    store: JobStore
    leases: Leases
    uploads: UploadStore
    inputs: Inputs
    candidates: CandidateStore

    @classmethod
    def open(cls, options: JobsOptions, candidates: CandidatesOptions | None = None) -> Installation:
        """Open the database and the folder, made if absent.

        Raises:
            LexituneError: one of them cannot be used.
        """
        database, folder = Database(options.uri), options.path
        max_file_bytes = options.max_file_mb << 20
        uploads = UploadStore(database, folder, max_file_bytes=max_file_bytes)
        return cls(
            options=options,
            folder=folder,
            database=database,
            store=JobStore(database),
            leases=Leases(database, lease_s=options.lease_s, max_attempts=options.max_attempts),
            uploads=uploads,
            inputs=Inputs(uploads, options.roots, max_file_bytes=max_file_bytes),
            candidates=CandidateStore(database, folder, candidates or CandidatesOptions()),
        )

    def delete(self, tenant: str, kind: JobKind, job_id: str) -> None:
        """Delete a job with its results, the uploads that were its alone, and what a training has made of them.

        Raises:
            JobNotFoundError: the tenant has none of this id.
        """
        self.uploads.remove_files(self.store.delete(tenant, kind, job_id))
        # A worker that is at it still finds that the job is gone, and removes what it has written since.
        shutil.rmtree(self.folder / ADAPTATIONS / job_id, ignore_errors=True)

    def sweep(self) -> Swept:
        """Remove what is over its time."""
        swept = sweep(self.database, self.uploads, self.folder, self.options)
        return replace(swept, candidates=self.candidates.sweep())


class LazyInstallation:
    """Opened when it is first asked for: a server without jobs makes no database. Safe to use from several threads."""

    def __init__(self, options: JobsOptions, candidates: CandidatesOptions | None = None) -> None:
        self.options = options
        self._candidates = candidates
        self._opening = threading.Lock()
        self._opened: Installation | None = None

    def get(self) -> Installation:
        """The parts; tried again after a failure.

        Raises:
            LexituneError: they cannot be opened.
        """
        with self._opening:
            if self._opened is None:
                self._opened = Installation.open(self.options, self._candidates)
            return self._opened

    def opened(self) -> Installation | None:
        """The parts if they were asked for, or if jobs were kept here before; else None."""
        if self._opened is None and self.options.database == "" and not self._database_file().exists():
            return None
        return self.get()

    def close(self) -> None:
        """Close the connections."""
        with self._opening:
            if self._opened is not None:
                self._opened.database.close()
                self._opened = None

    def _database_file(self) -> Path:
        return Path(self.options.uri.removeprefix("sqlite:///"))
