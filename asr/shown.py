"""What others may read of a job that is run for somebody: its files by the names that he knows, not by where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_paths(document: Any, names: Mapping[str, str]) -> Any:
    """A document of JSON with other texts in the place of paths.

    Args:
        document: texts in lists and tables, whatever else.
        names: what is said for a path, or for the folder that one begins with; the longest counts.
    """
    if isinstance(document, str):
        for path in sorted(names, key=len, reverse=True):
            document = document.replace(path, names[path])
        return document
    if isinstance(document, Mapping):
        return {key: without_paths(value, names) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_paths(value, names) for value in document]
    return document
