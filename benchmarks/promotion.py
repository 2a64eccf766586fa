"""From trained weights to served words: how long after a training streams are heard with its version, and what breaks.

- ours: weights that training holds in memory are written, exported, published, and the alias is moved, as a job whose
  gate has passed does. Beside it clients stream one recording after the other through the alias. The clock stops at the
  end of the first stream that was heard with the new version.
- by hand: the same weights, written before, through ``ct2-transformers-converter``, and a new process that loads them
  with faster-whisper and transcribes a recording; copying and restarting a server are not even counted.

    python benchmarks/promotion.py --manifest M --base bundled:base
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from benchmarks.measure.pacing import Samples

NAME, ALIAS = "promoted", "production"
BY_HAND = (
    "import sys, faster_whisper as f; m = f.WhisperModel(sys.argv[1], device='cpu', compute_type='int8'); "
    "print(*(s.text for s in m.transcribe(sys.argv[2], language='en')[0]))"
)
SETTLED = 3  # streams that must be heard with the new version before the next is made


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed:
    """One stream through the alias: the version that it was told, when it ended, and why it failed, if it did."""

    version: str
    ended_s: float
    failure: str


class Weights:
    """Another version each time: the base's, each a thousandth away from it in its last norm."""

    def __init__(self, base: str) -> None:
        from asr.models.checkpoint import load_whisper
        from asr.models.resolve import resolve_model

        self.base_dir = resolve_model(base).transformers_dir
        self._base = base
        self._state = load_whisper(self.base_dir).state_dict()
        self._count = 0

    def trained(self) -> dict[str, Any]:
        """A state that no version has."""
        self._count += 1
        key = "model.decoder.layer_norm.weight"
        return {**self._state, key: self._state[key] * (1 + self._count / 1000)}

    def publish(self, state: Mapping[str, Any], folder: Path) -> str:
        """Write, export and publish a state and move the alias to it; the version's number."""
        from asr.models.checkpoint import save_whisper
        from asr.models.export import export_ctranslate2
        from asr.models.resolve import CTRANSLATE2_FOLDER
        from asr.registry import Registry
        from training.publish import Run, publish

        save_whisper(state, self.base_dir, folder)
        export_ctranslate2(folder, folder / CTRANSLATE2_FOLDER)
        registry = Registry.open()
        card = {"name": NAME, "base": self._base, "gate": {"passed": True}}
        version = publish(registry, NAME, folder, card, Run(name=NAME))
        registry.set_alias(NAME, ALIAS, version)
        return version


async def stream_on(
    client: AsyncSpeechClient,
    recordings: Sequence[Samples],
    done: list[Streamed],
    noted: asyncio.Condition,
    until: asyncio.Event,
) -> None:
    """Recordings as streams through the alias, one after the other, until told; each is ``noted`` in ``done``."""
    from asr.client import Ready, StreamConfig
    from asr.errors import LexituneError
    from benchmarks.measure.abuse import cut

    number = 0
    while not until.is_set():
        version, failure = "", ""
        try:
            config = StreamConfig(model=f"{NAME}@{ALIAS}")
            async for update in client.stream(cut(recordings[number % len(recordings)]), config):
                if isinstance(update.event, Ready):
                    version = update.event.model.version
        except LexituneError as error:
            failure = f"{type(error).__name__}: {error}"
        number += 1
        async with noted:
            done.append(Streamed(version=version, ended_s=time.perf_counter(), failure=failure))
            noted.notify_all()


def settled(done: Sequence[Streamed], version: str) -> bool:
    """Whether enough streams were heard with the version."""
    return sum(one.version == version for one in done) >= SETTLED


async def promoted(
    address: str, recordings: Sequence[Samples], weights: Weights, options: argparse.Namespace
) -> dict[str, Any]:
    """Versions promoted one after the other while clients stream."""
    from asr.client import AsyncSpeechClient

    published_s, served_s = [], []
    done: list[Streamed] = []
    noted, until = asyncio.Condition(), asyncio.Event()
    async with AsyncSpeechClient(address) as client:
        await client.wait_until_serving()
        clients = [
            asyncio.create_task(stream_on(client, recordings, done, noted, until))
            for _ in range(options.clients)
        ]
        for _ in range(options.rounds):
            state = weights.trained()
            with tempfile.TemporaryDirectory() as folder:
                began_s = time.perf_counter()
                version = await asyncio.to_thread(weights.publish, state, Path(folder) / "version")
                published_s.append(time.perf_counter() - began_s)
            async with noted:
                await noted.wait_for(partial(settled, done, version))
            served_s.append(next(one.ended_s for one in done if one.version == version) - began_s)
        until.set()
        await asyncio.gather(*clients)
    return {
        "published_s": statistics.median(published_s),
        "served_s": statistics.median(served_s),
        "served_s_by_round": served_s,
        "streams": len(done),
        "failures": [one.failure for one in done if one.failure],
    }


def by_hand(folder: Path, wav: Path) -> float:
    """Seconds of the converter's command and of a new process up to its first transcript."""
    converter = shutil.which("ct2-transformers-converter", path=str(Path(sys.executable).parent))
    assert converter is not None, "ct2-transformers-converter comes with ctranslate2"
    with tempfile.TemporaryDirectory() as temporary:
        target = str(Path(temporary) / "converted")
        copied = ("--copy_files", "tokenizer.json", "preprocessor_config.json")
        began_s = time.perf_counter()
        for command in (
            [converter, "--model", str(folder), "--output_dir", target, "--quantization", "int8", *copied],
            [sys.executable, "-c", BY_HAND, target, str(wav)],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
        return time.perf_counter() - began_s


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both, in turn; the registry is one of its own in ``folder``."""
    from asr.data.manifest import load_samples
    from asr.models.checkpoint import save_whisper
    from benchmarks.measure.recordings import drawn, short_recordings
    from benchmarks.measure.server_process import serving

    rows = drawn(options.manifest, limit=options.limit, seed=options.seed)
    recordings = [load_samples(row) for row in rows]
    wav = short_recordings(rows[:1], folder)[0].path
    weights = Weights(options.base)
    weights.publish(weights.trained(), folder / "first")
    with serving([f"models:/{NAME}@{ALIAS}"], None) as server:
        ours = asyncio.run(promoted(server.address, recordings, weights, options))
    save_whisper(weights.trained(), weights.base_dir, folder / "written")
    hand_s = [by_hand(folder / "written", wav) for _ in range(options.rounds if options.by_hand else 0)]
    found = {"ours": ours}
    if hand_s:
        median_s = statistics.median(hand_s)
        found["by_hand"] = {"served_s": median_s, "over_ours": median_s / ours["served_s"]}
    return found


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import add_set_options

    parser = argparse.ArgumentParser(
        prog="python benchmarks/promotion.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_set_options(parser, limit=8)
    parser.add_argument("--base", default="bundled:base")
    parser.add_argument("--rounds", type=int, default=3, help="versions that are promoted [3]")
    parser.add_argument("--clients", type=int, default=2, help="that stream beside it [2]")
    parser.add_argument(
        "--by-hand", action=argparse.BooleanOptionalAction, default=True, help="the peer, too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure and print; exit code 1 if a stream failed."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts

    with tempfile.TemporaryDirectory() as folder:
        os.environ["LEXITUNE_HOME"] = str(Path(folder) / "home")  # the server's, too
        found = measured(options, Path(folder))
    document = {"benchmark": "promotion", "base": options.base, **found, "facts": facts()}
    emit(document, [f"{name}: {value}" for name, value in found.items()], as_json=options.json)
    if found["ours"]["failures"]:
        raise SystemExit(1)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
