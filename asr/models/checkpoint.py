"""Ordinary transformers Whisper folders: loading for training and reference, saving, and hashing.

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
)
REQUIRED = ("config.json", "generation_config.json", "tokenizer.json", WEIGHTS)


def check_folder(folder: Path) -> None:
    """Check that a folder holds a transformers Whisper with safetensors weights.

    Raises:
        ModelError: it does not; the message names what is missing.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}; a model folder is what save_pretrained writes for a Whisper "
            f"(safetensors, with tokenizer.json and generation_config.json)"
        )
    model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    if model_type != "whisper":
        raise ModelError(f"{folder} holds a {model_type!r} model; this release runs 'whisper'")


def weights_sha256(folder: Path) -> str:
    """Hex sha256 of the weights file."""
    return sha256_file(folder / WEIGHTS)


def load_whisper(folder: Path) -> Any:
    """Load ``WhisperForConditionalGeneration`` in float32 on the CPU, in eval mode, without progress output."""
    from transformers import WhisperForConditionalGeneration
    from transformers.utils import logging

    check_folder(folder)
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = WhisperForConditionalGeneration.from_pretrained(str(folder), local_files_only=True)
    finally:
        if was_enabled:
            logging.enable_progress_bar()
    # transformers would pass these to generate() a second time, beside those of the generation config
    model.config.suppress_tokens = None
    model.config.begin_suppress_tokens = None
    return model.float().eval()


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
    for name in COMPANIONS:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
