"""The client of asr.v1: plain values in and out, protobuf inside, no model library.

``SpeechClient`` blocks; ``AsyncSpeechClient`` is the same for asyncio. Errors are those of ``asr.errors``.
"""

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.client.aio import AsyncSpeechClient
from asr.client.blocking import SpeechClient
from asr.client.credentials import Credentials
from asr.client.wire import Recognition, ServedModel, ServedVersion
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
)
from asr.streaming.session import SpeechAwaited, SpeechEnded, SpeechStarted

__all__ = [
    "AsyncSpeechClient",
    "Container",
    "Credentials",
    "Encoding",
    "Finalize",
    "Goodbye",
    "LagPolicy",
    "Limits",
    "Marker",
    "MarkerReached",
    "ModelIdentity",
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
]
