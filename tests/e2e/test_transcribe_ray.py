"""``lexitune transcribe --engine ray`` on a cluster of this machine: a node killed midway, a deadly recording."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.cli.batch import Deliver, LocalEngine, Outcome
from asr.cli.recipe import Recipe
from asr.cli.sources import Source, file_sources
from asr.errors import ModelError
from server.cli import app

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NUM_RECORDINGS = 48
POISON = "call13"


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["transcribe", *(str(argument) for argument in arguments)])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that does no work and two nodes of one core each."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "4",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
    }.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    memory = 100 * 2**20
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": memory},
    )
    made.workers = [made.add_node(num_cpus=1, object_store_memory=memory) for _ in range(2)]
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    samples = list(spoken.values())
    for number in range(NUM_RECORDINGS):
        begin = 160 * number
        write_audio(folder / f"call{number:02d}.wav", samples[number % len(samples)][begin : begin + 32_000])
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def _documents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def test_a_node_killed_midway_changes_no_output(
    cluster: Any, calls: Path, tmp_path: Path, small_whisper: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    arguments = ("--model", small_whisper, "--beam-size", "1", "--output")

    def kill_midway() -> None:
        while len(_documents(out)) < 8 and not is_over.wait(0.05):
            pass
        seen.append(len(_documents(out)))
        cluster.remove_node(cluster.workers.pop(), allow_graceful=False)

    seen: list[int] = []
    is_over = threading.Event()
    killer = threading.Thread(target=kill_midway)
    killer.start()
    result = _invoke(f"file://{calls}", *arguments, f"file://{out}", "--engine", "ray")
    is_over.set()
    killer.join()
    assert 8 <= seen[0] < NUM_RECORDINGS  # it was midway
    assert _invoke(calls, *arguments, whole).exit_code == result.exit_code == 1  # for the broken one
    assert "1 of 49 failed" in result.stderr
    assert len(_documents(out)) == NUM_RECORDINGS
    assert _documents(out) == _documents(whole)
    again = _invoke(f"file://{calls}", *arguments, f"file://{out}", "--engine", "ray", "--resume")
    assert "48 of 49 are done already" in again.stderr


class Deadly(Recipe):
    """A recipe whose engine dies of one recording, as native code does."""

    def open(self, *, num_workers: int) -> LocalEngine:
        opened = super().open(num_workers=num_workers)

        class Dies(LocalEngine):
            def run(self, sources: Sequence[Source], deliver: Deliver) -> None:
                if any(source.id == POISON for source in sources):
                    os._exit(1)
                opened.run(sources, deliver)

        return Dies(opened._recognizer, opened._options)


def test_a_recording_that_kills_its_workers_is_listed_and_the_rest_is_done(
    cluster: Any, calls: Path, small_whisper: Path
) -> None:
    from asr.cli.cluster import RayEngine

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    sources = file_sources([calls / f"call{number:02d}.wav" for number in range(8, 20)])
    found: list[Outcome] = []
    RayEngine(Deadly(model=str(small_whisper), beam_size=1), max_workers=2).run(sources, found.append)
    assert sorted(one.source.id for one in found) == sorted(source.id for source in sources)
    (failure,) = [one.failure for one in found if one.failure]
    assert (failure.id, failure.code) == (POISON, "worker-died")


def test_workers_that_cannot_start_are_one_error(cluster: Any, calls: Path, tmp_path: Path) -> None:
    arguments = ("--engine", "ray", "--language", "xx", "--output", tmp_path / "out")
    error = _invoke(calls, *arguments).exception
    assert isinstance(error, ModelError)
    assert "the workers cannot transcribe" in str(error) and "take a multilingual model" in str(error)
