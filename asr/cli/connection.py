"""Options of commands that connect to a server, and where a token comes from: never a flag, which ``ps`` would show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.errors import OptionError

if TYPE_CHECKING:
    from asr.client import Credentials

TOKEN_VARIABLE = "LEXITUNE_TOKEN"

Tls = Annotated[
    bool, typer.Option("--tls", help="Encrypt; trust the system's authorities unless --ca is given.")
]
Ca = Annotated[Path | None, typer.Option(help="PEM file of the authorities to trust; asks for TLS.")]
Certificate = Annotated[Path | None, typer.Option(help="PEM file with this client's certificate, for mTLS.")]
PrivateKey = Annotated[Path | None, typer.Option(help="PEM file of the certificate's key.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"File that holds the bearer token alone; default: {TOKEN_VARIABLE}, if set."),
]


def credentials_of(
    *, tls: bool, ca: Path | None, certificate: Path | None, private_key: Path | None, token_file: Path | None
) -> Credentials:
    """What the options ask for.

    Raises:
        OptionError: the token's file cannot be read, or they do not fit together.
    """
    from asr.client import Credentials

    return Credentials(
        tls=tls, ca=ca, certificate=certificate, private_key=private_key, token=_read_token(token_file)
    )


def _read_token(path: Path | None) -> str:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise OptionError(f"the token's file {path} cannot be read: {reason}", field="token_file") from None
