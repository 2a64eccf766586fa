"""Models in memory: loaded once for all who ask, leased while in use, the longest unused one evicted first.

Keyed by immutable references; what a name or an alias means is ``server.catalog``'s business. The budget is for memory
and for a number; models in use are never evicted for it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from asr.errors import LimitError, ModelInUseError, UnavailableError

LoadedModel = TypeVar("LoadedModel")


class _Entry(Generic[LoadedModel]):
    def __init__(self, loading: asyncio.Task[LoadedModel]) -> None:
        self.loading = loading
        self.num_leases = 0
        self.last_used = 0


class ModelPool(Generic[LoadedModel]):
    """Holds models within a budget. For one event loop; loading runs on threads.

    Args:
        load: loads and warms up the model of an immutable reference; blocking.
        unload: lets go of it; must not block.
        size: memory that a loaded model takes, bytes.
        max_models: models in memory at once.
        max_bytes: memory of all of them; what is in use may exceed it. 0 sets no limit.
    """

    def __init__(
        self,
        load: Callable[[str], LoadedModel],
        *,
        max_models: int,
        unload: Callable[[str], None] = lambda _reference: None,
        size: Callable[[LoadedModel], int] = lambda _model: 0,
        max_bytes: int = 0,
    ) -> None:
        self._load, self._unload, self._size = load, unload, size
        self._max_models, self._max_bytes = max_models, max_bytes
        self._entries: dict[str, _Entry[LoadedModel]] = {}
        self._clock = itertools.count(1)

    @property
    def loaded(self) -> frozenset[str]:
        """References of the models in memory."""
        return frozenset(reference for reference, entry in self._entries.items() if entry.loading.done())

    @property
    def num_bytes(self) -> int:
        """Memory of the models that are loaded."""
        loaded = [entry.loading for entry in self._entries.values() if entry.loading.done()]
        return sum(
            self._size(one.result()) for one in loaded if not one.cancelled() and one.exception() is None
        )

    @property
    def num_all_leases(self) -> int:
        """Leases of all models now; from any thread."""
        return sum(entry.num_leases for entry in list(self._entries.values()))

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
            model = await asyncio.shield(entry.loading)
            self._trim()
            yield model
        finally:
            entry.num_leases -= 1
            entry.last_used = next(self._clock)
            self._trim()

    def unload(self, reference: str) -> bool:
        """Let go of a model that nobody uses; False if it is not in memory.

        Raises:
            UnavailableError: it is being loaded.
            ModelInUseError: calls hold it.
        """
        entry = self._entries.get(reference)
        if entry is None:
            return False
        if not entry.loading.done():
            raise UnavailableError(f"{reference} is being loaded; try again", reason="LOADING")
        if entry.num_leases:
            raise ModelInUseError(
                f"{reference} is in use by {entry.num_leases} calls; move its alias, let them end and try again"
            )
        del self._entries[reference]
        self._unload(reference)
        return True

    async def close(self) -> None:
        """Let go of all models, once those that still load have loaded."""
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*(entry.loading for entry in entries), return_exceptions=True)

    def _begin_load(self, reference: str) -> _Entry[LoadedModel]:
        if len(self._entries) >= self._max_models and not self._evict():
            raise LimitError(
                f"{self._max_models} models are in use, as many as may be in memory; try again, name one of "
                "them, or raise max_models",
                reason="MODEL_SLOTS",
            )
        loading = asyncio.create_task(asyncio.to_thread(self._load, reference), name=f"load {reference}")
        entry = self._entries[reference] = _Entry(loading)
        loading.add_done_callback(lambda task: self._forget_failed(reference, task))
        return entry

    def _evict(self) -> bool:
        """Let go of the model that has been idle for longest; False if all are in use."""
        idle = [
            reference
            for reference, entry in self._entries.items()
            if entry.num_leases == 0 and entry.loading.done()
        ]
        if not idle:
            return False
        oldest = min(idle, key=lambda reference: self._entries[reference].last_used)
        del self._entries[oldest]
        self._unload(oldest)
        return True

    def _trim(self) -> None:
        """Bring the memory within the budget, as far as idle models can."""
        while self._max_bytes and self.num_bytes > self._max_bytes and self._evict():
            pass

    def _forget_failed(self, reference: str, loading: asyncio.Task[LoadedModel]) -> None:
        """Drop a load that failed, so that the next caller tries anew; reading the error marks it as seen."""
        if loading.cancelled() or loading.exception() is not None:
            self._entries.pop(reference, None)
