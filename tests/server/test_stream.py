"""Laws of one stream's work, with a decoder that says how long its segment is: order, back-pressure, ends, faults."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.audio.pcm import Encoding, encode_pcm
from asr.biasing.phrases import Phrase, PhraseSet
from asr.errors import AudioError, ExpiredError, LimitError
from asr.models.base import DecodingOptions
from asr.results import Hypothesis
from asr.streaming import SpeechStarted
from asr.streaming.messages import (
    LagPolicy,
    Marker,
    MarkerReached,
    RecognitionResult,
    StreamConfig,
    StreamInput,
    StreamUpdate,
    VocabularyApplied,
)
from server.batching import DecodeQueue, DecodeWork, Urgency
from server.errors import first_leaf
from server.leg import StreamServices
from server.stream import MAX_PENDING_FINALS, RecognitionStream
from server.vocabulary import PhraseChange, ServedInput

CHUNK_BYTES = 3200


class LengthDecoder:
    """A model and its worker: says the number of samples; waits and fails as told."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.fault: Exception | None = None
        self.num_running = self.num_asked = 0
        self.options: list[DecodingOptions] = []

    def work(
        self,
        samples: NDArray[np.float32],
        options: DecodingOptions,
        utterance: tuple[str, int] | None = None,
        phrases: PhraseSet | None = None,
    ) -> DecodeWork:
        del utterance
        self.num_asked += 1
        return DecodeWork(
            model="length", samples=samples, options=options, context=samples.size, phrases=phrases
        )

    def wait_alive(self) -> None:
        raise AssertionError("it never dies")

    def close(self) -> None:
        pass

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        self.options += [work.options for work in batch]
        self.num_running += 1
        assert self.go_on.wait(10)
        self.num_running -= 1
        if self.fault is not None:
            raise self.fault
        return [[Hypothesis(text=str(work.samples.size))] for work in batch]


@pytest.fixture
def decoder() -> LengthDecoder:
    return LengthDecoder()


@pytest.fixture
def services(decoder: LengthDecoder) -> Iterator[StreamServices]:
    decodes = DecodeQueue([decoder] * 3, max_waiting=100)
    with ThreadPoolExecutor(1) as front:
        yield StreamServices(decodes=decodes, front=front, beam_size=5, max_queued_s=1.0)
    decoder.go_on.set()
    decodes.close()


@pytest.fixture(scope="module")
def payload(spoken: dict[str, Any]) -> bytes:
    """Six utterances with 1 s between, linear16 at 16 kHz."""
    pause = np.zeros(16_000, np.float32)
    parts = [part for samples in [*spoken.values()] * 2 for part in (samples, pause)]
    return encode_pcm(np.concatenate(parts), Encoding.LINEAR16)


class PhraseDecoder(LengthDecoder):
    """Says the phrases that a segment may hold."""

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        super().decode(batch)
        return [[Hypothesis(text=" ".join(one.text for one in work.phrases or ()))] for work in batch]


class Source:
    """Messages in chunks; counts what was taken, and stays open at the end if told."""

    def __init__(self, payload: bytes, *, stays_open: bool = False) -> None:
        self._payload = payload
        self._stays_open = stays_open
        self.taken_bytes = 0

    async def __aiter__(self) -> AsyncIterator[StreamInput]:
        for start in range(0, len(self._payload), CHUNK_BYTES):
            chunk = self._payload[start : start + CHUNK_BYTES]
            self.taken_bytes += len(chunk)
            yield chunk
        if self._stays_open:
            await asyncio.Event().wait()


class Collector:
    def __init__(self) -> None:
        self.updates: list[StreamUpdate] = []

    async def send(self, update: StreamUpdate) -> None:
        self.updates.append(update)

    @property
    def results(self) -> list[RecognitionResult]:
        return [one.event for one in self.updates if isinstance(one.event, RecognitionResult)]


async def _until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # a condition of threads, which have no event for it
            await asyncio.sleep(0.002)


