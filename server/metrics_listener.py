"""The HTTP port for machines that watch: /metrics for Prometheus, /healthz and /readyz for what knows no gRPC.

It is for the inside of a network: no secrets, no text, and no protection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from asr.errors import UnavailableError

_TEXT = "text/plain; charset=utf-8"
_TIMEOUT_S = 10.0  # for a peer that does not say what it wants


class MetricsListener:
    """Listens from the start to :meth:`close`, on threads of its own.

    Args:
        address: HOST:PORT; port 0 lets the system choose.
        registry: of the metrics.
        is_alive: whether the server still does anything.
        is_ready: whether calls are welcome.

    Attributes:
        address: with the actual port.

    Raises:
        UnavailableError: the port is in use.
    """

    def __init__(
        self,
        address: str,
        *,
        registry: CollectorRegistry,
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
    ) -> None:
        def health(is_so: Callable[[], bool]) -> Callable[[], tuple[HTTPStatus, str, bytes]]:
            return lambda: (
                (HTTPStatus.OK, _TEXT, b"ok\n")
                if is_so()
                else (HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"no\n")
            )

        pages = {
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/healthz": health(is_alive),
            "/readyz": health(is_ready),
        }
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(pages))
        except (OSError, OverflowError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not an address"
            raise UnavailableError(
                f"cannot listen on {address} for metrics: {reason}; stop the other server or give another "
                "metrics_address, HOST:PORT",
                reason="PORT_IN_USE",
            ) from error
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(
    pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]],
) -> type[BaseHTTPRequestHandler]:
    class _Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S
        server_version = "lexitune"
        sys_version = ""

        def do_GET(self) -> None:  # http.server's name
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                known = f"there is {', '.join(pages)}\n".encode()
                status, kind, body = HTTPStatus.NOT_FOUND, _TEXT, known
            else:
                status, kind, body = page()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """A line for each scrape is worth nothing."""

    return _Handler
