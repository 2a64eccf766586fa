"""What a client of jobs gives and gets: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from asr.biasing.phrases import PhraseReport
from asr.jobs import JobState
from asr.results import Transcript


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedFile:
    """A file that the server keeps; ``name`` is the caller's."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOnServer:
    """A file that a job reads: an upload, or one under a folder that the operator allows, by the folder's name.

    Attributes:
        upload_id: of a file that was sent.
        root: else the name of a folder on the server,
        path: and where in it the file is.
    """

    upload_id: str = ""
    root: str = ""
    path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingOnServer:
    """A recording to transcribe; results name it by ``id``, or by its number from 0 where that is empty."""

    file: FileOnServer
    id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestOnServer:
    """A manifest; of one that was sent, the uploads of its recordings by the names in its rows."""

    file: FileOnServer
    audio: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFault:
    """Why a job or a recording failed: one of a few reasons, and what a person needs to know."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchJob:
    """A batch job as it is; ``model`` is an immutable reference, times that were not yet are None.

    ``phrases`` says what became of each phrase that was asked for; only the answer to the job's creation has it.
    """

    id: str
    request_id: str
    state: JobState
    model: str
    num_recordings: int
    num_succeeded: int
    num_failed: int
    audio_s: float
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    fault: JobFault | None = None
    phrases: tuple[PhraseReport, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult:
    """What came of a recording: transcripts by channel (one where channels were mixed), or a fault."""

    recording_id: str
    index: int
    channels: tuple[Transcript, ...] = ()
    fault: JobFault | None = None

    @property
    def text(self) -> str:
        """All channels' text, one behind the other."""
        return " ".join(one.text for one in self.channels if one.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """What an adaptation job is to do; what is empty or None is the server's choice.

    Attributes:
        name: under which the version will be registered.
        base: what is adapted, as a call's model.
        alias: moved to the version if the gate passes.
        text: domain text, one utterance a line.
        terms: glossary, one term a line.
        templates: carrier sentences with ``{term}``.
        train: transcribed recordings.
        dev: to select and gate on.
        test: that only the gate sees.
        general: general speech, for what was forgotten.
        method: "auto", "decoder", "lora", "full" or "ctc".
        config_toml: options as in the file of ``lexitune adapt --config``.
    """

    name: str
    base: str = ""
    alias: str = ""
    text: FileOnServer | None = None
    terms: FileOnServer | None = None
    templates: FileOnServer | None = None
    train: ManifestOnServer | None = None
    dev: ManifestOnServer | None = None
    test: ManifestOnServer | None = None
    general: ManifestOnServer | None = None
    method: str = ""
    config_toml: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationStage:
    """What a job does now, and how much of it is done."""

    name: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationPoint:
    """Figures of a training at one step, by name."""

    step: int
    values: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationCheck:
    """A check of the gate."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationOutcome:
    """What was published; ``metrics`` are shares by base or adapted, set and name: ``adapted.dev.wer``."""

    reference: str
    gate_passed: bool
    gate_reason: str
    checks: tuple[AdaptationCheck, ...]
    promoted_alias: str
    metrics: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationJob:
    """An adaptation job as it is; lists of jobs leave points and notes out."""

    id: str
    request_id: str
    state: JobState
    base: str
    name: str
    created_at: datetime
    stage: AdaptationStage | None = None
    points: tuple[AdaptationPoint, ...] = ()
    notes: tuple[str, ...] = ()
    outcome: AdaptationOutcome | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    fault: JobFault | None = None
