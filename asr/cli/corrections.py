"""``lexitune data review`` and ``export-corrections``: beside the other commands of ``data``, which know no server.

Apart from ``asr.cli.data``, for training adds commands there and speaks no gRPC.
"""

from __future__ import annotations

import typer

from asr.cli.data import data_app
from asr.cli.export_corrections import export_corrections
from asr.cli.review import review


def register(_app: typer.Typer) -> None:
    """Add the commands to ``data``."""
    data_app.command()(review)
    data_app.command()(export_corrections)
