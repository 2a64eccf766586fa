"""When a stream has idled or lasted too long: a goodbye first, then its end with what is open made final."""

from __future__ import annotations

import asyncio
from typing import Protocol

from asr.errors import ExpiredError, LexituneError
from asr.streaming.messages import Goodbye, Limits

GOODBYE_NOTICE_S = 30.0


class Endable(Protocol):
    """What a deadline needs of a stream."""

    def announce(self, goodbye: Goodbye) -> None:
        """Tell the client that the end is near."""
        ...

    def end(self, error: LexituneError) -> None:
        """Finish what was received, then fail with ``error``."""
        ...


class Deadlines:
    """The two clocks of one stream, in the event loop's time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started = self._last_message = asyncio.get_running_loop().time()

    def touch(self) -> None:
        """A message came."""
        self._last_message = asyncio.get_running_loop().time()

    async def watch(self, stream: Endable) -> None:
        """Wait for the first deadline, saying goodbye ahead of it, and end the stream."""
        announced: set[tuple[str, float]] = set()
        while True:
            now = asyncio.get_running_loop().time()
            reason, deadline = self._next()
            if now >= deadline:
                stream.end(self._error(reason))
                return
            if now >= deadline - GOODBYE_NOTICE_S and (reason, deadline) not in announced:
                announced.add((reason, deadline))
                stream.announce(Goodbye(reason=reason, time_left_s=deadline - now))
            notice = deadline - GOODBYE_NOTICE_S
            await asyncio.sleep((notice if now < notice else deadline) - now)

    def _next(self) -> tuple[str, float]:
        return min(
            ("MAX_DURATION", self._started + self._limits.max_stream_s),
            ("IDLE", self._last_message + self._limits.idle_s),
            key=lambda deadline: deadline[1],
        )

    def _error(self, reason: str) -> ExpiredError:
        if reason == "IDLE":
            message = (
                f"no message for {self._limits.idle_s:g} s, the limit; send audio, silence too, as it comes"
            )
        else:
            message = f"the stream lasted {self._limits.max_stream_s:g} s, the limit; open another with start_offset"
        return ExpiredError(message, reason=reason)
