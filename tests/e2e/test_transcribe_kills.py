"""``lexitune transcribe`` killed at random instants, over and over: it ends with what an undisturbed run writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asr.audio.files import write_audio

NUM_RECORDINGS = 64
IN_FLIGHT = 16 + 2 + 1  # for one worker: a group that is decoded, what is cut ahead, and what is read

# Imports once and forks for each run, so that kills come in the work and not in the imports.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import asr.audio.vad, asr.models.whisper_ct2, asr.streaming.session, asr.cli.rows, asr.cli.recipe, asr.cli.batch
from server.cli import app

command, whole, output, seed = json.loads(sys.argv[1])
journal = output + "/.lexitune.journal"
draw = random.Random(seed)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})

def done():
    lines = Path(journal).read_bytes().split(b"\\n")[:-1] if Path(journal).exists() else []
    return {json.loads(line)["id"]: len(lines) for line in lines}

def inodes():
    return {path.name: path.stat().st_ino for path in Path(output).glob("*.json")}

def run(output, is_time):
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.dup2(os.open(output + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        opened = os.open(output + ".opened", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(
            lambda event, arguments: event == "open"
            and str(arguments[0]).endswith(".wav")
            and os.write(opened, f"{os.getpid()} {arguments[0]}\\n".encode())
        )
        try:
            app([*command, "--output", output], standalone_mode=False)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(3)
        os._exit(0)
    while signal.sigtimedwait({signal.SIGCHLD}, 0.002) is None:
        if is_time():
            os.kill(child, signal.SIGKILL)
            break
    _, status = os.waitpid(child, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 0)
    return os.waitstatus_to_exitcode(status)

def instant():
    # at random: while the model is loaded and a first group decoded, or once outputs come, among them and behind
    begin, before, delay_s = time.monotonic(), len(done()), draw.uniform(0.0, 0.3)
    if draw.random() < 0.3:
        return lambda: time.monotonic() - begin > delay_s
    seen = []
    def is_time():
        if not seen and len(done()) > before:
            seen.append(time.monotonic())
        return bool(seen) and time.monotonic() - seen[0] > delay_s
    return is_time

code = run(whole, lambda: False)
assert code == 0, Path(whole + ".log").read_text()
kills, redone = 0, []
while True:
    finished, before = done(), inodes()
    code = run(output, instant() if kills < 5 else lambda: False)
    after = inodes()
    redone += [key for key in finished if before.get(key + ".json") != after.get(key + ".json")]
    if code != -signal.SIGKILL:
        # a run opens each recording for its hash, and once more if it decodes it
        opened = Path(output + ".opened").read_text().split("\\n")[:-1]
        num_decoded = len(opened) - len(set(opened))
        num_finished = len(Path(journal).read_bytes().split(b"\\n")) - 1
        print(json.dumps([code, kills, redone, num_finished, num_decoded]))
        break
    kills += 1
"""


def _killed(*arguments: Any) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, Any]) -> Path:
    """A folder of short recordings, each other than the rest."""
    folder = tmp_path_factory.mktemp("calls")
    samples = list(spoken.values())
    for number in range(NUM_RECORDINGS):
        begin = 160 * number
        write_audio(folder / f"call{number:02d}.wav", samples[number % len(samples)][begin : begin + 24_000])
    return folder


def test_kills_at_random_cost_only_what_was_in_flight(
    calls: Path, tmp_path: Path, small_whisper: Path
) -> None:
    command = [
        "transcribe", str(calls), "--model", str(small_whisper), "--workers", "1", "--beam-size", "1",
        "--format", "json", "--resume",
    ]  # fmt: skip
    whole, out = tmp_path / "whole", tmp_path / "out"
    code, kills, redone, num_finished, num_decoded = _killed(command, str(whole), str(out), 1)
    assert code == 0, out.with_name("out.log").read_text()
    assert kills == 5
    assert redone == []  # what was finished is not touched again
    assert num_finished == NUM_RECORDINGS  # each was recorded once
    assert 0 <= num_decoded - NUM_RECORDINGS <= kills * IN_FLIGHT
    assert {path.name: path.read_bytes() for path in out.glob("*.json")} == {
        path.name: path.read_bytes() for path in whole.glob("*.json")
    }
