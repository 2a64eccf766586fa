"""Real recordings over a real port, as a telephone would send them: what streaming says is what transcribe says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from asr.audio.files import read_audio
from asr.audio.pcm import Encoding
from asr.client import AsyncSpeechClient, RecognitionResult, StreamConfig
from asr.data.manifest import load_samples, read_manifest
from asr.recognizer import Recognizer

CHUNK_BYTES = 160  # 20 ms of mu-law at 8 kHz


def _telephone(path: Path, samples: NDArray[np.float32]) -> bytes:
    """Write an 8 kHz mu-law wav and give its payload."""
    soundfile.write(path, soxr.resample(samples, 16_000, 8_000), 8_000, subtype="ULAW")
    return path.read_bytes()[-soundfile.info(path).frames :]


async def _paced(payload: bytes) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, start in enumerate(range(0, len(payload), CHUNK_BYTES)):
        await asyncio.sleep(max(0.0, began + 0.02 * number - loop.time()))  # the clock of a telephone
        yield payload[start : start + CHUNK_BYTES]


@pytest.mark.recordings
async def test_a_paced_telephone_stream_says_what_transcribe_says(
    speech_server: Any, recordings_dir: Path, tmp_path: Path, bundled_recognizer: Recognizer
) -> None:
    rows = read_manifest(recordings_dir / "barista" / "manifest.jsonl")[:3]
    config = StreamConfig(encoding=Encoding.MULAW, sample_rate_hz=8_000, interim_results=True)

    async def streamed(payload: bytes) -> str:
        async with AsyncSpeechClient(speech_server.address) as speech:
            events = [update.event async for update in speech.stream(_paced(payload), config)]
        return " ".join(
            event.text for event in events if isinstance(event, RecognitionResult) and event.is_final
        )

    paths = [tmp_path / f"{row.id}.wav" for row in rows]
    payloads = [_telephone(path, load_samples(row)) for path, row in zip(paths, rows, strict=True)]
    texts = await asyncio.gather(*(streamed(payload) for payload in payloads))
    assert texts == [bundled_recognizer.transcribe(read_audio(path)).text for path in paths]
    assert all(texts)
