"""Whose token it is: known, expired, unknown or none; the file read again; nothing secret in what is printed."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asr.errors import OptionError, UnauthenticatedError
from server.cli import app
from server.tenants import Tenants, TokenOptions, hash_token, make_token

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOKEN, ADMIN_TOKEN = make_token(), make_token()
FILE = f"""
[tenants.clinic]
models = ["orders", "tiny.en"]
[tenants.clinic.quotas]
max_streams = 3
[[tenants.clinic.tokens]]
sha256 = "{hash_token("expired")}"
expires = {NOW.isoformat()}
[[tenants.clinic.tokens]]
sha256 = "{hash_token(TOKEN)}"
expires = {(NOW + timedelta(seconds=1)).isoformat()}
[tenants.operations]
admin = true
[[tenants.operations.tokens]]
sha256 = "{hash_token(ADMIN_TOKEN)}"
expires = 9999-01-01T00:00:00Z
"""


def _tenants(tmp_path: Path, text: str = FILE) -> Tenants:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    return Tenants(path, now=lambda: NOW)


def test_a_token_says_whose_call_it_is(tmp_path: Path) -> None:
    tenants = _tenants(tmp_path)
    clinic = tenants.authenticate([f"Bearer {TOKEN}"])
    assert (clinic.name, clinic.models, clinic.is_admin) == ("clinic", {"orders", "tiny.en"}, False)
    assert clinic.quotas.max_streams == 3
    assert not clinic.keeps_candidates  # unless the tenant says so
    assert clinic.may_use("orders") and not clinic.may_use("other")
    operations = tenants.authenticate([f"bearer  {ADMIN_TOKEN} "])
    assert (operations.name, operations.is_admin) == ("operations", True)
    assert operations.may_use("anything")
    assert tenants.authenticate([f"Bearer {TOKEN}"] * 2).name == "clinic"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "TOKEN_MISSING"),
        ([f"Bearer {TOKEN}", f"Bearer {ADMIN_TOKEN}"], "TOKEN_MISSING"),
        ([f"Basic {TOKEN}"], "TOKEN_MISSING"),
        ([TOKEN], "TOKEN_MISSING"),
        (["Bearer "], "TOKEN_MISSING"),
        ([f"Bearer {TOKEN}x"], "TOKEN_UNKNOWN"),
        ([f"Bearer {hash_token(TOKEN)}"], "TOKEN_UNKNOWN"),
        (["Bearer expired"], "TOKEN_EXPIRED"),
    ],
)
def test_anything_else_is_refused_and_not_repeated(tmp_path: Path, given: list[str], reason: str) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        _tenants(tmp_path).authenticate(given)
    assert refused.value.reason == reason
    assert TOKEN not in str(refused.value)


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tenants, newer = _tenants(tmp_path), make_token()
    path = tmp_path / "tenants.toml"
    path.write_text(FILE.replace(hash_token(TOKEN), hash_token(newer)))
    assert tenants.authenticate([f"Bearer {newer}"]).name == "clinic"
    with pytest.raises(UnauthenticatedError):
        tenants.authenticate([f"Bearer {TOKEN}"])
    with caplog.at_level(logging.ERROR):
        path.write_text(f'[tenants.clinic]\nmodels = ["*"]\ntokens = ["{newer}"]')
        assert tenants.authenticate([f"Bearer {newer}"]).name == "clinic"
        path.unlink()
        assert tenants.authenticate([f"Bearer {newer}"]).name == "clinic"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert newer not in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no tenant"),
        ("[tenant.a]", "unknown option tenant; known are: tenants"),
        ("[tenants.a]", "has no models"),
        (
            '[tenants.a]\nmodels = ["*"]\n[tenants.a.quotas]\nmax_streams = -1',
            "max_streams is -1; give 0 or more",
        ),
        (
            '[tenants.a]\nmodels = ["*"]\n[[tenants.a.tokens]]\nsha256 = "lexi_secret"',
            "64 hexadecimal digits",
        ),
        (
            f'[tenants.a]\nmodels = ["*"]\n[[tenants.a.tokens]]\nsha256 = "{hash_token("a")}"',
            "no expires with an offset",
        ),
        ('[tenants.a]\nmodels = ["*"]\ntokens = "lexi_secret"', "wrong key or type"),
        ('[tenants.a]\nmodels = ["*"]\n[[tenants.a.tokens]]\ntoken = "lexi_secret"', "wrong key or type"),
        (FILE.replace(hash_token(TOKEN), hash_token(ADMIN_TOKEN)), "one token twice"),
    ],
)
def test_each_mistake_in_the_file_has_its_message(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=r"tenants\.toml") as caught:
        _tenants(tmp_path, text)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_hashes_are_not_printed() -> None:
    assert hash_token(TOKEN) not in repr(TokenOptions(sha256=hash_token(TOKEN), expires=NOW))


def test_the_command_makes_a_token_and_what_goes_into_the_file(tmp_path: Path) -> None:
    made = json.loads(CliRunner().invoke(app, ["token", "--days", "7", "--json"]).stdout)
    assert made["sha256"] == hash_token(made["token"])
    path = tmp_path / "tenants.toml"
    path.write_text(
        '[tenants.a]\nmodels = ["*"]\n[[tenants.a.tokens]]\n'
        f'sha256 = "{made["sha256"]}"\nexpires = {made["expires"]}\n'
    )
    assert Tenants(path).authenticate([f"Bearer {made['token']}"]).name == "a"
    plain = CliRunner().invoke(app, ["token"])
    token = plain.stdout.strip()
    assert hash_token(token) in plain.stderr
    assert token not in plain.stderr
