"""Options from TOML: a file's tables as frozen dataclasses, every key and type checked.

An unknown key is an error that lists the known ones. What the options mean stands beside their reader, not here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from asr.errors import OptionError

Options = TypeVar("Options")


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
    if get_origin(hint) is dict and isinstance(value, Mapping):
        return {key: _read_value(get_args(hint)[1], one, f"{name}.{key}") for key, one in value.items()}
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_read_value(get_args(hint)[0], one, name) for one in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise OptionError(f"{name} is {value!r}; it must be of type {wanted}", field=name)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's tables.

    Raises:
        OptionError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the configuration {path} cannot be read: {error}", field="config") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the configuration {path} is not TOML: {error}", field="config") from error
