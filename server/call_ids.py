"""Which RPC the code at hand works for: its ids and how it failed, carried by a context variable.

For logs, metrics and traces only: nothing else may depend on it. Tasks inherit it, threads do not.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID_KEY = "x-request-id"
STREAM_ID_KEY = "lexitune-stream-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(kw_only=True, slots=True)
class CallIds:
    """One RPC.

    Attributes:
        method: full, with both slashes.
        request_id: the client's ``x-request-id`` if that is well-formed, else ours.
        stream_id: of a stream, always ours; "" otherwise.
        failure: the reason that its status tells, such as STREAM_SLOTS; "" while it has not failed.
    """

    method: str
    request_id: str
    stream_id: str = ""
    failure: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the client is told of it, as trailing metadata."""
        told = ((REQUEST_ID_KEY, self.request_id), (STREAM_ID_KEY, self.stream_id))
        return tuple((key, value) for key, value in told if value)


_CURRENT: ContextVar[CallIds | None] = ContextVar("lexitune_call", default=None)


def current_call() -> CallIds | None:
    """The RPC at hand, if any."""
    return _CURRENT.get()


def begin_call(method: str, metadata: Iterable[tuple[str, str | bytes]], *, is_stream: bool) -> CallIds:
    """Make an RPC the one at hand, for this task and those that it starts."""
    given = next((value for key, value in metadata if key == REQUEST_ID_KEY), "")
    is_well_formed = isinstance(given, str) and _WELL_FORMED.fullmatch(given)
    call = CallIds(
        method=method,
        request_id=str(given) if is_well_formed else new_id(),
        stream_id=new_id() if is_stream else "",
    )
    _CURRENT.set(call)
    return call


def note_failure(reason: str) -> None:
    """Remember why the RPC at hand fails."""
    if (call := _CURRENT.get()) is not None:
        call.failure = reason


def new_id() -> str:
    """Twelve hexadecimal digits that no other call of this server has."""
    return uuid.uuid4().hex[:12]
