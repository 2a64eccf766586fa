"""A Wav2Vec2-CTC heard in windows against decoding all of an open utterance again at every step: time, and words.

    python benchmarks/ctc_streaming.py cost                   # tests/data/small-ctc
    python benchmarks/ctc_streaming.py cost --base-size       # the shape of wav2vec2-base, random weights
    python benchmarks/ctc_streaming.py accuracy               # of several window options, on synthesised speech

Both sides run in turn in one process on one thread. The speech is that of the small model's held-out sentences.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from asr.evaluation.wer import word_errors
from asr.models.base import DecodingOptions, Samples
from asr.models.checkpoint import save_wav2vec2
from asr.models.ctc_torch import TorchCtc
from asr.results import Hypothesis
from asr.streaming.ctc_utterance import CtcPartial, CtcUtterance
from asr.streaming.ctc_windows import WindowOptions
from asr.units import to_samples, to_seconds
from training.synth.speech import HibariEngine

SMALL = Path(__file__).resolve().parents[1] / "tests" / "data" / "small-ctc"
GREEDY = DecodingOptions(beam_size=1)
STEP_S = 0.5
UTTERANCE_S = 20.0


def speech(num_sentences: int) -> dict[str, Samples]:
    """Held-out sentences and how the bundled voice says them."""
    engine = HibariEngine()
    texts = (SMALL / "heldout.txt").read_text().splitlines()[:num_sentences]
    return {
        text: engine.synthesize(text, voice=engine.voices[index % 2], speed=1.0, pitch=1.0, seed=index)
        for index, text in enumerate(texts)
    }


def joined(sentences: dict[str, Samples], seconds: float) -> Iterator[tuple[str, Samples]]:
    """Sentences one after the other, 0.2 s apart, up to ``seconds`` each."""
    gap = np.zeros(to_samples(0.2), np.float32)
    texts: list[str] = []
    parts: list[Samples] = []
    for text, samples in sentences.items():
        if sum(map(len, parts)) + len(samples) + len(gap) > to_samples(seconds):
            yield " ".join(texts), np.concatenate(parts)
            texts, parts = [], []
        texts.append(text)
        parts += [samples, gap]


def in_windows(
    engine: TorchCtc, samples: Samples, windows: WindowOptions
) -> tuple[list[CtcPartial], Hypothesis]:
    """The utterance as a stream gives it, ``STEP_S`` at a time."""
    utterance, partials = CtcUtterance(engine.decoder, GREEDY, windows), list[CtcPartial]()
    for heard in range(to_samples(STEP_S), len(samples) + to_samples(STEP_S), to_samples(STEP_S)):
        partials += [
            utterance.add(window, engine.window_emissions([window.samples])[0])
            for window in utterance.due(samples[:heard])
        ]
    last = utterance.last(samples)
    return partials, utterance.finish(last, engine.window_emissions([last.samples])[0])[0]


def again(engine: TorchCtc, samples: Samples) -> None:
    """All of the utterance so far at each step."""
    for heard in range(to_samples(STEP_S), len(samples) + to_samples(STEP_S), to_samples(STEP_S)):
        engine.decode([samples[:heard]], GREEDY)


def base_sized(folder: Path) -> Path:
    """A random model in the shape of wav2vec2-base, with the small one's vocabulary."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    save_wav2vec2(Wav2Vec2ForCTC(Wav2Vec2Config(pad_token_id=0)), SMALL, folder)
    return folder


def cpu_s(work: Callable[[], object]) -> float:
    """CPU time of the process that ``work`` takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def cost(engine: TorchCtc, rounds: int) -> None:
    """Print CPU seconds of both sides and their ratio, median of ``rounds``, for 10 s and 20 s."""
    _, speaking = next(joined(speech(12), UTTERANCE_S + 5))
    print("audio  chunk  windows RTF  again RTF  ratio  (CPU seconds a second of audio, median)")
    for seconds in (UTTERANCE_S / 2, UTTERANCE_S):
        samples = speaking[: to_samples(seconds)]
        for chunk_s in (1.0, 0.5):
            windows = WindowOptions(chunk_s=chunk_s)
            pairs = []
            for _ in range(rounds):
                ours = cpu_s(lambda s=samples, w=windows: in_windows(engine, s, w))
                pairs.append((ours, cpu_s(lambda s=samples: again(engine, s))))
            ours, theirs = (
                statistics.median(side) / to_seconds(len(samples)) for side in zip(*pairs, strict=True)
            )
            ratio = statistics.median(other / one for one, other in pairs)
            print(
                f"{to_seconds(len(samples)):4.1f} s {chunk_s:4.1f} s {ours:12.4f} {theirs:10.4f} {ratio:6.2f}"
            )


def accuracy(engine: TorchCtc, num_sentences: int) -> None:
    """Print WER in windows and offline, and how late words are committed."""
    sentences = speech(num_sentences)
    sets = {"sentences": list(sentences.items()), "joined": list(joined(sentences, UTTERANCE_S))}
    print("set        chunk right revise  WER windows  offline  commit lag p50  committed before the end")
    for name, rows in sets.items():
        offline = sum(word_errors(text, engine.decode([one], GREEDY)[0][0].text).errors for text, one in rows)
        num_words = sum(len(text.split()) for text, _ in rows)
        for chunk_s, right_s, revise_s in (
            (1.0, 0.5, 2.0),
            (1.0, 0.5, 0.0),
            (0.5, 0.5, 2.0),
            (1.0, 1.0, 2.0),
        ):
            windows = WindowOptions(chunk_s=chunk_s, right_s=right_s, revise_s=revise_s)
            errors, lags = 0, []
            for text, samples in rows:
                partials, final = in_windows(engine, samples, windows)
                errors += word_errors(text, final.text).errors
                seen = 0
                for partial in partials:
                    words = partial.hypothesis.words[seen : partial.num_committed]
                    lags += [partial.heard_s - word.end_s for word in words]
                    seen = partial.num_committed
            print(
                f"{name:10s} {chunk_s:4.1f}  {right_s:4.1f}  {revise_s:4.1f}  {errors / num_words:12.3f} "
                f"{offline / num_words:9.3f}  {statistics.median(lags):8.2f} s  {len(lags):8d} of {num_words}"
            )


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("cost", "accuracy"))
    parser.add_argument("--base-size", action="store_true", help="the shape of wav2vec2-base, random weights")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = base_sized(Path(folder) / "base") if arguments.base_size else SMALL
        engine = TorchCtc(model, dtype=arguments.dtype, num_threads=1)
        if arguments.what == "cost":
            cost(engine, arguments.rounds)
        else:
            accuracy(engine, arguments.sentences)


if __name__ == "__main__":
    main()
