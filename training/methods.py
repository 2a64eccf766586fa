"""What is trained: the decoder over cached encoder outputs, or the whole model.

One protocol, so that the loop, the checkpoints and the scoring do not know which. B batch, M mel bins, F feature
frames, E encoder frames, D width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from asr.data.manifest import load_samples
from asr.features import log_mel
from training.encoder_cache import EncoderCache
from training.examples import IGNORED, Batch, Example

LEARNING_RATES = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 5e-6}
"""Peak rate of a full fine-tune by width, 40 times below pre-training (Whisper paper, table 17)."""


class Method(Protocol):
    """How examples become a loss, and which weights learn."""

    name: str
    model: Any

    def trainable(self) -> dict[str, Tensor]:
        """The weights that learn, by their name in the checkpoint."""
        ...

    def encode(self, examples: Sequence[Example]) -> Tensor:
        """Encoder outputs (B, E, D)."""
        ...

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy per token, a scalar."""
        ...


class DecoderMethod:
    """Encoder frozen and not even run: its outputs come from the cache. The decoder learns, embeddings included."""

    name = "decoder"

    def __init__(self, model: Any, cache: EncoderCache) -> None:
        self.model = model
        self._cache = cache
        model.requires_grad_(False)
        model.model.decoder.requires_grad_(True)
        model.model.decoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return _learning(self.model)

    def encode(self, examples: Sequence[Example]) -> Tensor:
        """See :class:`Method`."""
        outputs = np.stack([self._cache.load(example.utterance) for example in examples])
        return torch.from_numpy(outputs).to(self.model.device, torch.float32)

    def loss(self, batch: Batch) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self.encode(batch.examples), batch)


class FullMethod:
    """Encoder and decoder learn; audio is transformed on every pass."""

    name = "full"

    def __init__(self, model: Any) -> None:
        self.model = model
        model.requires_grad_(True)
        model.model.encoder.embed_positions.requires_grad_(False)
        model.model.decoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return _learning(self.model)

    def encode(self, examples: Sequence[Example]) -> Tensor:
        """See :class:`Method`."""
        bins = self.model.config.num_mel_bins
        features = np.stack(
            [log_mel(load_samples(example.utterance), num_mel_bins=bins) for example in examples]
        )
        output: Tensor = self.model.model.encoder(
            torch.from_numpy(features).to(self.model.device)
        ).last_hidden_state
        return output

    def loss(self, batch: Batch) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self.encode(batch.examples), batch)


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


def _learning(model: Any) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def default_learning_rate(width: int) -> float:
    """The table's rate for this width, or that of the next larger model."""
    wider = [size for size in sorted(LEARNING_RATES) if size >= width]
    return LEARNING_RATES[wider[0] if wider else max(LEARNING_RATES)]
