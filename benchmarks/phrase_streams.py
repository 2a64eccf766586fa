"""Streams without phrases, beside others without and beside others with them: do phrases take from who has none?

Half of the streams have no phrases and are measured. The other half has none either, and then a list of them, in turn,
round by round; all send synthesised speech as fast as it is read, so that the server has no time to spare. What those
with phrases get themselves is printed, too: they pay for their own search.

    python benchmarks/phrase_streams.py --phrases F
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.streaming.messages import Vocabulary
    from benchmarks.measure.demand import Rates

PLAIN, BESIDE = "plain", "beside"


def vocabulary_of(path: Path, count: int) -> Vocabulary:
    """The first ``count`` phrases of a file, their flags included.

    Raises:
        InputError: it holds fewer, or a line cannot be understood.
    """
    from asr.biasing.phrases import read_phrases
    from asr.errors import InputError
    from asr.streaming.messages import Vocabulary

    phrases = read_phrases(path)[0].phrases
    if len(phrases) < count:
        raise InputError(f"{path} has {len(phrases)} phrases; {count} are wanted: add some, or lower --count")
    return Vocabulary(phrases=phrases[:count])


def figures_of(rounds: Sequence[dict[str, Rates]]) -> dict[str, Any]:
    """Everything measured, JSON-ready; a round holds the rates beside streams without phrases, and beside those with."""
    ratios = {
        party: [one["with"][party] / one["without"][party] for one in rounds if one["without"][party]]
        for party in (PLAIN, BESIDE)
    }
    return {
        "rounds": list(rounds),
        "plain_ratios": ratios[PLAIN],
        "plain_ratio": statistics.median(ratios[PLAIN]) if ratios[PLAIN] else None,
        "with_phrases_ratio": statistics.median(ratios[BESIDE]) if ratios[BESIDE] else None,
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The table for people."""
    from benchmarks.measure.facts import shown, table

    rows = [["audio s a second", "streams without phrases", "those beside them"]]
    rows += [
        [f"round {number}, beside {name} phrases", shown(rates[PLAIN], 2), shown(rates[BESIDE], 2)]
        for number, one in enumerate(document["rounds"], start=1)
        for name, rates in one.items()
    ]
    ratios = ", ".join(shown(ratio, 3) for ratio in document["plain_ratios"])
    return [
        *table(rows),
        f"without phrases: {shown(document['plain_ratio'], 3)} times as much beside streams with "
        f"{document['phrases']} phrases as beside others without (rounds: {ratios}); those with phrases "
        f"{shown(document['with_phrases_ratio'], 3)} times",
    ]


async def in_turn(address: str, options: argparse.Namespace) -> list[dict[str, Rates]]:
    """All rounds against one server; which kind of neighbours comes first changes from round to round."""
    from asr.client import StreamConfig
    from benchmarks.measure.demand import Party, served, speech

    plain = StreamConfig(word_times=False)
    beside = {
        "without": plain,
        "with": StreamConfig(word_times=False, vocabulary=vocabulary_of(options.phrases, options.count)),
    }
    samples, rounds = speech(), []
    for number in range(options.rounds):
        found = {}
        for name in sorted(beside, reverse=number % 2 == 0):
            parties = {
                PLAIN: Party(config=plain, streams=options.streams),
                BESIDE: Party(config=beside[name], streams=options.streams),
            }
            found[name] = await served(address, parties, options.audio, samples, warm_s=options.warm)
        rounds.append(found)
    return rounds


def measured(options: argparse.Namespace) -> list[dict[str, Rates]]:
    """All rounds, against a server that takes so many phrases."""
    from benchmarks.measure.server_process import serving

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "server.toml"
        config.write_text(f"[limits]\nmax_phrases = {options.count}\n", encoding="utf-8")
        with serving([options.model], config) as server:
            return asyncio.run(in_turn(server.address, options))


def parser_of() -> argparse.ArgumentParser:
    """The options; nothing heavy is imported for them."""
    from benchmarks.measure.options import positive

    parser = argparse.ArgumentParser(
        prog="python benchmarks/phrase_streams.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--phrases", type=Path, required=True, help="one a line, none of them said")
    parser.add_argument("--count", type=positive, default=1000, help="of them [1000]")
    parser.add_argument("--streams", type=positive, default=6, help="of each half [6]")
    parser.add_argument("--audio", type=float, default=600.0, help="served, s, of each measurement [600]")
    parser.add_argument("--warm", type=float, default=60.0, help="served of each half before, s [60]")
    parser.add_argument("--rounds", type=positive, default=3, help="[3]")
    parser.add_argument("--model", default="bundled:tiny.en", help="[bundled:tiny.en]")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main() -> None:
    """Measure and print it."""
    options = parser_of().parse_args()
    from benchmarks.measure.facts import emit, facts

    document = {
        "benchmark": "phrase_streams",
        "model": options.model,
        "phrases": options.count,
        "streams": options.streams,
        "served_audio_s": options.audio,
        "warm_s": options.warm,
        **figures_of(measured(options)),
        "facts": facts(),
    }
    emit(document, lines_of(document), as_json=options.json)


if __name__ == "__main__":
    from benchmarks.measure.entry import run

    run(main)
