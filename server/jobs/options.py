"""The options of jobs: where they are kept, what a tenant may keep, and how workers hold what they work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import OptionError
from asr.models.reference import is_valid_name
from asr.options import SECRET
from asr.storage import home_dir

DAY_S = 86_400.0
HOUR_S = 3_600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsOptions:
    """The table ``[jobs]``: the same for servers and workers.

    Attributes:
        database: as SQLAlchemy writes it, sqlite:///PATH or postgresql://...; "" is sqlite under LEXITUNE_HOME.
        folder: of uploads and of what training needs; "" is under LEXITUNE_HOME. Servers and workers share it.
        roots: folders by the names under which requests may name files in them.
        allow_adaptation: whether adaptation jobs are accepted. Without tenants they are so from this machine only.
        lease_s: how long a worker that is not heard of keeps a part of a job.
        max_attempts: how often a part may be begun, before it counts as failed.
        max_open_jobs: of a tenant; its own ``quotas.max_jobs`` counts instead.
        max_stored_mb: uploads of a tenant, MiB; its own ``quotas.max_stored_mb`` counts instead.
        max_uploads: that one server takes at the same time.
        max_tenant_uploads: the part of them that one tenant may have.
        max_upload_s: time that one upload may take.
        max_file_mb: of one upload, or file under a root, MiB.
        max_recordings: of one batch job.
        max_recording_s: longest recording of a batch job.
        max_work_s: time that a worker may take over one recording.
        max_training_s: time that a worker may take over one attempt at an adaptation.
        max_training_memory_mb: of the process that trains, MiB; 0 sets no limit.
        training_workers: cores that a training uses.
        worker_threads: recordings that a worker transcribes at the same time; 0 is one for each usable core.
        result_days: how long a job that is over is kept.
        upload_hours: how long a file that no open job uses is kept.
    """

    database: str = field(default="", metadata=SECRET)  # a URL may hold a password
    folder: str = ""
    roots: dict[str, str] = field(default_factory=dict)
    allow_adaptation: bool = True
    lease_s: float = 30.0
    max_attempts: int = 5
    max_open_jobs: int = 20
    max_stored_mb: int = 10_240
    max_uploads: int = 64
    max_tenant_uploads: int = 32
    max_upload_s: float = 6 * HOUR_S
    max_file_mb: int = 1024
    max_recordings: int = 10_000
    max_recording_s: float = 4 * HOUR_S
    max_work_s: float = 4 * HOUR_S
    max_training_s: float = 2 * DAY_S
    max_training_memory_mb: int = 0
    training_workers: int = 2
    worker_threads: int = 0
    result_days: float = 30.0
    upload_hours: float = 72.0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "lease_s": (0.5, 3600),
            "max_attempts": (1, 1000),
            "max_open_jobs": (1, 100_000),
            "max_stored_mb": (1, 1 << 30),
            "max_uploads": (1, 100_000),
            "max_tenant_uploads": (1, 100_000),
            "max_upload_s": (1, 7 * DAY_S),
            "max_file_mb": (1, 1 << 20),
            "max_recordings": (1, 100_000),
            "max_recording_s": (1, 7 * DAY_S),
            "max_work_s": (1, 7 * DAY_S),
            "max_training_s": (1, 365 * DAY_S),
            "max_training_memory_mb": (0, 1 << 24),
            "training_workers": (1, 256),
            "worker_threads": (0, 256),
            "result_days": (0, 36_500),
            "upload_hours": (0, 876_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise OptionError(f"jobs.{name} is {value:g}; give {low:g} to {high:g}", field=f"jobs.{name}")
        for name, path in self.roots.items():
            if not is_valid_name(name) or not Path(path).is_absolute():
                raise OptionError(
                    f"jobs.roots has {name!r} = {path!r}; give a name of letters, digits, '.', '-' or '_' and an "
                    "absolute path",
                    field="jobs.roots",
                )

    @property
    def uri(self) -> str:
        """Of the database."""
        return self.database or f"sqlite:///{home_dir() / 'jobs.db'}"

    @property
    def path(self) -> Path:
        """The folder, made if absent."""
        if not self.folder:
            return home_dir("jobs")
        path = Path(self.folder)
        path.mkdir(parents=True, exist_ok=True)
        return path
