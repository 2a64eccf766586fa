"""Streams over a real port: chunking does not matter, and the server says what the recognizer says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.audio.pcm import Encoding, decode_pcm, encode_pcm
from asr.audio.resample import resample
from asr.client import (
    AsyncSpeechClient,
    Finalize,
    Marker,
    MarkerReached,
    Ready,
    RecognitionResult,
    SpeechClient,
    SpeechEnded,
    SpeechStarted,
    StreamConfig,
    StreamUpdate,
)
from asr.recognizer import Recognizer
from asr.streaming import FinalReason

Samples = NDArray[np.float32]
MULAW_CONFIG = StreamConfig(encoding=Encoding.MULAW, sample_rate_hz=8000)


def in_chunks(payload: bytes, chunk_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(payload), chunk_bytes):
        yield payload[start : start + chunk_bytes]


def results(updates: list[StreamUpdate], *, is_final: bool = True) -> list[RecognitionResult]:
    events = [update.event for update in updates]
    return [event for event in events if isinstance(event, RecognitionResult) and event.is_final == is_final]


def telephone(samples: Samples) -> bytes:
    """Mu-law at 8 kHz: every second sample is enough of a telephone here."""
    return encode_pcm(samples[::2], Encoding.MULAW)


@pytest.fixture(scope="module")
def mulaw(call_audio: Samples) -> bytes:
    return telephone(call_audio)


def test_the_same_finals_for_any_chunking_equal_to_the_recognizers(
    client: SpeechClient, mulaw: bytes, bundled_recognizer: Recognizer
) -> None:
    samples = resample(decode_pcm(mulaw, Encoding.MULAW), 8000)
    transcript = bundled_recognizer.transcribe(samples)
    by_chunk = {
        chunk_ms: results(list(client.stream(in_chunks(mulaw, 8 * chunk_ms), MULAW_CONFIG)))
        for chunk_ms in (7, 20, 100, 1000)
    }
    finals = by_chunk[20]
    assert all(other == finals for other in by_chunk.values())
    assert [final.text for final in finals] == [segment.text for segment in transcript.segments]
    assert len(finals) == 2
    words = [word for final in finals for word in final.alternatives[0].words]
    assert [word.text for word in words] == [word.text for word in transcript.words]
    expected = [(word.start_s, word.end_s, word.confidence) for word in transcript.words]
    assert np.allclose([(word.start_s, word.end_s, word.confidence) for word in words], expected, atol=1e-6)


def test_a_unary_call_says_the_same_as_a_stream(client: SpeechClient, mulaw: bytes) -> None:
    answer = client.recognize(mulaw, MULAW_CONFIG)
    streamed = results(list(client.stream([mulaw], MULAW_CONFIG)))
    assert list(answer.results) == streamed
    assert answer.model.reference == "bundled:tiny.en"
    assert answer.duration_s == pytest.approx(len(mulaw) / 8000)


def test_every_encoding_and_rate_is_understood(client: SpeechClient, spoken: dict[str, Any]) -> None:
    samples = next(iter(spoken.values()))
    texts = set()
    for encoding in Encoding:
        answer = client.recognize(samples, StreamConfig(encoding=encoding))
        texts.add(answer.text)
    assert len(texts) == 1, texts
    assert "aspirin" in texts.pop().lower()


def test_the_messages_of_a_stream_come_in_order(client: SpeechClient, call_audio: Samples) -> None:
    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    config = StreamConfig(interim_results=True, interim_interval_s=0.5, start_offset_s=60.0)
    updates = list(client.stream(in_chunks(payload, 640), config))
    assert isinstance(updates[0].event, Ready)
    assert updates[0].event.ignored_fields == ()
    assert updates[0].event.model.version == "bundled"
    kinds = [type(update.event) for update in updates if not _is_interim(update)]
    assert kinds == [Ready] + [SpeechStarted, SpeechEnded, RecognitionResult] * 2
    ids = [update.event.utterance_id for update in updates if isinstance(update.event, RecognitionResult)]
    assert ids == sorted(ids)
    finals = results(updates)
    assert [final.final_reason for final in finals] == [FinalReason.SILENCE] * 2
    assert all(60.0 <= final.start_s < final.end_s for final in finals)
    assert all(word.start_s >= 60.0 for final in finals for word in final.alternatives[0].words)


def test_progress_ends_with_all_audio_processed(client: SpeechClient, call_audio: Samples) -> None:
    updates = list(client.stream([call_audio[: 16_000 * 3], call_audio[16_000 * 3 :], Finalize(), Marker(1)]))
    last = updates[-1].progress
    assert last.received_s == last.processed_s == pytest.approx(call_audio.size / 16_000)
    assert last.lag_s == 0
    assert 2.0 < last.skipped_silence_s < 4.0
    lags = [update.progress.lag_s for update in updates]
    assert all(lag >= 0 for lag in lags)


def test_interim_results_grow_more_stable_and_are_replaced_by_the_final(
    client: SpeechClient, spoken: dict[str, Any]
) -> None:
    samples = next(iter(spoken.values()))
    replies: list[StreamUpdate] = []

    def paced() -> Iterator[Samples]:
        """Half a second, then wait for its interim: no clock decides how many interims there are."""
        for start in range(0, samples.size, 8000):
            yield samples[start : start + 8000]

    config = StreamConfig(interim_results=True, interim_interval_s=0.5)
    replies += client.stream(paced(), config)
    (final,) = results(replies)
    assert all(interim.utterance_id == final.utterance_id for interim in results(replies, is_final=False))
    assert isinstance(replies[-1].event, RecognitionResult)
    assert replies[-1].event.is_final
    assert final.final_reason is FinalReason.END_OF_STREAM


def test_finalize_makes_a_final_and_the_marker_behind_it_comes_after(
    client: SpeechClient, call_audio: Samples
) -> None:
    first = call_audio[: 2 * 16_000]
    rest = call_audio[2 * 16_000 :]
    updates = list(client.stream([first, Finalize(), Marker(7), rest, Marker(8)]))
    events = [update.event for update in updates]
    seventh, eighth = events.index(MarkerReached(id=7)), events.index(MarkerReached(id=8))
    before = [event for event in events[:seventh] if isinstance(event, RecognitionResult)]
    assert [event.final_reason for event in before] == [FinalReason.CLIENT]
    assert before[0].end_s <= 2.0
    assert eighth == len(events) - 1


def test_several_alternatives_come_best_first(client: SpeechClient, spoken: dict[str, Any]) -> None:
    samples = next(iter(spoken.values()))
    config = StreamConfig(max_alternatives=3, word_times=False)
    (result,) = client.recognize(samples, config).results
    assert 2 <= len(result.alternatives) <= 3
    assert all(not one.words for one in result.alternatives)
    confidences = [one.confidence for one in result.alternatives]
    assert confidences == sorted(confidences, reverse=True)


def test_silence_and_no_audio_give_no_result(client: SpeechClient) -> None:
    assert results(list(client.stream([np.zeros(48_000, np.float32)]))) == []
    updates = list(client.stream([]))
    assert [type(update.event) for update in updates] == [Ready]
    assert client.recognize(b"").results == ()


def test_the_async_client_says_the_same(
    speech_server: Any, client: SpeechClient, spoken: dict[str, Any]
) -> None:
    samples = next(iter(spoken.values()))

    async def both() -> tuple[str, list[StreamUpdate]]:
        async with AsyncSpeechClient(speech_server.address) as asynchronous:
            await asynchronous.wait_until_serving()
            answer = await asynchronous.recognize(samples)
            return answer.text, [update async for update in asynchronous.stream([samples])]

    text, updates = speech_server.run(both())
    assert text == client.recognize(samples).text == results(updates)[0].text


def _is_interim(update: StreamUpdate) -> bool:
    return isinstance(update.event, RecognitionResult) and not update.event.is_final


def test_two_legs_of_a_call_are_two_calls(client: SpeechClient, call_audio: Samples) -> None:
    """Interleaved mu-law, split inside samples of both legs; the second leg says the same half a call later."""
    half = len(call_audio) // 2
    legs = [np.pad(call_audio, (0, half)), np.pad(call_audio, (half, 0))]
    alone = [results(list(client.stream(in_chunks(telephone(leg), 161), MULAW_CONFIG))) for leg in legs]
    config = replace(MULAW_CONFIG, channel_count=2, separate_channels=True)
    call = encode_pcm(np.stack([leg[::2] for leg in legs], axis=1), Encoding.MULAW)
    found = results(list(client.stream(in_chunks(call, 321), config)))
    assert len(found) >= 4
    for channel, expected in enumerate(alone):
        one = [result for result in found if result.channel == channel]
        assert [(leg.utterance_id, leg.text, leg.start_s, leg.end_s) for leg in one] == [
            (leg.utterance_id, leg.text, leg.start_s, leg.end_s) for leg in expected
        ]
    whole = client.recognize(call, config)
    assert [(result.channel, result.text) for result in whole.results] == [
        (result.channel, result.text) for result in sorted(found, key=lambda one: (one.start_s, one.channel))
    ]
