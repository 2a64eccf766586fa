"""How many threads find speech: one for each worker, and every core where a GPU decodes in one worker."""

from __future__ import annotations

from server.app import num_front_threads, usable_cores


def test_a_gpu_leaves_every_core_to_voice_activity() -> None:
    cores = usable_cores()
    assert num_front_threads("cpu", 3) == 3
    assert num_front_threads("cuda", 1) == cores
    assert num_front_threads("cuda", cores + 1) == cores + 1
