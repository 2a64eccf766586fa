"""What is trained of a Whisper: the decoder over cached encoder outputs, or the whole model; low rank is ``lora``.

One protocol, so that the loop, the checkpoints and the scoring do not know which. B batch, M mel bins, F feature
frames, E encoder frames, D width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.data.manifest import load_samples
from asr.features import log_mel
from asr.models.contexts import WHOLE
from asr.models.whisper_torch import encode_features
from asr.units import HOP_SAMPLES
from training.contexts import TrainingContexts
from training.encoder_cache import EncoderCache
from training.examples import IGNORED, Batch, Example, collate
from training.spec_augment import SpecAugment

_Float = TypeVar("_Float", bound=np.floating[Any])

EMBEDDINGS = "model.decoder.embed_tokens.weight"
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

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """The examples by what runs through the model at once in :meth:`loss`."""
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
        by_language: prompts of utterances in these languages, each as long as ``prompt``.
        no_speech: token for silent examples; None teaches nothing about silence.
    """

    prompt: tuple[int, ...]
    end_of_text: int
    by_language: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    no_speech: int | None = None

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Inputs and labels of the decoder."""
        return collate(examples, self.prompt, self.end_of_text, self.by_language, self.no_speech)

    def written(self, examples: Sequence[Example]) -> frozenset[int]:
        """Every token that is labelled in ``examples``, their ends and what says that nobody speaks included."""
        said = {token for example in examples for token in example.tokens}
        around = [*self.prompt, *(token for prompt in self.by_language.values() for token in prompt)]
        silent = [] if self.no_speech is None else [self.no_speech]
        return frozenset({*said, *around, *silent, self.end_of_text})

    def num_labels(self, examples: Sequence[Example]) -> int:
        """Labelled positions of a batch."""
        return int((self.batch(examples).labels != IGNORED).sum())


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples of one context with their encoder outputs (B, E, D)."""

    examples: list[Example]
    outputs: Tensor


class Encodings(Protocol):
    """Where a method's encoder outputs come from."""

    def __call__(self, examples: Sequence[Example], step: int) -> list[Encoded]:
        """Encoder outputs of a batch, by context."""
        ...

    def by_context(self, examples: Sequence[Example]) -> list[list[Example]]:
        """A batch by context, without what a model would compute."""
        ...


