"""From trained weights to served words: how long after a training streams get its version, and what breaks meanwhile.

- ours: weights that training holds in memory are written, exported, published, and the alias is moved, as a job whose
  gate has passed does. Beside it clients stream one recording after the other through the alias. The clock stops at the
  end of the first stream that was told the new version and got words.
- by hand: the same weights, written before, through ``ct2-transformers-converter``, and a new process that loads them
  with faster-whisper and transcribes one of the recordings. Copying and restarting a server are not even counted.

Both in turn, round by round; our clients stream on beside both.

    python benchmarks/promotion.py --manifest M --base bundled:base
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import MissingDependencyError, UnavailableError

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from benchmarks.measure.pacing import Samples

NAME, ALIAS = "promoted", "production"
BY_HAND = (
    "import sys, faster_whisper as f; m = f.WhisperModel(sys.argv[1], device='cpu', compute_type='int8'); "
    "print(*(s.text for s in m.transcribe(sys.argv[2], language=sys.argv[3] or None)[0]))"
)
CONVERTER_OPTIONS = (
    "--quantization", "int8", "--copy_files", "tokenizer.json", "preprocessor_config.json",
)  # fmt: skip
SETTLED = 3  # streams that must be heard with the new version before the next is made
ROUND_TIMEOUT_S = 300.0
NO_WORDS = "no words came"
NORM = "model.decoder.layer_norm.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed:
    """One stream through the alias: the version that it was told, when it ended, and why it failed, if it did."""

    version: str
    ended_s: float
    failure: str


class Streams:
    """What the clients have streamed so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.done: list[Streamed] = []
        self._noted = asyncio.Condition()

    async def note(self, streamed: Streamed) -> None:
        """Add a stream."""
        async with self._noted:
            self.done.append(streamed)
            self._noted.notify_all()

    async def first_of(self, version: str) -> float:
        """When the first good stream of a version ended, once there are ``SETTLED`` of them.

        Raises:
            UnavailableError: a stream failed, or too few came within ``ROUND_TIMEOUT_S``.
        """

        def good() -> list[Streamed]:
            return [one for one in self.done if one.version == version and not one.failure]

        def is_known() -> bool:
            return len(good()) >= SETTLED or any(one.failure for one in self.done)

        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S), self._noted:
                await self._noted.wait_for(is_known)
        except TimeoutError as error:
            raise UnavailableError(
                f"version {version} was not served within {ROUND_TIMEOUT_S:.0f} s of its publication"
            ) from error
        if failures := [one.failure for one in self.done if one.failure]:
            raise UnavailableError(f"a stream beside the promotion failed: {failures[0]}")
        return good()[0].ended_s


class Weights:
    """Another version each time: of a Whisper, the nth n thousandths away from the base in its last norm."""

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
        return {**self._state, NORM: self._state[NORM] * (1 + self._count / 1000)}

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
    client: AsyncSpeechClient, recordings: Sequence[Samples], streams: Streams, until: asyncio.Event
) -> None:
    """Recordings as streams through the alias, one after the other, until told or until one fails."""
    from asr.client import Ready, RecognitionResult, StreamConfig
    from asr.errors import LexituneError
    from benchmarks.measure.abuse import cut

    config = StreamConfig(model=f"{NAME}@{ALIAS}")
    for samples in cycle(recordings):
        if until.is_set():
            return
        version, failure, words = "", "", 0
        try:
            async for update in client.stream(cut(samples), config):
                if isinstance(update.event, Ready):
                    version = update.event.model.version
                elif isinstance(update.event, RecognitionResult):
                    words += len(update.event.alternatives[0].text.split())
        except LexituneError as error:
            failure = f"{type(error).__name__}: {error}"
        failure = failure or ("" if words else NO_WORDS)
        await streams.note(Streamed(version=version, ended_s=time.perf_counter(), failure=failure))
        if failure:
            return


