"""A short form of ``benchmarks/jobs_kills.py``: real processes, killed while they work; each recording has one result."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.files import write_audio
from asr.client import FileOnServer, JobsClient, JobState
from asr.recognizer import Recognizer
from benchmarks.jobs_kills import Setting, running

NUM_RECORDINGS = 8


def test_whoever_is_killed_each_recording_has_the_result_of_an_undisturbed_run(
    spoken: dict[str, Any], bundled_recognizer: Recognizer, tmp_path: Path
) -> None:
    recordings = [
        np.roll(samples, 100 * number)
        for number, samples in zip(range(NUM_RECORDINGS), cycle(spoken.values()), strict=False)
    ]
    setting = Setting(
        folder=tmp_path,
        database=f"sqlite:///{tmp_path / 'jobs.db'}",
        model="bundled:tiny.en",
        num_workers=2,
        lease_s=1.0,
    )
    kills = iter(["worker-0", "worker-1", "server"])
    with ExitStack() as stack:
        processes = stack.enter_context(running(setting))
        client = stack.enter_context(JobsClient(processes.address, patience_s=60))
        files = []
        for number, samples in enumerate(recordings):
            write_audio(tmp_path / f"{number}.wav", samples)
            files.append(FileOnServer(upload_id=client.upload(tmp_path / f"{number}.wav").id))
        job = client.create_batch_job(files, request_id="one")
        for seen in client.watch_batch_job(job.id):
            if seen.num_succeeded and (name := next(kills, "")):
                processes.kill(name)
        assert client.create_batch_job(files, request_id="one") == seen
        results = list(client.batch_results(job.id))
    assert next(kills, "") == ""
    assert (seen.state, seen.num_succeeded, seen.num_failed) == (JobState.SUCCEEDED, NUM_RECORDINGS, 0)
    assert [one.index for one in results] == list(range(NUM_RECORDINGS))
    for result, samples in zip(results, recordings, strict=True):
        assert result.text == bundled_recognizer.transcribe(samples).text != ""
