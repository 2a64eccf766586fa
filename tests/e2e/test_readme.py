"""Every block of the README is run: the commands as written but for size and address, the Python against a server."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for language, block in BLOCKS
    if language == "console"
    for line in block.splitlines()
    if line.strip()
]


def _only(start: str) -> list[str]:
    (command,) = [command for command in COMMANDS if command.startswith(start)]
    return shlex.split(command)


def test_every_command_is_run_by_a_test_here() -> None:
    known = {
        "make demo",
        "make test",
        "pip install",
        "lexitune doctor",
        "lexitune adapt",
        "lexitune transcribe",
    }
    known |= {"lexitune evaluate", "lexitune serve", "lexitune stream"}
    assert {" ".join(command.split()[:2]) for command in COMMANDS} == known
    assert [language for language, _ in BLOCKS if language != "console"] == ["python"]


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_make_targets_exist_and_set_up_first(target: str) -> None:
    printed = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ("pytest" if target == "test" else "examples/demo.py") in printed


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Runs the README's adapt command, on its text cut short, and gives what its words stand for from here on."""
    folder = tmp_path_factory.mktemp("readme")
    arguments = _only("lexitune adapt")
    text = Path(arguments[arguments.index("--text") + 1])
    short = folder / "calls.txt"
    short.write_text("".join((ROOT / text).read_text().splitlines(keepends=True)[:24]))
    (folder / "job.toml").write_text(
        "[training]\nepochs = 1\nevaluations_per_epoch = 1\nown_length_sentences = 16\ntext_phrases = 0\n"
        "[split]\nmax_dev = 6\ngeneral_sentences = 4\n"
    )
    code = _run([*arguments, "--config", str(folder / "job.toml")], {str(text): str(short)})
    assert code in (0, 1)
    if code == 1:  # so little text need not pass the gate; what follows wants the alias all the same
        assert _run(["lexitune", "models", "alias", "pharmacy", "production", "1"], {}) == 0
    return {}


def _run(arguments: list[str], replaced: dict[str, str]) -> int:
    command = [replaced.get(argument, argument) for argument in arguments]
    assert command[0] == "lexitune"
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *command[1:]], cwd=ROOT, check=False
    ).returncode


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, spoken: Any) -> dict[str, str]:
    from asr.audio.files import write_audio
    from asr.data.manifest import Utterance, write_manifest

    folder = tmp_path_factory.mktemp("call")
    text, samples = next(iter(spoken.items()))
    write_audio(folder / "call.wav", samples)
    row = Utterance(id="call", audio_path=folder / "call.wav", duration_s=len(samples) / 16_000, text=text)
    write_manifest(folder / "manifest.jsonl", [row])
    return {"call.wav": str(folder / "call.wav"), "manifest.jsonl": str(folder / "manifest.jsonl")}


@pytest.mark.parametrize("start", ["lexitune doctor", "lexitune transcribe", "lexitune evaluate"])
def test_commands_after_adapting(start: str, adapted: dict[str, str], call: dict[str, str]) -> None:
    assert _run(_only(start), call) == 0


def test_serving_streaming_and_the_python_client(
    adapted: dict[str, str], call: dict[str, str], spoken: Any
) -> None:
    serve = [argument.replace(":50051", ":0") for argument in _only("lexitune serve")]
    command = [sys.executable, "-m", "server.cli", *serve[1:]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert _run(_only("lexitune stream"), call | {"127.0.0.1:50051": address}) == 0
            (code,) = [block for language, block in BLOCKS if language == "python"]
            printed: list[Any] = []
            names = {"samples": next(iter(spoken.values())), "print": printed.append}
            exec(code.replace("127.0.0.1:50051", address), names)
        finally:
            server.terminate()
    assert "aspirin" in str(printed)
    assert server.returncode == 0
