"""``lexitune serve``: the gRPC server until SIGTERM or Ctrl-C, which drain it; a second one stops it at once."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import EXIT_INTERRUPTED, message
from server.config import CONFIG_VARIABLE, DEFAULT_ADDRESS, DEFAULT_MODEL, LoadedConfig, load_layers
from server.logs import configure_logging


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
    config: Annotated[
        Path | None,
        typer.Option(
            help=f"TOML file; variables LEXITUNE_SERVER_... go over it, flags over both. [{CONFIG_VARIABLE}]"
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    admin_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the administrative methods; none without it.")
    ] = None,
) -> None:
    """Serve speech recognition over gRPC; the address goes to stdout once the models are warm."""
    loaded = load_layers(
        config,
        {
            "models": tuple(model) if model else None,
            "address": address,
            "device": device,
            "admin_address": admin_address,
        },
        os.environ,
    )
    options = loaded.config
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # decodings run side by side; each takes one core
    configure_logging(level=options.log_level, form=options.log_format)
    tell = _teller(loaded)
    import asyncio

    from server.app import serve as run_server

    def announce(actual_address: str) -> None:
        tell(f"serving {', '.join(options.models)} on {actual_address}; Ctrl-C drains and stops")
        if options.admin_address:
            tell(f"administration on {options.admin_address}")
        typer.echo(actual_address)

    tell(f"loading {', '.join(options.models)}")
    received = asyncio.run(run_server(options, on_ready=announce))
    tell("stopped")
    if received is signal.SIGINT:
        raise typer.Exit(EXIT_INTERRUPTED)


def _teller(loaded: LoadedConfig) -> Callable[[str], None]:
    """What tells where the server is, as it logs; the config that is in force comes first."""
    if loaded.config.log_format == "json":
        log = logging.getLogger("lexitune.start")
        log.setLevel(logging.INFO)  # the few lines of a start and an end, whatever the level
        fields = {"config": loaded.lines()}
        log.info("config", extra={"fields": fields})
        return log.info
    message("config:")
    for line in loaded.lines():
        message(f"  {line}")
    return message


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
