"""Training examples: an utterance's audio with the tokens that the decoder is to say.

U tokens, B batch. Labels start behind the prompt; positions that carry no loss are IGNORED.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.data.manifest import Utterance
from asr.models.whisper_tokens import WhisperTokenizer
from training.windows import SEGMENTS

IGNORED = -100
MAX_LABEL_TOKENS = 448
MAX_AUDIO_S = 30.0


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance and its text tokens, without prompt and end; with timestamp tokens if ``timestamps``."""

    utterance: Utterance
    tokens: tuple[int, ...]
    timestamps: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether nobody speaks: there is nothing to write."""
        return not self.tokens


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoder inputs and labels (B, U), and which examples they are."""

    examples: tuple[Example, ...]
    inputs: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An utterance that cannot be trained on, and why."""

    id: str
    reason: str


def target_text(text: str) -> str:
    """The text a model is taught for a transcript: all-capital transcripts are lower-cased, else as written.

    Whisper's vocabulary has few capital words; teaching spelled-out capitals costs accuracy for no information.
    """
    text = " ".join(text.split())
    return text.lower() if text.isupper() else text


def make_examples(
    utterances: Sequence[Utterance], tokenizer: WhisperTokenizer
) -> tuple[list[Example], list[Rejected]]:
    """Tokenise what can be trained on; the rest comes back with the reason, never dropped silently."""
    examples: list[Example] = []
    rejected: list[Rejected] = []
    for utterance in utterances:
        segments = utterance.extra.get(SEGMENTS)
        lost = tokenizer.unwritable(target_text(utterance.text or ""))
        tokens = _timed_tokens(segments, tokenizer) if segments else _tokens(utterance.text or "", tokenizer)
        if not tokens:
            rejected.append(Rejected(utterance.id, "no text to learn from"))
        elif lost:
            rejected.append(Rejected(utterance.id, f"the tokens cannot write {lost!r} of {utterance.text!r}"))
        elif len(tokens) > MAX_LABEL_TOKENS - 8:
            rejected.append(
                Rejected(utterance.id, f"{len(tokens)} tokens of text; at most {MAX_LABEL_TOKENS - 8}")
            )
        elif utterance.duration_s > MAX_AUDIO_S:
            rejected.append(
                Rejected(utterance.id, f"{utterance.duration_s:.1f} s; at most {MAX_AUDIO_S:.0f} s")
            )
        else:
            examples.append(Example(utterance, tuple(tokens), timestamps=bool(segments)))
    return examples, rejected


def _tokens(text: str, tokenizer: WhisperTokenizer) -> list[int]:
    text = target_text(text)
    return tokenizer.encode(text) if text else []


def _timed_tokens(segments: Any, tokenizer: WhisperTokenizer) -> list[int]:
    """Each segment's tokens between the timestamps of its start and end, as openai/whisper was trained."""
    tokens: list[int] = []
    for start_s, end_s, text in segments:
        tokens += [
            tokenizer.timestamp(start_s), *_tokens(text, tokenizer), tokenizer.timestamp(end_s)
        ]  # fmt: skip
    return tokens


def collate(
    examples: Sequence[Example], prompt: Sequence[int], end_of_text: int,
    by_language: Mapping[str, Sequence[int]] | None = None, no_speech: int | None = None,
) -> Batch:  # fmt: skip
    """Pad to one length: inputs are prompt and tokens, labels the same one step ahead, ending with end-of-text.

    The last token of ``prompt`` says that there are no timestamps; examples with timestamps go without it. Utterances
    in a language of ``by_language`` have its prompt, which is as long. With ``no_speech``, what follows the first token
    is labelled, too: that token for silent examples, the prompt's next for the others, as openai/whisper was trained.
    """
    prompts = by_language or {}
    width = max(len(example.tokens) for example in examples) + len(prompt)
    inputs = np.full((len(examples), width), end_of_text, dtype=np.int64)
    labels = np.full((len(examples), width), IGNORED, dtype=np.int64)
    for row, example in enumerate(examples):
        own = prompts.get(example.utterance.language or "", prompt)
        before = own[:-1] if example.timestamps else own
        sequence = [*before, *example.tokens]
        inputs[row, : len(sequence)] = sequence
        if example.is_silent:
            labels[row, 0] = IGNORED if no_speech is None else no_speech
            continue
        labels[row, len(before) - 1 : len(sequence)] = [*example.tokens, end_of_text]
        if no_speech is not None and len(before) > 1:
            labels[row, 0] = before[1]
    return Batch(tuple(examples), inputs, labels)


def epoch_batches(
    examples: Sequence[Example], *, batch_size: int, seed: int, epoch: int
) -> Iterator[list[Example]]:
    """Batches of similar text length in an order that only seed and epoch decide, so that a resume sees the same."""
    rng = np.random.default_rng([seed, epoch])
    shuffled = [examples[index] for index in rng.permutation(len(examples))]
    pool = batch_size * 8
    batches = []
    for start in range(0, len(shuffled), pool):
        window = sorted(shuffled[start : start + pool], key=lambda example: len(example.tokens))
        batches += [window[first : first + batch_size] for first in range(0, len(window), batch_size)]
    for index in rng.permutation(len(batches)):
        yield batches[index]


def num_batches(examples: Sequence[Example], batch_size: int) -> int:
    """Batches of an epoch."""
    return sum(1 for _ in epoch_batches(examples, batch_size=batch_size, seed=0, epoch=0))


def examples_digest(examples: Sequence[Example]) -> str:
    """Identifies the tokens and ids that are trained on."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example.utterance.id}\0{example.tokens}\n".encode())
    return digest.hexdigest()
