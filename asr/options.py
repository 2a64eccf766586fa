"""Options from TOML and the environment: tables as frozen dataclasses, every key and type checked, and back.

An unknown key is an error that lists the known ones. What the options mean stands beside their reader, not here. A field
with the metadata ``SECRET`` is never shown: not in an error, not by ``show_options``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from asr.errors import OptionError

Options = TypeVar("Options")

SECRET: Mapping[str, bool] = {"secret": True}
"""Metadata of a field whose value nobody may read: ``field(default="", metadata=SECRET)``."""
NESTED = "__"  # between a table and its key in a variable's name
_HIDDEN = "***"


def read_options(kind: type[Options], table: Mapping[str, Any], prefix: str = "") -> Options:
    """A table as read from a file, as an options dataclass; nested tables become nested dataclasses.

    Raises:
        OptionError: a key that the dataclass does not have, or a value of another type.
    """
    hints = get_type_hints(kind)
    secret = {one.name: bool(one.metadata.get("secret")) for one in fields(kind)}  # type: ignore[arg-type]
    known = list(secret)
    for name in table:
        if name not in known:
            raise OptionError(
                f"unknown option {prefix}{name}; known are: {', '.join(prefix + one for one in known)}",
                field=prefix + name,
            )
    values = {
        name: _read_value(hints[name], value, prefix + name, is_secret=secret[name])
        for name, value in table.items()
    }
    return kind(**values)


def read_environment(kind: type[Any], environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """What variables say, as a table for :func:`read_options`.

    PREFIX and the key in capitals, a table's key behind ``__``: LEXITUNE_SERVER_LIMITS__MAX_STREAMS. Text is taken as it
    is, several texts with commas between or as TOML's array; anything else is written as in TOML.

    Raises:
        OptionError: a variable with the prefix that means nothing, or one that is not written so.
    """
    known = dict(_variables(kind, prefix))
    table: dict[str, Any] = {}
    for variable in sorted(one for one in environment if one.startswith(prefix)):
        if variable not in known:
            raise OptionError(f"unknown variable {variable}; known are: {', '.join(known)}", field=variable)
        *path, key, hint = known[variable]
        inner = table
        for name in path:
            inner = inner.setdefault(name, {})
        inner[key] = _read_text(hint, environment[variable], variable)
    return table


def merge_tables(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``table``, tables in them key by key."""
    merged = dict(table)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = merge_tables(below, value) if both else value  # type: ignore[arg-type]
    return merged


def leaf_names(kind: type[Any], table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of all that a table sets."""
    hints = get_type_hints(kind)
    for name, value in table.items():
        hint = hints.get(name)
        if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
            yield from leaf_names(hint, value, f"{prefix}{name}.")
        else:
            yield prefix + name


def show_options(options: Any, prefix: str = "") -> dict[str, str]:
    """Every option by its dotted name, written as in TOML; a secret that is set is ``"***"``."""
    shown: dict[str, str] = {}
    for one in fields(options):
        value = getattr(options, one.name)
        if is_dataclass(value):
            shown |= show_options(value, f"{prefix}{one.name}.")
        elif one.metadata.get("secret") and value:
            shown[prefix + one.name] = json.dumps(_HIDDEN)
        else:
            shown[prefix + one.name] = _as_toml(value)
    return shown


def _as_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(key)} = {_as_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_as_toml, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _variables(
    kind: type[Any], prefix: str, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Names of variables, each with the path of its key and the key's type."""
    for name, hint in get_type_hints(kind).items():
        variable = prefix + name.upper()
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _variables(hint, variable + NESTED, (*path, name))
        elif name in {one.name for one in fields(kind)}:
            yield variable, (*path, name, hint)


def _read_text(hint: Any, text: str, variable: str) -> Any:
    if hint is str:
        return text
    if get_origin(hint) is tuple and not text.lstrip().startswith("["):
        return [one.strip() for one in text.split(",") if one.strip()]
    try:
        table = tomllib.loads(f"value = {text}")
        if len(table) == 1:
            return table["value"]
    except tomllib.TOMLDecodeError:
        pass
    raise OptionError(
        f"{variable} is not written as in TOML; give a {getattr(hint, '__name__', hint)}, such as true, 3 or 2.5",
        field=variable,
    )


def _read_value(hint: Any, value: Any, name: str, *, is_secret: bool = False) -> Any:
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
    shown = _HIDDEN if is_secret else repr(value)
    raise OptionError(f"{name} is {shown}; it must be of type {wanted}", field=name)


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
