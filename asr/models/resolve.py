"""From any model reference to folders on this machine.

The registry and the hub are touched only for references that need them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.biasing.phrases import PhraseSet, read_phrases
from asr.errors import ChecksumError, ModelError, ModelNotFoundError, UnavailableError
from asr.models.bundled import unpack_bundled
from asr.models.checkpoint import check_folder, weights_sha256
from asr.models.contexts import OWN, WHOLE
from asr.models.export import cached_export
from asr.models.reference import ModelReference, ReferenceKind, parse_reference
from asr.storage import sha256_file

HUB_PATTERNS = ["*.json", "model.safetensors", "merges.txt", "README.md", "lm/*"]
CTRANSLATE2_FOLDER = "ctranslate2"
PHRASES = "phrases.txt"  # of a version: what it was adapted to hear, looked for in whatever it hears


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """Where a model's files are.

    Attributes:
        reference: the immutable reference: an alias has become its version.
        name: short name for people and metrics.
        version: the registry's version, or "bundled", "local", "hub".
        transformers_dir: ordinary transformers folder.
        ctranslate2_dir: the same model converted; None until :func:`serving_folder` makes it.
        sha256: identifies the content.
        contexts: of :mod:`asr.models.contexts`, those that the model was proved on.
        served_sha256: of the converted weights, where a card names it: what is loaded must be these very bytes.
        phrases: that the version carries, looked for beside those of a request; None for none.
    """

    reference: str
    name: str
    version: str
    transformers_dir: Path
    ctranslate2_dir: Path | None
    sha256: str
    contexts: tuple[str, ...] = (WHOLE,)
    served_sha256: str = ""
    phrases: PhraseSet | None = None

    @property
    def own_length(self) -> bool:
        """Whether a Whisper is to hear segments at their own length."""
        return OWN in self.contexts


def resolve_model(reference: str) -> ResolvedModel:
    """Look a reference up.

    Raises:
        OptionError: not a reference.
        ModelNotFoundError: it names nothing.
        ModelError: what it names cannot be used.
    """
    parsed = parse_reference(reference)
    match parsed.kind:
        case ReferenceKind.BUNDLED:
            unpacked = unpack_bundled(parsed.name)
            return ResolvedModel(
                reference=str(parsed),
                name=parsed.name,
                version="bundled",
                transformers_dir=unpacked.transformers_dir,
                ctranslate2_dir=unpacked.ctranslate2_dir,
                sha256=unpacked.sha256,
            )
        case ReferenceKind.DIRECTORY:
            return _from_folder(Path(parsed.name).resolve(), version="local")
        case ReferenceKind.HUB:
            return _from_hub(parsed)
        case _:
            return _from_registry(parsed)


def serving_folder(model: ResolvedModel) -> Path:
    """The CTranslate2 folder of a model, converted and cached on first use where it has none."""
    return model.ctranslate2_dir or cached_export(model.transformers_dir)


def _from_folder(folder: Path, *, version: str, reference: str = "", name: str = "") -> ResolvedModel:
    check_folder(folder)
    card = _own_card(folder)
    phrases, sha256 = _carried(folder, card), weights_sha256(folder)
    if phrases:  # with others it hears differently
        sha256 = hashlib.sha256(f"{sha256} {phrases.key}".encode()).hexdigest()
    return ResolvedModel(
        contexts=tuple(card.get("contexts", (WHOLE,))),
        phrases=phrases,
        reference=reference or str(folder),
        name=name or folder.name,
        version=version,
        transformers_dir=folder,
        ctranslate2_dir=None,  # a folder's own export is not trusted: only those that we published with a card
        sha256=sha256,
    )


def _own_card(folder: Path) -> Mapping[str, Any]:
    """The card of an exported version; changed files were proved on nothing, so nothing that it says holds."""
    from asr.registry import verify_card

    try:
        return verify_card(folder)
    except (ModelError, ChecksumError):
        return {}


def _carried(folder: Path, card: Mapping[str, Any]) -> PhraseSet | None:
    """The phrases of a version whose card was verified."""
    if PHRASES not in card.get("files", {}):
        return None
    phrases, _ = read_phrases(folder / PHRASES, max_phrases=sys.maxsize)  # as many as its glossary has
    return phrases


def _from_hub(parsed: ModelReference) -> ResolvedModel:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(parsed.name, allow_patterns=HUB_PATTERNS))
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the model hub has no {parsed.name!r}, or it is private; check the id"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UnavailableError(
            f"{parsed.name!r} is not in the local hub cache and the hub cannot be reached ({type(error).__name__}); "
            "connect, or download it elsewhere and give its directory"
        ) from error
    name = parsed.name.rsplit("/", 1)[-1]
    return _from_folder(folder, version="hub", reference=parsed.name, name=name)


def _from_registry(parsed: ModelReference) -> ResolvedModel:
    from asr.registry import CARD, Registry, read_card

    version = Registry.open().resolve(parsed)
    exported = version.path / CTRANSLATE2_FOLDER
    card = read_card(version.path)  # verified by resolve()
    return ResolvedModel(
        reference=version.reference,
        name=version.name,
        version=version.version,
        transformers_dir=version.path,
        ctranslate2_dir=exported if exported.is_dir() else None,  # a Wav2Vec2 is served from its own folder
        sha256=version.sha256 or sha256_file(version.path / CARD),
        contexts=tuple(card.get("contexts", (WHOLE,))),
        served_sha256=card.get("files", {}).get(f"{CTRANSLATE2_FOLDER}/model.bin", ""),
        phrases=_carried(version.path, card),
    )
