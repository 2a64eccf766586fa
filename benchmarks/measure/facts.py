"""What stands beside every figure: when, where, with which versions, at which load; and how tables are printed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("lexitune", "ctranslate2", "torch", "transformers", "onnxruntime", "grpcio", "faster-whisper")


def facts(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Date, machine, load and the versions of what is installed; a package that is not is "not installed"."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in (*PACKAGES, *packages)},
    }


def gpu_name(device: str) -> str | None:
    """The card behind "cuda", as torch names it; None on the CPU."""
    if device == "cpu":
        return None
    import torch

    return torch.cuda.get_device_name(0)


def version_of(package: str) -> str:
    """The installed version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def emit(document: dict[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """One JSON document, or the lines for people with the facts below."""
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    print("\n".join(lines))
    stated = document["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in stated["versions"].items())
    print(
        f"{stated['date']}, {stated['processor']}, {stated['cores']} cores, load {stated['load_average']}, "
        f"Python {stated['python']}\n{versions}"
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned columns; the first row is the head, the first column goes left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shown(value: float | None, places: int = 2, *, percent: bool = False) -> str:
    """A figure in a table; "-" where there is none."""
    if value is None:
        return "-"
    return f"{100 * value:.{places}f} %" if percent else f"{value:.{places}f}"
