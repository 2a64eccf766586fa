"""What a server is started with: a TOML file, overridden by flags, as one frozen value.

Not for what a client may ask for: that is ``asr.streaming.messages.StreamConfig``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from asr.errors import OptionError
from asr.models.base import MAX_BEAM_SIZE
from asr.streaming.messages import Limits

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_MODEL = "bundled:tiny.en"

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """Options of a server.

    Attributes:
        models: references loaded at the start; the first is the default. Bundled ones, directories and hub
            ids can be used only if they are here; registered ones can be named by any client.
        address: HOST:PORT to listen on; port 0 lets the system choose.
        engine: "ctranslate2" or "torch".
        device: "cpu" or "cuda".
        decode_workers: decodings at the same time; 0 is one for each usable core.
        beam_size: of final results; interim ones are greedy.
        max_models: model versions in memory at once; at least as many as ``models``.
        max_waiting_decodes: decodings that may wait before new ones are refused.
        allow_admin: whether SetAlias is served.
        drain_grace_s: time that open streams have after SIGTERM.
        limits: what one client may use.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    address: str = DEFAULT_ADDRESS
    engine: str = "ctranslate2"
    device: str = "cpu"
    decode_workers: int = 0
    beam_size: int = 5
    max_models: int = 4
    max_waiting_decodes: int = 1000
    allow_admin: bool = False
    drain_grace_s: float = 30.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError(f"no model to serve; give at least one, e.g. {DEFAULT_MODEL}", field="models")
        ranges: dict[str, tuple[float, float]] = {
            "decode_workers": (0, 256),
            "beam_size": (1, MAX_BEAM_SIZE),
            "max_models": (1, 1000),
            "max_waiting_decodes": (1, 1_000_000),
            "drain_grace_s": (0, 3600),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} is {value:g}; give {low:g} to {high:g}", field=name)
        if (num_models := len(set(self.models))) > self.max_models:
            raise OptionError(
                f"{num_models} models to serve, and max_models is {self.max_models}; raise max_models to "
                f"{num_models} or more, or give fewer models",
                field="models",
            )


def load_config(path: Path | None, overrides: Mapping[str, object]) -> ServerConfig:
    """Read a TOML file, if any, and put ``overrides`` that are not None over it.

    Raises:
        OptionError: the file cannot be read, or a key or a value is wrong; the message lists the known keys.
    """
    table = {} if path is None else _read_toml(path)
    table |= {name: value for name, value in overrides.items() if value is not None}
    return read_options(ServerConfig, table)


def read_options(kind: type[Options], table: Mapping[str, Any], prefix: str = "") -> Options:
    """A table as read from a file, as an options dataclass; nested tables become nested dataclasses.

    Raises:
        OptionError: a key that the dataclass does not have, or a value of another type.
    """
    hints = get_type_hints(kind)
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            raise OptionError(
                f"unknown option {prefix}{name}; known are: {', '.join(prefix + one for one in known)}",
                field=prefix + name,
            )
    values = {name: _read_value(hints[name], value, prefix + name) for name, value in table.items()}
    return kind(**values)


def _read_value(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return read_options(hint, value, f"{name}.")
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_read_value(get_args(hint)[0], one, name) for one in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise OptionError(f"{name} is {value!r}; it must be of type {wanted}", field=name)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the configuration {path} cannot be read: {error}", field="config") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the configuration {path} is not TOML: {error}", field="config") from error
