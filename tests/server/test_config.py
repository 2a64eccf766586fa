"""The server's options: a file, flags over it, and the one clear error for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr.errors import OptionError
from server.config import ServerConfig, load_config


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_flags_go_over_it(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        """
        models = ["bundled:tiny.en", "models:/a/1"]
        address = "0.0.0.0:1"
        drain_grace_s = 5
        [limits]
        max_streams = 3
        """,
    )
    config = load_config(path, {"address": "127.0.0.1:2", "device": None})
    assert config.models == ("bundled:tiny.en", "models:/a/1")
    assert (config.address, config.device, config.drain_grace_s) == ("127.0.0.1:2", "cpu", 5.0)
    assert config.limits.max_streams == 3
    assert config.limits.idle_s == 300.0


def test_without_a_file_there_are_the_defaults() -> None:
    assert load_config(None, {}) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adress = 'x'", "unknown option adress; known are: models, address"),
        ("[limits]\nmax_stream = 3", "unknown option limits.max_stream; known are: limits.max_message_bytes"),
        ("models = 'bundled:tiny.en'", "models is 'bundled:tiny.en'; it must be of type tuple"),
        ("models = []", "no model to serve"),
        ("beam_size = true", "beam_size is True; it must be of type int"),
        ("beam_size = 99", "beam_size is 99; give 1 to 16"),
        ("[limits]\nmax_streams = 0", "limits.max_streams is 0; give a number above 0"),
        ("limits = 3", "limits is 3; it must be of type Limits"),
        ("models = [", "is not TOML"),
        (
            "models = ['a', 'b']\nmax_models = 1",
            "2 models to serve, and max_models is 1; raise max_models to 2",
        ),
        ("[candidates]\nbelow_confidence = 2.0", "candidates.below_confidence is 2; give 0 to 1"),
        ("tenants = 't.toml'\n[candidates]\nenabled = true", "with tenants each consents for itself"),
        (
            "address = '0.0.0.0:1'\n[candidates]\nenabled = true",
            "everybody who reaches 0.0.0.0:1 could listen",
        ),
        ("[tls]\ncertificate = 'a'", "tls.certificate is given without tls.private_key"),
        ("[tls]\nprivate_key = 'a'", "tls.private_key is given without tls.certificate"),
        ("[tls]\nclient_ca = 'a'", "tls.client_ca is given without a certificate"),
        (
            "address = '0.0.0.0:1'\ntenants = 't.toml'",
            "address 0.0.0.0:1 can be reached by others, and tokens would cross the network in plain text",
        ),
        (
            "admin_address = 'host:1'\ntenants = 't.toml'",
            "admin_address host:1 can be reached by others, and tokens would",
        ),
        ("admin_address = '[::]:1'", "without tenants everybody is an administrator"),
    ],
)
def test_each_mistake_has_its_message(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_config(_write(tmp_path, text), {})
    assert message in str(caught.value)


def test_a_model_given_twice_takes_one_place() -> None:
    assert load_config(None, {"models": ("a", "a"), "max_models": 1}).max_models == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"absent\.toml cannot be read"):
        load_config(tmp_path / "absent.toml", {})


@pytest.mark.parametrize(
    "text",
    [
        "tenants = 't.toml'\naddress = '127.0.0.1:1'\nadmin_address = '[::1]:2'",
        "tenants = 't.toml'\naddress = 'localhost:1'",
        "tenants = 't.toml'\naddress = 'unix:/run/lexitune'",
        "tenants = 't.toml'\naddress = '0.0.0.0:1'\nallow_plaintext_tokens = true",
        "tenants = 't.toml'\naddress = '0.0.0.0:1'\n[tls]\ncertificate = 'c'\nprivate_key = 'k'",
        "address = '0.0.0.0:1'",
    ],
)
def test_tokens_stay_on_this_machine_or_are_encrypted_or_it_was_asked_for(tmp_path: Path, text: str) -> None:
    assert load_config(_write(tmp_path, text), {}).address
