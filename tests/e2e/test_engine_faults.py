"""A process of the engine is killed under many streams, and nobody notices; ten minutes without speech give no words.

Those ten minutes end at the voice activity detection; what a model writes on such sounds is the gate's to check.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.audio.pcm import Encoding, encode_pcm
from asr.client import RecognitionResult, SpeechClient, SpeechStarted, StreamConfig
from asr.recognizer import Recognizer
from server.config import ServerConfig
from training.sounds import sounds

Samples = NDArray[np.float32]
NUM_STREAMS = 20
CHUNK_BYTES = 3200


@pytest.fixture(scope="module")
def server(running_server: Any) -> Iterator[Any]:
    with running_server(ServerConfig(address="127.0.0.1:0", decode_workers=2)) as running:
        yield running


def test_a_worker_killed_under_twenty_streams_costs_no_final(server: Any, call_audio: Samples) -> None:
    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    speaking = threading.Barrier(NUM_STREAMS + 1)
    killed = threading.Event()

    def halves() -> Iterator[bytes]:
        yield from (
            payload[start : start + CHUNK_BYTES] for start in range(0, len(payload) // 2, CHUNK_BYTES)
        )
        assert killed.wait(60)
        middle = -(-(len(payload) // 2) // CHUNK_BYTES) * CHUNK_BYTES
        yield from (
            payload[start : start + CHUNK_BYTES] for start in range(middle, len(payload), CHUNK_BYTES)
        )

    def finals(client: SpeechClient) -> list[str]:
        texts = []
        for update in client.stream(halves(), StreamConfig(interim_results=True)):
            if isinstance(update.event, SpeechStarted) and update.event.utterance_id == 1:
                speaking.wait(60)
            if isinstance(update.event, RecognitionResult) and update.event.is_final:
                texts.append(update.event.text)
        return texts

    with SpeechClient(server.address) as client, ThreadPoolExecutor(NUM_STREAMS) as streams:
        texts = [streams.submit(finals, client) for _ in range(NUM_STREAMS)]
        speaking.wait(60)  # every stream has an utterance open
        before = server.application.worker_pids
        os.kill(before[0], signal.SIGKILL)
        killed.set()
        said = [text.result(120) for text in texts]
    expected = [
        segment.text for segment in Recognizer.load("bundled:tiny.en").transcribe(call_audio).segments
    ]
    assert len(expected) == 2
    assert said == [expected] * NUM_STREAMS
    server.wait_for(lambda: server.application.worker_pids[0] != before[0])
    assert server.application.worker_pids[1] == before[1]


def test_ten_minutes_without_speech_give_no_words(bundled_recognizer: Recognizer) -> None:
    recording: list[Samples] = []
    seed = 0
    while sum(map(len, recording)) < 600 * 16_000:
        recording += [samples for _, samples in sounds(seed)]
        seed += 1
    assert bundled_recognizer.transcribe(np.concatenate(recording)).segments == ()
