"""``lexitune models import``: a folder that was trained or exported elsewhere becomes a registered version."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.console import print_json, stdout
from asr.errors import OptionError


def import_model(
    directory: Annotated[Path, typer.Argument(help="A transformers folder.")],
    name: Annotated[str, typer.Option(help="Registered name.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Register a transformers folder as the next version of NAME, with a fresh export; no gate has seen it."""
    from asr.models.contexts import WHOLE
    from asr.models.reference import is_valid_name
    from asr.models.resolve import PHRASES
    from asr.registry import CARD, Registry, read_card, verify_card
    from training.publish import Run, publish

    if not is_valid_name(name):
        raise OptionError(f"--name {name!r} is not allowed; give 1-128 letters, digits, '.', '-' or '_'")
    if (directory / CARD).is_file():
        verify_card(directory)
    origin: dict[str, Any] = read_card(directory) if (directory / CARD).is_file() else {}
    registry = Registry.open()
    with tempfile.TemporaryDirectory(prefix="lexitune-import-") as temporary:
        folder = copy_version(directory, Path(temporary) / "version")
        if PHRASES in origin.get("files", {}):
            shutil.copyfile(directory / PHRASES, folder / PHRASES)
        card = {
            "name": name,
            "base": origin.get("base", str(directory)),
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "imported_card": {key: value for key, value in origin.items() if key != "files"} or None,
            "contexts": origin.get("contexts", [WHOLE]),
        }
        version = publish(
            registry, name, folder, card, Run(name=f"import {name}", params={"from": str(directory)})
        )
    if as_json:
        print_json({"reference": f"models:/{name}/{version}", "name": name, "version": version})
    else:
        stdout.print(f"models:/{name}/{version}", markup=False)


def copy_version(source: Path, target: Path) -> Path:
    """Copy a transformers folder's known files to ``target``; convert a Whisper anew: only our own export is served."""
    from asr.models.checkpoint import WEIGHTS, WHISPER, check_folder, copy_companions
    from asr.models.export import export_ctranslate2
    from asr.models.resolve import CTRANSLATE2_FOLDER

    family = check_folder(source)
    target.mkdir(parents=True)
    shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
    copy_companions(source, target)
    if family == WHISPER:
        export_ctranslate2(target, target / CTRANSLATE2_FOLDER)
    return target
