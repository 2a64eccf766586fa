"""How many processes decode and how many threads find speech: a GPU decodes in one and leaves every core to them."""

from __future__ import annotations

from typing import Any

import pytest

from server.app import num_decode_workers, num_front_threads, usable_cores
from server.config import ServerConfig

CORES = usable_cores()


@pytest.mark.parametrize(
    ("options", "num_decoding", "num_finding"),
    [
        ({"device": "cpu"}, CORES, CORES),
        ({"device": "cpu", "decode_workers": 3}, 3, 3),
        ({"device": "cuda"}, 1, CORES),
        ({"device": "cuda", "decode_workers": CORES + 1}, CORES + 1, CORES + 1),
    ],
)
def test_a_gpu_leaves_every_core_to_voice_activity(
    options: dict[str, Any], num_decoding: int, num_finding: int
) -> None:
    config = ServerConfig(models=("bundled:tiny.en",), **options)
    assert (num_decode_workers(config), num_front_threads(config)) == (num_decoding, num_finding)
