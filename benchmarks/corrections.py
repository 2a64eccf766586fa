"""The loop closed once, on real recordings: what a server was unsure of is corrected by the references and learned.

A server keeps candidates of streamed recordings; the most unsure are corrected by RPC with what their rows say and
exported by ``lexitune data export-corrections``; ``lexitune adapt`` learns from them, selects and is gated on speakers
of its own, and is measured on others. As many recordings drawn at random from the same streams, whatever their
confidence, are the control (``--control``). Versions go to the caller's LEXITUNE_HOME.

    python benchmarks/corrections.py --manifest data/an4/manifest.jsonl --count 400 --corrections 50 --control
    python benchmarks/corrections.py --manifest data/an4/manifest.jsonl --count 8 --corrections 3 --no-adapt
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from asr.client import Candidate, CandidateState, CorrectionsClient, RecognitionResult, SpeechClient
from asr.data.manifest import Utterance, load_samples, read_manifest, write_manifest
from asr.data.splits import split_manifest
from asr.errors import InputError, UnavailableError
from asr.units import SAMPLE_RATE_HZ
from benchmarks.measure.entry import run
from benchmarks.measure.facts import emit, facts, shown, table
from benchmarks.measure.server_process import serving

KEPT_WITHIN_S = 60.0  # behind the last final
CHUNK_SAMPLES = SAMPLE_RATE_HZ // 10
SILENCE = np.zeros(
    SAMPLE_RATE_HZ, np.float32
)  # behind a recording, so that its utterance ends as one on a call does

Heard = tuple[str, float, float]
"""What a final and its candidate have in common: text, confidence and length, rounded as the wire rounds."""


def write_config(folder: Path, model: str, below_confidence: float) -> Path:
    """The server's configuration: candidates of everybody, for only this machine reaches it."""
    path = folder / "server.toml"
    path.write_text(
        f'models = ["{model}"]\naddress = "127.0.0.1:0"\n'
        f'[jobs]\ndatabase = "sqlite:///{folder / "jobs.db"}"\nfolder = "{folder / "files"}"\n'
        f"[candidates]\nenabled = true\nbelow_confidence = {below_confidence}\nmax_per_hour = 100000\n"
    )
    return path


def stream(address: str, rows: Sequence[Utterance]) -> dict[Heard, Utterance]:
    """Stream each recording; by what was heard, the rows of which one utterance was made.

    Where the endpointer made several, the reference is of none of them; and what was heard twice tells no two rows apart.
    """
    heard: dict[Heard, Utterance] = {}
    times: Counter[Heard] = Counter()
    with SpeechClient(address) as speech:
        for row in rows:
            samples = np.concatenate([load_samples(row), SILENCE])
            chunks = (
                samples[start : start + CHUNK_SAMPLES] for start in range(0, len(samples), CHUNK_SAMPLES)
            )
            events = [update.event for update in speech.stream(chunks)]
            finals = [one for one in events if isinstance(one, RecognitionResult) and one.text]
            if len(finals) == 1:
                key = _key(
                    finals[0].text, finals[0].alternatives[0].confidence, finals[0].end_s - finals[0].start_s
                )
                heard[key] = row
                times[key] += 1
    return {key: row for key, row in heard.items() if times[key] == 1}


def _key(text: str, confidence: float, duration_s: float) -> Heard:
    return text, round(confidence, 4), round(duration_s, 3)


def kept(
    client: CorrectionsClient, heard: dict[Heard, Utterance], below: float
) -> list[tuple[Candidate, Utterance]]:
    """The candidates with their rows, the most unsure first.

    Raises:
        UnavailableError: some are not there in time, for the server keeps them behind its finals.
    """
    expected = {key for key in heard if key[1] < below - 0.0001}
    until = time.monotonic() + KEPT_WITHIN_S
    while True:
        found = {_key(one.text, one.confidence, one.duration_s): one for one in client.candidates()}
        if expected <= found.keys():
            return sorted(
                ((found[key], heard[key]) for key in expected),
                key=lambda pair: (pair[0].confidence, pair[0].id),
            )
        if time.monotonic() > until:
            raise UnavailableError(
                f"{len(expected - found.keys())} of {len(expected)} candidates were not kept in {KEPT_WITHIN_S:g} s; see "
                "the server's log"
            )
        time.sleep(0.1)