class CachedEncodings:
    """Outputs of a frozen encoder, from the cache."""

    def __init__(self, cache: EncoderCache, device: torch.device) -> None:
        self._cache = cache
        self._device = device

    def __call__(self, examples: Sequence[Example], step: int) -> list[Encoded]:
        """See :class:`Encodings`."""
        del step
        outputs = [self._cache.load(example.utterance) for example in examples]
        return [
            Encoded(members, torch.from_numpy(np.stack(arrays)).to(self._device, torch.float32))
            for members, arrays in _by_length(examples, outputs)
        ]

    def by_context(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`Encodings`."""
        lengths = [self._cache.load(example.utterance, is_mapped=True) for example in examples]
        return [members for members, _ in _by_length(examples, lengths)]


class LiveEncodings:
    """Outputs of an encoder that learns: audio is transformed on every pass."""

    def __init__(
        self, model: Any, contexts: TrainingContexts | None = None, masks: SpecAugment | None = None
    ) -> None:
        """Hear utterances in ``contexts``, by default in whole windows, and without what ``masks`` masks."""
        self._model = model
        self._contexts = contexts or TrainingContexts(context=WHOLE, seed=0)
        self._masks = masks

    def __call__(self, examples: Sequence[Example], step: int) -> list[Encoded]:
        """See :class:`Encodings`."""
        features = [self._features(example, step) for example in examples]
        return [
            Encoded(
                members,
                encode_features(self._model, torch.from_numpy(np.stack(arrays)).to(self._model.device)),
            )
            for members, arrays in _by_length(examples, features)
        ]

    def by_context(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`Encodings`."""
        frames = [self._contexts.frames(one.utterance, len(load_samples(one.utterance))) for one in examples]
        lengths = [np.broadcast_to(np.float32(0), (count,)) for count in frames]
        return [members for members, _ in _by_length(examples, lengths)]

    def _features(self, example: Example, step: int) -> NDArray[np.float32]:
        """Features (M, F) in the context of the example."""
        samples = load_samples(example.utterance)
        frames = self._contexts.frames(example.utterance, len(samples))
        features = log_mel(samples, num_mel_bins=self._model.config.num_mel_bins, num_frames=frames)
        if self._masks is None:
            return features
        return self._masks.masked(features, len(samples) // HOP_SAMPLES, example.utterance.id, step)


def _by_length(
    examples: Sequence[Example], arrays: Sequence[NDArray[_Float]]
) -> list[tuple[list[Example], list[NDArray[_Float]]]]:
    """Examples and arrays grouped by the arrays' shape, shortest first."""
    groups: dict[tuple[int, ...], tuple[list[Example], list[NDArray[_Float]]]] = {}
    for example, array in zip(examples, arrays, strict=True):
        members, stacked = groups.setdefault(array.shape, ([], []))
        members.append(example)
        stacked.append(array)
    return [groups[shape] for shape in sorted(groups)]


class WrittenEmbeddings:
    """The token embeddings, which are also the outputs, of the tokens that the training texts hold; the others' stay.

    AdamW gives every weight a step of about the same size: tokens that no text holds, whose gradients only say that they
    are not the next one, would be moved further than those that are learned, and what was known of them lost. So they get
    no gradient; put back only at the end, they would be strangers to a decoder that learned beside moved ones
    (docs/experiments.md).
    """

    def __init__(self, model: Any, written: Collection[int] | None) -> None:
        """Keep the embeddings of ``model`` as they are now, but for the tokens ``written``; None leaves all to learn."""
        self._model = model
        self._written = torch.tensor(sorted(written)) if written is not None else None
        if self._written is not None:
            self._start = model.model.decoder.embed_tokens.weight.detach().cpu().clone()
            self._learns = torch.zeros(len(self._start), 1, dtype=torch.bool)
            self._learns[self._written] = True

    def logits(self, states: Tensor) -> Tensor:
        """Decoder states (N, D) to logits (N, V); embeddings that stay get no gradient from them."""
        weight = self._model.proj_out.weight
        if self._written is None or not weight.requires_grad:
            logits: Tensor = self._model.proj_out(states)
            return logits
        self._learns = self._learns.to(weight.device)
        held = torch.where(self._learns, weight, weight.detach())
        return torch.nn.functional.linear(states, held)

    def settled(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Learned weights; of the embeddings (V, D) those that stay, without what weight decay took of them."""
        if EMBEDDINGS not in weights or self._written is None:
            return dict(weights)
        learned = self._start.clone()
        learned[self._written] = weights[EMBEDDINGS].detach().to(learned)[self._written]
        return {**weights, EMBEDDINGS: learned}


class DecoderMethod:
    """Encoder frozen and not even run: its outputs come from the cache. The decoder learns."""

    name = "decoder"

    def __init__(
        self,
        model: Any,
        encodings: Encodings,
        frame: Frame,
        *,
        learn_embeddings: bool = True,
        written: Collection[int] | None = None,
    ) -> None:
        """Prepare ``model``.

        Args:
            model: a ``WhisperForConditionalGeneration``.
            encodings: of what is trained on.
            frame: around the labels.
            learn_embeddings: whether the token embeddings learn, too, which are also the outputs:
            written: those of these tokens, or with None of all.
        """
        self.model = model
        self._encodings = encodings
        self._frame = frame
        self._embeddings = WrittenEmbeddings(model, written)
        model.requires_grad_(False)
        model.model.decoder.requires_grad_(True)
        model.model.decoder.embed_positions.requires_grad_(False)
        model.model.decoder.embed_tokens.requires_grad_(learn_embeddings)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self._encodings(examples, step), self._frame, self._embeddings.logits)

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`Method`."""
        return self._encodings.by_context(examples)

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`Method`."""
        return self._frame.num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return self._embeddings.settled(weights)


class FullMethod:
    """Encoder and decoder learn."""

    name = "full"

    def __init__(
        self, model: Any, encodings: LiveEncodings, frame: Frame, *, written: Collection[int] | None = None
    ) -> None:
        """Prepare ``model``; of the token embeddings those of ``written`` learn, or with None all."""
        self.model = model
        self._embeddings = WrittenEmbeddings(model, written)
        self._encodings = encodings
        self._frame = frame
        model.requires_grad_(True)
        model.model.encoder.embed_positions.requires_grad_(False)
        model.model.decoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`Method`."""
        return decoder_loss(self.model, self._encodings(examples, step), self._frame, self._embeddings.logits)

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`Method`."""
        return self._encodings.by_context(examples)

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`Method`."""
        return self._frame.num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return self._embeddings.settled(weights)


def decoder_loss(
    model: Any,
    encoded: Sequence[Encoded],
    frame: Frame,
    to_logits: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Mean cross entropy over the labelled positions of all examples; ``to_logits`` is the model's own by default.

    The vocabulary's matrix is by far the largest of a small decoder: tokens are looked up once and logits computed once
    for all contexts together, and only at labelled positions.
    """
    batch = frame.batch([example for one in encoded for example in one.examples])
    device = encoded[0].outputs.device
    labels = torch.from_numpy(batch.labels).to(device)
    embeddings = model.model.decoder.embed_tokens(torch.from_numpy(batch.inputs).to(device))
    parts = embeddings.split([len(one.examples) for one in encoded])
    states = [decoded(model, one.outputs, part) for one, part in zip(encoded, parts, strict=True)]
    kept = labels != IGNORED
    logits = (to_logits or model.proj_out)(torch.cat(states)[kept])
    return torch.nn.functional.cross_entropy(logits.float(), labels[kept])


def decoded(model: Any, outputs: Tensor, embeddings: Tensor) -> Tensor:
    """The decoder's last hidden states (B, U, D) over encoder outputs (B, E, D) and its tokens' embeddings (B, U, D)."""
    hidden: Tensor = model.model.decoder(
        inputs_embeds=embeddings, encoder_hidden_states=outputs, use_cache=False
    ).last_hidden_state
    return hidden


def learning(model: Any) -> dict[str, Tensor]:
    """The parameters that require a gradient, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def default_learning_rate(width: int) -> float:
    """The table's rate for this width, or that of the next larger model."""
    wider = [size for size in sorted(LEARNING_RATES) if size >= width]
    return LEARNING_RATES[wider[0] if wider else max(LEARNING_RATES)]
