"""Tenants on a real server: quotas end calls with what was heard sent, and nothing secret is in the log."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from asr.client import Credentials, Ready, RecognitionResult, SpeechClient, StreamConfig
from asr.errors import LexituneError, LimitError
from asr.recognizer import Recognizer
from server.config import ServerConfig
from server.tenants import hash_token

QUOTAS = """
models = ["tiny.en"]
[tenants.clinic.quotas]
max_streams = 2
max_audio_s = 3.0
audio_period_s = 36000.0
"""


@pytest.fixture(scope="module")
def limited(
    running_server: Any, tenants_writer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, dict[str, str]]]:
    path = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    tokens = tenants_writer(path, {"clinic": QUOTAS, "shop": 'models = ["*"]'})
    with running_server(ServerConfig(address="127.0.0.1:0", decode_workers=1, tenants=str(path))) as server:
        yield server, tokens


def _client(limited: tuple[Any, dict[str, str]], tenant: str) -> SpeechClient:
    server, tokens = limited
    return SpeechClient(server.address, Credentials(token=tokens[tenant]))


def test_a_tenant_has_so_many_calls_at_once_and_others_are_not_touched(
    limited: tuple[Any, dict[str, str]],
) -> None:
    over = threading.Event()

    def silent() -> Iterator[bytes]:
        assert over.wait(60)
        yield from ()

    with _client(limited, "clinic") as clinic, _client(limited, "shop") as shop:
        streams = [clinic.stream(silent()) for _ in range(2)]
        assert all(isinstance(next(stream).event, Ready) for stream in streams)
        with pytest.raises(LimitError, match="0 of the 2 calls that tenant clinic may have") as refused:
            clinic.recognize(b"")
        assert refused.value.reason == "TENANT_QUOTA"
        assert shop.recognize(b"").results == ()
        over.set()
        for stream in streams:
            list(stream)
        legs = StreamConfig(channel_count=3, separate_channels=True)
        with pytest.raises(LimitError, match="1 of the 2 calls"):
            clinic.recognize(b"", legs)
        assert clinic.recognize(b"").results == ()


def test_a_stream_that_uses_up_the_audio_ends_with_its_final(
    limited: tuple[Any, dict[str, str]], spoken: dict[str, Any], bundled_recognizer: Recognizer
) -> None:
    samples = next(iter(spoken.values())).astype(np.float32)
    padded = np.concatenate([samples, np.zeros(16_000 * 4, np.float32)])
    finals = list[str]()
    with _client(limited, "clinic") as clinic:
        with pytest.raises(LimitError, match=r"the 3 s of audio in 36000 s of tenant clinic") as ended:
            for update in clinic.stream([padded[:56_000], *np.array_split(padded[56_000:], 50)]):
                if isinstance(update.event, RecognitionResult):
                    finals.append(update.event.text)
        assert ended.value.reason == "TENANT_QUOTA"
        assert finals == [bundled_recognizer.transcribe(padded[:56_000]).text]
        with pytest.raises(LimitError, match="are used up"):
            clinic.recognize(b"")
    with _client(limited, "shop") as shop:
        assert shop.recognize(samples).text


def test_a_refused_tenant_is_told_when_to_come_back(limited: tuple[Any, dict[str, str]]) -> None:
    server, tokens = limited
    metadata = (("authorization", f"Bearer {tokens['clinic']}"),)
    path = "/asr.v1.Speech/Recognize"
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(path)(b"", metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status: Any = rpc_status.from_call(refused.value)
    retry, info = error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "TENANT_QUOTA"
    assert retry.retry_delay.ToSeconds() > 3600  # 1 s of audio comes back in 12000 s


def test_no_word_no_audio_and_no_token_is_in_the_log(
    tenants_writer: Any, tmp_path: Path, spoken: dict[str, Any]
) -> None:
    """``lexitune serve`` as users run it: served, refused and failed calls, a tenants file broken meanwhile."""
    tokens = tenants_writer(tmp_path / "tenants.toml", {"clinic": 'models = ["tiny.en"]'})
    config = tmp_path / "server.toml"
    config.write_text(f'address = "127.0.0.1:0"\ndecode_workers = 1\ntenants = "{tmp_path}/tenants.toml"\n')
    command = [sys.executable, "-m", "server.cli", "serve", "--config", str(config)]
    program = subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    samples, token, wrong = next(iter(spoken.values())), tokens["clinic"], "lexi_wrong-canary"
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        with SpeechClient(address, Credentials(token=token)) as client:
            text = client.recognize(samples).text
            assert "aspirin" in text
            finals = [update.event for update in client.stream([samples], StreamConfig(interim_results=True))]
            assert any(isinstance(event, RecognitionResult) and event.text == text for event in finals)
            (tmp_path / "tenants.toml").write_text(f'[tenants.clinic]\nmodels = ["*"]\ntokens = ["{token}"]')
            for model in ("canary-model", "canary/../model"):
                with pytest.raises(LexituneError):
                    client.recognize(samples, StreamConfig(model=model))
        with SpeechClient(address, Credentials(token=wrong)) as client, pytest.raises(LexituneError):
            client.recognize(samples)
    finally:
        program.terminate()
        printed, logged = program.communicate(timeout=60)
    assert program.returncode == 0, logged
    said = printed + logged
    assert "the old stays in force" in said  # it does log
    secrets = (token, hash_token(token), wrong, hash_token(wrong), "canary")
    words = [word.strip(".,").lower() for word in text.split() if len(word) > 4]
    found = [one for one in (*secrets, *words) if one.lower() in said.lower()]
    assert not found
    payload = (samples[:16] * 32767).astype("<i2").tobytes()
    assert payload not in said.encode("utf-8", "surrogateescape")
