"""Admission: who may begin a call now. At the start or refused at once, never later.

The numbers are ``asr.streaming.messages.Limits``; what they limit is enforced where it happens.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from asr.errors import LimitError, UnavailableError
from asr.streaming.messages import Limits

__all__ = ["Admission", "Limits", "ServingState"]


class ServingState(enum.Enum):
    """Where a server is in its life."""

    LOADING = "loading its models"
    SERVING = "serving"
    DRAINING = "shutting down"


class Admission:
    """Counts the calls in flight and knows whether new ones are welcome. For one event loop.

    Attributes:
        num_active: calls in flight.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.state = ServingState.LOADING
        self.num_active = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the server's slots for a call.

        Raises:
            UnavailableError: the server loads or drains.
            LimitError: all slots are taken.
        """
        self.check_serving()
        with self.further(1):
            yield

    @contextmanager
    def further(self, count: int) -> Iterator[None]:
        """Hold ``count`` slots more, for the further legs of a call that is served.

        Raises:
            LimitError: so many are not free.
        """
        free = self._limits.max_streams - self.num_active
        if free < count:
            raise LimitError(
                f"{free} of {self._limits.max_streams} slots are free, and {count} are asked for; try again or raise "
                "limits.max_streams",
                reason="STREAM_SLOTS",
            )
        self.num_active += count
        try:
            yield
        finally:
            self.num_active -= count

    def check_serving(self) -> None:
        """Refuse unless new calls are welcome.

        Raises:
            UnavailableError: the server loads or drains.
        """
        if self.state is not ServingState.SERVING:
            raise UnavailableError(f"the server is {self.state.value}; try again", reason=self.state.name)
