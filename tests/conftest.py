"""Fixtures that every package's tests share: where the real recordings are, and a home of the test run's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_DEFAULT_RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """The folder of real recordings, or a skip that says so."""
    path = Path(os.environ.get("LEXITUNE_TEST_DATA", _DEFAULT_RECORDINGS))
    if not path.is_dir():
        pytest.skip(f"no real recordings: {path} is absent; set LEXITUNE_TEST_DATA to their folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def lexitune_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A LEXITUNE_HOME of the run's own, so that no test reads or writes a user's registry; models stay cached."""
    home = tmp_path_factory.mktemp("lexitune-home")
    patch = pytest.MonkeyPatch()
    patch.setenv("LEXITUNE_HOME", str(home))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield home
    patch.undo()
