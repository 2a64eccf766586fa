"""Models in memory: loaded once for all who ask, leased while in use, the longest unused one evicted first.

Keyed by immutable references; what a name or an alias means is ``server.catalog``'s business. An evicted
model is let go of, not closed: a decoding of a cancelled call may still run on it, and its memory goes with
the last user.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from asr.errors import LimitError

LoadedModel = TypeVar("LoadedModel")


class _Entry(Generic[LoadedModel]):
    def __init__(self, loading: asyncio.Task[LoadedModel]) -> None:
        self.loading = loading
        self.num_leases = 0
        self.last_used = 0


class ModelPool(Generic[LoadedModel]):
    """Holds at most ``max_models`` models. For one event loop; loading runs on threads.

    Args:
        load: loads and warms up the model of an immutable reference; blocking.
        max_models: models in memory at once.
    """

    def __init__(self, load: Callable[[str], LoadedModel], *, max_models: int) -> None:
        self._load = load
        self._max_models = max_models
        self._entries: dict[str, _Entry[LoadedModel]] = {}
        self._clock = itertools.count(1)

    @property
    def loaded(self) -> frozenset[str]:
        """References of the models in memory."""
        return frozenset(reference for reference, entry in self._entries.items() if entry.loading.done())

    def num_leases(self, reference: str) -> int:
        """Leases of a model now."""
        entry = self._entries.get(reference)
        return entry.num_leases if entry else 0

    @asynccontextmanager
    async def lease(self, reference: str) -> AsyncIterator[LoadedModel]:
        """Hold the model of an immutable reference, loading it if need be; it stays in memory meanwhile.

        Raises:
            LimitError: ``max_models`` others are in use.
            LexituneError: it cannot be loaded.
        """
        entry = self._entries.get(reference) or self._begin_load(reference)
        entry.num_leases += 1
        try:
            # A caller that gives up must not take the load from the others.
            yield await asyncio.shield(entry.loading)
        finally:
            entry.num_leases -= 1
            entry.last_used = next(self._clock)

    async def close(self) -> None:
        """Let go of all models, once those that still load have loaded."""
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*(entry.loading for entry in entries), return_exceptions=True)

    def _begin_load(self, reference: str) -> _Entry[LoadedModel]:
        if len(self._entries) >= self._max_models:
            self._evict()
        loading = asyncio.create_task(asyncio.to_thread(self._load, reference), name=f"load {reference}")
        entry = self._entries[reference] = _Entry(loading)
        loading.add_done_callback(lambda task: self._forget_failed(reference, task))
        return entry

    def _evict(self) -> None:
        idle = [
            reference
            for reference, entry in self._entries.items()
            if entry.num_leases == 0 and entry.loading.done()
        ]
        if not idle:
            raise LimitError(
                f"{self._max_models} models are in use, as many as may be in memory; try again, name one of "
                "them, or raise max_models",
                reason="MODEL_SLOTS",
            )
        del self._entries[min(idle, key=lambda reference: self._entries[reference].last_used)]

    def _forget_failed(self, reference: str, loading: asyncio.Task[LoadedModel]) -> None:
        """Drop a load that failed, so that the next caller tries anew; reading the error marks it as seen."""
        if loading.cancelled() or loading.exception() is not None:
            self._entries.pop(reference, None)
