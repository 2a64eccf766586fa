"""The client of asr.v1: plain values in and out, protobuf inside, no model library.

``SpeechClient`` recognises, ``JobsClient`` sends files and has jobs done; both block. ``AsyncSpeechClient`` and
``AsyncJobsClient`` are the same for asyncio. Errors are those of ``asr.errors``.
"""

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import Phrase, PhraseReport, PhraseState
from asr.client.aio import AsyncSpeechClient
from asr.client.aio_jobs import AsyncJobsClient
from asr.client.blocking import SpeechClient
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
    "AsyncJobsClient",
    "AsyncSpeechClient",
    "BatchJob",
    "BatchResult",
    "Container",
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
