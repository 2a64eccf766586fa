"""The program ``lexitune``: all commands in one place, and how errors become exit codes.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from asr import __version__
from asr.cli import corrections, data, doctor, evaluate, models, stream, transcribe
from asr.cli.console import EXIT_INTERRUPTED, EXIT_SOFTWARE, EXIT_USAGE, message
from asr.errors import LexituneError
from server import bench_command, serve_command, token_command, worker_command
from training import cli as training_cli

app = typer.Typer(
    help="Adapt a speech recogniser to your vocabulary, prove it, publish it, serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    doctor, data, corrections, training_cli, evaluate, models, transcribe, serve_command, worker_command, token_command,
    stream, bench_command,
):  # fmt: skip
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the program; an error is one line on stderr and exit code 2, a fault of ours 70, an interrupt 130."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # threads that wait for each other by spinning take the cores of whoever they wait for (docs/experiments.md)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()  # ends the process: usage errors with 2, an interrupt with 130, typer.Exit with its code
    except (LexituneError, OSError) as error:
        message(f"error: {error}")
        sys.exit(EXIT_USAGE)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:
            message("interrupted; run the same command again to go on")
        raise
    except Exception:  # the process boundary
        traceback.print_exc()
        sys.exit(EXIT_SOFTWARE)


if __name__ == "__main__":
    main()