async def test_each_leg_of_a_call_says_what_it_says_alone(
    services: StreamServices, decoder: LengthDecoder, spoken: dict[str, Any]
) -> None:
    """Two that speak at different times, one of them more often; the markers wait for both."""
    pause = np.zeros(24_000, np.float32)
    first, second = (part for part in [*spoken.values()][:2])
    legs = [
        np.concatenate([first, pause, second, pause, first, pause]),
        np.concatenate([pause, pause, pause, second, pause]),
    ]
    length = max(len(leg) for leg in legs)
    call = np.stack([np.pad(leg, (0, length - len(leg))) for leg in legs], axis=1)
    alone = []
    for channel in range(2):
        collector = Collector()
        payload = encode_pcm(call[:, channel], Encoding.LINEAR16)
        await RecognitionStream(StreamConfig(), decoder, services, collector.send).run(aiter(Source(payload)))
        alone.append(collector.results)
    config, together = StreamConfig(channel_count=2, separate_channels=True), Collector()
    payload = encode_pcm(call, Encoding.LINEAR16)
    await RecognitionStream(config, decoder, services, together.send).run(aiter(Source(payload)))
    assert [len(results) for results in alone] == [3, 1]
    for channel, expected in enumerate(alone):
        found = [replace(one, channel=0) for one in together.results if one.channel == channel]
        assert found == expected
    last = together.updates[-1].progress
    assert last.received_s == pytest.approx(length / 16_000)
    started = {one.event.channel for one in together.updates if isinstance(one.event, SpeechStarted)}
    assert started == {0, 1}


async def test_a_marker_waits_for_every_leg(
    services: StreamServices, decoder: LengthDecoder, spoken: dict[str, Any]
) -> None:
    """Set in the silence of the first leg, while the second speaks: echoed behind the second's final."""
    speech = next(iter(spoken.values()))
    quiet = np.zeros_like(speech)
    tail = np.zeros((32_000, 2), np.float32)
    config, collector = StreamConfig(channel_count=2, separate_channels=True), Collector()
    head = encode_pcm(np.stack([quiet, speech], axis=1), Encoding.LINEAR16)

    async def messages() -> AsyncIterator[StreamInput]:
        yield head
        yield Marker(7)
        yield encode_pcm(tail, Encoding.LINEAR16)

    await RecognitionStream(config, decoder, services, collector.send).run(messages())
    kinds = [type(one.event) for one in collector.updates]
    assert kinds.index(MarkerReached) > kinds.index(RecognitionResult)


