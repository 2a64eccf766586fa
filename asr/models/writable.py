"""Which phrases a model cannot write, told from its folder, without its weights: a CTC model has few characters."""

from __future__ import annotations

from asr.biasing.phrases import Refusal
from asr.biasing.spoken import BUILT_IN
from asr.decoding.ctc_tokens import MAX_NAMED, CtcTokens, read_tokens
from asr.models.checkpoint import WAV2VEC2, check_folder, read_config
from asr.models.resolve import ResolvedModel

DEFAULT_BLANK, DEFAULT_VOCAB_SIZE = 0, 32  # of transformers' Wav2Vec2Config


def tokens_of(resolved: ResolvedModel) -> CtcTokens | None:
    """The outputs of a CTC model; None for a model that writes any text."""
    folder = resolved.transformers_dir
    if check_folder(folder) != WAV2VEC2:
        return None
    config = read_config(folder)  # transformers leaves out what has its default
    blank, vocab_size = (
        config.get("pad_token_id", DEFAULT_BLANK),
        config.get("vocab_size", DEFAULT_VOCAB_SIZE),
    )
    return read_tokens(folder, blank=blank, vocab_size=vocab_size)


def refusal_of(tokens: CtcTokens) -> Refusal:
    """Why a phrase cannot be written with these outputs; "" if it can.

    What ``$DIGITS`` and ``$ALPHANUMERIC`` stand for is written in digits.
    """
    fold, characters = tokens.folding, tokens.characters | {" "}
    has_digits = not set("0123456789") - characters

    def refusal(text: str) -> str:
        words = text.split()
        codes = [word for word in words if word.upper() in BUILT_IN]
        if codes and not has_digits:
            return f"the model writes no digits, which {codes[0]} stands for"
        signs = {sign for word in words if word not in codes for sign in word}
        missing = sorted(
            sign for sign in signs if not characters.issuperset(fold(sign))
        )  # "ß" is folded to "SS"
        if not missing:
            return ""
        return f"the model cannot write {' '.join(missing[:MAX_NAMED])}; write it as it is spoken, or take a Whisper"

    return refusal
