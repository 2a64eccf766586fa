"""``lexitune bench``: runs a benchmark of a source checkout in a process of its own, with this interpreter.

The benchmarks measure; this only finds them. They are not in the wheel: they need recordings and peers that a user of
the product does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.errors import NotFoundError, OptionError

BENCHMARKS = {
    "engine": "engine",
    "streaming": "streaming",
    "load": "load",
    "training": "training_speed",
    "batch": "batch",
}
"""What a user names, and the script in ``benchmarks/``."""

CHECKOUT = Path(__file__).resolve().parents[1]


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{', '.join(BENCHMARKS)}.")],
) -> None:
    """Run a benchmark against its peers in one run; arguments behind NAME are its own (try NAME --help)."""
    script = script_of(name, CHECKOUT)
    returncode = _run([sys.executable, str(script), *context.args], environment(CHECKOUT))
    if returncode:
        raise typer.Exit(returncode)


def _run(command: list[str], variables: dict[str, str]) -> int:
    """The exit code as a shell gives it; an interrupt reaches the benchmark, too, and is waited out: it has servers."""
    with subprocess.Popen(command, env=variables) as process:
        while True:
            try:
                returncode = process.wait()
            except KeyboardInterrupt:
                continue
            return returncode if returncode >= 0 else 128 - returncode


def script_of(name: str, checkout: Path) -> Path:
    """The script of a benchmark.

    Raises:
        OptionError: no such benchmark.
        NotFoundError: the package is installed without its source checkout.
    """
    if name not in BENCHMARKS:
        raise OptionError(f"benchmark {name!r} is not known; there are {', '.join(BENCHMARKS)}", field="name")
    script = checkout / "benchmarks" / f"{BENCHMARKS[name]}.py"
    if not script.is_file():
        raise NotFoundError(
            f"{script} does not exist: the benchmarks are not part of the installed package; clone the repository and "
            "run the command there, after pip install -e '.[bench]'"
        )
    return script


def environment(checkout: Path) -> dict[str, str]:
    """This process's environment, in which the script imports the code of its own checkout."""
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), *([inherited] if inherited else [])])}


def register(app: typer.Typer) -> None:
    """Add the command; ``--help`` behind the name is the benchmark's own."""
    app.command(
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        }
    )(bench)
