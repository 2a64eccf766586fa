"""What asyncio's clients of background work have in common: ``asr.client.connected``, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from asr.client import wire
from asr.client.connected import PATIENCE_S
from asr.client.credentials import Credentials
from asr.client.retries import Backoff
from asr.client.wire_jobs import CHANNEL_OPTIONS


class AsyncConnected:
    """``Connected`` for asyncio. Make it in an event loop.

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
        self._channel = credentials.open_aio_channel(address, CHANNEL_OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close(None)

    async def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return await self._ask(lambda: method(request, metadata=self._metadata))

    async def _ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, again and again where that may help."""
        backoff = Backoff(self._patience_s)
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                if (wait_s := backoff.after(error)) is None:
                    raise wire.error_of(error, self.address) from error
            await asyncio.sleep(wait_s)

    async def _pages(self, method: Callable[..., Any], request: Any) -> AsyncIterator[Any]:
        """All pages of a list."""
        while True:
            response = await self._call(method, request)
            yield response
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
