"""FLAC, Ogg Opus and WAVE on the wire: the words of the raw samples, whatever the chunks; bombs cost nothing."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

from asr.audio.pcm import Encoding, encode_pcm
from asr.client import (
    Container,
    Finalize,
    LagPolicy,
    Marker,
    MarkerReached,
    RecognitionResult,
    SpeechClient,
    StreamConfig,
    StreamUpdate,
)
from asr.errors import LimitError, OptionError
from asr.streaming import FinalReason
from server.config import ServerConfig
from server.unpacking import unpacker

Samples = NDArray[np.float32]
KINDS = {
    Container.WAV: ("WAV", "PCM_16"),
    Container.FLAC: ("FLAC", "PCM_16"),
    Container.OGG_OPUS: ("OGG", "OPUS"),
}
FROM_HEADER = {"sample_rate_hz": 0, "channel_count": 0}


def written(container: Container, samples: NDArray[Any], rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    kind, subtype = KINDS[container]
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def in_chunks(payload: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(payload), size):
        yield payload[start : start + size]


def finals(updates: list[StreamUpdate]) -> list[RecognitionResult]:
    events = [update.event for update in updates]
    return [event for event in events if isinstance(event, RecognitionResult) and event.is_final]


def children(name: str) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and name in " ".join(child.cmdline())
    ]


@pytest.mark.parametrize("container", KINDS)
def test_a_stream_says_what_its_samples_say(
    client: SpeechClient, call_audio: Samples, container: Container
) -> None:
    payload = written(container, call_audio)
    samples, rate_hz = soundfile.read(io.BytesIO(payload), dtype="float32")
    expected = [
        final.text
        for final in finals(list(client.stream([samples], StreamConfig(encoding=Encoding.FLOAT32))))
    ]
    assert rate_hz in (16_000, 48_000) and len(expected) == 2
    config = StreamConfig(container=container, **FROM_HEADER)
    for size in (331, 4096, len(payload)):
        found = finals(list(client.stream(in_chunks(payload, size), config)))
        assert [final.text for final in found] == expected, size
    assert [one.text for one in client.recognize(payload, config).results] == expected
    assert not children("unpack_program")


def test_two_legs_in_a_container_keep_apart(client: SpeechClient, spoken: dict[str, Any]) -> None:
    first, second, *_ = spoken.values()
    legs = np.zeros((max(len(first), len(second)), 2), np.float32)
    legs[: len(first), 0], legs[: len(second), 1] = first, second
    config = StreamConfig(container=Container.FLAC, sample_rate_hz=0, channel_count=2, separate_channels=True)
    found = finals(list(client.stream(in_chunks(written(Container.FLAC, legs), 1000), config)))
    alone = [client.recognize(leg).text for leg in (first, second)]
    assert [" ".join(one.text for one in found if one.channel == leg) for leg in (0, 1)] == alone


def test_marks_keep_their_place_between_compressed_bytes(client: SpeechClient, call_audio: Samples) -> None:
    payload = written(Container.FLAC, call_audio)

    def messages() -> Iterator[bytes | Finalize | Marker]:
        yield payload[: len(payload) // 4]
        yield Finalize()
        yield Marker(7)
        yield payload[len(payload) // 4 :]

    updates = list(client.stream(messages(), StreamConfig(container=Container.FLAC, **FROM_HEADER)))
    first = finals(updates)[0]
    assert first.final_reason is FinalReason.CLIENT
    place = [type(update.event) for update in updates].index(MarkerReached)
    assert updates[place].progress.processed_s < len(call_audio) / 16_000 / 2


@pytest.mark.parametrize("container", KINDS)
def test_a_stream_without_audio_ends_well(client: SpeechClient, container: Container) -> None:
    config = StreamConfig(container=container, **FROM_HEADER)
    assert finals(list(client.stream([], config))) == []
    assert client.recognize(b"", config).text == ""


@pytest.mark.parametrize(
    ("config", "payload", "field", "problem"),
    [
        ({}, bytes(4000), "audio", "cannot be decoded"),
        ({"sample_rate_hz": 8000}, None, "audio", "16000 Hz, the config 8000"),
        ({"channel_count": 2}, None, "audio", "1 channels, the config 2"),
        ({"container": Container.OGG_OPUS}, None, "audio", "FLAC"),
        ({"container": Container.WAV}, None, "audio", "RIFF header"),
        ({"separate_channels": True}, None, "config.audio.channel_count", "takes a slot"),
    ],
)
def test_what_a_container_is_not_is_said(
    client: SpeechClient, call_audio: Samples, config: dict[str, Any], payload: bytes | None, field: str, problem: str
) -> None:  # fmt: skip
    options: dict[str, Any] = {"container": Container.FLAC} | FROM_HEADER | config
    chosen = StreamConfig(**options)
    sent = payload or written(Container.FLAC, call_audio)
    for call in (lambda: client.recognize(sent, chosen), lambda: list(client.stream([sent], chosen))):
        with pytest.raises(OptionError, match=problem) as refused:
            call()
        assert refused.value.field == field


def test_bytes_behind_the_end_are_not_passed_over(client: SpeechClient, call_audio: Samples) -> None:
    payload = written(Container.FLAC, call_audio)
    with pytest.raises(OptionError, match=r"behind the end|cannot be decoded"):
        list(
            client.stream(
                [payload, b"more" * 4000, b"more" * 4000],
                StreamConfig(container=Container.FLAC, **FROM_HEADER),
            )
        )


def bomb(container: Container, folder: Path) -> bytes:
    """Two hours of silence in FLAC; of Opus, which takes long to write, twice what may come out."""
    kind, subtype = KINDS[container]
    path, part = folder / "bomb", np.zeros((600 * 48_000, 1), np.int16)
    with soundfile.SoundFile(path, "w", 48_000, 1, format=kind, subtype=subtype) as sound:
        for _ in range(12 if container is Container.FLAC else 2):
            sound.write(part)
    return path.read_bytes()


class Watch:
    """The most memory that this process, the server in it and a decoder took while it was watched."""

    def __init__(self) -> None:
        self.here_bytes = self.child_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._before = psutil.Process().memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self.here_bytes = max(self.here_bytes, psutil.Process().memory_info().rss - self._before)
            with contextlib.suppress(psutil.Error):
                for child in children("unpack_program"):
                    self.child_bytes = max(self.child_bytes, child.memory_info().rss)


@pytest.mark.parametrize("container", [Container.FLAC, Container.OGG_OPUS])
def test_a_bomb_is_refused_at_the_cap_in_little_memory(
    client: SpeechClient, tmp_path: Path, container: Container
) -> None:
    payload = bomb(container, tmp_path)
    client.recognize(np.zeros(1600, np.float32))
    with Watch() as watch, pytest.raises(OptionError, match="more than 600 s, the limit"):
        client.recognize(payload, StreamConfig(container=container, **FROM_HEADER))
    assert watch.here_bytes < 50 << 20  # client and server; what comes out is 115 MB up to the cap
    assert 0 < watch.child_bytes < 100 << 20
    assert not children("unpack_program")


def test_streams_of_bombs_that_are_given_up_leave_nothing(
    speech_server: Any, client: SpeechClient, tmp_path: Path
) -> None:
    """Samples are unread in the pipe when the call ends."""
    payload = bomb(Container.FLAC, tmp_path)[: 1 << 19]
    for _ in range(6):
        stream = client.stream([payload], StreamConfig(container=Container.FLAC, **FROM_HEADER))
        next(stream)
        speech_server.wait_for(lambda: bool(children("unpack_program")))
        stream.close()
    speech_server.wait_for(lambda: speech_server.application.num_active == 0)
    speech_server.wait_for(lambda: not children("unpack_program"))


def test_what_was_received_is_decoded_though_the_server_ends_the_stream(
    running_server: Any, call_audio: Samples
) -> None:
    """The stream sheds: with the second message too much waits, and all of both is final all the same."""
    payload = written(Container.FLAC, np.concatenate([call_audio] * 3))
    config = StreamConfig(container=Container.FLAC, lag_policy=LagPolicy.SHED, **FROM_HEADER)
    found: list[StreamUpdate] = []
    running = running_server(ServerConfig(address="127.0.0.1:0", decode_workers=1))
    with running as server, SpeechClient(server.address) as client:
        blocked = client.recognize(payload, replace(config, lag_policy=LagPolicy.BLOCK))
        with pytest.raises(LimitError) as shed:
            found.extend(client.stream([payload], config))
    assert shed.value.reason == "LAG"
    assert [final.text for final in finals(found)] == [one.text for one in blocked.results]
    assert found[-1].progress.received_s == pytest.approx(3 * len(call_audio) / 16_000)


async def test_a_decoder_that_dies_is_an_error_of_its_stream() -> None:
    async with unpacker(Container.FLAC, max_s=10) as one:
        assert [piece async for piece in one.push(b"fLaC")] == []
        (child,) = children("unpack_program")
        child.kill()
        with pytest.raises(Exception, match="ended it"):
            [piece async for piece in one.push(bytes(9000))]


async def test_the_decoder_runs_under_limits() -> None:
    async with unpacker(Container.FLAC, max_s=1000) as one:
        assert [piece async for piece in one.push(b"fLaC")] == []
        (child,) = children("unpack_program")
        assert child.num_threads() == 1  # each reserves memory, and a large machine would start many
        assert child.rlimit(psutil.RLIMIT_AS)[1] == 512 << 20
        assert child.rlimit(psutil.RLIMIT_CPU)[1] == 70


def test_a_client_does_not_write_containers(client: SpeechClient, call_audio: Samples) -> None:
    with pytest.raises(OptionError, match="send its bytes"):
        client.recognize(call_audio, StreamConfig(container=Container.FLAC, **FROM_HEADER))


def test_telephone_audio_in_a_wave_file(client: SpeechClient, call_audio: Samples) -> None:
    samples = encode_pcm(call_audio[::2], Encoding.MULAW)
    buffer = io.BytesIO()
    soundfile.write(buffer, call_audio[::2], 8000, format="WAV", subtype="ULAW")
    expected = client.recognize(samples, StreamConfig(encoding=Encoding.MULAW, sample_rate_hz=8000))
    found = client.recognize(buffer.getvalue(), StreamConfig(container=Container.WAV, **FROM_HEADER))
    assert found.text == expected.text != ""


def test_a_recording_of_several_channels_counts_its_slots(running_server: Any) -> None:
    from asr.client import Limits

    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, limits=Limits(max_streams=1))
    stereo = written(Container.WAV, np.zeros((1600, 2), np.int16))
    with running_server(config) as server, SpeechClient(server.address) as client:
        chosen = StreamConfig(
            container=Container.WAV, sample_rate_hz=0, channel_count=2, separate_channels=True
        )
        with pytest.raises(LimitError):
            list(client.stream([stereo], chosen))
        assert client.recognize(stereo, StreamConfig(container=Container.WAV, **FROM_HEADER)).text == ""
