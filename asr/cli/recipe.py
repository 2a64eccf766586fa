"""How recordings become transcripts: the model, the search and the steps behind it, the same here and on any worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.biasing.phrases import PhraseSet
    from asr.cli.batch import LocalEngine
    from asr.models.resolve import ResolvedModel


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
    """

    model: str
    engine: str = "ctranslate2"
    device: str = "cpu"
    beam_size: int = 5
    language: str = "auto"
    phrases: PhraseSet | None = None

    def making(self, resolved: ResolvedModel, output_format: str) -> dict[str, Any]:
        """What an output is made with, for its record; with the same, it would be the same."""
        return {
            "model": resolved.reference,
            "model_sha256": resolved.sha256,
            "engine": self.engine,
            "beam_size": self.beam_size,
            "language": self.language,
            "phrases": self.phrases.key if self.phrases else "",
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
        return LocalEngine(recognizer, options, self.phrases)
