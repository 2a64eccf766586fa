"""``lexitune token``: makes a tenant's token and the hash that the server keeps of it; the token is shown this once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from asr.cli.console import message, print_json


def token(
    days: Annotated[int, typer.Option(min=1, max=3650, help="Until it expires.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make a bearer token: itself to stdout, once; to stderr what goes into the tenants file."""
    from server.tenants import hash_token, make_token

    made = make_token()
    expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    if as_json:
        print_json({"token": made, "sha256": hash_token(made), "expires": expires.isoformat()})
        return
    message("add to the tenants file, with the tenant's own name for NAME:")
    message("")
    message("[[tenants.NAME.tokens]]")
    message(f'sha256 = "{hash_token(made)}"')
    message(f"expires = {expires.isoformat()}")
    message("")
    message("the token, which is kept nowhere:")
    typer.echo(made)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(token)
