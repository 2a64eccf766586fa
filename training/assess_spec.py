"""What an assessment is asked for: a frozen description without torch, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from asr.errors import OptionError
from asr.models.reference import parse_reference
from asr.text.normalize import DEFAULT_NORMALIZER, get_normalizer

MAX_BUDGET_MINUTES = 24 * 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AssessSpec:
    """One assessment.

    Attributes:
        model: reference of the model as it is.
        manifest: recordings of the domain; with transcripts, a learning curve is drawn.
        text: domain text, one utterance a line; a sample is spoken by synthesis.
        terms: glossary, one term a line; carrier sentences are spoken.
        budget_minutes: what does not fit is left out and said so; a first run is always done.
        own_length: teach a Whisper to hear utterances at their own length first, as ``adapt`` does: minutes, outside the
            budget, once for each base; every run is several times faster then.
        max_measured: utterances of each source that the model transcribes.
        dev_share: of the recordings, whole speakers, that no run learns from.
        seed: of the samples, the speakers' order and training.
        normalizer: by name.
    """

    model: str
    manifest: Path | None = None
    text: Path | None = None
    terms: Path | None = None
    budget_minutes: float = 5.0
    own_length: bool = False
    max_measured: int = 80
    dev_share: float = 0.15
    seed: int = 0
    normalizer: str = DEFAULT_NORMALIZER

    def __post_init__(self) -> None:
        if not (self.manifest or self.text or self.terms):
            raise OptionError("nothing to assess; give MANIFEST, --text or --terms, or several of them")
        for option in ("manifest", "text", "terms"):
            path: Path | None = getattr(self, option)
            if path is not None and not path.is_file():
                raise OptionError(f"{option} {path} does not exist; give a file", field=option)
        parse_reference(self.model)
        get_normalizer(self.normalizer)
        if not 0 < self.budget_minutes <= MAX_BUDGET_MINUTES:
            raise OptionError(
                f"--budget-minutes is {self.budget_minutes:g}; give more than 0, at most {MAX_BUDGET_MINUTES:g}",
                field="budget_minutes",
            )
        if self.own_length and not self.manifest:
            raise OptionError(
                "--own-length makes the learning curve's runs faster, which needs a MANIFEST; leave it out",
                field="own_length",
            )
        if self.max_measured < 1 or not 0 < self.dev_share <= 0.5:
            raise OptionError(
                f"max_measured is {self.max_measured} and dev_share {self.dev_share:g}; give 1 or more, and more than "
                "0, at most 0.5"
            )
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"--seed is {self.seed}; give 0 to {2**32 - 1}", field="seed")

    def digest(self, *parts: str) -> str:
        """Identifies the assessment but for its budget, so that an interrupted one goes on with another, too."""
        raw = asdict(self) | {"budget_minutes": None}
        for option in ("manifest", "text", "terms"):
            path: Path | None = getattr(self, option)
            raw[option] = hashlib.sha256(path.read_bytes()).hexdigest() if path else None
        payload = json.dumps([raw, *parts], sort_keys=True)
        return hashlib.sha256(payload.encode()).hexdigest()[:16]
