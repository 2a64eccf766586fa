"""The client of asr.v1: plain values in and out, protobuf inside, no model library.

``SpeechClient`` blocks; ``AsyncSpeechClient`` is the same for asyncio. Errors are those of ``asr.errors``.
"""

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import Phrase, PhraseReport, PhraseState
from asr.client.aio import AsyncSpeechClient
from asr.client.blocking import SpeechClient
from asr.client.credentials import Credentials
from asr.client.wire import Recognition, ServedModel, ServedVersion
from asr.client.wire_phrases import KeptAnswer
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
    "AsyncSpeechClient",
    "Container",
    "Credentials",
    "Encoding",
    "Finalize",
    "Goodbye",
    "KeptAnswer",
    "KeptPhrases",
    "KeptSummary",
    "LagPolicy",
    "Limits",
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
    "ServedModel",
    "ServedVersion",
    "SpeechAwaited",
    "SpeechClient",
    "SpeechEnded",
    "SpeechStarted",
    "StreamConfig",
    "StreamUpdate",
    "Vocabulary",
    "VocabularyApplied",
]
