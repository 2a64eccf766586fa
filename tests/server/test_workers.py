"""Worker processes: they say what the engine says in this process, and their end costs nobody an answer."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.biasing.phrases import Phrase, PhraseSet
from asr.errors import ModelError, ModelNotFoundError, OptionError
from asr.models.base import DecodingOptions
from asr.models.resolve import resolve_model
from asr.recognizer import Recognizer, segment_recording
from server.batching import DecodeQueue, Urgency, WorkerDiedError
from server.workers import ANSWER_WITHIN_S, ServedModel, WorkerGroup, WorkerProcess

OPTIONS = DecodingOptions(beam_size=2)


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    made = WorkerGroup(2, engine="ctranslate2", device="cpu")
    yield made
    for worker in made.workers:
        worker.close()


@pytest.fixture(scope="module")
def model(group: WorkerGroup) -> ServedModel:
    return group.load("bundled:tiny.en")


def _segments(spoken: dict[str, Any]) -> list[np.ndarray]:
    return [np.asarray(samples, np.float32) for samples in spoken.values()]


def test_a_process_says_what_this_one_says_in_a_batch_and_alone(
    group: WorkerGroup, model: ServedModel, spoken: dict[str, Any]
) -> None:
    works = [model.work(samples, OPTIONS) for samples in _segments(spoken)]
    batch = group.workers[0].decode(works)
    alone = [group.workers[1].decode([work])[0] for work in works]
    recognizer = Recognizer.load("bundled:tiny.en")
    expected = recognizer.decode(_segments(spoken), OPTIONS)
    texts = [[one.text for one in row] for row in expected]
    assert (
        [[one.text for one in row] for row in batch] == [[one.text for one in row] for row in alone] == texts
    )
    assert all(text for row in texts for text in row)
    assert (model.sha256, model.languages) == (recognizer.sha256, recognizer.languages)
    assert model.memory_bytes > 10 << 20


def test_segments_with_other_phrases_or_none_get_their_own_in_one_batch(
    group: WorkerGroup, model: ServedModel, drug_audio: dict[str, Any]
) -> None:
    segments = {drug: segment_recording(samples)[0].samples for drug, samples in drug_audio.items()}
    sets = {drug: PhraseSet((Phrase(text=drug),)) for drug in segments}
    works = {
        (said, told): model.work(segments[said], OPTIONS, phrases=sets.get(told))
        for said in segments
        for told in (*segments, "")
    }
    kinds = [{work.group for work in works.values() if bool(work.phrases) is told} for told in (True, False)]
    assert [len(groups) for groups in kinds] == [1, 1] and kinds[0] != kinds[1]
    batch = dict(zip(works, group.workers[0].decode(list(works.values())), strict=True))
    for (said, told), hypotheses in batch.items():
        assert (said in hypotheses[0].text) == (said == told)
        (alone,) = group.workers[1].decode([works[said, told]])
        assert alone[0].text == hypotheses[0].text


def test_of_an_utterance_that_is_heard_bit_by_bit_the_final_alone_has_phrases() -> None:
    phrases = PhraseSet((Phrase(text="a"),))
    for is_incremental in (True, False):
        model = ServedModel(
            name="m", version="1", reference="m", sha256="", languages=("en",), is_incremental=is_incremental
        )
        samples = np.zeros(16_000, np.float32)
        interim = model.work(samples, OPTIONS, ("stream", 1), phrases)
        final = model.work(samples, OPTIONS, None, phrases)
        assert (interim.phrases, final.phrases) == (None if is_incremental else phrases, phrases)


def test_errors_come_back_as_what_they_are(
    group: WorkerGroup, model: ServedModel, small_whisper: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        group.load("models:/nowhere/1")
    with pytest.raises((ModelError, ModelNotFoundError)):
        group.load(str(tmp_path))
    too_long = model.work(np.zeros(31 * 16_000, np.float32), OPTIONS)
    with pytest.raises(OptionError, match=r"31\.0 s"):
        group.workers[0].decode([too_long])


def test_a_killed_process_costs_no_answer_and_holds_its_models_again(
    group: WorkerGroup, model: ServedModel, spoken: dict[str, Any]
) -> None:
    segments = _segments(spoken)
    expected = [
        row[0].text for row in group.workers[0].decode([model.work(one, OPTIONS) for one in segments[:1]])
    ]
    own = WorkerGroup(2, engine="ctranslate2", device="cpu")
    own.load(model.reference)
    before = [worker.pid for worker in own.workers]
    queue = DecodeQueue(own.workers, max_waiting=1000)
    futures = [queue.submit(model.work(segments[0], OPTIONS), Urgency.FINAL) for _ in range(20)]
    os.kill(before[0], signal.SIGKILL)
    assert [future.result(60)[0].text for future in futures] == expected * 20
    queue.close()
    assert own.workers[0].pid != before[0]
    assert own.workers[1].pid == before[1]


def test_a_dead_process_says_so_and_a_new_one_takes_its_place() -> None:
    worker = WorkerProcess(engine="ctranslate2", device="cpu")
    model = worker.load(resolve_model("bundled:tiny.en"))
    os.kill(worker.pid, signal.SIGINT)  # Ctrl-C is not for it
    work = model.work(np.zeros(16_000, np.float32), OPTIONS)
    assert len(worker.decode([work])) == 1
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError):
        for _ in range(100):
            worker.decode([work])
    worker.wait_alive()
    assert len(worker.decode([work])) == 1
    worker.close()


def test_a_process_that_ends_while_idle_is_replaced_and_a_model_can_be_loaded_then() -> None:
    group = WorkerGroup(1, engine="ctranslate2", device="cpu")
    os.kill(group.workers[0].pid, signal.SIGKILL)
    model = group.load("bundled:tiny.en")
    assert len(group.workers[0].decode([model.work(np.zeros(16_000, np.float32), OPTIONS)])) == 1
    group.close()


def test_a_model_that_cannot_be_loaded_again_is_left_out_and_the_others_stay(
    small_whisper: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_whisper, tmp_path / "going"))
    group = WorkerGroup(1, engine="ctranslate2", device="cpu")
    (worker,) = group.workers
    going, stays = group.load(str(folder)), group.load("bundled:tiny.en")
    silence = np.zeros(16_000, np.float32)
    shutil.rmtree(folder)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError):
        for _ in range(100):
            worker.decode([stays.work(silence, OPTIONS)])
    worker.wait_alive()
    assert len(worker.decode([stays.work(silence, OPTIONS)])) == 1
    with pytest.raises(ModelError, match="not loaded any more"):
        worker.decode([going.work(silence, OPTIONS)])
    group.close()


def test_a_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerProcess(engine="ctranslate2", device="cpu")
    model = worker.load(resolve_model("bundled:tiny.en"))
    monkeypatch.setitem(ANSWER_WITHIN_S, "decode", 1.0)
    os.kill(worker.pid, signal.SIGSTOP)
    works = [
        model.work(np.zeros(20 * 16_000, np.float32), OPTIONS) for _ in range(8)
    ]  # more than a pipe holds
    with pytest.raises(WorkerDiedError):
        worker.decode(works)
    worker.close()


def test_a_mix_of_versions_and_lengths_says_what_each_says_alone(
    group: WorkerGroup, model: ServedModel, small_whisper: Path, spoken: dict[str, Any]
) -> None:
    other = group.load(str(small_whisper))
    samples = np.concatenate(_segments(spoken))
    works = [
        served.work(samples[start : start + length], options)
        for served in (model, other)
        for options in (OPTIONS, DecodingOptions(beam_size=1, word_times=False))
        for start, length in ((0, 16_000), (8_000, 40_000), (0, 44_000), (30_000, 60_000))
    ]
    alone = [group.workers[0].decode([work])[0] for work in works]
    queue = DecodeQueue(group.workers, max_waiting=1000)
    futures = [
        queue.submit(work, Urgency.INTERIM if index % 3 else Urgency.FINAL)
        for index, work in enumerate(works)
    ]
    together = [future.result(60) for future in futures]
    assert [[one.text for one in row] for row in together] == [[one.text for one in row] for row in alone]
    assert len({row[0].text for row in alone}) >= 5
