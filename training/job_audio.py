"""The audio that a job makes: spoken sentences, augmented copies of recordings, windows of several utterances.

What is said is ``training.data``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.data.manifest import Utterance, read_manifest
from asr.text.languages import ENGLISH
from training.copies import augmented_copies
from training.inputs import in_language
from training.progress import Reporter
from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset
from training.synth.speech import EspeakEngine, engines_named
from training.windows import joined_windows

_SEED_OFFSETS = {"train": 0, "dev": 1, "general": 2, "replay": 3, "test": 4, "terms": 5}


@dataclass(frozen=True, slots=True)
class JobAudio:
    """Makes a job's audio; every part has a seed of its own, so no part sounds like another.

    Attributes:
        folder: of the job's data.
        reporter: to tell how far it is.
        seed: of the job.
        language: of the job, as a code.
    """

    folder: Path
    reporter: Reporter
    seed: int
    language: str

    def voices(self) -> list[str]:
        """A note on what speaks the job's language, where it is not English.

        Raises:
            MissingDependencyError: espeak-ng is needed and not installed.
            OptionError: it has no voice of the language.
        """
        if self.language == ENGLISH:
            return []
        (engine,) = engines_named(_engines(self.language), self.language)
        program = f"espeak-ng {engine.version}" if isinstance(engine, EspeakEngine) else engine.name
        return [
            f"speech: {program} speaks {self.language}, as {len(engine.voices)} synthetic speakers: robotic, so figures "
            "on it say little of people; give --train and --dev of recordings"
        ]

    def speak(
        self, part: str, sentences: Sequence[Sentence], copies: int = 1, language: str = ""
    ) -> list[Utterance]:
        """Sentences of a part of the data, spoken; in the job's language unless another is named."""
        if not sentences:
            return []
        language = language or self.language
        options = SynthesisOptions(
            copies=copies, seed=self.seed + _SEED_OFFSETS[part], engines=_engines(language), language=language
        )
        with self.reporter.stage(f"speaking {part}", len(sentences) * copies) as stage:
            target = self.folder / part
            manifest = synthesize_dataset(sentences, target, options=options, progress=stage.advance)
        return read_manifest(manifest)

    def copy(self, rows: Sequence[Utterance], copies: int) -> list[Utterance]:
        """Augmented copies of recordings."""
        if not rows or not copies:
            return []
        with self.reporter.stage("augmenting recordings", len(rows) * copies) as stage:
            return augmented_copies(
                rows, self.folder / "copies", copies=copies, seed=self.seed, on_done=stage.advance
            )

    def join(self, rows: Sequence[Utterance], count: int) -> list[Utterance]:
        """Windows of rows in the job's language: a prompt names one."""
        if not count:
            return []
        own = [row for row in rows if row.language == self.language]
        with self.reporter.stage("joining utterances", count) as stage:
            windows = joined_windows(
                own, self.folder / "windows", count=count, seed=self.seed, on_done=stage.advance
            )
        return in_language(windows, self.language)


def _engines(language: str) -> tuple[str, ...]:
    """Not whatever is installed: a job's data, and with them its verdict, must not depend on the machine."""
    return ("hibari",) if language == ENGLISH else ("espeak",)
