"""What blocking clients of background work have in common: one connection, calls made again, lists page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from asr.client import wire
from asr.client.credentials import Credentials
from asr.client.retries import Backoff
from asr.client.wire_jobs import CHANNEL_OPTIONS

PATIENCE_S = 60.0


class Connected:
    """A connection to one server; close it, or use it as a context manager. Safe for several threads.

    Calls that fail in passing are made again (``asr.client.retries``). Every method raises the error of ``asr.errors``
    that the server's status stands for; ``UnavailableError`` if there is no server.

    Args:
        address: HOST:PORT.
        credentials: TLS and token; without them the connection is in plain text and says not who asks.
        patience_s: how long a call is made again.

    Raises:
        OptionError: the credentials cannot be used for this address.
    """

    def __init__(
        self, address: str, credentials: Credentials | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        credentials = credentials or Credentials()
        self.address = address
        self._metadata = credentials.metadata
        self._patience_s = patience_s
        self._channel = credentials.open_channel(address, CHANNEL_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._channel.close()

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return self._ask(lambda: method(request, metadata=self._metadata))

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """Make a call, again and again where that may help."""
        backoff = Backoff(self._patience_s)
        while True:
            try:
                return ask()
            except grpc.RpcError as error:
                if (wait_s := backoff.after(error)) is None:
                    raise wire.error_of(error, self.address) from error
            time.sleep(wait_s)

    def _pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """All pages of a list."""
        while True:
            response = self._call(method, request)
            yield response
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
