"""How a benchmark ends: an error of the input is one line on stderr and exit code 2, as for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable

from asr.errors import LexituneError


def run(main: Callable[[], None]) -> None:
    """Run a benchmark's main function."""
    try:
        main()
    except (LexituneError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
