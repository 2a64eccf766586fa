"""What is trained of a Whisper: the decoder over cached encoder outputs, or the whole model; low rank is ``lora``.

One protocol, so that the loop, the checkpoints and the scoring do not know which. B batch, M mel bins, F feature
frames, E encoder frames, D width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from asr.data.manifest import load_samples
from asr.features import log_mel
from training.encoder_cache import EncoderCache
from training.examples import IGNORED, Batch, Example, collate, num_labels

LEARNING_RATES = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 5e-6}
"""Peak rate of a full fine-tune by width, 40 times below pre-training (Whisper paper, table 17)."""


class Method(Protocol):
    """How examples become a loss, and which weights learn."""

    name: str
    model: Any

    def trainable(self) -> dict[str, Tensor]:
        """The weights that learn, by their name in the checkpoint."""
        ...

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """Mean loss of a batch, a scalar; what is drawn at random follows from the seed and ``step`` alone."""
        ...

    def num_targets(self, examples: Sequence[Example]) -> int:
        """How many values :meth:`loss` is the mean of; parts of a batch weigh by it."""
        ...

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the served model, by their names there, when the learned ones are ``weights``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What stands around the tokens of a transcript.

    Attributes:
        prompt: tokens before it.
        end_of_text: token behind it.
    """

    prompt: tuple[int, ...]
    end_of_text: int

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Inputs and labels of the decoder."""
        return collate(examples, self.prompt, self.end_of_text)


class Encodings(Protocol):
    """Where a method's encoder outputs come from."""

    def __call__(self, examples: Sequence[Example], step: int) -> Tensor:
        """Encoder outputs (B, E, D)."""
        ...


class CachedEncodings:
    """Outputs of a frozen encoder, from the cache."""

    def __init__(self, cache: EncoderCache, device: torch.device) -> None:
        self._cache = cache
        self._device = device

    def __call__(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Encodings`."""
        del step
        outputs = np.stack([self._cache.load(example.utterance) for example in examples])
        return torch.from_numpy(outputs).to(self._device, torch.float32)


class LiveEncodings:
    """Outputs of an encoder that learns: audio is transformed on every pass, in a whole 30 s window."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Encodings`."""
        del step
        bins = self._model.config.num_mel_bins
        features = np.stack(
            [log_mel(load_samples(example.utterance), num_mel_bins=bins) for example in examples]
        )
        output: Tensor = self._model.model.encoder(
            torch.from_numpy(features).to(self._model.device)
        ).last_hidden_state
        return output


class DecoderMethod:
    """Encoder frozen and not even run: its outputs come from the cache. The decoder learns, embeddings included."""

    name = "decoder"

    def __init__(self, model: Any, encodings: Encodings, frame: Frame) -> None:
        self.model = model
        self._encodings = encodings
        self._frame = frame
        model.requires_grad_(False)
        model.model.decoder.requires_grad_(True)
        model.model.decoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self._encodings(examples, step), self._frame.batch(examples))

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`Method`."""
        return num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return dict(weights)


class FullMethod:
    """Encoder and decoder learn."""

    name = "full"

    def __init__(self, model: Any, frame: Frame) -> None:
        self.model = model
        self._encodings = LiveEncodings(model)
        self._frame = frame
        model.requires_grad_(True)
        model.model.encoder.embed_positions.requires_grad_(False)
        model.model.decoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self._encodings(examples, step), self._frame.batch(examples))

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`Method`."""
        return num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return dict(weights)


def decoder_loss(model: Any, encoded: Tensor, batch: Batch) -> Tensor:
    """Mean cross entropy over the labelled positions; logits are computed only there."""
    inputs = torch.from_numpy(batch.inputs).to(encoded.device)
    labels = torch.from_numpy(batch.labels).to(encoded.device)
    hidden = model.model.decoder(
        input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
    ).last_hidden_state
    kept = labels != IGNORED
    logits = model.proj_out(hidden[kept])
    return torch.nn.functional.cross_entropy(logits.float(), labels[kept])


def learning(model: Any) -> dict[str, Tensor]:
    """The parameters that require a gradient, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def default_learning_rate(width: int) -> float:
    """The table's rate for this width, or that of the next larger model."""
    wider = [size for size in sorted(LEARNING_RATES) if size >= width]
    return LEARNING_RATES[wider[0] if wider else max(LEARNING_RATES)]
