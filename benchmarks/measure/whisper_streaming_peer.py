"""whisper-streaming (PyPI) over paced recordings, as UFAL's whisper_online.py drives it in real time.

Whenever the minimum of new audio has come, all that has come is given to the processor; at the end the rest is, and what
is not yet confirmed is confirmed. The package's own loop takes one chunk at a time and never catches up, so it is not
used. A display is what is committed and, behind it, what awaits its second look. Runs in a process of its own.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.files import read_audio
from asr.units import SAMPLE_RATE_HZ
from benchmarks.measure.latency import Shown, StreamLog, TimedWord
from benchmarks.measure.pacing import schedule
from benchmarks.measure.replay import Request, answer

TRIM_S = 15.0  # as whisper_online.py's --buffer_trimming_sec
PROMPT_CHARACTERS = 200


class Streams:
    """Processors that share one loaded model."""

    def __init__(self, model: str, *, threads: int, workers: int, min_chunk_s: float, language: str) -> None:
        self._min_chunk = int(min_chunk_s * SAMPLE_RATE_HZ)
        self._loaded = loaded_processor(model, threads=threads, workers=workers, language=language)
        self._loaded.backend.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), "")  # warm

    def run(self, request: Request) -> list[StreamLog]:
        """All streams of a request, each on a thread."""
        with ThreadPoolExecutor(len(request.wavs)) as pool:
            return list(pool.map(lambda number: self._one(request, number), range(len(request.wavs))))

    def _one(self, request: Request, number: int) -> StreamLog:
        samples = read_audio(Path(request.wavs[number]))
        chunks = schedule(
            len(samples), seed=request.seed + number, chunk_ms=request.chunk_ms, jitter_s=request.jitter_s
        )
        processor = self._fresh()
        log = StreamLog(duration_s=len(samples) / SAMPLE_RATE_HZ, half_close_s=chunks[-1].due_s)
        time.sleep(request.starts_s[number])
        origin = time.monotonic()
        taken = 0
        while taken < len(samples):
            wanted = min(taken + self._min_chunk, len(samples))
            due_s = next(chunk.due_s for chunk in chunks if chunk.end >= wanted)
            time.sleep(max(0.0, origin + due_s - time.monotonic()))
            come = max(chunk.end for chunk in chunks if chunk.due_s <= time.monotonic() - origin)
            processor._process(samples[taken:come])
            taken = come
            is_final = taken >= len(samples)
            log.shown.append(displayed(processor, time.monotonic() - origin, is_final=is_final))
        log.ended_s = time.monotonic() - origin
        return log

    def _fresh(self) -> Any:
        """A processor that has heard nothing, with the model that is loaded; its constructor would load another."""
        from whisper_streaming.processor import TranscriptionBuffer

        processor = copy.copy(self._loaded)
        processor._audio_buffer = np.array([], dtype=np.float32)
        processor._transcription_buffer = TranscriptionBuffer(processor.processor_config.buffer_config)
        processor.buffer_offset = 0
        return processor


def loaded_processor(model: str, *, threads: int, workers: int, language: str) -> Any:
    """The package's processor on faster-whisper, int8, its defaults otherwise."""
    from whisper_streaming import ASRProcessor, AudioReceiver, Backend, TimeTrimming
    from whisper_streaming.backend import (
        FasterWhisperFeatureExtractorConfig,
        FasterWhisperModelConfig,
        FasterWhisperTranscribeConfig,
    )

    class Unused(AudioReceiver):  # type: ignore[misc]
        def _do_receive(self) -> None:
            return None

        def _do_close(self) -> None:
            return None

    config = ASRProcessor.ProcessorConfig(
        sampling_rate=SAMPLE_RATE_HZ, prompt_size=PROMPT_CHARACTERS, audio_receiver_timeout=1.0,
        audio_trimming=TimeTrimming(seconds=TRIM_S), language=language,
    )  # fmt: skip
    folder = FasterWhisperModelConfig(
        model_size_or_path=model, device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers
    )
    return ASRProcessor(
        config, Unused(), [], Backend.FASTER_WHISPER, folder, FasterWhisperTranscribeConfig(),
        FasterWhisperFeatureExtractorConfig(),
    )  # fmt: skip


def displayed(processor: Any, at_s: float, *, is_final: bool) -> Shown:
    """What a user of the processor can show now; the final confirms all."""
    buffer = processor._transcription_buffer
    num_committed = len(buffer._transcriptions_committed)
    timed = timed_words([*buffer._transcriptions_committed, *buffer.transcriptions_in_limbo])
    return Shown(
        at_s=at_s,
        utterance=1,
        words=tuple(word.text for word in timed),
        num_promised=len(timed) if is_final else num_committed,
        is_final=is_final,
        timed=timed if is_final else (),
    )


def timed_words(words: Sequence[Any]) -> tuple[TimedWord, ...]:
    """The package's words as ours."""
    return tuple(
        TimedWord(text=word.word.strip(), start_s=float(word.start), end_s=float(word.end)) for word in words
    )


def main() -> None:
    """Load, say so, answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="CTranslate2 folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--min-chunk", type=float, default=1.0)
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    if importlib.util.find_spec("whisper_streaming") is None:
        raise SystemExit("whisper-streaming is not installed; docs/benchmarks.md says how")
    streams = Streams(
        options.model, threads=options.threads, workers=options.workers, min_chunk_s=options.min_chunk,
        language=options.language,
    )  # fmt: skip
    names = ("whisper-streaming", "faster-whisper", "ctranslate2")
    answer({name: metadata.version(name) for name in names}, streams.run)


if __name__ == "__main__":
    main()
