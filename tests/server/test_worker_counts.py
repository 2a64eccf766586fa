"""How many processes decode and how many threads find speech: a GPU decodes in one and leaves every core to them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from server.app import num_decode_workers, num_front_threads
from server.config import ServerConfig


@pytest.mark.parametrize(
    ("options", "num_decoding", "num_finding"),
    [
        ({"device": "cpu"}, 4, 4),
        ({"device": "cpu", "decode_workers": 3}, 3, 3),
        ({"device": "cuda"}, 1, 4),
        ({"device": "cuda", "decode_workers": 5}, 5, 5),
    ],
)
def test_a_gpu_leaves_every_core_to_voice_activity(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], num_decoding: int, num_finding: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(4)), raising=False)
    config = ServerConfig(models=("bundled:tiny.en",), **options)
    assert (num_decode_workers(config), num_front_threads(config)) == (num_decoding, num_finding)
