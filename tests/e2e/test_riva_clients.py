"""Clients of NVIDIA Riva work unchanged: the stock package against a real port, and the habits of others on the wire."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile

from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import RecognitionResult, SpeechClient, StreamConfig
from asr.models.base import Samples
from server.config import ServerConfig
from server.limits import Limits

riva = pytest.importorskip("riva.client", reason="the stock client is in the dev extra")
rasr = pytest.importorskip("riva.client.proto.riva_asr_pb2")

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def service(riva_server: Any) -> Any:
    return riva.ASRService(riva.Auth(uri=riva_server.address, use_ssl=False))


@pytest.fixture(scope="module")
def riva_server(running_server: Any) -> Iterator[Any]:
    config = ServerConfig(address="127.0.0.1:0", riva_models={"conformer-en-US": "tiny.en"})
    with running_server(config) as server:
        yield server


@pytest.fixture(scope="module")
def recording(call_audio: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("riva") / "call.wav"
    write_audio(path, call_audio)
    return path


@pytest.fixture(scope="module")
def expected(riva_server: Any, call_audio: Samples) -> list[RecognitionResult]:
    """What our own client gets for the samples as they are in the file."""
    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    with SpeechClient(riva_server.address) as client:
        updates = [update.event for update in client.stream(_pieces(payload, 3200), StreamConfig())]
    return [event for event in updates if isinstance(event, RecognitionResult) and event.text]


def _pieces(payload: bytes, size: int) -> list[bytes]:
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def _config(**changes: Any) -> Any:
    values = {
        "encoding": riva.AudioEncoding.LINEAR_PCM,
        "sample_rate_hertz": RATE_HZ,
        "language_code": "en-US",
    }
    return rasr.RecognitionConfig(**(values | changes))


def _streamed(service: Any, chunks: Any, config: Any, *, interim_results: bool = False) -> list[Any]:
    streaming = rasr.StreamingRecognitionConfig(config=config, interim_results=interim_results)
    responses = service.streaming_response_generator(audio_chunks=chunks, streaming_config=streaming)
    return [result for response in responses for result in response.results]


def _texts(results: list[Any]) -> list[str]:
    return [result.alternatives[0].transcript for result in results if getattr(result, "is_final", True)]


def test_the_stock_client_streams_a_file_from_its_first_byte(
    service: Any, recording: Path, expected: list[RecognitionResult]
) -> None:
    """Its iterator sends the RIFF header as audio."""
    with riva.AudioChunkFileIterator(str(recording), 1600) as chunks:
        results = _streamed(service, chunks, _config(enable_word_time_offsets=True))
    assert _texts(results) == [f"{one.text} " for one in expected]
    for result, one in zip(results, expected, strict=True):
        words = result.alternatives[0].words
        assert [word.word for word in words] == [word.text for word in one.alternatives[0].words]
        assert [word.start_time for word in words] == [
            round(1000 * word.start_s) for word in one.alternatives[0].words
        ]
        assert (result.channel_tag, result.audio_processed > 0) == (1, True)


def test_interims_hold_the_whole_hypothesis(service: Any, spoken: dict[str, Any]) -> None:
    """The audio ends once an interim was read."""
    samples = next(iter(spoken.values()))
    seen: list[Any] = []

    def chunks() -> Iterator[bytes]:
        yield from _pieces(encode_pcm(samples, Encoding.LINEAR16), 3200)
        while not seen:  # the reader's thread is another one
            yield b""

    streaming = rasr.StreamingRecognitionConfig(config=_config(), interim_results=True)
    for response in service.streaming_response_generator(chunks(), streaming):
        seen += response.results
    *interims, final = seen
    assert interims and final.is_final and not any(result.is_final for result in interims)
    assert all(len(result.alternatives) == 1 and 0 <= result.stability <= 1 for result in interims)
    assert not any(result.alternatives[0].transcript.endswith(" ") for result in interims)


def test_the_stock_client_recognises_offline(
    service: Any, recording: Path, expected: list[RecognitionResult]
) -> None:
    response = service.offline_recognize(recording.read_bytes(), _config())
    assert _texts(list(response.results)) == [f"{one.text} " for one in expected]


@pytest.mark.parametrize("cut", [1, 4, 11, 30, 44])
def test_a_call_without_encoding_and_rate_is_read_by_its_header(
    service: Any, recording: Path, expected: list[RecognitionResult], cut: int
) -> None:
    payload = recording.read_bytes()
    chunks = [payload[:cut], *_pieces(payload[cut:], 3200)]
    assert _texts(_streamed(service, chunks, rasr.RecognitionConfig())) == [
        f"{one.text} " for one in expected
    ]


def test_models_are_listed_with_what_scripts_index(service: Any) -> None:
    request = rasr.RivaSpeechRecognitionConfigRequest()
    configs = service.stub.GetRivaSpeechRecognitionConfig(request).model_config
    assert {(one.model_name, one.parameters["type"]) for one in configs} == {
        (name, kind) for name in ("tiny.en", "conformer-en-US") for kind in ("online", "offline")
    }
    assert {one.parameters["language_code"] for one in configs} == {"en-US"}
    named = rasr.RivaSpeechRecognitionConfigRequest(model_name="nothing")
    assert not service.stub.GetRivaSpeechRecognitionConfig(named).model_config


@pytest.mark.parametrize("language", ["", "en", "multi", "auto"])
def test_a_language_may_be_left_open(service: Any, recording: Path, language: str) -> None:
    assert service.offline_recognize(recording.read_bytes(), _config(language_code=language)).results


@pytest.mark.parametrize("model", ["", "tiny.en", "tiny.en@bundled", "conformer-en-US"])
def test_models_are_found_by_our_names_and_by_those_of_the_config(
    service: Any, recording: Path, model: str
) -> None:
    assert service.offline_recognize(recording.read_bytes(), _config(model=model)).results


def test_a_foreign_model_is_refused_with_ours(service: Any, recording: Path) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        service.offline_recognize(recording.read_bytes(), _config(model="parakeet-1.1b"))
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "'parakeet-1.1b'" in error.details() and "tiny.en" in error.details()


def test_what_is_not_used_is_said_behind_the_call(service: Any, recording: Path) -> None:
    """Boosting, endpointing, settings of its server: all accepted, much of it used."""
    config = _config(profanity_filter=True, max_alternatives=30)
    riva.add_word_boosting_to_config(config, ["amlodipine", "x" * 101, "10 mg"], 20.0)
    riva.add_word_boosting_to_config(config, ["0.5", "Amlodipine"], -1.0)
    riva.add_custom_configuration_to_config(config, "a:b")
    riva.add_endpoint_parameters_to_config(config, 100, 0.5, 300, 200, 0.9, 0.5)
    _, call = service.stub.Recognize.with_call(
        rasr.RecognizeRequest(config=config, audio=recording.read_bytes())
    )
    ignored = dict(call.trailing_metadata())["lexitune-ignored"].split(",")
    assert {"config.max_alternatives", "config.5", "config.24"} <= set(ignored)
    assert [one for one in ignored if "speech_contexts" in one] == [
        "config.speech_contexts[0].phrases[1]",
        "config.speech_contexts[1].phrases[0]",
    ]
    assert "config.endpointing_config.stop_history" not in ignored
    assert {f"config.endpointing_config.{number}" for number in (1, 2, 4, 5, 6)} <= set(ignored)


@pytest.mark.parametrize("boost", [-1.0, 0.0, 20.0, 100.0])
def test_boosted_words_are_heard_in_streams_and_recordings(
    service: Any, drug_audio: dict[str, Samples], boost: float
) -> None:
    payload = encode_pcm(drug_audio["apixaban"], Encoding.LINEAR16)
    plain, boosted = _config(), _config()
    riva.add_word_boosting_to_config(boosted, ["apixaban", "rivaroxaban"], boost)
    without, heard = (
        "".join(_texts(_streamed(service, _pieces(payload, 3200), config))) for config in (plain, boosted)
    )
    assert "apixaban" not in without and "apixaban" in heard
    assert "".join(_texts(list(service.offline_recognize(payload, boosted).results))) == heard


def test_more_words_than_the_server_takes_are_accepted_and_said_to_be_ignored(
    service: Any, drug_audio: dict[str, Samples]
) -> None:
    """The first ones count."""
    config = _config()
    words = ["apixaban", *(f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(Limits().max_phrases))]
    riva.add_word_boosting_to_config(config, words, 20.0)
    payload = encode_pcm(drug_audio["apixaban"], Encoding.LINEAR16)
    response, call = service.stub.Recognize.with_call(rasr.RecognizeRequest(config=config, audio=payload))
    assert dict(call.trailing_metadata())["lexitune-ignored"] == "config.speech_contexts"
    assert "apixaban" in _texts(list(response.results))[0]


def test_empty_contexts_are_not_ignored_wishes(service: Any, recording: Path) -> None:
    config = _config(speech_contexts=[rasr.SpeechContext(boost=-1.0)])
    _, call = service.stub.Recognize.with_call(
        rasr.RecognizeRequest(config=config, audio=recording.read_bytes())
    )
    assert "lexitune-ignored" not in dict(call.trailing_metadata())


def test_an_utterance_is_ended_by_force_eou(service: Any, spoken: dict[str, Any]) -> None:
    """The final of what was said comes while the stream is open and no silence followed."""
    samples = next(iter(spoken.values()))
    seen: list[Any] = []

    def requests() -> Iterator[Any]:
        streaming = rasr.StreamingRecognitionConfig(config=_config())
        yield rasr.StreamingRecognizeRequest(streaming_config=streaming)
        for piece in _pieces(encode_pcm(samples, Encoding.LINEAR16), 3200):
            yield rasr.StreamingRecognizeRequest(audio_content=piece)
        yield rasr.StreamingRecognizeRequest(runtime_config={"force_eou": "true"})
        while not seen:  # its own thread: goes on once the final was read
            yield rasr.StreamingRecognizeRequest(audio_content=b"")

    for response in service.stub.StreamingRecognize(requests()):
        seen += response.results
    assert len(seen) == 1 and seen[0].is_final and seen[0].alternatives[0].transcript.strip()


def test_telephone_audio_in_small_messages(service: Any, riva_server: Any, call_audio: Samples) -> None:
    payload = encode_pcm(call_audio[::2], Encoding.MULAW)
    config = _config(encoding=riva.AudioEncoding.MULAW, sample_rate_hertz=8000)
    found = _texts(_streamed(service, _pieces(payload, 320), config))
    ours = StreamConfig(encoding=Encoding.MULAW, sample_rate_hz=8000)
    with SpeechClient(riva_server.address) as client:
        whole = client.recognize(payload, ours)
    assert found == [f"{one.text} " for one in whole.results if one.text]


def test_both_legs_of_a_call(service: Any, call_audio: Samples, expected: list[RecognitionResult]) -> None:
    quiet = np.zeros_like(call_audio)
    payload = encode_pcm(np.stack([quiet, call_audio], axis=1), Encoding.LINEAR16)
    config = _config(audio_channel_count=2, enable_separate_recognition_per_channel=True)
    results = _streamed(service, _pieces(payload, 6400), config)
    assert {result.channel_tag for result in results} == {2}
    assert _texts(results) == [f"{one.text} " for one in expected]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"sample_rate_hertz": 0}, "config.sample_rate_hertz"),
        ({"encoding": 9}, "config.encoding"),
        ({"encoding": 2}, "audio"),  # raw samples are no FLAC
        ({"audio_channel_count": 9}, "config.audio_channel_count"),
    ],
)
def test_what_cannot_be_recognised_is_blamed_by_its_path(
    service: Any, call_audio: Samples, config: dict[str, Any], field: str
) -> None:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    with pytest.raises(grpc.RpcError) as refused:
        _streamed(service, _pieces(payload, 3200), _config(**config))
    status: Any = rpc_status.from_call(refused.value)
    bad = error_details_pb2.BadRequest()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [one.field for one in bad.field_violations] == [field]


def test_a_call_that_never_sends_audio_ends(running_server: Any) -> None:
    """Asking for finals meanwhile is no audio."""
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, limits=Limits(idle_s=0.3))
    with running_server(config) as server:
        stub = riva.ASRService(riva.Auth(uri=server.address, use_ssl=False)).stub
        over = threading.Event()

        def requests() -> Iterator[Any]:
            streaming = rasr.StreamingRecognitionConfig(config=_config())
            yield rasr.StreamingRecognizeRequest(streaming_config=streaming)
            yield rasr.StreamingRecognizeRequest(runtime_config={"force_eou": "true"})
            yield rasr.StreamingRecognizeRequest(audio_content=b"RIF")
            assert over.wait(30)  # the server ends it, not this side

        call = stub.StreamingRecognize(requests())
        call.add_done_callback(lambda _: over.set())
        with pytest.raises(grpc.RpcError, match=r"no audio within 0\.3 s") as ended:
            list(call)
        assert ended.value.code() is grpc.StatusCode.ABORTED


def test_a_drain_does_not_wait_for_audio_that_never_came(running_server: Any) -> None:
    with running_server(ServerConfig(address="127.0.0.1:0", decode_workers=1)) as server:
        stub = riva.ASRService(riva.Auth(uri=server.address, use_ssl=False)).stub

        def requests() -> Iterator[Any]:
            yield rasr.StreamingRecognizeRequest(
                streaming_config=rasr.StreamingRecognitionConfig(config=_config())
            )
            server.wait_for(lambda: server.application.num_active == 1)
            server.run(server.application.drain())

        with pytest.raises(grpc.RpcError, match="the server is shutting down") as ended:
            list(stub.StreamingRecognize(requests()))
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


def test_only_a_config_opens_a_stream(service: Any) -> None:
    requests = iter([rasr.StreamingRecognizeRequest(audio_content=b"ab")])
    with pytest.raises(grpc.RpcError, match="must hold streaming_config"):
        list(service.stub.StreamingRecognize(requests))


def test_alternatives_are_given(service: Any, recording: Path) -> None:
    response = service.offline_recognize(recording.read_bytes(), _config(max_alternatives=3))
    assert all(1 <= len(result.alternatives) <= 3 for result in response.results)
    assert any(len(result.alternatives) > 1 for result in response.results)


def test_many_clients_at_once_as_the_stock_load_script_calls(
    riva_server: Any, recording: Path, expected: list[RecognitionResult]
) -> None:
    """``riva_streaming_asr_client.py --num-clients 6 --num-iterations 2``: a thread, a channel and iterators each."""
    texts: dict[tuple[int, int], list[str]] = {}

    def one(number: int) -> None:
        service = riva.ASRService(riva.Auth(uri=riva_server.address, use_ssl=False))
        for iteration in range(2):
            with riva.AudioChunkFileIterator(str(recording), 1600) as chunks:
                results = _streamed(service, chunks, _config(max_alternatives=1), interim_results=True)
            texts[number, iteration] = _texts([result for result in results if result.is_final])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(texts) == 12
    assert all(found == [f"{final.text} " for final in expected] for found in texts.values())


@pytest.mark.parametrize(
    ("encoding", "kind", "subtype"), [("FLAC", "FLAC", "PCM_16"), ("OGGOPUS", "OGG", "OPUS")]
)
def test_compressed_audio(
    service: Any,
    call_audio: Samples,
    expected: list[RecognitionResult],
    encoding: str,
    kind: str,
    subtype: str,
) -> None:
    """The rate in the config is that of the microphone, which Opus does not keep: the stream's own counts."""
    buffer = io.BytesIO()
    soundfile.write(buffer, call_audio, RATE_HZ, format=kind, subtype=subtype)
    config = _config(encoding=getattr(riva.AudioEncoding, encoding))
    streamed = _texts(_streamed(service, _pieces(buffer.getvalue(), 1000), config))
    offline = _texts(list(service.offline_recognize(buffer.getvalue(), config).results))
    assert streamed == offline
    assert [text.split()[-1].strip(".").lower() for text in streamed] == [
        one.text.split()[-1].strip(".").lower() for one in expected
    ]
