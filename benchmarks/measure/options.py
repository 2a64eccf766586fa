"""Options that benchmarks share; imports nothing, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_set_options(parser: argparse.ArgumentParser, *, limit: int) -> None:
    """The options that choose recordings."""
    parser.add_argument("--manifest", type=Path, required=True, help="JSON Lines of utterances")
    parser.add_argument("--terms", type=Path, help="glossary; default: the terms that rows name")
    parser.add_argument("--limit", type=int, default=limit, help=f"utterances, drawn by the seed [{limit}]")
    parser.add_argument("--seed", type=int, default=0, help="of the draw, pauses, chunks and jitter [0]")
