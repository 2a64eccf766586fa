"""Importing is cheap: no torch where none is needed, and the package called asr is ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "ctranslate2", "mlflow", "librosa", "onnxruntime", "scipy", "soundfile")


def _loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    return set(printed.split())


@pytest.mark.parametrize(
    "code",
    [
        "import asr, asr.errors, asr.results",
        "import asr.client",
        "import training.spec",
        "import server.config",
        "import server.cli",
        "import server.worker_command, server.jobs_app, server.jobs.worker, server.jobs.adaptation_work",
        "import asr.recognizer, asr.registry",
    ],
)
def test_no_heavy_library_is_loaded(code: str) -> None:
    assert _loaded(code).isdisjoint(HEAVY)


def test_the_core_does_not_load_grpc() -> None:
    assert "grpc" not in _loaded(
        "import asr.recognizer, asr.streaming.session, asr.registry, asr.evaluation.evaluate"
    )


def test_help_loads_nothing_heavy() -> None:
    code = "from typer.testing import CliRunner\nfrom server.cli import app\nCliRunner().invoke(app, ['adapt', '--help'])"
    assert _loaded(code).isdisjoint((*HEAVY, "grpc"))


def test_public_names_of_the_core() -> None:
    import asr

    assert asr.__all__ == ["Hypothesis", "LexituneError", "Segment", "Transcript", "Word", "__version__"]
    assert all(hasattr(asr, name) for name in asr.__all__)


def test_no_package_is_called_proto() -> None:
    import importlib.util

    spec = importlib.util.find_spec("proto")
    assert spec is None or spec.origin is None or "lexitune" not in spec.origin


def test_no_script_hides_a_package() -> None:
    root = Path(__file__).resolve().parents[2]
    scripts = {
        path.stem for folder in ("benchmarks", "examples", "proto") for path in (root / folder).glob("*.py")
    }
    assert not scripts & {"asr", "training", "server"}


def test_opentelemetry_is_loaded_only_when_it_is_asked_for() -> None:
    loaded = _loaded("import server.observe, server.tracing, server.serve_command")
    assert not [name for name in loaded if name.startswith("opentelemetry")]