async def promoted(
    address: str,
    recordings: Sequence[Samples],
    weights: Weights,
    hand: ByHand | None,
    rounds: int,
    clients: int,
) -> dict[str, Any]:
    """Versions promoted one after the other while clients stream, and the same by hand in turn.

    Raises:
        UnavailableError: a stream failed, or a version was not served.
    """
    from asr.client import AsyncSpeechClient

    published_s, served_s, hand_s = [], [], []
    streams, until = Streams(), asyncio.Event()
    async with AsyncSpeechClient(address) as client:
        await client.wait_until_serving()
        tasks = [asyncio.create_task(stream_on(client, recordings, streams, until)) for _ in range(clients)]
        try:
            for _ in range(rounds):
                state = weights.trained()
                with tempfile.TemporaryDirectory() as folder:
                    written = Path(folder) / "version"
                    began_s = time.perf_counter()
                    version = await asyncio.to_thread(weights.publish, state, written)
                    published_s.append(time.perf_counter() - began_s)
                    served_s.append(await streams.first_of(version) - began_s)
                    if hand is not None:
                        hand_s.append(await asyncio.to_thread(hand.served_s, written))
        finally:
            until.set()
            await asyncio.gather(*tasks)
    return {
        "published_s": published_s,
        "served_s": served_s,
        "by_hand_s": hand_s,
        "over_ours": statistics.median(hand_s) / statistics.median(served_s) if hand_s else None,
        "streams": len(streams.done),
    }


class ByHand:
    """The commands of somebody without us: converter, then a new process up to its first transcript."""

    def __init__(self, wav: Path, language: str) -> None:
        """Transcribe ``wav``.

        Raises:
            MissingDependencyError: the converter's command or faster-whisper is not installed.
        """
        converter = shutil.which("ct2-transformers-converter", path=str(Path(sys.executable).parent))
        if converter is None or importlib.util.find_spec("faster_whisper") is None:
            raise MissingDependencyError(
                "the commands by hand need ct2-transformers-converter beside this interpreter and faster-whisper: "
                "pip install 'lexitune[bench]', or --no-by-hand"
            )
        self._converter, self._wav, self._language = converter, wav, language

    def served_s(self, folder: Path) -> float:
        """Seconds for the transformers folder of a version.

        Raises:
            UnavailableError: a command failed; with its last lines.
        """
        with tempfile.TemporaryDirectory() as temporary:
            target = str(Path(temporary) / "converted")
            began_s = time.perf_counter()
            for command in (
                [self._converter, "--model", str(folder), "--output_dir", target, *CONVERTER_OPTIONS],
                [sys.executable, "-c", BY_HAND, target, str(self._wav), self._language],
            ):
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    last = "\n".join(done.stderr.splitlines()[-4:])
                    raise UnavailableError(f"{Path(command[0]).name} ended with {done.returncode}: {last}")
            return time.perf_counter() - began_s


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both, with a registry of their own in ``folder``."""
    from asr.data.manifest import load_samples
    from benchmarks.measure.recordings import drawn, short_recordings
    from benchmarks.measure.server_process import serving

    rows = drawn(options.manifest, limit=options.limit, seed=options.seed)
    recordings = [load_samples(row) for row in rows]
    hand = ByHand(short_recordings(rows[:1], folder)[0].path, options.language) if options.by_hand else None
    weights = Weights(options.base)
    weights.publish(weights.trained(), folder / "first")
    with serving([f"models:/{NAME}@{ALIAS}"], None) as server:
        return asyncio.run(
            promoted(server.address, recordings, weights, hand, options.rounds, options.clients)
        )


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    rows = [["s, of rounds", "median", "least", "most"]]
    for label, name in (("published", "published_s"), ("served", "served_s"), ("by hand", "by_hand_s")):
        if some := document[name]:
            rows.append([label, *(shown(one) for one in (statistics.median(some), min(some), max(some)))])
    last = f"{document['streams']} streams beside, none failed"
    ratio = document["over_ours"]
    return [*table(rows), last + (f"; by hand takes {ratio:.2f} times as long" if ratio else "")]


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/promotion.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, help="JSON Lines of utterances")
    parser.add_argument("--limit", type=int, default=8, help="utterances, drawn by the seed [8]")
    parser.add_argument("--seed", type=int, default=0, help="of the draw [0]")
    parser.add_argument("--base", default="bundled:base")
    parser.add_argument("--rounds", type=int, default=3, help="versions that are promoted [3]")
    parser.add_argument("--clients", type=int, default=2, help="that stream beside it [2]")
    parser.add_argument(
        "--by-hand", action=argparse.BooleanOptionalAction, default=True, help="the peer, too"
    )
    parser.add_argument(
        "--language", default="en", help='of the speech, told to the peer; "" tells nothing [en]'
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure and print."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts

    with tempfile.TemporaryDirectory() as folder:
        os.environ["LEXITUNE_HOME"] = str(Path(folder) / "home")  # the server's, too
        found = measured(options, Path(folder))
    document = {
        "benchmark": "promotion",
        "base": options.base,
        "manifest": str(options.manifest),
        "recordings": options.limit,
        "seed": options.seed,
        "clients": options.clients,
        **found,
        "facts": facts(),
    }
    emit(document, lines_of(document), as_json=options.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
