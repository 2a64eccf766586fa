"""Clients that always have more to send, of several parties: what does a server that has no time to spare serve each?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asr.biasing.phrases import PhraseState
from asr.client import AsyncSpeechClient, Credentials, RecognitionResult, StreamConfig
from asr.errors import UnavailableError
from asr.streaming.messages import Ready
from benchmarks.measure.pacing import Samples

SENTENCES = (
    "Please send forty two boxes of aspirin by Tuesday.",
    "The train to the coast leaves at half past seven, and the last one back is at ten.",
    "Could you tell me where the library is?",
    "We moved the meeting to the second floor because the room downstairs was too small.",
)
PAUSE_S = 1.0  # ends an utterance
WARM_S = 60.0  # of audio served; two batches or so
POLL_S = 0.05
CHUNK_SAMPLES = 3200

Rates = dict[str, float]
"""By party, audio served in a second of time, s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """Some streams alike, and who they say they are."""

    config: StreamConfig
    streams: int
    credentials: Credentials = field(default_factory=Credentials)


def speech() -> Samples:
    """(T,) of all sentences with a pause behind each, 16 kHz."""
    import numpy as np

    from asr.units import SAMPLE_RATE_HZ
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    parts: list[Any] = []
    for index, text in enumerate(SENTENCES):
        voice = engine.voices[index % len(engine.voices)]
        parts += [engine.synthesize(text, voice=voice, speed=1.0, pitch=1.0, seed=index), pause]
    return np.concatenate(parts).astype(np.float32)


class Demand:
    """Streams that always have more to send; counts the audio of their finals, s.

    Args:
        samples: (T,) at 16 kHz, sent again and again.
        party: whose streams.
    """

    def __init__(self, samples: Samples, party: Party) -> None:
        self._samples = samples
        self._party = party
        self.served_s = 0.0

    async def run(self, address: str) -> None:
        """Stream until cancelled.

        Raises:
            LexituneError: what ended the first stream that ended.
        """
        async with AsyncSpeechClient(address, self._party.credentials) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._party.streams):
                        group.create_task(self._stream(client))
            except ExceptionGroup as ended:
                raise ended.exceptions[0] from ended
        raise UnavailableError("streams that had more to send were ended by the server; see its log")

    async def _stream(self, client: AsyncSpeechClient) -> None:
        async for update in client.stream(self._audio(), self._party.config):
            if isinstance(update.event, Ready):
                _check_active(update.event)
            if isinstance(update.event, RecognitionResult) and update.event.is_final:
                self.served_s += update.event.end_s - update.event.start_s

    async def _audio(self) -> AsyncIterator[Samples]:
        while True:
            for start in range(0, len(self._samples), CHUNK_SAMPLES):
                yield self._samples[start : start + CHUNK_SAMPLES]
                await asyncio.sleep(0)


def _check_active(ready: Ready) -> None:
    """Refuse to measure with fewer phrases than were asked for."""
    refused = [report for report in ready.phrases if report.state is PhraseState.REFUSED]
    if refused:
        raise UnavailableError(
            f"{len(refused)} phrases were refused, {refused[0].text!r} first: {refused[0].reason}; take them out"
        )


async def served(
    address: str, parties: Mapping[str, Party], audio_s: float, samples: Samples, *, warm_s: float = WARM_S
) -> Rates:
    """Audio served to each party in a second while all together are served ``audio_s``.

    Measured from when each has had ``warm_s``, for turns are of whole batches: who comes first has the first one.
    """
    demands = {name: Demand(samples, party) for name, party in parties.items()}
    tasks = [asyncio.create_task(demand.run(address)) for demand in demands.values()]

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            done, _ = await asyncio.wait(tasks, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended it

    try:
        await until(lambda: all(demand.served_s >= warm_s for demand in demands.values()))
        began_s, before = time.monotonic(), {name: demand.served_s for name, demand in demands.items()}
        goal_s = sum(before.values()) + audio_s
        await until(lambda: sum(demand.served_s for demand in demands.values()) >= goal_s)
        seconds = time.monotonic() - began_s
        return {name: (demand.served_s - before[name]) / seconds for name, demand in demands.items()}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
