"""When a call that failed is worth making again: where the server's status says so, as docs/serving.md lists them.

Every call of jobs may be made twice: creating names its ``request_id``, an upload that did not end was not kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

FIRST_S = 0.2
MOST_S = 10.0
_DETAILS_KEY = "grpc-status-details-bin"
_PASSING = (grpc.StatusCode.UNAVAILABLE,)


class Backoff:
    """How long to wait after each failure of one call, until patience is over.

    Args:
        patience_s: from the first failure on; 0 tries once.
        clock: monotonic, s.
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._end_s: float | None = None
        self._wait_s = FIRST_S

    def after(self, error: grpc.RpcError) -> float | None:
        """Seconds to wait before the call is made again; None if that is no use, or would come too late."""
        call: Any = error
        asked_s = _retry_s(call)
        if asked_s is None and call.code() not in _PASSING:
            return None
        now_s = self._clock()
        if self._end_s is None:
            self._end_s = now_s + self._patience_s
        wait_s = max(asked_s or 0.0, self._wait_s * random.uniform(0.5, 1.0))
        self._wait_s = min(2 * self._wait_s, MOST_S)
        return wait_s if now_s + wait_s <= self._end_s else None

    def succeeded(self) -> None:
        """Something came: patience begins anew."""
        self._end_s, self._wait_s = None, FIRST_S


def _retry_s(call: Any) -> float | None:
    """What the status' RetryInfo asks for; None if it has none."""
    packed = next((value for key, value in call.trailing_metadata() or () if key == _DETAILS_KEY), b"")
    retry = error_details_pb2.RetryInfo()
    try:
        details = status_pb2.Status.FromString(packed).details
    except DecodeError:
        return None
    if not any(detail.Unpack(retry) for detail in details):
        return None
    return float(retry.retry_delay.ToMilliseconds() / 1000)
