"""``lexitune serve``: the gRPC server until SIGTERM or Ctrl-C, which drain it; a second one stops it at once."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import EXIT_INTERRUPTED, message
from server.config import DEFAULT_ADDRESS, DEFAULT_MODEL, load_config


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Model reference to load; repeat for several, the first is the default. [{DEFAULT_MODEL}]"
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help=f"HOST:PORT to listen on; port 0 picks one. [{DEFAULT_ADDRESS}]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; flags go over it.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    admin_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the administrative methods; none without it.")
    ] = None,
) -> None:
    """Serve speech recognition over gRPC; the address goes to stdout once the models are warm."""
    options = load_config(
        config,
        {
            "models": tuple(model) if model else None,
            "address": address,
            "device": device,
            "admin_address": admin_address,
        },
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # decodings run side by side; each takes one core
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    import asyncio

    from server.app import serve as run_server

    def announce(actual_address: str) -> None:
        message(f"serving {', '.join(options.models)} on {actual_address}; Ctrl-C drains and stops")
        if options.admin_address:
            message(f"administration on {options.admin_address}")
        typer.echo(actual_address)

    message(f"loading {', '.join(options.models)}")
    received = asyncio.run(run_server(options, on_ready=announce))
    message("stopped")
    if received is signal.SIGINT:
        raise typer.Exit(EXIT_INTERRUPTED)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
