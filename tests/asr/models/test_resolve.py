"""Every kind of reference leads to folders, or to one clear error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asr.errors import ModelError, ModelNotFoundError, UnavailableError
from asr.models.checkpoint import weights_sha256
from asr.models.resolve import resolve_model, serving_folder


def test_a_directory_is_converted_once_for_its_content(
    small_whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXITUNE_CACHE", str(tmp_path))
    resolved = resolve_model(str(small_whisper))
    assert (resolved.version, resolved.sha256) == ("local", weights_sha256(small_whisper))
    folder = serving_folder(resolved)
    before = (folder / "model.bin").stat().st_mtime_ns
    assert serving_folder(resolve_model(str(small_whisper))) == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_a_directory_without_safetensors_is_refused_and_its_pickle_never_opened(
    small_whisper: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(small_whisper, folder)
    (folder / "model.safetensors").unlink()
    canary = tmp_path / "canary"
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    with pytest.raises(ModelError, match=r"lacks model\.safetensors"):
        resolve_model(str(folder))
    assert not canary.exists()


def test_another_architecture_is_refused(small_whisper: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(small_whisper, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ModelError, match="'bert'"):
        resolve_model(str(folder))


def test_a_hub_id_without_network_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnavailableError, match="give its directory"):
        resolve_model("openai/whisper-nowhere")


def test_an_unregistered_name_is_not_found() -> None:
    with pytest.raises(ModelNotFoundError, match="nobody"):
        resolve_model("models:/nobody/1")
