"""A real server with the bundled model, shared by the tests of this folder, and speech to send to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.client import SpeechClient
from asr.recognizer import Recognizer
from server.app import Application
from server.config import ServerConfig
from server.tenants import hash_token, make_token


class RunningServer:
    """An application on an event loop of its own thread."""

    def __init__(self, config: ServerConfig) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._thread.start()
        try:
            self.application = self.run(self._make(config))
            self.address: str = self.run(self.application.start())
        except BaseException:
            self._end_loop()
            raise

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float = 60.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def close(self) -> None:
        self.run(self.application.drain())
        self._end_loop()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait on the server's loop until the condition holds there."""

        async def poll() -> None:
            while not condition():  # noqa: ASYNC110  # a condition of the server's, which has no event for it
                await asyncio.sleep(0.005)

        self.run(asyncio.wait_for(poll(), timeout_s))

    async def _make(self, config: ServerConfig) -> Application:
        return Application(config)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


ServerFactory = Callable[[ServerConfig], Any]

PHARMACY = """\
Please refill my apixaban before Friday.
I take rivaroxaban in the morning.
She was given apixaban instead of rivaroxaban.
The pharmacy has no rivaroxaban today.
How many apixaban tablets are left?
Can you deliver the rivaroxaban to my house?
My apixaban is five milligrams twice a day.
I missed a dose of rivaroxaban yesterday.
The doctor stopped the apixaban on Monday.
Is rivaroxaban safe with orange juice?
Your apixaban is ready for pickup.
We ordered rivaroxaban for you last week.
"""


@contextmanager
def _running(config: ServerConfig) -> Iterator[RunningServer]:
    server = RunningServer(config)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def running_server() -> ServerFactory:
    """Starts a server and drains it at the end of a with block."""
    return _running


@pytest.fixture(scope="session")
def speech_server() -> Iterator[RunningServer]:
    """The bundled model behind a real port."""
    with _running(ServerConfig(address="127.0.0.1:0", decode_workers=1)) as server:
        yield server


@pytest.fixture
def client(speech_server: RunningServer) -> Iterator[SpeechClient]:
    with SpeechClient(speech_server.address) as connected:
        yield connected


@pytest.fixture(scope="session")
def bundled_recognizer() -> Recognizer:
    return Recognizer.load("bundled:tiny.en")


@pytest.fixture(scope="session")
def call_audio(spoken: dict[str, Any]) -> NDArray[np.float32]:
    """Two sentences with a pause of 1.5 s between, 16 kHz."""
    first, second, *_ = spoken.values()
    pause = np.zeros(24_000, np.float32)
    return np.concatenate([first, pause, second, pause]).astype(np.float32)


@pytest.fixture(scope="session")
def pharmacy_text() -> str:
    """Twelve sentences with two drug names, one a line."""
    return PHARMACY


def write_tenants(path: Path, tenants: dict[str, str]) -> dict[str, str]:
    """A tenants file of these TOML bodies by name, each with a good token; the tokens by name, and "expired"."""
    tokens = {name: make_token() for name in (*tenants, "expired")}
    lines = list[str]()
    for name, body in tenants.items():
        lines += [f"[tenants.{name}]", body, *_token(name, tokens[name], "2999-01-01T00:00:00Z")]
    lines += _token(next(iter(tenants)), tokens["expired"], "2001-01-01T00:00:00Z")
    path.write_text("\n".join(lines))
    return tokens


def _token(tenant: str, token: str, expires: str) -> list[str]:
    return [f"[[tenants.{tenant}.tokens]]", f'sha256 = "{hash_token(token)}"', f"expires = {expires}"]


@pytest.fixture(scope="session")
def tenants_writer() -> Callable[[Path, dict[str, str]], dict[str, str]]:
    return write_tenants
