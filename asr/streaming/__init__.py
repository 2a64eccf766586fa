"""Streaming logic without IO: samples in, events out; no socket, clock, thread or sleep inside.

The law that all of it keeps: the finals of a recording are the same whatever the chunks it came in.
"""

from asr.streaming.endpointer import FinalReason, SessionOptions
from asr.streaming.session import DecodeRequest, Event, Session, SpeechAwaited, SpeechEnded, SpeechStarted
from asr.streaming.stabilizer import Stabilizer

__all__ = [
    "DecodeRequest",
    "Event",
    "FinalReason",
    "Session",
    "SessionOptions",
    "SpeechAwaited",
    "SpeechEnded",
    "SpeechStarted",
    "Stabilizer",
]
