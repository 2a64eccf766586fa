"""The layers of the options: a file, variables over it, flags over both; shown with their origins, secrets never."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asr.errors import OptionError
from asr.options import SECRET, read_environment, read_options, show_options
from server.config import ServerConfig, load_config, load_layers


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return path


def test_variables_go_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    path = _file(
        tmp_path, 'address = "a:1"\ndevice = "cpu"\nbeam_size = 2\n[limits]\nidle_s = 9.0\nmax_streams = 1'
    )
    environment = {
        "LEXITUNE_SERVER_ADDRESS": "b:2",
        "LEXITUNE_SERVER_DEVICE": "cuda",
        "LEXITUNE_SERVER_LIMITS__MAX_STREAMS": "7",
        "HOME": "/",
    }
    loaded = load_layers(path, {"address": "c:3", "models": None}, environment)
    config = loaded.config
    assert (config.address, config.device, config.beam_size) == ("c:3", "cuda", 2)
    assert (config.limits.idle_s, config.limits.max_streams) == (9.0, 7)
    assert loaded.origins == {
        "address": "flag",
        "device": "environment",
        "beam_size": str(path),
        "limits.idle_s": str(path),
        "limits.max_streams": "environment",
    }
    assert "limits.max_streams = 7  # environment" in loaded.lines()
    assert "max_models = 4" in loaded.lines()


def test_every_type_is_read_from_a_variable() -> None:
    environment = {
        "LEXITUNE_SERVER_MODELS": "bundled:tiny.en, models:/orders@production",
        "LEXITUNE_SERVER_REFLECTION": "true",
        "LEXITUNE_SERVER_DRAIN_GRACE_S": "5",
        "LEXITUNE_SERVER_RIVA_MODELS": '{ "conformer-en-US" = "orders" }',
        "LEXITUNE_SERVER_LOG_FORMAT": "json",
    }
    config = load_layers(None, {}, environment).config
    assert config.models == ("bundled:tiny.en", "models:/orders@production")
    assert (config.reflection, config.drain_grace_s) == (True, 5.0)
    assert config.riva_models == {"conformer-en-US": "orders"}
    as_array = load_layers(None, {}, {"LEXITUNE_SERVER_MODELS": '["a", "b"]'}).config
    assert as_array.models == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("ADRESS", "x", "unknown variable LEXITUNE_SERVER_ADRESS; known are: LEXITUNE_SERVER_MODELS, "),
        ("LIMITS", "3", "unknown variable LEXITUNE_SERVER_LIMITS; known are"),
        ("LIMITS__MAX_STREAM", "3", "LEXITUNE_SERVER_LIMITS__MAX_STREAMS"),
        ("BEAM_SIZE", "many", "LEXITUNE_SERVER_BEAM_SIZE is not written as in TOML; give a int"),
        ("BEAM_SIZE", "1\nmax_models = 2", "LEXITUNE_SERVER_BEAM_SIZE is not written as in TOML"),
        ("BEAM_SIZE", "2.5", "beam_size is 2.5; it must be of type int"),
        ("REFLECTION", "1", "reflection is 1; it must be of type bool"),
        ("BEAM_SIZE", "99", "beam_size is 99; give 1 to 16"),
        ("LOG_LEVEL", "loud", "log_level is 'loud'; give one of debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "log_format is 'xml'; give one of text, json"),
        ("CONFIG", "absent.toml", "absent.toml cannot be read"),
    ],
)
def test_each_mistake_has_its_message(variable: str, text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_layers(None, {}, {f"LEXITUNE_SERVER_{variable}": text})
    assert message in str(caught.value)


def test_the_file_may_be_named_by_a_variable_and_a_flag_goes_over_it(tmp_path: Path) -> None:
    path = _file(tmp_path, "beam_size = 3")
    environment = {"LEXITUNE_SERVER_CONFIG": str(path)}
    assert load_layers(None, {}, environment).config.beam_size == 3
    (tmp_path / "other.toml").write_text("beam_size = 4")
    assert load_layers(tmp_path / "other.toml", {}, environment).config.beam_size == 4


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    config = load_config(None, {"models": ("a", "b"), "riva_models": {'odd "name"': "a@production"}})
    shown = "\n".join(f"{name} = {value}" for name, value in show_options(config).items())
    assert read_options(ServerConfig, tomllib.loads(shown)) == config


@dataclass(frozen=True, kw_only=True, slots=True)
class _Keys:
    token: str = field(default="", metadata=SECRET)
    unset: str = field(default="", metadata=SECRET)
    count: int = field(default=0, metadata=SECRET)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Options:
    keys: _Keys = field(default_factory=_Keys)


def test_a_secret_is_never_shown() -> None:
    table = read_environment(_Options, {"X_KEYS__TOKEN": "hush"}, "X_")
    options = read_options(_Options, table)
    assert options.keys.token == "hush"
    assert show_options(options) == {"keys.token": '"***"', "keys.unset": '""', "keys.count": "0"}
    with pytest.raises(OptionError) as caught:
        read_options(_Options, {"keys": {"count": "hush"}})
    assert str(caught.value) == "keys.count is ***; it must be of type int"
    with pytest.raises(OptionError) as caught:
        read_environment(_Options, {"X_KEYS__COUNT": "hush"}, "X_")
    assert "hush" not in str(caught.value)
