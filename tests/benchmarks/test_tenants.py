"""The show of two tenants adds up, and its configuration is one that a server takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tenants import TENANTS, figures_of, lines_of, write_config
from server.config import load_config
from server.tenants import Tenants


def test_the_figures_say_the_overload_and_who_got_more() -> None:
    found = figures_of({"other": 8.0, "flood": 10.0}, {"flood": 6.0, "other": 5.0})
    assert found["overload"] == pytest.approx(1.8)
    assert found["ratio"] == pytest.approx(1.2)
    assert found["together_audio_s_per_s"] == {"flood": 6.0, "other": 5.0}
    lines = lines_of({**found, "streams": {"flood": 24, "other": 6}})
    assert "1.200 times" in lines[-1]


def test_a_tenant_that_got_nothing_is_no_ratio() -> None:
    found = figures_of({"other": 8.0, "flood": 10.0}, {"flood": 6.0, "other": 0.0})
    assert found["ratio"] is None


def test_the_server_takes_the_configuration_and_knows_both(tmp_path: Path) -> None:
    path, tokens = write_config(tmp_path, workers=1)
    tenants = Tenants(Path(load_config(path, {}).tenants))
    assert [tenants.authenticate([f"Bearer {tokens[name]}"]).name for name in TENANTS] == list(TENANTS)
