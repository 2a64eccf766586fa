"""The tables of jobs and candidates, the same on sqlite and PostgreSQL. Instants are s since 1970, documents JSON."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

JOBS = Table(
    "lexitune_jobs",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("num_parts", Integer, nullable=False),
    Column("num_succeeded", Integer, nullable=False, default=0),
    Column("num_failed", Integer, nullable=False, default=0),
    Column("audio_s", Double, nullable=False, default=0.0),
    Column("progress", Text, nullable=False, default="{}"),
    Column("failure", Text),
    Column("revision", Integer, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    UniqueConstraint("tenant", "kind", "request_id", name="lexitune_jobs_request"),
    Index("lexitune_jobs_state", "state", "created_at"),
    Index("lexitune_jobs_tenant", "tenant", "kind", "created_at"),
)

PARTS = Table(
    "lexitune_job_parts",
    METADATA,
    Column("job_id", ForeignKey("lexitune_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("tenant", String(256), nullable=False),
    Column("name", String(255), nullable=False),
    Column("document", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("trial", String(16), nullable=False, default="together"),
    Column("error", Text, nullable=False, default=""),  # of the last attempt that ended with one
    Column("available_at", Double, nullable=False, default=0.0),
    Column("token", String(40)),
    Column("leased_until", Double),
    Index("lexitune_job_parts_state", "job_id", "state", "index"),
    Index("lexitune_job_parts_token", "token"),
)

RESULTS = Table(  # the key is what makes a result one of a kind, whoever tries to write a second
    "lexitune_job_results",
    METADATA,
    Column("job_id", ForeignKey("lexitune_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("document", Text),
    Column("failure", Text),
)

UPLOADS = Table(
    "lexitune_uploads",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(256), nullable=False),
    Column("name", String(255), nullable=False),
    Column("file_name", String(80), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64)),  # none: it is still being sent
    Column("created_at", Double, nullable=False),
    Index("lexitune_uploads_tenant", "tenant", "created_at"),
)

CANDIDATES = Table(  # ``server.candidates``
    "lexitune_candidates",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(256), nullable=False),
    Column("session", String(40), nullable=False),
    Column("model", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("language", String(40), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("correction", Text),
    Column("reviewed_at", Double),
    Column("reviewer", String(128), nullable=False, default=""),
    Index("lexitune_candidates_tenant", "tenant", "confidence", "id"),
)

JOB_UPLOADS = Table(
    "lexitune_job_uploads",
    METADATA,
    Column("job_id", ForeignKey("lexitune_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("upload_id", ForeignKey("lexitune_uploads.id", ondelete="RESTRICT"), primary_key=True),
    Index("lexitune_job_uploads_upload", "upload_id"),
)
