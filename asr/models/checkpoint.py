"""Ordinary transformers folders of a Whisper or a Wav2Vec2-CTC: checking, loading, saving, and hashing.

Saving keeps what fine-tuning tools often lose: generation config, tokenizer and feature extractor settings travel
with the weights, so that word times and suppressed tokens still work afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import ModelError
from asr.storage import sha256_file

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
COMPANIONS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "normalizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "README.md",
    "lm/model.arpa",
    "lm/unigrams.txt",
    "lm/lm.json",
)
WHISPER, WAV2VEC2 = "whisper", "wav2vec2"
REQUIRED = {
    WHISPER: ("config.json", "generation_config.json", "tokenizer.json", WEIGHTS),
    WAV2VEC2: ("config.json", "vocab.json", "tokenizer_config.json", "preprocessor_config.json", WEIGHTS),
}


def check_folder(folder: Path) -> str:
    """Check that a folder holds a transformers Whisper or Wav2Vec2-CTC with safetensors weights.

    Returns:
        The family: ``WHISPER`` or ``WAV2VEC2``.

    Raises:
        ModelError: it does not; the message names what is missing.
    """
    config = read_config(folder)
    family = config.get("model_type")
    if family not in REQUIRED:
        raise ModelError(
            f"{folder} holds a {family!r} model; this release runs {' and '.join(map(repr, REQUIRED))}"
        )
    missing = [name for name in REQUIRED[family] if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}; a {family} folder holds {', '.join(REQUIRED[family])}: save model "
            "(safetensors), tokenizer and feature extractor with save_pretrained"
        )
    architectures = config.get("architectures") or []
    if family == WAV2VEC2 and architectures and "Wav2Vec2ForCTC" not in architectures:
        raise ModelError(
            f"{folder} holds a {', '.join(architectures)}, which writes no text; fine-tune it as Wav2Vec2ForCTC first"
        )
    return str(family)


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a transformers folder.

    Raises:
        ModelError: there is none, or it is not JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} lacks config.json; a model folder is what save_pretrained writes")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}; save the model again") from error
    return config


def copy_companions(source: Path, target: Path) -> None:
    """Copy what stands beside the weights: settings, tokenizer, card, language model."""
    for name in COMPANIONS:
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def weights_sha256(folder: Path) -> str:
    """Hex sha256 of the weights file."""
    return sha256_file(folder / WEIGHTS)


def load_whisper(folder: Path) -> Any:
    """Load ``WhisperForConditionalGeneration`` in float32 on the CPU, in eval mode, without progress output."""
    from transformers import WhisperForConditionalGeneration

    _check_family(folder, WHISPER)
    model = _load_quietly(WhisperForConditionalGeneration, folder)
    # transformers would pass these to generate() a second time, beside those of the generation config
    model.config.suppress_tokens = None
    model.config.begin_suppress_tokens = None
    return model.float().eval()


def load_wav2vec2(folder: Path) -> Any:
    """Load ``Wav2Vec2ForCTC`` in float32 on the CPU, in eval mode, without progress output."""
    from transformers import Wav2Vec2ForCTC

    _check_family(folder, WAV2VEC2)
    return _load_quietly(Wav2Vec2ForCTC, folder).float().eval()


def _check_family(folder: Path, wanted: str) -> None:
    if (family := check_folder(folder)) != wanted:
        raise ModelError(f"{folder} holds a {family!r} model where a {wanted!r} model is needed")


def _load_quietly(model_class: Any, folder: Path) -> Any:
    from transformers.utils import logging

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return model_class.from_pretrained(str(folder), local_files_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{folder} cannot be loaded: {error}; save the model again") from error
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def save_wav2vec2(model: Any, base: Path, target: Path) -> None:
    """Write a ``Wav2Vec2ForCTC`` to ``target`` with its configuration and the other companion files of ``base``."""
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    copy_companions(base, target)
    state = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(state, target / WEIGHTS, metadata={"format": "pt"})
    model.config.architectures = ["Wav2Vec2ForCTC"]
    model.config.save_pretrained(target)


def save_whisper(state: Mapping[str, torch.Tensor], base: Path, target: Path) -> None:
    """Write ``state`` to ``target`` with the companion files of ``base``.

    Tensors that share memory (the tied output projection) are written once, under the embedding's name.
    """
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    kept = {
        name: value.detach().contiguous().cpu() for name, value in state.items() if name != "proj_out.weight"
    }
    save_file(kept, target / WEIGHTS, metadata={"format": "pt"})
    copy_companions(base, target)