def lexitune(*arguments: str | Path, accepted: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """A command with ``--json``; its document.

    Raises:
        InputError: it failed.
    """
    command = [sys.executable, "-m", "server.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in accepted:
        raise InputError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def adapted(
    arguments: argparse.Namespace, name: str, train: Path, dev: Path, heldout: Path
) -> dict[str, Any]:
    """Adapt on a manifest; the gate's verdict, and WER of base and version on the held-out speakers."""
    general = ["--general", arguments.general] if arguments.general else []
    began_s = time.monotonic()
    report = lexitune(
        "adapt", "--base", arguments.model, "--name", name, "--train", train, "--dev", dev, *general,
        "--seed", str(arguments.seed), accepted=(0, 1),
    )  # fmt: skip
    taken_s = time.monotonic() - began_s
    compared = lexitune("evaluate", heldout, "--model", report["reference"], "--against", arguments.model)
    return {
        "reference": report["reference"],
        "training_s": round(taken_s, 1),
        "gate": report["gate"],
        "heldout": compared,
    }


def close_the_loop(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All of it; the document."""
    parts = split_manifest(
        read_manifest(arguments.manifest), "speaker", arguments.dev_share, arguments.heldout_share
    )
    for name in ("dev", "test"):
        write_manifest(folder / f"{name}.jsonl", parts[name])
    rows = random.Random(arguments.seed).sample(parts["train"], min(arguments.count, len(parts["train"])))
    config = write_config(folder, arguments.model, arguments.below_confidence)
    with serving([arguments.model], config) as server, CorrectionsClient(server.address) as client:
        pairs = kept(client, stream(server.address, rows), arguments.below_confidence)
        right = sum(_plain(candidate.text) == _plain(row.text or "") for candidate, row in pairs)
        for candidate, row in pairs[: arguments.corrections]:
            client.correct(candidate.id, row.text or "", reviewer="the reference")
        exported = lexitune(
            "data", "export-corrections", "--server", server.address, "--out", folder / "corrections"
        )
        num_waiting = len(list(client.candidates(CandidateState.WAITING)))
    document: dict[str, Any] = {
        "streamed": len(rows),
        "candidates": len(pairs),
        "candidates_that_were_right": right,
        "corrected": exported["utterances"],
        "waiting": num_waiting,
        "heldout": len(parts["test"]),
    }
    if arguments.adapt:
        dev, heldout = folder / "dev.jsonl", folder / "test.jsonl"
        document["corrections"] = adapted(arguments, arguments.name, Path(exported["manifest"]), dev, heldout)
        if arguments.control:
            drawn = random.Random(arguments.seed + 1).sample(rows, min(exported["utterances"], len(rows)))
            write_manifest(folder / "control.jsonl", drawn)
            document["control"] = adapted(
                arguments, f"{arguments.name}-control", folder / "control.jsonl", dev, heldout
            )
    return document


def _plain(text: str) -> str:
    return "".join(one for one in text.lower() if one.isalnum())


def lines_of(document: dict[str, Any]) -> list[str]:
    """For people."""
    lines = [
        f"{document['streamed']} recordings streamed, {document['candidates']} candidates of one reference each, "
        f"{document['candidates_that_were_right']} of them right; {document['corrected']} corrected and exported"
    ]
    rows = [("learned from", "held-out WER before", "after", "gate", "training")]
    for name in ("corrections", "control"):
        if name in document:
            one = document[name]
            verdict = "passed" if one["gate"]["passed"] else "refused"
            before, after = one["heldout"]["against"]["wer"], one["heldout"]["wer"]
            rows.append(
                (
                    name,
                    shown(before, percent=True),
                    shown(after, percent=True),
                    verdict,
                    f"{one['training_s']:.0f} s",
                )
            )
    return lines + (table(rows) if len(rows) > 1 else [])


def main() -> None:
    """Read the options, close the loop, print what came of it."""
    parser = argparse.ArgumentParser(prog="python benchmarks/corrections.py", description=__doc__)
    parser.add_argument(
        "--manifest", type=Path, required=True, help="Recordings of one utterance, with speakers."
    )
    parser.add_argument("--model", default="bundled:tiny.en")
    parser.add_argument("--name", default="corrected", help="Registered name of the version.")
    parser.add_argument("--general", type=Path, help="Manifest of general speech for the gate.")
    parser.add_argument("--count", type=int, default=400, help="Recordings to stream.")
    parser.add_argument("--corrections", type=int, default=50, help="Candidates to correct, the most unsure.")
    parser.add_argument("--below-confidence", type=float, default=0.6)
    parser.add_argument(
        "--dev-share", type=float, default=0.15, help="Of the speakers, to select and gate on."
    )
    parser.add_argument("--heldout-share", type=float, default=0.15, help="Of the speakers, to measure on.")
    parser.add_argument("--control", action="store_true", help="Also learn from as many drawn at random.")
    parser.add_argument("--adapt", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lexitune-corrections-") as folder:
        document = close_the_loop(arguments, Path(folder))
    document |= {"model": arguments.model, "seed": arguments.seed, "facts": facts()}
    emit(document, lines_of(document), as_json=arguments.as_json)


if __name__ == "__main__":
    run(main)
