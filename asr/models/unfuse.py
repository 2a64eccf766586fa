"""A CTranslate2 Whisper folder back into an ordinary transformers folder: safetensors, tokenizer, configs.

CTranslate2 keeps q, k, v of self attention in one matrix and k, v of cross attention in another; k has no bias in
Whisper, so its third is zeros and is dropped. The output projection is the embedding.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import ModelError
from asr.models.ct2_file import read_variables
from asr.units import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WHISPER_WINDOW_FRAMES,
    WHISPER_WINDOW_S,
    WHISPER_WINDOW_SAMPLES,
    WINDOW_SAMPLES,
)

Arrays = dict[str, NDArray[Any]]
ENGLISH_VOCAB_SIZE = 51864  # openai/whisper: the English-only vocabulary; multilingual ones are larger


def write_transformers(source: Path, target: Path) -> None:
    """Write ``target`` as ``WhisperForConditionalGeneration.from_pretrained`` wants it, float32."""
    from safetensors.numpy import save_file

    arrays = read_variables(source / "model.bin").arrays
    target.mkdir(parents=True)
    state = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in unfuse(arrays).items()}
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    write_configs(arrays, source, target)


def unfuse(arrays: Arrays) -> Arrays:
    """Names and shapes of transformers from those of CTranslate2; values are views."""
    state: Arrays = {
        "model.decoder.embed_tokens.weight": arrays["decoder/embeddings/weight"],
        "model.encoder.conv1.weight": arrays["encoder/conv1/weight"],
        "model.encoder.conv1.bias": arrays["encoder/conv1/bias"],
        "model.encoder.conv2.weight": arrays["encoder/conv2/weight"],
        "model.encoder.conv2.bias": arrays["encoder/conv2/bias"],
    }
    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        state |= _norm(arrays, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for layer in range(num_layers(arrays, side)):
            state |= _layer(arrays, f"{side}/layer_{layer}", f"model.{side}.layers.{layer}")
    return state


def num_layers(arrays: Arrays, side: str) -> int:
    """How many layers the encoder or the decoder has."""
    return sum(name.startswith(f"{side}/") and name.endswith("/ffn/linear_0/weight") for name in arrays)


def _layer(arrays: Arrays, source: str, target: str) -> Arrays:
    state = _norm(arrays, f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
    state |= _norm(arrays, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
    state |= _linear(arrays, f"{source}/ffn/linear_0", f"{target}.fc1")
    state |= _linear(arrays, f"{source}/ffn/linear_1", f"{target}.fc2")
    state |= _split(arrays, f"{source}/self_attention/linear_0", f"{target}.self_attn", "qkv")
    state |= _linear(arrays, f"{source}/self_attention/linear_1", f"{target}.self_attn.out_proj")
    if f"{source}/attention/linear_0/weight" in arrays:
        state |= _norm(arrays, f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
        state |= _linear(arrays, f"{source}/attention/linear_0", f"{target}.encoder_attn.q_proj")
        state |= _split(arrays, f"{source}/attention/linear_1", f"{target}.encoder_attn", "kv")
        state |= _linear(arrays, f"{source}/attention/linear_2", f"{target}.encoder_attn.out_proj")
    return state


def _norm(arrays: Arrays, source: str, target: str) -> Arrays:
    return {f"{target}.weight": arrays[f"{source}/gamma"], f"{target}.bias": arrays[f"{source}/beta"]}


def _linear(arrays: Arrays, source: str, target: str) -> Arrays:
    return {f"{target}.weight": arrays[f"{source}/weight"], f"{target}.bias": arrays[f"{source}/bias"]}


def _split(arrays: Arrays, source: str, target: str, parts: str) -> Arrays:
    weights = np.split(arrays[f"{source}/weight"], len(parts))
    biases = np.split(arrays[f"{source}/bias"], len(parts))
    state: Arrays = {}
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        state[f"{target}.{part}_proj.weight"] = weight
        if part != "k":
            state[f"{target}.{part}_proj.bias"] = bias
        elif np.any(bias):
            raise ModelError(f"{source}: k has a bias, which Whisper does not; this is another architecture")
    return state


def write_configs(arrays: Arrays, source: Path, target: Path) -> None:
    """Write config.json, generation_config.json, tokenizer_config.json and preprocessor_config.json."""
    tokens = {
        t["content"]: t["id"] for t in json.loads((source / "tokenizer.json").read_text())["added_tokens"]
    }
    _write_model_config(arrays, tokens, target)
    _write_generation_config(arrays, tokens, json.loads((source / "config.json").read_text()), target)
    tokenizer = {"tokenizer_class": "WhisperTokenizer", "model_max_length": 1024, "add_prefix_space": False}
    tokenizer |= {f"{role}_token": "<|endoftext|>" for role in ("bos", "eos", "unk", "pad")}
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")
    preprocessor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": int(arrays["encoder/conv1/weight"].shape[1]),
        "sampling_rate": SAMPLE_RATE_HZ,
        "hop_length": HOP_SAMPLES,
        "n_fft": WINDOW_SAMPLES,
        "chunk_length": WHISPER_WINDOW_S,
        "n_samples": WHISPER_WINDOW_SAMPLES,
        "nb_max_frames": WHISPER_WINDOW_FRAMES,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
    (target / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def _ends(tokens: dict[str, int]) -> dict[str, int]:
    end = tokens["<|endoftext|>"]
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": tokens["<|startoftranscript|>"],
    }


def _write_model_config(arrays: Arrays, tokens: dict[str, int], target: Path) -> None:
    from transformers import WhisperConfig

    vocab_size, width = arrays["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=vocab_size,
        d_model=width,
        num_mel_bins=arrays["encoder/conv1/weight"].shape[1],
        encoder_layers=num_layers(arrays, "encoder"),
        decoder_layers=num_layers(arrays, "decoder"),
        encoder_attention_heads=int(arrays["encoder/num_heads"]),
        decoder_attention_heads=int(arrays["decoder/num_heads"]),
        encoder_ffn_dim=arrays["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=arrays["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=arrays["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=arrays["decoder/position_encodings/encodings"].shape[0],
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **_ends(tokens),
    )
    config.architectures = ["WhisperForConditionalGeneration"]
    config.save_pretrained(target)


def _write_generation_config(
    arrays: Arrays, tokens: dict[str, int], ids: dict[str, Any], target: Path
) -> None:
    from transformers import GenerationConfig

    is_multilingual = arrays["decoder/embeddings/weight"].shape[0] > ENGLISH_VOCAB_SIZE
    language_ids = set(ids["lang_ids"])
    many = {
        "lang_to_id": {token: number for token, number in tokens.items() if number in language_ids},
        "task_to_id": {"transcribe": tokens["<|transcribe|>"], "translate": tokens["<|translate|>"]},
    }
    GenerationConfig(
        alignment_heads=ids["alignment_heads"],
        suppress_tokens=ids["suppress_ids"],
        begin_suppress_tokens=ids["suppress_ids_begin"],
        is_multilingual=is_multilingual,
        no_timestamps_token_id=tokens["<|notimestamps|>"],
        prev_sot_token_id=tokens["<|startofprev|>"],
        max_length=arrays["decoder/position_encodings/encodings"].shape[0],
        max_initial_timestamp_index=50,
        return_timestamps=False,
        **(many if is_multilingual else {}),
        **_ends(tokens),
    ).save_pretrained(target)
