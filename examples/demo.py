"""The main job, start to end: adapt a model from domain text, publish it, serve it, stream a call before and after.

Run by ``make demo``. Everything goes through the program's own commands and its client; only the call's audio is put
together here. With ``--data FOLDER`` (a manifest with terms, its text beside it) the call is made of real recordings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from asr.audio.pcm import Encoding, encode_pcm
from asr.client import AsyncSpeechClient, RecognitionResult, StreamConfig
from asr.data.glossary import read_terms
from asr.data.manifest import Utterance, load_samples, read_manifest
from asr.evaluation.evaluate import Evaluation, evaluate_texts
from asr.units import SAMPLE_RATE_HZ

HERE = Path(__file__).resolve().parent
PHARMACY = HERE / "pharmacy"
TELEPHONE_RATE_HZ = 8_000
CHUNK_MS = 20
PAUSE_S = 1.3
NUM_REAL = 10
console = Console(highlight=False)


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What the demo adapts to and what is said on its call."""

    name: str
    text: Path
    terms: Path
    call: list[Utterance]
    held_out: tuple[str, ...]
    origin: str


@dataclass
class Column:
    """One model's side of the screen."""

    title: str
    model: str
    finals: list[str] = field(default_factory=list)
    interim: str = ""

    def take(self, result: RecognitionResult) -> None:
        """Finals stay, an interim replaces the one before."""
        if result.is_final:
            self.finals.append(result.text)
        self.interim = "" if result.is_final else result.text


def main() -> int:
    """Run the demo; 0 if the gate passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder with manifest.jsonl, terms.txt and ../text/NAME*.txt"
    )
    data = parser.parse_args().data
    home = HERE.parent / ".demo"
    os.environ |= {"LEXITUNE_HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    started = time.monotonic()
    domain = real_domain(data) if data else pharmacy_domain(home / "call")
    report = adapt(domain)
    columns = [
        Column("before: bundled:tiny.en", "bundled:tiny.en"),
        Column(f"after: {report['reference']}", report["reference"]),
    ]
    with serving([column.model for column in columns]) as address:
        console.rule("streaming the call, 8 kHz mu-law, in real time")
        asyncio.run(stream_call(address, telephone_audio(domain.call), columns))
    console.print(comparison(domain, columns))
    console.print(domain.origin, soft_wrap=True)
    console.print(
        f"{time.monotonic() - started:.0f} s; the registry is in {home}: mlflow ui --backend-store-uri sqlite:///{home}/mlflow.db",
        soft_wrap=True,
    )
    return 0 if report["gate"]["passed"] else 1


def pharmacy_domain(folder: Path) -> Domain:
    """The project's own domain: its text, and a call that says terms which the text does not."""
    from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset

    lines = (PHARMACY / "call.txt").read_text().splitlines()
    sentences = [Sentence(id=f"call-{number:02d}", text=line) for number, line in enumerate(lines)]
    options = SynthesisOptions(seed=2026, engines=("hibari",))
    call = read_manifest(synthesize_dataset(sentences, folder, options=options))
    held_out = tuple(term.text for term in read_terms(PHARMACY / "held_out_terms.txt"))
    return Domain(
        name="pharmacy", text=PHARMACY / "calls.txt", terms=PHARMACY / "terms.txt", call=call, held_out=held_out,
        origin="Synthetic here: all audio (training, checks, call) is spoken by hibari-tts; no person was recorded.",
    )  # fmt: skip


