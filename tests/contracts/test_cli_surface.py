"""The command line that others script against: commands, arguments and options, frozen here."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from server.cli import app

SURFACE = {
    "adapt": "--alias --base --config --dev --general --json --language --method --name --seed --templates --terms "
    "--test --text --train --workers",
    "assess": "--budget-minutes --json --model --own-length --seed --terms --text --workers <manifest>",
    "bench": "<name>",
    "data align": "--json --min-score --model --out <manifest>",
    "data export-corrections": "--at-least --ca --certificate --json --out --private-key --server --tls --token-file",
    "data review": "--ca --certificate --limit --private-key --reviewer --server --tls --token-file",
    "data split": "--by --dev --json --out --test <manifest>",
    "data synthesize": "--copies --language --out --per-term --seed --templates --terms --text",
    "data validate": "--against --json --model <manifest>",
    "doctor": "--json --model",
    "evaluate": "--against --beam-size --engine --json --language --model --normalizer --phrases --report "
    "--terms --workers <manifest>",
    "models alias": "<alias_name> <name> <version>",
    "models export": "<directory> <reference>",
    "models import": "--json --name <directory>",
    "models list": "--json",
    "models show": "--json <reference>",
    "phrases aliases": "--json --language --model --out --seed <phrases>",
    "serve": "--address --admin-address --config --device --model",
    "stream": "--ca --certificate --chunk-ms --encoding --json --language --microphone --model --phrases --private-key "
    "--rate --realtime --server --tls --token-file <file>",
    "token": "--days --json",
    "transcribe": "--beam-size --channels --device --engine --failures --format --language --legs --manifest --model "
    "--output --phrases --redact --resume --steps --workers <files>",
    "worker": "--config --device --kind --until-idle",
}


def _surface(command: Any, path: str = "") -> dict[str, str]:
    if hasattr(command, "commands"):
        found: dict[str, str] = {}
        for name, child in sorted(command.commands.items()):
            found |= _surface(child, f"{path} {name}".strip())
        return found
    parts = [
        max(parameter.opts, key=len) if parameter.param_type_name == "option" else f"<{parameter.name}>"
        for parameter in command.params
    ]
    return {path: " ".join(sorted(parts))}


def test_commands_and_options_are_the_documented_ones() -> None:
    assert _surface(get_command(app)) == SURFACE