async def test_a_client_that_reads_slowly_gets_no_interim_behind_its_final(
    services: StreamServices, decoder: LengthDecoder, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for four updates, deliveries wait; a final must not overtake them, nor they pile up."""
    monkeypatch.setattr("server.stream._MAX_UNSENT", 4)
    sent: list[RecognitionResult] = []
    most_waiting = 0

    async def slowly(update: StreamUpdate) -> None:
        nonlocal most_waiting
        if isinstance(update.event, RecognitionResult):
            sent.append(update.event)
        deliveries = [one for one in asyncio.all_tasks() if "_deliver_interim" in repr(one.get_coro())]
        most_waiting = max(most_waiting, len(deliveries))
        await asyncio.sleep(0.02)  # slower than speech comes

    async def spoken() -> AsyncIterator[StreamInput]:
        async for message in Source(payload):
            yield message
            await asyncio.sleep(0.002)  # time in which an interim is decoded

    config = StreamConfig(interim_results=True, interim_interval_s=0.1)
    await RecognitionStream(config, decoder, services, slowly).run(spoken())
    last_final = 0
    for result in sent:
        assert result.utterance_id > last_final
        last_final = result.utterance_id if result.is_final else last_final
    assert last_final == 6 and most_waiting <= 2


async def test_a_client_that_takes_nothing_is_given_up_once_its_stream_has_ended(
    services: StreamServices, decoder: LengthDecoder, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.stream.GIVE_UP_S", 0.2)
    stuck = asyncio.Event()

    async def never(_update: StreamUpdate) -> None:
        stuck.set()
        await asyncio.Event().wait()

    stream = RecognitionStream(StreamConfig(), decoder, services, never)
    running = asyncio.create_task(stream.run(aiter(Source(payload, stays_open=True))))
    await asyncio.wait_for(stuck.wait(), 10)
    stream.end(ExpiredError("enough", reason="IDLE"))
    with pytest.raises(ExpiredError):
        await asyncio.wait_for(running, 10)


async def test_channels_that_are_not_separate_are_heard_as_one(
    services: StreamServices, decoder: LengthDecoder, spoken: dict[str, Any]
) -> None:
    samples = next(iter(spoken.values()))
    quiet = np.zeros_like(samples)
    mixed, alone = Collector(), Collector()
    config = StreamConfig(channel_count=2, encoding=Encoding.FLOAT32)
    payload = encode_pcm(np.stack([samples, quiet], axis=1), Encoding.FLOAT32)
    await RecognitionStream(config, decoder, services, mixed.send).run(aiter(Source(payload)))
    payload = encode_pcm(samples / 2, Encoding.FLOAT32)
    config = StreamConfig(encoding=Encoding.FLOAT32)
    await RecognitionStream(config, decoder, services, alone.send).run(aiter(Source(payload)))
    assert mixed.results and mixed.results == alone.results


async def test_an_utterance_keeps_the_phrases_with_which_it_began(payload: bytes) -> None:
    """Wherever in the audio the change comes: interims and finals of an utterance have the same ones."""
    decoder, starts = PhraseDecoder(), list[int]()
    decodes = DecodeQueue([decoder], max_waiting=100)
    change = PhraseChange(VocabularyApplied(), PhraseSet((Phrase(text="new"),)))
    refused = PhraseChange(VocabularyApplied(error="unusable"), None)
    config = StreamConfig(interim_results=True, interim_interval_s=0.3)
    with ThreadPoolExecutor(1) as front:
        services = StreamServices(decodes=decodes, front=front, beam_size=5, max_queued_s=1.0)
        for place in range(0, len(payload) // CHUNK_BYTES, 7):
            collector, kept = Collector(), PhraseSet((Phrase(text="old"),))

            async def messages(at: int = place) -> AsyncIterator[ServedInput]:
                number = 0
                async for chunk in Source(payload):
                    if number == at:
                        yield change
                        yield refused
                    number += 1
                    yield chunk

            stream = RecognitionStream(config, decoder, services, collector.send, phrases=kept)
            await stream.run(messages())
            events = [one.event for one in collector.updates]
            applied = events.index(change.applied)
            assert events[applied + 1] == refused.applied
            begun = {one.utterance_id for one in events[:applied] if isinstance(one, SpeechStarted)}
            assert {(one.utterance_id, one.text) for one in collector.results} == {
                (number, "old" if number in begun else "new") for number in range(1, 7)
            }
            starts.append(len(begun))
    decodes.close()
    assert starts == sorted(starts) and set(starts) == set(range(7))


async def test_finals_come_in_order_from_many_workers(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector, config = Collector(), StreamConfig(interim_results=True, interim_interval_s=0.3)
    stream = RecognitionStream(config, decoder, services, collector.send)
    await stream.run(aiter(Source(payload)))
    ids = [result.utterance_id for result in collector.results]
    assert ids == sorted(ids)
    finals = [result for result in collector.results if result.is_final]
    assert [final.utterance_id for final in finals] == [1, 2, 3, 4, 5, 6]
    assert all(int(final.text) == round((final.end_s - final.start_s) * 16_000) for final in finals)
    last_final = 0
    for result in collector.results:  # no interim after its final
        assert result.utterance_id > last_final
        last_final = result.utterance_id if result.is_final else last_final
    assert stream.progress.lag_s == 0


async def test_a_slow_engine_stops_the_reader_and_drops_nothing(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector, source = Collector(), Source(payload)
    decoder.go_on.clear()
    stream = RecognitionStream(StreamConfig(), decoder, services, collector.send)
    running = asyncio.create_task(stream.run(aiter(source)))
    await _until(lambda: decoder.num_running == MAX_PENDING_FINALS)
    taken = -1
    while taken != source.taken_bytes:  # until the reader stands still
        taken = source.taken_bytes
        await asyncio.sleep(0.05)
    assert taken < len(payload)
    assert stream.progress.lag_s > 0
    decoder.go_on.set()
    await running
    assert source.taken_bytes == len(payload)
    assert len(collector.results) == 6


async def test_a_stream_that_sheds_ends_with_lag_and_all_it_received_is_final(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector, source = Collector(), Source(payload)
    decoder.go_on.clear()
    config = StreamConfig(lag_policy=LagPolicy.SHED)
    stream = RecognitionStream(config, decoder, services, collector.send)
    running = asyncio.create_task(stream.run(aiter(source)))
    await _until(lambda: stream._ended_by is not None)
    taken = source.taken_bytes
    assert taken < len(payload)
    decoder.go_on.set()
    with pytest.raises(LimitError) as ended:
        await running
    assert ended.value.reason == "LAG"
    assert source.taken_bytes == taken
    alone = Collector()
    await RecognitionStream(StreamConfig(), decoder, services, alone.send).run(aiter(Source(payload[:taken])))
    assert [one.text for one in collector.results] == [one.text for one in alone.results] != []


@pytest.mark.parametrize("policy", LagPolicy)
async def test_a_stream_that_sheds_leaves_out_interims_first(
    decoder: LengthDecoder, payload: bytes, policy: LagPolicy
) -> None:
    """The first utterance's final hangs: once a quarter of 8 s waits, the second has no interims."""
    decodes = DecodeQueue([decoder], max_waiting=100)
    config = StreamConfig(lag_policy=policy, interim_results=True, interim_interval_s=0.1)
    asked: list[int] = []
    with ThreadPoolExecutor(1) as front:
        services = StreamServices(decodes=decodes, front=front, beam_size=5, max_queued_s=8.0)
        stream = RecognitionStream(config, decoder, services, Collector().send)

        async def paced() -> AsyncIterator[StreamInput]:
            decoder.go_on.clear()
            async for chunk in Source(payload[: 2 * 16_000 * 8]):
                yield chunk
                await _until(lambda: stream._pcm.received_s >= stream.received_s - 0.1)
                if stream.progress.lag_s > 2.5:
                    asked.append(decoder.num_asked)
            decoder.go_on.set()

        await stream.run(paced())
    decodes.close()
    assert len(asked) > 20
    assert (asked[-1] - asked[0] > 10) == (policy is LagPolicy.BLOCK), asked


async def test_interims_are_greedy_and_one_at_a_time(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector = Collector()
    decoder.go_on.clear()
    config = StreamConfig(interim_results=True, interim_interval_s=0.1, max_alternatives=7)
    stream = RecognitionStream(config, decoder, services, collector.send)
    running = asyncio.create_task(stream.run(aiter(Source(payload[: 2 * 16_000 * 2], stays_open=True))))
    await _until(lambda: stream.progress.processed_s >= 1.9)
    assert decoder.num_running == 1
    decoder.go_on.set()
    stream.end(ExpiredError("enough", reason="IDLE"))
    with pytest.raises(ExpiredError):
        await running
    assert [options.beam_size for options in decoder.options] == [1, 7]
    assert not decoder.options[0].word_times


async def test_a_final_is_decoded_while_its_silence_is_awaited_and_only_once(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector = Collector()
    stream = RecognitionStream(StreamConfig(), decoder, services, collector.send)
    silence_begins = (
        2 * 16_000 * 4
    )  # after 4 s the first utterance has been silent for 0.6 s of the 0.8 s that end it

    async def held() -> AsyncIterator[StreamInput]:
        yield payload[:silence_begins]
        await _until(lambda: len(decoder.options) == 1)
        assert not collector.results
        async for chunk in Source(payload[silence_begins:]):
            yield chunk

    await stream.run(held())
    assert [int(one.text) for one in collector.results] == [
        round((one.end_s - one.start_s) * 16_000) for one in collector.results
    ]
    assert len(collector.results) == len(decoder.options) == 6


@pytest.fixture
def full(decoder: LengthDecoder) -> Iterator[StreamServices]:
    """Services whose decode queue has no room until the decoder goes on."""
    decoder.go_on.clear()
    decodes = DecodeQueue([decoder], max_waiting=1)
    for number in range(2):
        decodes.submit(decoder.work(np.zeros(number, np.float32), DecodingOptions()), Urgency.FINAL)
        while decodes.num_waiting > number:  # a condition of threads
            threading.Event().wait(0.002)
    with ThreadPoolExecutor(1) as front:
        yield StreamServices(decodes=decodes, front=front, beam_size=5, max_queued_s=1.0)
    decoder.go_on.set()
    decodes.close()


async def test_a_full_queue_skips_interims_and_the_stream_goes_on(
    full: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector = Collector()
    config = StreamConfig(interim_results=True, interim_interval_s=0.1)
    stream = RecognitionStream(config, decoder, full, collector.send)
    running = asyncio.create_task(stream.run(aiter(Source(payload[: 2 * 16_000 * 2], stays_open=True))))
    await _until(lambda: running.done() or stream.progress.processed_s >= 1.9)
    assert len(decoder.options) == 1
    decoder.go_on.set()
    await _until(lambda: full.decodes.num_waiting == 0)
    stream.end(ExpiredError("enough", reason="IDLE"))
    with pytest.raises(ExpiredError):
        await running
    (final,) = collector.results
    assert final.is_final


async def test_a_full_queue_ends_a_stream_whose_final_it_refuses(
    full: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    stream = RecognitionStream(StreamConfig(), decoder, full, Collector().send)
    with pytest.raises(ExceptionGroup) as caught:
        await stream.run(aiter(Source(payload[: 2 * 16_000 * 2])))
    assert isinstance(first_leaf(caught.value), LimitError)


async def test_ending_a_stream_makes_final_what_is_open(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    collector, source = Collector(), Source(payload[: 2 * 16_000 * 2], stays_open=True)
    stream = RecognitionStream(StreamConfig(), decoder, services, collector.send)
    running = asyncio.create_task(stream.run(aiter(source)))
    await _until(lambda: stream.received_s >= 2.0)
    stream.end(ExpiredError("enough", reason="IDLE"))
    with pytest.raises(ExpiredError, match="enough"):
        await running
    (final,) = collector.results
    assert final.is_final
    assert final.end_s == pytest.approx(2.0)


async def test_a_fault_of_the_engine_ends_the_stream_and_frees_the_queue(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    decoder.fault = RuntimeError("engine on fire")
    stream = RecognitionStream(StreamConfig(), decoder, services, Collector().send)
    with pytest.raises(ExceptionGroup) as caught:
        await stream.run(aiter(Source(payload)))
    assert first_leaf(caught.value) is decoder.fault
    await _until(lambda: services.decodes.num_waiting == 0)


async def test_a_cancelled_stream_takes_back_its_decodes(
    services: StreamServices, decoder: LengthDecoder, payload: bytes
) -> None:
    decoder.go_on.clear()
    streams = [
        asyncio.create_task(
            RecognitionStream(StreamConfig(), decoder, services, Collector().send).run(aiter(Source(payload)))
        )
        for _ in range(3)
    ]
    await _until(lambda: services.decodes.num_waiting == 3 * MAX_PENDING_FINALS - 3)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    assert all(stream.cancelled() for stream in streams)
    assert services.decodes.num_waiting == 0
    decoder.go_on.set()
    await _until(lambda: decoder.num_running == 0)
    assert len(decoder.options) == 3


async def test_half_a_sample_at_the_end_is_an_error(services: StreamServices, decoder: LengthDecoder) -> None:
    stream = RecognitionStream(StreamConfig(), decoder, services, Collector().send)
    with pytest.raises(ExceptionGroup) as caught:
        await stream.run(aiter(Source(b"123")))
    assert isinstance(first_leaf(caught.value), AudioError)