def real_domain(folder: Path) -> Domain:
    """A folder of real recordings, with the domain's text beside it."""
    texts = sorted((folder.parent / "text").glob(f"{folder.name}*.txt"))
    if not texts:
        raise SystemExit(f"no text for {folder.name}: put it at {folder.parent / 'text' / folder.name}.txt")
    rows = read_manifest(folder / "manifest.jsonl")
    call = rows[:: max(1, len(rows) // NUM_REAL)][:NUM_REAL]
    return Domain(
        name=folder.name, text=texts[0], terms=folder / "terms.txt", call=call, held_out=(),
        origin=f"Synthetic here: the training audio and both checks; the call is {len(call)} recordings of people.",
    )  # fmt: skip


def adapt(domain: Domain) -> dict[str, Any]:
    """Run ``lexitune adapt``; its progress goes to the terminal, its report comes back."""
    console.rule(
        f"adapting bundled:tiny.en to {len(domain.text.read_text().splitlines())} lines of {domain.text.name}"
    )
    command = [
        *LEXITUNE,
        "adapt",
        "--base",
        "bundled:tiny.en",
        "--name",
        domain.name,
        "--text",
        str(domain.text),
    ]
    done = subprocess.run(
        [*command, "--alias", "production", "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    report: dict[str, Any] = json.loads(done.stdout)
    table = Table("check", "verdict", "figures", title=f"gate of {report['reference']}")
    for check in report["gate"]["checks"]:
        table.add_row(check["name"], "pass" if check["passed"] else "FAIL", check["detail"])
    console.print(table)
    return report


LEXITUNE = (sys.executable, "-m", "server.cli")


@contextmanager
def serving(models: Sequence[str]) -> Iterator[str]:
    """A server of these models for as long as the block runs; gives its address."""
    named = [argument for model in models for argument in ("--model", model)]
    command = [*LEXITUNE, "serve", *named, "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            if not address:
                raise SystemExit(server.wait())
            yield address
        finally:
            server.send_signal(signal.SIGTERM)


def telephone_audio(call: Sequence[Utterance]) -> bytes:
    """The utterances with pauses between them as one mu-law stream at 8 kHz."""
    pause = np.zeros(int(PAUSE_S * TELEPHONE_RATE_HZ), np.float32)
    parts: list[NDArray[np.float32]] = [pause[: len(pause) // 4]]
    for utterance in call:
        parts += [soxr.resample(load_samples(utterance), SAMPLE_RATE_HZ, TELEPHONE_RATE_HZ), pause]
    return encode_pcm(np.concatenate(parts), Encoding.MULAW)


async def stream_call(address: str, audio: bytes, columns: Sequence[Column]) -> None:
    """Stream the same call to every column's model at once and show what comes back as it comes."""
    is_terminal = console.is_terminal
    with Live(console=console, auto_refresh=False, transient=False) as live:
        async with AsyncSpeechClient(address) as client:
            config = {
                "encoding": Encoding.MULAW,
                "sample_rate_hz": TELEPHONE_RATE_HZ,
                "interim_results": True,
            }

            async def follow(column: Column) -> None:
                async for update in client.stream(paced(audio), StreamConfig(model=column.model, **config)):
                    if not isinstance(update.event, RecognitionResult):
                        continue
                    column.take(update.event)
                    if is_terminal:
                        live.update(side_by_side(columns), refresh=True)
                    elif update.event.is_final:
                        console.print(f"{column.title} | {update.event.text}", markup=False)

            await asyncio.gather(*(follow(column) for column in columns))


async def paced(audio: bytes) -> AsyncIterator[bytes]:
    """Chunks of 20 ms, each no earlier than it would have been spoken."""
    size = TELEPHONE_RATE_HZ * CHUNK_MS // 1000
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, start in enumerate(range(0, len(audio), size)):
        await asyncio.sleep(max(0.0, began + number * CHUNK_MS / 1000 - loop.time()))
        yield audio[start : start + size]


def side_by_side(columns: Sequence[Column]) -> Table:
    """The models' texts, utterance by utterance."""
    table = Table(*(column.title for column in columns), expand=True)
    height = max(len(column.finals) + bool(column.interim) for column in columns)
    for row in range(height):
        cells = []
        for column in columns:
            interim = f"[dim]{escape(column.interim)}[/dim]" if row == len(column.finals) else ""
            cells.append(escape(column.finals[row]) if row < len(column.finals) else interim)
        table.add_row(*cells)
    return table


def comparison(domain: Domain, columns: Sequence[Column]) -> Table:
    """WER and term recall of the call, before and after; terms that training never heard by themselves."""
    terms = tuple(term.text for term in read_terms(domain.terms))
    known = tuple(term for term in terms if term not in domain.held_out)
    table = Table("the call", *(column.title for column in columns))
    evaluations = [score(domain, column, terms) for column in columns]
    if evaluations[0].wer is not None:
        table.add_row("WER", *(f"{evaluation.wer:.1%}" for evaluation in evaluations))
    table.add_row("terms heard", *(recall(score(domain, column, known)) for column in columns))
    if domain.held_out:
        table.add_row(
            "terms never in the text", *(recall(score(domain, column, domain.held_out)) for column in columns)
        )
    return table


def score(domain: Domain, column: Column, terms: tuple[str, ...]) -> Evaluation:
    """A column's text of the whole call against everything that was said."""
    said = [term for row in domain.call for term in row.terms or ()]
    texts = [row.text for row in domain.call if row.text]
    whole = Utterance(
        id="call",
        audio_path=Path("call"),
        duration_s=1.0,
        text=" ".join(texts) or None,
        terms=tuple(said) if said else None,
    )
    return evaluate_texts([whole], [" ".join(column.finals)], terms=terms)


def recall(evaluation: Evaluation) -> str:
    """Terms found of terms said."""
    counts = evaluation.terms
    return f"{counts.true_positives} of {counts.said}" if counts else "-"


if __name__ == "__main__":
    sys.exit(main())
