"""TLS and mTLS on a real port, for our clients and the stock Riva client; certificates change while streams run."""

from __future__ import annotations

import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography import x509

from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import AsyncSpeechClient, Credentials, Ready, RecognitionResult, SpeechClient
from asr.errors import OptionError, UnauthenticatedError, UnavailableError
from server.certificates import TlsOptions
from server.config import ServerConfig


def _tls(pair: tuple[Path, Path], client_ca: Path | None = None) -> TlsOptions:
    certificate, key = map(str, pair)
    return TlsOptions(certificate=certificate, private_key=key, client_ca=str(client_ca or ""))


def _local(server: Any) -> str:
    """By the name that the certificate is for."""
    return f"localhost:{server.address.rpartition(':')[2]}"


@pytest.fixture(scope="module")
def folder(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    authority.write(made / "ca.pem")
    return Path(made)


@pytest.fixture(scope="module")
def secured(
    running_server: Any, authority: Any, tenants_writer: Any, folder: Path
) -> Iterator[tuple[Any, dict[str, str]]]:
    """TLS and tenants; and their tokens."""
    tokens = tenants_writer(folder / "tenants.toml", {"clinic": 'models = ["*"]'})
    config = ServerConfig(
        address="127.0.0.1:0",
        decode_workers=1,
        tenants=str(folder / "tenants.toml"),
        tls=_tls(authority.issue(folder)),
    )
    with running_server(config) as server:
        yield server, tokens


async def test_our_clients_over_tls_with_a_token(
    secured: tuple[Any, dict[str, str]], folder: Path, spoken: dict[str, Any]
) -> None:
    server, tokens = secured
    credentials = Credentials(ca=folder / "ca.pem", token=tokens["clinic"])
    assert tokens["clinic"] not in repr(credentials)
    samples = next(iter(spoken.values()))
    with SpeechClient(_local(server), credentials) as client:
        client.wait_until_serving()
        text = client.recognize(samples).text
        assert "aspirin" in text
        assert client.list_models() and client.get_model("tiny.en")
    async with AsyncSpeechClient(_local(server), credentials) as client:
        await client.wait_until_serving()
        assert (await client.recognize(samples)).text == text
        finals = [update.event async for update in client.stream([samples])]
        assert [event.text for event in finals if isinstance(event, RecognitionResult)] == [text]
        assert await client.list_models() and await client.get_model("tiny.en")


def test_who_does_not_trust_or_is_not_known_gets_nothing(
    secured: tuple[Any, dict[str, str]], folder: Path, other_authority: Any, tmp_path: Path
) -> None:
    server, tokens = secured
    address, token = _local(server), tokens["clinic"]
    foreign = other_authority.write(tmp_path / "foreign.pem")
    for credentials in (None, Credentials(token=token), Credentials(ca=foreign, token=token)):
        with SpeechClient(address, credentials) as client, pytest.raises(UnavailableError):
            client.recognize(b"")
    for token, reason in (("", "TOKEN_MISSING"), (tokens["expired"], "TOKEN_EXPIRED")):
        with (
            SpeechClient(address, Credentials(ca=folder / "ca.pem", token=token)) as client,
            pytest.raises(UnauthenticatedError) as refused,
        ):
            client.recognize(b"")
        assert refused.value.reason == reason


def test_the_stock_riva_client_over_tls_with_a_token(
    secured: tuple[Any, dict[str, str]], folder: Path, tmp_path: Path, spoken: dict[str, Any]
) -> None:
    riva = pytest.importorskip("riva.client", reason="the stock client is in the dev extra")
    server, tokens = secured
    path = tmp_path / "one.wav"
    samples = next(iter(spoken.values()))
    write_audio(path, samples)

    def service(token: str) -> Any:
        metadata = [["authorization", f"Bearer {token}"]]
        auth = riva.Auth(
            ssl_root_cert=str(folder / "ca.pem"), use_ssl=True, uri=_local(server), metadata_args=metadata
        )
        return riva.ASRService(auth)

    config = riva.RecognitionConfig(
        encoding=riva.AudioEncoding.LINEAR_PCM, sample_rate_hertz=16_000, language_code="en-US"
    )
    known = service(tokens["clinic"])
    offline = known.offline_recognize(path.read_bytes(), config)
    assert "aspirin" in offline.results[0].alternatives[0].transcript
    streaming = riva.StreamingRecognitionConfig(config=config, interim_results=False)
    payload = encode_pcm(samples, Encoding.LINEAR16)
    chunks = [payload[start : start + 3200] for start in range(0, len(payload), 3200)]
    answers = list(known.streaming_response_generator(chunks, streaming))
    assert "aspirin" in answers[0].results[0].alternatives[0].transcript
    for token in ("wrong", tokens["expired"]):
        with pytest.raises(grpc.RpcError) as refused:
            service(token).offline_recognize(path.read_bytes(), config)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_the_command_streams_over_tls_with_a_token_from_a_file_or_the_environment(
    secured: tuple[Any, dict[str, str]], folder: Path, tmp_path: Path, spoken: dict[str, Any]
) -> None:
    server, tokens = secured
    recording, token_file = tmp_path / "one.wav", tmp_path / "token"
    write_audio(recording, next(iter(spoken.values())))
    token_file.write_text(tokens["clinic"] + "\n")
    command = [
        sys.executable,
        "-m",
        "server.cli",
        "stream",
        str(recording),
        "--server",
        _local(server),
        "--json",
    ]
    command += ["--ca", str(folder / "ca.pem")]

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).resolve().parents[2]
        variables = {**_environment(), **environment}
        return subprocess.run(
            [*command, *arguments], cwd=root, env=variables, capture_output=True, text=True, check=False
        )

    for done in (run("--token-file", str(token_file)), run(LEXITUNE_TOKEN=tokens["clinic"])):
        assert done.returncode == 0, done.stderr
        assert "aspirin" in json.loads(done.stdout)["text"]
    for done, message in (
        (run(), "no authorization given"),
        (run(LEXITUNE_TOKEN="wrong"), "the token is not known"),
        (run("--token-file", "absent"), "absent cannot be read"),
        (run("--certificate", str(token_file)), "without its private key"),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "LEXITUNE_TOKEN"}


