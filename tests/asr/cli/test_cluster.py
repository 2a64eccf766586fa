"""What is known of ``--engine ray`` without a cluster: how work is cut, and what is said where Ray is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr.cli.cluster import TASK_BYTES, TASK_SOURCES, forwarded, tasks_of
from asr.cli.sinks import open_sink
from asr.cli.sources import Source
from asr.cli.stores import LocalStore, RemoteStore, Store
from asr.results import Segment, Transcript


def _sources(count: int, *, num_bytes: int = 1000, duration_s: float | None = None) -> list[Source]:
    return [
        Source(id=f"{number}", audio_filepath="x.wav", num_bytes=num_bytes, duration_s=duration_s)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("sources", "workers", "longest"),
    [
        (_sources(1000), 4, TASK_SOURCES),
        (_sources(40), 4, 3),  # so that each worker has several
        (_sources(3), 8, 1),
        (_sources(1000, num_bytes=TASK_BYTES), 4, 1),
        (_sources(1000, num_bytes=TASK_BYTES // 4), 4, 4),
        (_sources(1000, duration_s=200.0), 4, 3),  # 10 minutes
    ],
)
def test_tasks_hold_every_source_once_in_order_and_are_not_too_long(
    sources: list[Source], workers: int, longest: int
) -> None:
    tasks = tasks_of(sources, workers)
    assert [source for task in tasks for source in task] == sources
    assert max(map(len, tasks)) == longest and min(map(len, tasks)) >= 1


def test_workers_get_settings_and_no_secrets() -> None:
    """What is forwarded is kept and shown by Ray."""
    uri = "https://registry.example/mlflow"
    environment = {
        "LEXITUNE_HOME": "/srv/lexitune",
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_PASSWORD": "s3cret",
        "LEXITUNE_SERVER_JOBS_DATABASE": "postgresql://user:s3cret@db/jobs",
    }
    assert forwarded(environment) == {"LEXITUNE_HOME": "/srv/lexitune", "MLFLOW_TRACKING_URI": uri}
    assert forwarded({"MLFLOW_TRACKING_URI": "https://user:s3cret@registry.example"}) == {}


def test_without_ray_the_error_names_the_extra_and_other_engines_do_not_load_it() -> None:
    code = (
        "import sys, asr.cli.batch, asr.cli.rows, server.cli\n"
        "import asr.cli.cluster as cluster\n"
        "print('ray' in sys.modules or 'fsspec' in sys.modules)\n"
        "sys.modules['ray'] = None\n"
        "from asr.cli.recipe import Recipe\n"
        "try: cluster.RayEngine(Recipe(model='bundled:tiny.en'), max_workers=1).run([], print)\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "--engine ray needs Ray: pip install 'lexitune[ray]'"]


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A folder of each kind: here, moved to by fsspec, and of objects."""
    if request.param == "folder":
        return LocalStore(tmp_path / "out")
    return RemoteStore(f"file://{tmp_path}/out" if request.param == "file" else f"memory://{tmp_path}/out")


def test_stores_keep_files_and_journals_alike(store: Store) -> None:
    assert store.read("a/b.txt") is None
    store.write("a/b.txt", b"first")
    store.write("a/b.txt", b"second")
    assert store.read("a/b.txt") == b"second"
    store.remove("a/b.txt")
    store.remove("a/b.txt")
    assert store.read("a/b.txt") is None
    store.begin("journal", keeps=True)
    store.add_line("journal", b"1")
    store.add_line("journal", b"2")
    store.close()
    assert sorted(filter(None, store.lines("journal"))) == [b"1", b"2"]
    store.begin("journal", keeps=True)
    assert sorted(filter(None, store.lines("journal"))) == [b"1", b"2"]
    store.begin("journal", keeps=False)
    assert not any(store.lines("journal"))
    store.close()


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_documents_of_a_url_are_resumed_as_those_of_a_folder(tmp_path: Path, scheme: str) -> None:
    sources = []
    for number in range(40):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(path.name.encode())
        sources.append(Source(id=path.stem, audio_filepath=f"file://{path}", output_name=f"deep/{path.stem}"))
    url = f"{scheme}://{tmp_path}/resumed"
    done = []
    for _ in range(2):
        sink = open_sink("text", url, sources, {"model": "m"})
        sink.begin(resume=True)
        todo = [source for source in sources if not sink.has(source)]
        for source in todo:
            segments = (Segment(text=source.id, start_s=0.0, end_s=1.0),)
            sink.write(source, source.digest(), Transcript(segments=segments, duration_s=1.0))
        sink.finish()
        sink.close()
        done.append(len(todo))
    assert done == [40, 0]
    assert RemoteStore(url).read("deep/7.txt") == b"7\n"
