"""What a job asks of a model family, Whisper or Wav2Vec2-CTC, so that its steps do not know which it adapts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance
from asr.models.base import DecodingOptions, Samples, SpeechModel
from training.examples import Example, Rejected
from training.methods import Method

FEWEST_EPOCHS, MOST_EPOCHS = 2, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What of the training data can be trained on, what cannot, and what a reader must know."""

    examples: Sequence[Example]
    rejected: Sequence[Rejected]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is trained, and why.

    Attributes:
        method: "decoder", "lora", "full" or "ctc".
        reason: for a person.
        part: of LoRA: "decoder" or "both".
        enough_steps: of what learns from synthesised speech alone: after so many it learns no more of the domain; 0 of
            anything else.
    """

    method: str
    reason: str
    part: str = ""
    enough_steps: int = 0

    @property
    def is_split(self) -> bool:
        """Whether encoder and decoder are mixed with the base by shares of their own."""
        return self.method == "full"

    @property
    def changes_encoder(self) -> bool:
        """Whether the encoder learns, not the decoder alone."""
        return self.method == "full" or self.part == "both"

    def epochs(self, steps_per_epoch: int) -> int:
        """Passes over the training utterances at most, where the user names no number."""
        if not self.enough_steps:
            return MOST_EPOCHS
        return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(self.enough_steps / steps_per_epoch)))


class VariantScorer(Protocol):
    """Turns weights into texts for the utterances that it was prepared for."""

    def prepare(
        self, utterances: Sequence[Utterance], on_done: Callable[[], None], *, whole: bool = False
    ) -> None:
        """Cut every utterance into segments, or keep it ``whole``."""
        ...

    def segments(self, utterances: Sequence[Utterance]) -> list[Samples]:
        """Every segment of utterances that were prepared."""
        ...

    def texts(
        self,
        state: Mapping[str, Tensor],
        utterances: Sequence[Utterance],
        options: DecodingOptions,
        context: str = ...,
        phrases: PhraseSet | None = ...,
    ) -> list[str]:
        """Text of every utterance under the weights ``state``, heard in ``context``, with what it may hold."""
        ...


class Family(Protocol):
    """One family's side of a job.

    Attributes:
        name: as in the checkpoint's configuration.
        base_state: weights of the base.
        start_state: weights that training starts from.
        context: of :mod:`asr.models.contexts`, in which the result is to be heard.
        carries_phrases: whether a version looks for its phrases in what it hears.
    """

    name: str
    base_state: Mapping[str, Tensor]
    start_state: Mapping[str, Tensor]
    context: str
    carries_phrases: bool

    @property
    def base_context(self) -> str:
        """The context in which the base is heard."""
        ...

    def move(self, device: torch.device) -> None:
        """Train on this device; before :meth:`method`. Kept weights, scoring and export stay on the CPU."""
        ...

    def rows(self, utterances: Sequence[Utterance]) -> Rows:
        """Training rows as examples."""
        ...

    def plan(self, num_recorded_hours: float) -> Plan:
        """What to train, as asked or by what is given."""
        ...

    def plan_instead(self, plan: Plan) -> Plan | None:
        """What to train where the budgets hold back much of what ``plan`` learned; None if there is nothing else."""
        ...

    def method(self, plan: Plan, examples: Sequence[Example], num_steps: int) -> Method:
        """The model ready to learn from ``examples`` for ``num_steps`` steps at most, from the weights of the start."""
        ...

    def learning_rate(self, plan: Plan, num_recorded_hours: float) -> float:
        """The peak rate where the user names none."""
        ...

    def scorer(self) -> VariantScorer:
        """Scores weights of this family as served; to be called after :meth:`method`."""
        ...

    def export(self, state: Mapping[str, Tensor], folder: Path) -> None:
        """Write a version with the weights ``state`` to the new folder."""
        ...

    def finish(self, folder: Path) -> VariantScorer | None:
        """Add to an exported version what the weights do not hold, such as a language model.

        Returns:
            The scorer of the version as it is served then, whatever state it is given; None if nothing changed.
        """
        ...

    def engines(self, folder: Path, context: str) -> tuple[SpeechModel, SpeechModel]:
        """A version as the float32 reference and as served."""
        ...

    def save_adapter(self, method: Method, weights: Mapping[str, Tensor], mix: float, folder: Path) -> None:
        """Keep what a method learned as a small artefact beside the version, where it learns one."""
        ...
