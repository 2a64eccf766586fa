"""Which phrases a model cannot write, told from its folder, without its weights: a CTC model has few characters."""

from __future__ import annotations

from asr.biasing.phrases import PhraseReport, PhraseSet, without_refused
from asr.decoding.ctc_tokens import CtcTokens, read_tokens
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


def writable(
    phrases: PhraseSet | None, reports: tuple[PhraseReport, ...], tokens: CtcTokens | None
) -> tuple[PhraseSet | None, tuple[PhraseReport, ...]]:
    """Phrases and reports of a request once its model is known; what that cannot write is refused."""
    if not phrases or tokens is None:
        return phrases, reports
    kept, told = without_refused(phrases, reports, tokens.refusal)
    return kept or None, told
