"""Options that benchmarks share; imports nothing, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A number of something, 1 or more.

    Raises:
        ArgumentTypeError: it is not one.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def add_set_options(parser: argparse.ArgumentParser, *, limit: int) -> None:
    """The options that choose recordings."""
    parser.add_argument("--manifest", type=Path, required=True, help="JSON Lines of utterances")
    parser.add_argument("--terms", type=Path, help="glossary; default: the terms that rows name")
    parser.add_argument("--limit", type=int, default=limit, help=f"utterances, drawn by the seed [{limit}]")
    parser.add_argument("--seed", type=int, default=0, help="of the draw, pauses, chunks and jitter [0]")


def add_pace_options(parser: argparse.ArgumentParser) -> None:
    """The options of live streams."""
    parser.add_argument(
        "--chunk-ms", type=int, nargs=2, default=[20, 100], help="shortest and longest [20 100]"
    )
    parser.add_argument("--jitter-ms", type=float, default=20.0, help="longest delay of the network [20]")
    parser.add_argument("--interim-interval", type=float, help="s of audio; default: the server's")
    parser.add_argument("--end-silence", type=float, help="s that end an utterance; default: the server's")
    parser.add_argument(
        "--tail", type=float, default=0.3, help="s from the last speech to the half-close [0.3]"
    )
