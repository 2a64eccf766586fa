"""A published version is immutable and proves itself; an alias is a pointer that moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asr.errors import ChecksumError, ModelNotFoundError, OptionError
from asr.models.resolve import resolve_model
from asr.recognizer import Recognizer
from asr.registry import Registry, read_card
from training.import_command import copy_version
from training.publish import Run, publish


@pytest.fixture(scope="module")
def version_folder(small_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_version(small_whisper, tmp_path_factory.mktemp("version") / "v")


def _publish(folder: Path, tmp_path: Path, name: str, *, passed: bool = True) -> tuple[Registry, str]:
    registry = Registry.open()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    card = {"name": name, "base": "bundled:tiny.en", "gate": {"passed": passed}}
    run = Run(
        name="test", params={"seed": 0}, metrics={"wer": 0.5}, curve={"training.loss": [(1, 2.0), (2, 1.0)]}
    )
    return registry, publish(registry, name, copy, card, run)


def test_a_version_resolves_to_its_files_and_lists_itself(version_folder: Path, tmp_path: Path) -> None:
    registry, version = _publish(version_folder, tmp_path, "alpha")
    resolved = registry.resolve(f"models:/alpha/{version}")
    assert resolved.reference == f"models:/alpha/{version}"
    assert read_card(resolved.path)["files"].keys() >= {"model.safetensors", "ctranslate2/model.bin"}
    summary = registry.get_version("alpha", version)
    assert (summary.gate_passed, summary.base) == (True, "bundled:tiny.en")
    assert "alpha" in [model.name for model in registry.list_models()]
    model = resolve_model(f"models:/alpha/{version}")
    assert model.ctranslate2_dir == resolved.path / "ctranslate2"


def test_an_alias_moves_and_versions_stay(version_folder: Path, tmp_path: Path) -> None:
    registry, first = _publish(version_folder, tmp_path, "beta")
    _, second = _publish(version_folder, tmp_path, "beta", passed=False)
    assert int(second) == int(first) + 1
    for target in (first, second, first):
        registry.set_alias("beta", "production", target)
        assert registry.resolve("models:/beta@production").version == target
    assert registry.get_version("beta", second).gate_passed is False
    assert registry.get_model("beta").aliases == {"production": first}


def test_a_job_that_was_killed_behind_its_publishing_does_not_publish_again(
    version_folder: Path, tmp_path: Path
) -> None:
    registry = Registry.open()
    card = {"base": "bundled:tiny.en", "gate": {"passed": True}}
    versions = []
    for number, job in enumerate(("one", "one", "two")):
        copy = Path(shutil.copytree(version_folder, tmp_path / str(number)))
        versions.append(publish(registry, "zeta", copy, card, Run(name="test", job=job)))
    assert versions == ["1", "1", "2"]


def test_one_flipped_bit_is_refused(version_folder: Path, tmp_path: Path) -> None:
    registry, version = _publish(version_folder, tmp_path, "gamma")
    path = registry.resolve(f"models:/gamma/{version}").path / "ctranslate2" / "model.bin"
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)
    with pytest.raises(ChecksumError, match=r"ctranslate2/model\.bin"):
        registry.resolve(f"models:/gamma/{version}")


def test_what_is_loaded_are_the_bytes_that_were_checked(version_folder: Path, tmp_path: Path) -> None:
    """Not those that lie there when the engine opens the file: the check and the load are of one reading."""
    _, version = _publish(version_folder, tmp_path, "eta")
    resolved = resolve_model(f"models:/eta/{version}")
    Recognizer.open(resolved).close()
    assert resolved.ctranslate2_dir is not None
    path = resolved.ctranslate2_dir / "model.bin"
    payload = path.read_bytes()
    path.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))  # behind the registry's check
    with pytest.raises(ChecksumError, match=r"model\.bin: sha256 is .* published was"):
        Recognizer.open(resolved)


def test_an_added_file_and_a_changed_card_are_refused(version_folder: Path, tmp_path: Path) -> None:
    registry, version = _publish(version_folder, tmp_path, "delta")
    folder = registry.resolve(f"models:/delta/{version}").path
    (folder / "extra.py").write_text("print()")
    with pytest.raises(ChecksumError, match=r"extra\.py"):
        registry.resolve(f"models:/delta/{version}")
    (folder / "extra.py").unlink()
    (folder / "card.json").write_text("{}")
    with pytest.raises(ChecksumError, match=r"card\.json"):
        registry.resolve(f"models:/delta/{version}")


def test_what_does_not_exist_is_named_with_what_does(version_folder: Path, tmp_path: Path) -> None:
    registry, version = _publish(version_folder, tmp_path, "epsilon")
    with pytest.raises(ModelNotFoundError, match="epsilon"):
        registry.resolve("models:/epsilom/1")
    with pytest.raises(ModelNotFoundError, match=f"versions: {version}"):
        registry.resolve("models:/epsilon/99")
    with pytest.raises(ModelNotFoundError, match="aliases: none"):
        registry.resolve("models:/epsilon@production")
    for alias in ("7", "latest", "", "a b", "../x"):
        with pytest.raises(OptionError, match="not allowed"):
            registry.set_alias("epsilon", alias, version)


def test_an_imported_folder_is_converted_by_us(version_folder: Path, small_whisper: Path) -> None:
    assert (version_folder / "ctranslate2" / "model.bin").is_file()
    assert (version_folder / "model.safetensors").read_bytes() == (
        small_whisper / "model.safetensors"
    ).read_bytes()
