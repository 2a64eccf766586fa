"""The paced client against a server of this process's code: what it logs is what the server sent, when it was due."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from asr.client import AsyncSpeechClient
from asr.v1 import speech_pb2, speech_pb2_grpc
from benchmarks.measure.client import Pace, PacedStream, live_config
from benchmarks.measure.latency import StreamLog, measure
from benchmarks.measure.replay import read_log
from benchmarks.measure.whisper_live_peer import shown_words

SAMPLES = np.zeros(16_000, np.float32)
PACE = Pace(seed=0, chunk_ms=(20, 100), jitter_s=0.0)


class Counting(speech_pb2_grpc.SpeechServicer):
    """A server that shows how much audio it has and, at the end, makes that final; it refuses 8 kHz."""

    async def StreamingRecognize(  # noqa: N802
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        received = 0
        async for request in requests:
            if request.HasField("config") and request.config.model == "full":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no slot")
            received += len(request.audio) // 2
            yield result(f"{received}", is_final=False)
        yield result(f"{received}", is_final=True)


def result(text: str, *, is_final: bool) -> Any:
    alternative = speech_pb2.Alternative(text=text)
    word = alternative.words.add(text=text, confidence=1.0)
    word.end.FromMilliseconds(500)
    return speech_pb2.StreamingRecognizeResponse(
        result=speech_pb2.RecognitionResult(utterance_id=1, is_final=is_final, alternatives=[alternative])
    )


async def streamed(model: str) -> StreamLog:
    server = grpc.aio.server()
    speech_pb2_grpc.add_SpeechServicer_to_server(Counting(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with AsyncSpeechClient(f"127.0.0.1:{port}") as client:
            config = live_config(model, interim_interval_s=None, end_silence_s=None)
            return await PacedStream(SAMPLES, config, PACE).run(client)
    finally:
        await server.stop(None)


async def test_audio_goes_out_as_it_is_spoken_and_answers_are_logged_in_order() -> None:
    log = await streamed("")
    assert log.is_complete
    assert log.text == "16000"
    assert log.half_close_s is not None
    assert log.half_close_s >= 1.0
    assert all(late >= 0.0 for late in log.late_s)
    for before, after in itertools.pairwise(log.shown):
        assert before.at_s <= after.at_s
    for shown in log.shown[1:-1]:  # nothing is shown of audio that was not spoken yet
        assert int(shown.words[0]) / 16_000 <= shown.at_s
    figures = measure(log)
    assert figures.half_close_final_s == [pytest.approx(log.shown[-1].at_s - log.half_close_s)]
    assert figures.commit_s == [pytest.approx(log.shown[-2].at_s - 0.5)]


async def test_a_refusal_is_logged_not_raised() -> None:
    log = await streamed("full")
    assert log.is_refused
    assert "no slot" in log.failure
    assert not log.is_complete


async def test_a_log_survives_the_line_that_a_peer_sends_it_on() -> None:
    import json
    from dataclasses import asdict

    log = await streamed("")
    assert read_log(json.loads(json.dumps(asdict(log)))) == log


def test_a_whisper_live_client_keeps_the_segments_that_its_server_no_longer_sends() -> None:
    completed: dict[str, str] = {}

    def segment(start: str, text: str, *, is_done: bool) -> dict[str, Any]:
        return {"start": start, "end": "0", "text": text, "completed": is_done}

    assert shown_words([segment("0.0", " take the", is_done=False)], completed) == ("take", "the")
    second = [segment("0.0", " take the train", is_done=True), segment("10.0", " to", is_done=False)]
    assert shown_words(second, completed) == ("take", "the", "train", "to")
    third = [segment("9.5", " to the", is_done=True), segment("10.0", " coast", is_done=False)]
    assert shown_words(third, completed) == ("take", "the", "train", "to", "the", "coast")
