"""A file of tenants for a server that a benchmark starts, each with a token that is good for long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_tenants(path: Path, names: Sequence[str]) -> dict[str, str]:
    """A tenants file in which each may use every model; the tokens by name."""
    from server.tenants import hash_token, make_token

    tokens = {name: make_token() for name in names}
    path.write_text(
        "\n".join(
            f'[tenants.{name}]\nmodels = ["*"]\n[[tenants.{name}.tokens]]\n'
            f'sha256 = "{hash_token(token)}"\nexpires = 2999-01-01T00:00:00Z'
            for name, token in tokens.items()
        ),
        encoding="utf-8",
    )
    return tokens
