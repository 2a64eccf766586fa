"""The recognisers that ``benchmarks/engine.py`` compares: ours, and what people run today, each as its users call it.

All read the same wav files, on the same number of threads, and reading is part of what is timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from asr.audio.files import read_audio
from asr.errors import MissingDependencyError
from asr.models.base import DecodingOptions, batch_segments
from asr.models.contexts import WHOLE
from asr.models.resolve import ResolvedModel, resolve_model, serving_folder
from asr.recognizer import Recognizer
from asr.units import SAMPLE_RATE_HZ

BEAM_SIZE = 5
PIPELINE_BATCH_SIZE = 8


class System(Protocol):
    """A recogniser under comparison; ``settings`` says what was run, for the record."""

    name: str
    settings: str
    model: str

    def transcribe(self, paths: Sequence[Path]) -> list[str]:
        """The text of each wav file."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What all sides share: threads, the language of the speech ("" leaves it to the model), "cpu" or "cuda"."""

    num_threads: int
    language: str
    device: str = "cpu"

    @property
    def precision(self) -> str:
        """Of the matrices that CTranslate2 multiplies."""
        return "int8" if self.device == "cpu" else "float16"


class Ours:
    """``Recognizer.transcribe_many``, one thread a worker; with ``whole_windows`` in 30 s, whatever it was proved on."""

    def __init__(self, reference: str, run: Run, *, whole_windows: bool = False) -> None:
        resolved = resolve_model(reference)
        if whole_windows:
            resolved = replace(resolved, contexts=(WHOLE,))
        self._recognizer = Recognizer.open(resolved, device=run.device, num_workers=run.num_threads)
        self.name = "lexitune, whole windows" if whole_windows else "lexitune"
        self.model = self._recognizer.reference
        own = "own length" if self._recognizer.resolved.own_length else "30 s windows"
        self.settings = (
            f"{run.precision}, beam {BEAM_SIZE}, batch {batch_segments(run.device)}, {run.num_threads} workers of 1 "
            f"thread, {own}"
        )
        language = run.language if len(self._recognizer.languages) > 1 and run.language else None
        self._options = DecodingOptions(beam_size=BEAM_SIZE, word_times=False, language=language)

    def transcribe(self, paths: Sequence[Path]) -> list[str]:
        """See :class:`System`."""
        done = self._recognizer.transcribe_many((read_audio(path) for path in paths), self._options)
        return [transcript.text for transcript in done]


class FasterWhisper:
    """faster-whisper as its README shows it, one file after the other."""

    def __init__(self, model: ResolvedModel, run: Run) -> None:
        self.name = "faster-whisper"
        self.model = model.reference
        self.settings = f"{run.precision}, its defaults (beam 5), cpu_threads {run.num_threads}"
        self._whisper = load_faster_whisper(
            serving_folder(model), run.num_threads, device=run.device, compute_type=run.precision
        )
        self._language = run.language or None

    def transcribe(self, paths: Sequence[Path]) -> list[str]:
        """See :class:`System`."""
        texts = []
        for path in paths:
            segments, _ = self._whisper.transcribe(str(path), language=self._language)
            texts.append(" ".join(segment.text.strip() for segment in segments))
        return texts


class FasterWhisperBatched:
    """faster-whisper's ``BatchedInferencePipeline`` with its defaults: its own VAD, batch 8."""

    def __init__(self, model: ResolvedModel, run: Run) -> None:
        from faster_whisper import BatchedInferencePipeline

        self.name = "faster-whisper batched"
        self.model = model.reference
        self.settings = f"{run.precision}, its defaults (beam 5, batch 8, VAD), cpu_threads {run.num_threads}"
        whisper = load_faster_whisper(
            serving_folder(model), run.num_threads, device=run.device, compute_type=run.precision
        )
        self._pipeline = BatchedInferencePipeline(model=whisper)
        self._language = run.language or None

    def transcribe(self, paths: Sequence[Path]) -> list[str]:
        """See :class:`System`."""
        texts = []
        for path in paths:
            segments, _ = self._pipeline.transcribe(str(path), language=self._language)
            texts.append(" ".join(segment.text.strip() for segment in segments))
        return texts


class TransformersPipeline:
    """transformers' speech recognition pipeline, float32 (float16 on a GPU), batch 8."""

    def __init__(self, model: ResolvedModel, run: Run) -> None:
        import torch
        from transformers import pipeline

        torch.set_num_threads(run.num_threads)
        self.name = "transformers pipeline"
        self.model = model.reference
        dtype = torch.float32 if run.device == "cpu" else torch.float16
        self.settings = (
            f"{str(dtype).removeprefix('torch.')}, batch {PIPELINE_BATCH_SIZE}, its defaults (greedy), "
            f"{run.num_threads} threads"
        )
        self._pipeline: Any = pipeline(
            "automatic-speech-recognition",
            model=str(model.transformers_dir),
            dtype=dtype,
            device=run.device,
        )
        is_multilingual = bool(getattr(self._pipeline.model.generation_config, "is_multilingual", False))
        self._generate = {"language": run.language} if is_multilingual and run.language else {}

    def transcribe(self, paths: Sequence[Path]) -> list[str]:
        """See :class:`System`."""
        inputs = [{"raw": read_audio(path), "sampling_rate": SAMPLE_RATE_HZ} for path in paths]
        done = self._pipeline(inputs, batch_size=PIPELINE_BATCH_SIZE, generate_kwargs=dict(self._generate))
        return [str(one["text"]).strip() for one in done]


def load_faster_whisper(
    folder: Path, num_threads: int, num_workers: int = 1, *, device: str = "cpu", compute_type: str = "int8"
) -> Any:
    """A ``WhisperModel`` of a CTranslate2 folder.

    Raises:
        MissingDependencyError: faster-whisper is not installed.
    """
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise MissingDependencyError(
            f"the peer faster-whisper cannot be imported ({error}): pip install 'lexitune[bench]'"
        ) from error
    return WhisperModel(
        str(folder),
        device=device,
        compute_type=compute_type,
        cpu_threads=num_threads,
        num_workers=num_workers,
    )
