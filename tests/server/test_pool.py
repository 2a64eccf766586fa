"""Laws of the model pool: one load for all who ask, leased models stay, the longest unused one goes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asr.errors import LimitError, ModelError, ModelInUseError, UnavailableError
from server.pool import ModelPool


class Loader:
    """Loads a model that is its own reference; counts, waits and fails as told."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.failing: set[str] = set()
        self.proceed = threading.Event()
        self.proceed.set()

    def __call__(self, reference: str) -> str:
        self.loads.append(reference)
        assert self.proceed.wait(10)
        if reference in self.failing:
            raise ModelError(f"{reference} is broken")
        return reference.upper()


async def _use(pool: ModelPool[str], *references: str) -> None:
    for reference in references:
        async with pool.lease(reference) as model:
            assert model == reference.upper()


async def test_many_who_ask_share_one_load() -> None:
    loader = Loader()
    pool = ModelPool(loader, max_models=2)
    await asyncio.gather(*(_use(pool, "a") for _ in range(20)))
    assert loader.loads == ["a"]
    assert pool.num_leases("a") == 0


async def test_a_caller_that_gives_up_takes_the_load_from_nobody() -> None:
    loader = Loader()
    loader.proceed.clear()
    pool = ModelPool(loader, max_models=2)
    impatient, patient = (asyncio.create_task(_use(pool, "a")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    loader.proceed.set()
    await patient
    assert impatient.cancelled()
    assert (loader.loads, pool.num_leases("a")) == (["a"], 0)


async def test_a_failed_load_tells_all_and_is_tried_anew() -> None:
    loader = Loader()
    loader.failing.add("a")
    pool = ModelPool(loader, max_models=1)
    outcomes = await asyncio.gather(_use(pool, "a"), _use(pool, "a"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a is broken"] * 2
    loader.failing.clear()
    await _use(pool, "a")
    assert loader.loads == ["a", "a"]


async def test_the_longest_unused_model_makes_room() -> None:
    loader = Loader()
    pool = ModelPool(loader, max_models=2)
    await _use(pool, "a", "b", "a", "c")
    assert pool.loaded == {"a", "c"}
    await _use(pool, "a")
    assert loader.loads == ["a", "b", "c"]


async def test_a_leased_model_is_never_evicted() -> None:
    pool = ModelPool(Loader(), max_models=2)
    async with pool.lease("a"), pool.lease("b"):
        with pytest.raises(LimitError, match="2 models are in use") as caught:
            await _use(pool, "c")
        assert caught.value.reason == "MODEL_SLOTS"
        assert pool.num_all_leases == 2
    await _use(pool, "c")
    assert pool.loaded == {"a", "c"}  # b was let go of before a
    assert pool.num_all_leases == 0
    await pool.close()
    assert pool.loaded == frozenset()


async def test_idle_models_go_when_a_new_one_exceeds_the_memory_and_those_in_use_stay() -> None:
    gone: list[str] = []
    pool = ModelPool(Loader(), max_models=9, unload=gone.append, size=lambda _model: 100, max_bytes=250)
    async with pool.lease("a"):
        await _use(pool, "b")
        assert (pool.num_bytes, gone) == (200, [])
        async with pool.lease("c"):
            assert gone == ["b"]  # at once, not when a stream ends
            async with pool.lease("d"):
                assert gone == ["b"]  # all are in use
                assert pool.num_bytes == 300
    assert pool.num_bytes <= 250


async def test_a_model_is_unloaded_on_request_unless_it_is_in_use_or_loading() -> None:
    loader, gone = Loader(), list[str]()
    pool = ModelPool(loader, max_models=2, unload=gone.append)
    assert not pool.unload("a")
    async with pool.lease("a"):
        with pytest.raises(ModelInUseError, match="a is in use by 1 calls"):
            pool.unload("a")
    loader.proceed.clear()
    loading = asyncio.create_task(_use(pool, "b"))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="is being loaded") as caught:
        pool.unload("b")
    assert caught.value.reason == "LOADING"
    loader.proceed.set()
    await loading
    assert [pool.unload("a"), pool.unload("a"), gone] == [True, False, ["a"]]
    await _use(pool, "a")
    assert loader.loads == ["a", "b", "a"]
