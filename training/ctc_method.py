"""Fine-tuning a Wav2Vec2-CTC: feature encoder frozen, the rest learns; characters that it lacks get new outputs.

All chance (SpecAugment, dropout, layer drop) follows from the seed and the step, so a resumed run is the uninterrupted
one to the bit. B batch, T samples, E encoder frames, D width, U labels, V vocabulary.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr.data.manifest import load_samples
from asr.decoding.ctc_tokens import CtcTokens
from asr.models.checkpoint import save_wav2vec2
from asr.models.ctc_frames import normalized
from training.examples import Example

LEARNING_RATES = ((1 / 6, 2e-5), (1.0, 5e-5), (10.0, 1e-4))
"""Hours of transcribed audio and the peak rate that fits a pretrained checkpoint."""
HEAD_WARMUP_SHARE = (
    0.1  # of all steps, for new outputs alone: their gradients are large and would shake the rest
)
MIN_MASKED_FRAMES = 2


class CtcMethod:
    """The whole model but its convolutions learns (Baevski et al. 2020, section 4.2: the feature encoder stays frozen).

    Attributes:
        name: "ctc".
        model: a ``Wav2Vec2ForCTC``.
    """

    name = "ctc"

    def __init__(self, model: Any, *, seed: int, normalizes: bool = True, head_only_steps: int = 0) -> None:
        """Prepare ``model`` for training.

        Args:
            model: a ``Wav2Vec2ForCTC``; its losses become means over the labels, impossible ones zero.
            seed: of everything drawn.
            normalizes: whether its feature extractor normalises the waveform.
            head_only_steps: first steps in which only the outputs learn, for new ones.
        """
        self.model = model
        self._seed = seed
        self._normalizes = normalizes
        self._head_only_steps = head_only_steps
        model.config.ctc_loss_reduction = "mean"
        model.config.ctc_zero_infinity = True
        model.requires_grad_(True)
        model.freeze_feature_encoder()
        # group norm averages over time: padding would change every frame, so such models run one by one
        self._pads = model.config.feat_extract_norm == "layer"
        self._mask_frames = model.config.mask_time_length
        self._masks = model.config.apply_spec_augment

    def trainable(self) -> dict[str, Tensor]:
        """The weights that learn, by their name in the checkpoint."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """Mean over the examples of the CTC loss per label, a scalar; seed, step and examples decide its value."""
        samples = [self._samples(example) for example in examples]
        with _chance(self._seed, step, examples, self.model.device):
            if self._pads:
                return self._batch_loss(samples, examples, step)
            losses = [
                self._batch_loss([one], [example], step)
                for one, example in zip(samples, examples, strict=True)
            ]
            return torch.stack(losses).mean()

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """All at once, or one by one where padding would change them."""
        return [list(examples)] if self._pads and examples else [[example] for example in examples]

    def num_targets(self, examples: Sequence[Example]) -> int:
        """The examples: :meth:`loss` is the mean over them, whatever their length."""
        return len(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the served model, by their names there: the learned ones themselves."""
        return dict(weights)

    def _samples(self, example: Example) -> Tensor:
        samples = load_samples(example.utterance)
        return torch.from_numpy(normalized(samples) if self._normalizes else samples)

    def _batch_loss(self, samples: Sequence[Tensor], examples: Sequence[Example], step: int) -> Tensor:
        device = self.model.device
        lengths = torch.tensor([len(one) for one in samples])
        inputs = torch.nn.utils.rnn.pad_sequence(list(samples), batch_first=True).to(device)
        mask = (torch.arange(inputs.shape[1]) < lengths[:, None]).long().to(device) if self._pads else None
        num_frames = self.model._get_feat_extract_output_lengths(lengths)
        self._fit_masks(int(num_frames.max()))
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= self._head_only_steps):
            hidden = self.model.wav2vec2(inputs, attention_mask=mask).last_hidden_state
            if (masked := getattr(self.model.wav2vec2, "masked_spec_embed", None)) is not None:
                # very short audio is not masked; processes that share weights need gradients of the same ones
                hidden = hidden + 0.0 * masked.sum()
        logits = self.model.lm_head(self.model.dropout(hidden))
        return torch.nn.functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            torch.tensor([token for example in examples for token in example.tokens], device=device),
            num_frames.to(device),
            torch.tensor([len(example.tokens) for example in examples], device=device),
            blank=self.model.config.pad_token_id,
            reduction="mean",
            zero_infinity=True,
        )

    def _fit_masks(self, num_frames: int) -> None:
        """transformers refuses masks longer than the batch: shorten them for very short ones, or leave them out."""
        self.model.config.mask_time_length = max(1, min(self._mask_frames, num_frames - 1))
        self.model.config.apply_spec_augment = self._masks and num_frames > MIN_MASKED_FRAMES


@contextmanager
def _chance(seed: int, step: int, examples: Sequence[Example], device: torch.device) -> Iterator[None]:
    """Draw from generators that seed, step and examples decide; leave the global ones as they were.

    transformers draws SpecAugment's masks from NumPy's global generator and the rest from torch's.
    """
    heard = zlib.crc32("\0".join(example.utterance.id for example in examples).encode())
    state = np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        numbers = np.random.SeedSequence([seed, step, heard]).generate_state(2)
        torch.manual_seed(int(numbers[0]))
        np.random.seed(int(numbers[1]))
        try:
            yield
        finally:
            np.random.set_state(state)


def default_ctc_learning_rate(num_hours: float) -> float:
    """The table's peak rate, between its rows by the logarithms; the outer rows beyond them."""
    hours, rates = zip(*LEARNING_RATES, strict=True)
    return float(np.exp(np.interp(np.log(max(num_hours, 1e-3)), np.log(hours), np.log(rates))))


def add_outputs(model: Any, tokens: CtcTokens, characters: Sequence[str], *, seed: int) -> CtcTokens:
    """Give the model an output for each new character, behind the known ones, whose weights stay as they are.

    New rows of the head begin at a hundredth of the known rows' spread, so they are silent at first.
    """
    head = model.lm_head
    generator = torch.Generator().manual_seed(seed)
    spread = float(head.weight.detach().std()) / 100
    rows = torch.randn(len(characters), head.in_features, generator=generator) * spread
    new = torch.nn.Linear(head.in_features, head.out_features + len(characters))
    with torch.no_grad():
        new.weight.copy_(torch.cat([head.weight, rows.to(head.weight)]))
        lowest = head.bias.min().expand(len(characters))
        new.bias.copy_(torch.cat([head.bias, lowest]))
    model.lm_head = new.to(head.weight)
    model.config.vocab_size = new.out_features
    return CtcTokens(labels=(*tokens.labels, *characters), blank=tokens.blank, lower_case=tokens.lower_case)


def save_ctc(model: Any, tokens: CtcTokens, base: Path, target: Path) -> None:
    """Write a fine-tuned model with the files of ``base``, its vocabulary extended where ``tokens`` has more outputs."""
    save_wav2vec2(model, base, target)
    path = target / "vocab.json"
    vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    known = set(vocabulary.values())
    vocabulary |= {
        label: index for index, label in enumerate(tokens.labels) if label.strip() and index not in known
    }
    path.write_text(json.dumps(vocabulary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
