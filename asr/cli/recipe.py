"""How recordings become transcripts: the model, the search and the steps behind it, the same here and on any worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseSet
    from asr.cli.batch import LocalEngine
    from asr.models.resolve import ResolvedModel
    from asr.results import Transcript

REDACTION = "redact-1"  # asr.text.redaction as it is now; another behaviour gets another number


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What ``lexitune transcribe`` was asked to transcribe with.

    Attributes:
        model: immutable reference.
        engine: that decodes, of ``asr.recognizer.ENGINES``.
        device: "cpu" or "cuda".
        beam_size: of the search.
        language: code of the speech, "auto" to leave it to the model.
        phrases: that every recording may hold.
        steps: names of ``asr.text.steps``, in their order.
        redact: kinds of words that are taken out, of ``asr.text.redaction``.
    """

    model: str
    engine: str = "ctranslate2"
    device: str = "cpu"
    beam_size: int = 5
    language: str = "auto"
    phrases: PhraseSet | None = None
    steps: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()

    def making(self, resolved: ResolvedModel, output_format: str) -> dict[str, Any]:
        """What an output is made with, for its record; with the same, it would be the same."""
        return {
            "model": resolved.reference,
            "model_sha256": resolved.sha256,
            "engine": self.engine,
            "beam_size": self.beam_size,
            "language": self.language,
            "phrases": self.phrases.key if self.phrases else "",
            "steps": [*self.steps, *([REDACTION] if self.redact else [])],
            "redact": sorted(set(self.redact)),
            "format": output_format,
        }

    def open(self, *, num_workers: int) -> LocalEngine:
        """Load the model, here.

        Raises:
            LexituneError: it cannot be loaded, or does not know the language.
        """
        from asr.cli.batch import LocalEngine
        from asr.models.base import DecodingOptions
        from asr.recognizer import Recognizer
        from asr.text.languages import AUTO, known_code

        recognizer = Recognizer.load(
            self.model, engine=self.engine, device=self.device, num_workers=num_workers
        )
        code = None if self.language == AUTO else known_code(self.language, recognizer.languages, self.model)
        options = DecodingOptions(beam_size=self.beam_size, language=code)
        return LocalEngine(recognizer, options, self.phrases, self.finisher())

    def finisher(self) -> Callable[[Transcript], Transcript]:
        """What is done to every transcript.

        Raises:
            OptionError: a step or a kind of words is not known.
            MissingDependencyError: what one needs is not installed.
        """
        from asr.text.steps import finisher

        return finisher(self.steps, self.redact)
