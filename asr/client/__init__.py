"""The client of asr.v1: plain values in and out, protobuf inside, no model library.

``SpeechClient`` recognises, ``JobsClient`` sends files and has jobs done, ``CorrectionsClient`` reviews what a model was
unsure of; all block. ``AsyncSpeechClient``, ``AsyncJobsClient`` and ``AsyncCorrectionsClient`` are the same for asyncio.
Errors are those of ``asr.errors``.
"""

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import Phrase, PhraseReport, PhraseState
from asr.candidates import CandidateState
from asr.client.aio import AsyncSpeechClient
from asr.client.aio_corrections import AsyncCorrectionsClient
from asr.client.aio_jobs import AsyncJobsClient
from asr.client.blocking import SpeechClient
from asr.client.candidate_values import Candidate
from asr.client.corrections import CorrectionsClient
from asr.client.credentials import Credentials
from asr.client.job_values import (
    Adaptation,
    AdaptationCheck,
    AdaptationJob,
    AdaptationOutcome,
    AdaptationPoint,
    AdaptationStage,
    BatchJob,
    BatchResult,
    FileOnServer,
    JobFault,
    ManifestOnServer,
    RecordingOnServer,
    UploadedFile,
)
from asr.client.jobs import JobsClient
from asr.client.wire import Recognition, ServedModel, ServedVersion
from asr.client.wire_phrases import KeptAnswer
from asr.jobs import JobState
from asr.streaming.messages import (
    Finalize,
    Goodbye,
    LagPolicy,
    Limits,
    Marker,
    MarkerReached,
    ModelIdentity,
    Progress,
    Ready,
    RecognitionResult,
    StreamConfig,
    StreamUpdate,
    Vocabulary,
    VocabularyApplied,
)
from asr.streaming.session import SpeechAwaited, SpeechEnded, SpeechStarted

__all__ = [
    "Adaptation",
    "AdaptationCheck",
    "AdaptationJob",
    "AdaptationOutcome",
    "AdaptationPoint",
    "AdaptationStage",
    "AsyncCorrectionsClient",
    "AsyncJobsClient",
    "AsyncSpeechClient",
    "BatchJob",
    "BatchResult",
    "Candidate",
    "CandidateState",
    "Container",
    "CorrectionsClient",
    "Credentials",
    "Encoding",
    "FileOnServer",
    "Finalize",
    "Goodbye",
    "JobFault",
    "JobState",
    "JobsClient",
    "KeptAnswer",
    "KeptPhrases",
    "KeptSummary",
    "LagPolicy",
    "Limits",
    "ManifestOnServer",
    "Marker",
    "MarkerReached",
    "ModelIdentity",
    "Phrase",
    "PhraseReport",
    "PhraseState",
    "Progress",
    "Ready",
    "Recognition",
    "RecognitionResult",
    "RecordingOnServer",
    "ServedModel",
    "ServedVersion",
    "SpeechAwaited",
    "SpeechClient",
    "SpeechEnded",
    "SpeechStarted",
    "StreamConfig",
    "StreamUpdate",
    "UploadedFile",
    "Vocabulary",
    "VocabularyApplied",
]
