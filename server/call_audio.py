"""The audio of a call on its way in: how long it is, how much may come, and in which pieces it is worked on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asr.errors import ProtocolError
from asr.streaming.messages import StreamConfig
from server.deadlines import Deadlines
from server.unpacking import PIECE_BYTES
from server.vocabulary import ServedInput

UNARY_PIECE_S = 5.0  # a whole recording is worked on in pieces, so that others get their turn
IN_PARTS = "stream it, or send it in parts"


async def watched(inputs: AsyncIterator[ServedInput], deadlines: Deadlines) -> AsyncIterator[ServedInput]:
    """The inputs, each of which keeps a call from being idle."""
    async for one in inputs:
        deadlines.touch()
        yield one


def length_s(config: StreamConfig, num_bytes: int) -> float:
    """How long so many bytes of a call's raw audio are, in seconds."""
    return num_bytes / config.frame_bytes / config.sample_rate_hz


def check_length(duration_s: float, max_s: float) -> None:
    """Refuse what is longer.

    Raises:
        ProtocolError: it is.
    """
    if duration_s > max_s:
        message = f"{duration_s:.1f} s of audio; at most {max_s:g} s: {IN_PARTS}"
        raise ProtocolError(message, field="audio")


async def at_most(
    inputs: AsyncIterator[ServedInput], config: StreamConfig, max_s: float
) -> AsyncIterator[ServedInput]:
    """The inputs, while there is no more audio than ``max_s`` seconds.

    Raises:
        ProtocolError: there is more.
    """
    num_bytes = 0
    async for one in inputs:
        num_bytes += len(one) if isinstance(one, bytes) else 0
        check_length(length_s(config, num_bytes), max_s)
        yield one


async def pieces(config: StreamConfig, audio: bytes) -> AsyncIterator[ServedInput]:
    """A recording as a stream would bring it."""
    step = PIECE_BYTES
    if config.container is None:
        step = int(UNARY_PIECE_S * config.sample_rate_hz) * config.frame_bytes
    for start in range(0, len(audio), step):
        yield audio[start : start + step]
