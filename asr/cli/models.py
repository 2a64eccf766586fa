"""``lexitune models``: the registry from the command line."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.console import message, print_json, stdout
from asr.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from asr.registry import ModelSummary

models_app = typer.Typer(help="The model registry.", no_args_is_help=True)


@models_app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Every model with its versions and aliases."""
    from asr.models.bundled import BUNDLED
    from asr.registry import Registry

    registered = Registry.open().list_models()
    if as_json:
        print_json(
            {
                "bundled": [f"bundled:{name}" for name in BUNDLED],
                "registered": [
                    {
                        "name": model.name,
                        "aliases": model.aliases,
                        "versions": [
                            {
                                "version": version.version,
                                "aliases": list(version.aliases),
                                "created_at": version.created_at.isoformat(),
                                "gate_passed": version.gate_passed,
                                "base": version.base,
                            }
                            for version in model.versions
                        ],
                    }
                    for model in registered
                ],
            }
        )
        return
    stdout.print(_table(list(BUNDLED), registered))


def _table(bundled: Sequence[str], registered: Sequence[ModelSummary]) -> Table:
    """The list for people; every cell literal, since a base may be a path with brackets."""
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "aliases", "gate", "base", "created")
    for name in bundled:
        table.add_row(Text(f"bundled:{name}"))
    for model in registered:
        for version in model.versions:
            cells = (
                f"models:/{model.name}/{version.version}",
                " ".join(version.aliases),
                {True: "passed", False: "refused", None: ""}[version.gate_passed],
                version.base,
                f"{version.created_at:%Y-%m-%d %H:%M}",
            )
            table.add_row(*(Text(cell) for cell in cells))
    return table


@models_app.command()
def show(
    reference: Annotated[str, typer.Argument(help="Model reference.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Where a model is and what its card says."""
    from asr.models.resolve import resolve_model
    from asr.registry import CARD, read_card

    model = resolve_model(reference)
    document: dict[str, Any] = {
        "reference": model.reference,
        "name": model.name,
        "version": model.version,
        "directory": str(model.transformers_dir),
        "sha256": model.sha256,
        "card": read_card(model.transformers_dir) if (model.transformers_dir / CARD).is_file() else None,
    }
    if as_json:
        print_json(document)
        return
    for key in ("reference", "directory", "sha256"):
        stdout.print(f"{key}: {document[key]}", markup=False)
    if document["card"]:
        stdout.print_json(data=document["card"])


@models_app.command()
def alias(
    name: Annotated[str, typer.Argument(help="Registered name.")],
    alias_name: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias to move, e.g. production.")],
    version: Annotated[str, typer.Argument(help="The version it is to point at.")],
) -> None:
    """Point an alias at a version by hand; says so if the gate had refused that version."""
    from asr.registry import Registry

    registry = Registry.open()
    registry.set_alias(name, alias_name, version)
    if registry.get_version(name, version).gate_passed is False:
        message(f"warning: the gate refused models:/{name}/{version}; see lexitune models show")
    stdout.print(f"models:/{name}@{alias_name} -> models:/{name}/{version}", markup=False)


@models_app.command("export")
def export_model(
    reference: Annotated[str, typer.Argument(help="Model reference.")],
    directory: Annotated[Path, typer.Argument(help="New folder; usable as a model reference.")],
) -> None:
    """Copy a model's files, verified, into a new folder."""
    from asr.models.resolve import resolve_model
    from asr.storage import build_folder

    if directory.exists():
        raise OptionError(f"{directory} exists; name a folder that does not")
    source = resolve_model(reference).transformers_dir

    def copy(folder: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    build_folder(directory, copy)
    stdout.print(str(directory), markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models_app, name="models")
