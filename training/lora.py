"""Low-rank adaptation of a Whisper with peft: the base stays as it is, and what was learned is a small artefact.

For serving the adapter is merged into the weights; beside them it is kept in peft's own format. D width, R rank.
Source: Hu et al., arXiv 2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from training.examples import Example
from training.methods import Encodings, Frame, decoder_loss, learning

ADAPTER_FOLDER = "adapter"
_NAME = "default"  # peft's name for the only adapter
_PROJECTIONS = r"(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
_LAYERS = {
    "decoder": rf".*\.decoder\.layers\..*\.{_PROJECTIONS}",
    "both": rf".*\.(encoder|decoder)\.layers\..*\.{_PROJECTIONS}",
}


class LoraMethod:
    """Low-rank changes of every projection in the decoder, or in encoder and decoder."""

    name = "lora"

    def __init__(
        self, model: Any, encodings: Encodings, frame: Frame, *, part: str, rank: int, alpha: float
    ) -> None:
        """Put adapters into ``model``; they begin as no change at all.

        Args:
            model: a ``WhisperForConditionalGeneration``; its modules are wrapped in place.
            encodings: cached for ``part`` "decoder", live for "both".
            frame: around the labels.
            part: "decoder" or "both".
            rank: R of each adapter.
            alpha: changes are scaled by alpha / rank.
        """
        from peft import LoraConfig, inject_adapter_in_model

        self.config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=_LAYERS[part])
        # those in the model may come to be divided between processes
        self._start = {
            f"{name}.weight": module.weight.detach().cpu().clone()
            for name, module in model.named_modules()
            if re.fullmatch(_LAYERS[part], name)
        }
        self.model = inject_adapter_in_model(self.config, model)
        self._encodings = encodings
        self._frame = frame
        self._scale = alpha / rank

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`training.methods.Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """See :class:`training.methods.Method`."""
        return decoder_loss(self.model, self._encodings(examples, step), self._frame)

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`training.methods.Method`."""
        return self._encodings.by_context(examples)

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`training.methods.Method`."""
        return self._frame.num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The wrapped matrices (D_out, D_in) with their change B (D_out, R) A (R, D_in) added."""
        changed = {}
        for name, down in weights.items():
            if match := re.fullmatch(rf"(.+)\.lora_A\.{_NAME}\.weight", name):
                base = self._start[f"{match[1]}.weight"]
                up = weights[f"{match[1]}.lora_B.{_NAME}.weight"]
                change = (up.detach() @ down.detach()).to(base)
                changed[f"{match[1]}.weight"] = base + self._scale * change
        return changed

    def save_adapter(self, weights: Mapping[str, Tensor], mix: float, base: str, target: Path) -> None:
        """Write the adapter as peft reads it; ``mix`` goes into its scale, so it adds exactly what is served.

        Args:
            weights: learned ones, as :meth:`trainable` names them.
            mix: share of the change that is served.
            base: the model that it belongs to, for a person and in peft's configuration.
            target: a new folder.
        """
        from copy import copy

        from safetensors.torch import save_file

        target.mkdir(parents=True)
        config = copy(self.config)
        config.lora_alpha = self.config.lora_alpha * mix
        config.base_model_name_or_path = base
        config.inference_mode = True
        config.save_pretrained(str(target))
        tensors = {
            f"base_model.model.{name.replace(f'.{_NAME}.weight', '.weight')}": value.detach()
            .cpu()
            .contiguous()
            for name, value in weights.items()
        }
        save_file(tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})
