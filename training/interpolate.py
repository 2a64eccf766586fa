"""Between base and tuned: W = W0 + a (W_ft - W0), a chosen on dev within the budget for general speech.

Where the encoder learned, too, it has an a of its own: what is gained of how a domain sounds lies there, and most
of what is lost of general speech in the decoder (docs/experiments.md).

The interpolated model is often better than the base on both (docs/experiments.md); a = 0, keeping the base, is an
honest answer. Source: WiSE-FT, arXiv 2109.01903.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

ENCODER = "model.encoder."  # what a Whisper's encoder weights' names begin with
SURELY_BETTER = 0.8  # probability above which a larger mix is taken for being better (docs/experiments.md)
SMALLEST = 0.0  # the mix that is preferred among equals,
MEASURED = 0.75  # and where general speech was recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class MixScore:
    """What a mix does to dev and to general speech.

    Attributes:
        mix: a; 0 is the base.
        encoder_mix: a of the encoder, where it is another one.
        carries: of mix 0: whether the base is heard with the job's phrases.
        domain_error: dev WER or CER, or 1 - term F1 where dev has no transcripts.
        general_wer: of the general set; a CER where words are not written apart.
        sound_words: written where nobody speaks.
    """

    mix: float
    domain_error: float
    general_wer: float
    sound_words: int = 0
    encoder_mix: float | None = None
    carries: bool = False

    @property
    def size(self) -> float:
        """How much of the change is kept; mixes are compared by it."""
        return self.mix + (self.mix if self.encoder_mix is None else self.encoder_mix)

    @property
    def label(self) -> str:
        """For a person."""
        return mix_label(self.mix, self.encoder_mix) + (" with phrases" if self.carries else "")


def mix_label(mix: float, encoder_mix: float | None) -> str:
    """A mix for a person."""
    return f"{mix:g}" + (f", encoder {encoder_mix:g}" if encoder_mix is not None else "")


def interpolate(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], mix: float, encoder_mix: float | None = None
) -> dict[str, Tensor]:
    """Weights at ``mix``, those of the encoder at ``encoder_mix``; what was not tuned stays the base's."""

    def share(name: str) -> float:
        return encoder_mix if encoder_mix is not None and name.startswith(ENCODER) else mix

    return {
        name: value if name not in tuned else value + share(name) * (tuned[name].to(value) - value)
        for name, value in base.items()
    }


def choose_mix(
    scores: Sequence[MixScore],
    *,
    budget_wer: float,
    prob_better: Callable[[MixScore, MixScore], float],
    preferred: float = SMALLEST,
    min_prob_better: float,
) -> MixScore:
    """Of the mixes that dev cannot tell from the best one within the budgets, the one nearest to the preferred.

    By default that is the smallest: what a small general set does not show, a larger mix still costs. Where general
    speech was recorded, its cost is measured, and on speakers that dev does not hold, errors fall up to about three
    quarters of the change (docs/experiments.md). What was learned must also be worth more than the phrases alone:
    where no mix has a lower error than the base with it, that is taken, if it is better than the base.

    Args:
        scores: one of them for the base, and where there are phrases to carry, one for the base with them.
        budget_wer: general WER that may be reached at most.
        prob_better: of the first against the second on dev, by paired resampling.
        preferred: mix that is taken where dev has no reason against it.
        min_prob_better: than the base, which the gate will ask for on dev; who has it goes first.
    """
    base = next(score for score in scores if score.mix == 0 and not score.carries)
    better = [
        score
        for score in scores
        if score.general_wer <= budget_wer
        and score.sound_words <= base.sound_words
        and score.domain_error < base.domain_error
    ]
    kept = next((score for score in better if score.carries), base)
    allowed = [score for score in better if score.domain_error < kept.domain_error]
    if not allowed:
        return kept
    best = min(allowed, key=lambda score: (score.domain_error, score.general_wer, score.size))
    as_good = [score for score in allowed if score is best or prob_better(best, score) < SURELY_BETTER]
    will_pass = [score for score in as_good if prob_better(score, base) >= min_prob_better]
    return min(will_pass or as_good, key=lambda score: (abs(score.size - 2 * preferred), score.domain_error))
