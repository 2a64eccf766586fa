"""What a client sent and the server has not yet worked on: bounded, so that its reader stops reading.

When the reader stops, gRPC's flow control stops the client. Audio is never dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from server.vocabulary import PhraseChange, ServedInput

MESSAGE_BYTES = 64  # that a message counts for at least
COMMANDS_BYTES = 64 << 10  # of messages without audio that a full inbox takes


class Inbox:
    """A queue of messages between one writer and one reader, bounded by bytes of audio.

    Args:
        max_bytes: audio that may wait or be worked on; one message more is let in when there is less.

    Attributes:
        received_bytes: audio put in so far.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._messages: list[ServedInput | None] = []
        self._held_bytes = 0
        self._taken_bytes = 0
        self._has_messages, self._has_room = asyncio.Event(), asyncio.Event()
        self.received_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether more audio has to wait for room."""
        return self._held_bytes >= self._max_bytes

    async def put(self, message: ServedInput | None) -> None:
        """Add a message, or None for the end, once there is room. Audio of no bytes is none."""
        if message == b"":
            return
        num_bytes = len(message) if isinstance(message, bytes) else 0
        room = self._max_bytes if num_bytes else self._max_bytes + COMMANDS_BYTES
        while message is not None and self._held_bytes >= room:
            self._has_room.clear()
            await self._has_room.wait()
        self._messages.append(message)
        self._held_bytes += max(num_bytes, _other_bytes(message))
        self.received_bytes += num_bytes
        self._has_messages.set()

    async def take(self) -> list[ServedInput | None]:
        """All that waits, at least one message, with audio that lies together joined.

        What was taken before counts as worked on from now.
        """
        self._held_bytes -= self._taken_bytes
        self._taken_bytes = 0
        self._has_room.set()
        while not self._messages:
            self._has_messages.clear()
            await self._has_messages.wait()
        taken, self._messages = self._messages, []
        self._taken_bytes = self._held_bytes
        return _joined(taken)


class Source:
    """A client's messages, which the server may end: what was taken is worked on to its end, and no more is taken.

    Args:
        messages: as they come.
    """

    def __init__(self, messages: AsyncIterator[ServedInput]) -> None:
        self._messages = messages
        self._ended = asyncio.Event()
        self._waiting: asyncio.Task[Any] | None = None

    async def __aiter__(self) -> AsyncIterator[ServedInput]:
        while not self._ended.is_set():
            self._waiting = asyncio.current_task()
            try:
                message = await anext(self._messages)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if not self._ended.is_set() or self._waiting is None or self._waiting.uncancel() > 0:
                    raise
                return
            finally:
                self._waiting = None
            yield message

    def end(self) -> None:
        """Take no more."""
        if not self._ended.is_set():
            self._ended.set()
            if self._waiting is not None:
                self._waiting.cancel()


def _other_bytes(message: ServedInput | None) -> int:
    """That a message counts for, its audio apart."""
    return MESSAGE_BYTES + (message.num_bytes if isinstance(message, PhraseChange) else 0)


def _joined(messages: list[ServedInput | None]) -> list[ServedInput | None]:
    joined: list[ServedInput | None] = []
    payload = bytearray()
    for message in messages:
        if isinstance(message, bytes):
            payload += message
            continue
        if payload:
            joined.append(bytes(payload))
            payload.clear()
        joined.append(message)
    return [*joined, bytes(payload)] if payload else joined
