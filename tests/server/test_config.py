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
