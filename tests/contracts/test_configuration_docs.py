"""docs/configuration.md lists every key with its true default: its blocks are read by the code that reads a user's."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

from server.config import ServerConfig, load_config
from server.policies import PUBLIC_LISTENER
from server.tenants import Tenants
from training.spec import AdaptationSpec, GateOptions, SplitOptions, TrainingOptions, read_option_groups

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
SECURITY = PAGE.parent / "security.md"
JOB, SERVER = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_job_block_is_the_default_and_complete(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB)
    (tmp_path / "text.txt").write_text("one\n")
    values = read_option_groups(tmp_path / "job.toml")
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=tmp_path / "text.txt")
    assert spec == AdaptationSpec(base="bundled:tiny.en", name="x", text=tmp_path / "text.txt", **values)
    tables = tomllib.loads(JOB)
    for name, options in (
        ("training", TrainingOptions()),
        ("split", SplitOptions()),
        ("gate", GateOptions()),
    ):
        assert tables[name] == asdict(options)


def test_the_server_block_is_the_default_and_complete(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(SERVER)
    assert load_config(tmp_path / "server.toml", {}) == ServerConfig()
    flat = asdict(ServerConfig())
    assert tomllib.loads(SERVER) == flat | {"models": list(flat["models"])}


def test_the_tenants_of_the_security_page_are_read(tmp_path: Path) -> None:
    tls, tenants = re.findall(r"```toml\n(.*?)```", SECURITY.read_text(), re.DOTALL)
    (tmp_path / "server.toml").write_text(tls)
    assert load_config(tmp_path / "server.toml", {}).tls.is_on
    (tmp_path / "tenants.toml").write_text(tenants)
    Tenants(tmp_path / "tenants.toml")


def test_the_policies_of_the_security_page_name_every_method_of_ours() -> None:
    page = SECURITY.read_text()
    named = {path.rpartition("/")[2] for path in PUBLIC_LISTENER if path.startswith("/asr.v1.Models/")}
    assert all(f"`{method}`" in page for method in named)
