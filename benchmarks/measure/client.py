"""A paced client of our server: sends recordings as they would be spoken and logs what it sees, by a monotonic clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from asr.audio.pcm import encode_pcm
from asr.client import AsyncSpeechClient, Encoding, RecognitionResult, StreamConfig
from asr.errors import LexituneError, LimitError, UnavailableError
from asr.streaming.messages import StreamUpdate
from asr.units import SAMPLE_RATE_HZ
from benchmarks.measure.latency import Shown, StreamLog, TimedWord
from benchmarks.measure.pacing import Chunk, Samples, schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How audio is sent: see :func:`benchmarks.measure.pacing.schedule`."""

    seed: int
    chunk_ms: tuple[int, int]
    jitter_s: float


class PacedStream:
    """One stream over one recording.

    Args:
        samples: (T,) at 16 kHz.
        config: of the stream; its encoding is what is sent.
        pace: how it is sent.
    """

    def __init__(self, samples: Samples, config: StreamConfig, pace: Pace) -> None:
        self._samples = samples
        self._config = config
        self._chunks = schedule(len(samples), seed=pace.seed, chunk_ms=pace.chunk_ms, jitter_s=pace.jitter_s)
        self._origin = 0.0
        self.log = StreamLog(duration_s=len(samples) / SAMPLE_RATE_HZ)

    async def run(self, client: AsyncSpeechClient) -> StreamLog:
        """Stream to the end; a refusal or a broken call is in the log."""
        self._origin = time.monotonic()
        try:
            async for update in client.stream(self._paced(), self._config):
                self._note(update)
            self.log.ended_s = self._now()
        except LexituneError as error:
            self.log.failure = f"{type(error).__name__}: {error}"
            self.log.is_refused = isinstance(error, LimitError | UnavailableError) and not self.log.shown
        return self.log

    def _now(self) -> float:
        return time.monotonic() - self._origin

    async def _paced(self) -> AsyncIterator[bytes]:
        self._origin = time.monotonic()
        for chunk in self._chunks:
            await asyncio.sleep(max(0.0, chunk.due_s - self._now()))
            self.log.late_s.append(max(0.0, self._now() - chunk.due_s))
            yield self._encoded(chunk)
        self.log.half_close_s = self._now()

    def _encoded(self, chunk: Chunk) -> bytes:
        return encode_pcm(self._samples[chunk.start : chunk.end], self._config.encoding)

    def _note(self, update: StreamUpdate) -> None:
        self.log.lag_s.append(update.progress.lag_s)
        if isinstance(update.event, RecognitionResult):
            self.log.shown.append(shown_of(update.event, self._now()))


def shown_of(result: RecognitionResult, at_s: float) -> Shown:
    """A result as it is displayed."""
    best = result.alternatives[0]
    words = tuple(best.text.split())
    timed = tuple(TimedWord(text=word.text, start_s=word.start_s, end_s=word.end_s) for word in best.words)
    return Shown(
        at_s=at_s,
        utterance=result.utterance_id,
        words=words,
        num_promised=len(words) if result.is_final else round(result.stability * len(words)),
        is_final=result.is_final,
        timed=timed if len(timed) == len(words) else (),
    )


async def run_streams(
    address: str, recordings: Sequence[Samples], config: StreamConfig, pace: Pace, *, ramp_s: float
) -> list[StreamLog]:
    """One stream for each recording, at the same time, begun at instants drawn from [0, ``ramp_s``)."""
    starts = np.sort(np.random.default_rng(pace.seed).uniform(0.0, ramp_s, len(recordings))).tolist()

    async def one(number: int) -> StreamLog:
        await asyncio.sleep(starts[number])
        own = Pace(seed=pace.seed + number, chunk_ms=pace.chunk_ms, jitter_s=pace.jitter_s)
        return await PacedStream(recordings[number], config, own).run(client)

    async with AsyncSpeechClient(address) as client:
        await client.wait_until_serving()
        return list(await asyncio.gather(*(one(number) for number in range(len(recordings)))))


def live_config(model: str, *, interim_interval_s: float | None, end_silence_s: float | None) -> StreamConfig:
    """Interims and word times, 16-bit samples."""
    return StreamConfig(
        model=model,
        encoding=Encoding.LINEAR16,
        interim_results=True,
        interim_interval_s=interim_interval_s,
        end_silence_s=end_silence_s,
    )
