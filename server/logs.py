"""How the server logs: readable lines or JSON objects, each with the ids of the RPC at hand.

No code logs a transcript, audio or a client's text at any level, so there is nothing to switch off.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from server.call_ids import current_call

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


class _CallFilter(logging.Filter):
    """Puts the ids of the RPC at hand on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = current_call()
        record.ids = {} if call is None else _ids(call.request_id, call.stream_id)
        return True


class TextFormatter(logging.Formatter):
    """One readable line, the ids at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """See logging."""
        ids = " ".join(f"{name}={value}" for name, value in getattr(record, "ids", {}).items())
        line = super().formatMessage(record)
        return f"{line} [{ids}]" if ids else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a record has under ``fields`` comes as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "ids", {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


def configure_logging(*, level: str, form: str) -> logging.Handler:
    """Log to stderr from now on.

    Args:
        level: one of ``LEVELS``, for our own loggers; libraries' are at least at warning.
        form: one of ``FORMATS``.

    Returns:
        The handler, in place of those that the root logger had.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_CallFilter())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    for name in ("lexitune", "server", "asr"):
        logging.getLogger(name).setLevel(_number(level))
    return handler


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _ids(request_id: str, stream_id: str) -> dict[str, str]:
    ids = {"request_id": request_id, "stream_id": stream_id}
    return {name: value for name, value in ids.items() if value}