def test_clients_prove_who_they_are_by_certificate(
    running_server: Any, authority: Any, other_authority: Any, tmp_path: Path
) -> None:
    server_pair, client_pair = authority.issue(tmp_path), authority.issue(tmp_path, "client")
    ca = authority.write(tmp_path / "ca.pem")
    (tmp_path / "foreign").mkdir()
    foreign_pair = other_authority.issue(tmp_path / "foreign", "client")
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, tls=_tls(server_pair, ca))
    with running_server(config) as server:
        certificate, key = client_pair
        own = Credentials(ca=ca, certificate=certificate, private_key=key)
        with SpeechClient(_local(server), own) as client:
            assert client.recognize(b"").results == ()
        certificate, key = foreign_pair
        foreign = Credentials(ca=ca, certificate=certificate, private_key=key)
        for credentials in (Credentials(ca=ca), foreign):
            with SpeechClient(_local(server), credentials) as client, pytest.raises(UnavailableError):
                client.recognize(b"")


def _served_serial(server: Any, ca: Path) -> int:
    """Serial number of the certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    port = int(server.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def _serial(pair: tuple[Path, Path]) -> int:
    return x509.load_pem_x509_certificate(pair[0].read_bytes()).serial_number


def test_a_new_certificate_is_served_to_new_connections_and_open_streams_go_on(
    running_server: Any, authority: Any, tmp_path: Path, spoken: dict[str, Any], caplog: Any
) -> None:
    pair, ca = authority.issue(tmp_path), authority.write(tmp_path / "ca.pem")
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, tls=_tls(pair))
    samples: Any = next(iter(spoken.values())).astype(np.float32)
    with (
        running_server(config) as server,
        SpeechClient(_local(server), Credentials(ca=ca)) as client,
    ):
        changed = threading.Event()

        def audio() -> Iterator[Any]:
            yield samples[: samples.size // 2]
            assert changed.wait(60)
            yield samples[samples.size // 2 :]

        stream = client.stream(audio())
        assert isinstance(next(stream).event, Ready)
        first = _serial(pair)
        assert _served_serial(server, ca) == first
        second = _serial(authority.issue(tmp_path))  # in place of the first
        assert _served_serial(server, ca) == second != first
        good_key = pair[1].read_bytes()
        with caplog.at_level(logging.ERROR):
            pair[1].write_text("no key")
            assert _served_serial(server, ca) == second
        assert [record.message for record in caplog.records if "stays in force" in record.message]
        assert "no key" not in caplog.text
        pair[1].write_bytes(good_key)
        assert _served_serial(server, ca) == second
        third = _serial(authority.issue(tmp_path))
        assert _served_serial(server, ca) == third != second
        changed.set()
        texts = [update.event.text for update in stream if isinstance(update.event, RecognitionResult)]
        assert "aspirin" in " ".join(texts)


def test_a_certificate_that_cannot_be_used_stops_the_start(running_server: Any, tmp_path: Path) -> None:
    tls = TlsOptions(certificate=str(tmp_path / "absent.pem"), private_key=str(tmp_path / "absent.key"))
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, tls=tls)
    with pytest.raises(OptionError, match=r"absent\.pem"), running_server(config):
        pass


def test_a_client_sends_no_token_over_a_network_in_plain_text() -> None:
    with pytest.raises(OptionError, match=r"would reach asr\.example:50051 in plain") as refused:
        SpeechClient("asr.example:50051", Credentials(token="lexi_secret"))
    assert "secret" not in str(refused.value)
    SpeechClient("asr.example:50051", Credentials(token="x", allow_plaintext_token=True)).close()
    SpeechClient("127.0.0.1:50051", Credentials(token="x")).close()
    with pytest.raises(OptionError, match="holds characters that none has") as refused:
        Credentials(token="lexi\nsecret")
    assert "secret" not in str(refused.value)
