"""Training against the usual recipe, in turn in one run: samples a second, and WER after the same wall time.

The peer is what tutorials show: transformers' ``Seq2SeqTrainer``, every weight, float32, features of whole 30 s windows
(made beforehand and not counted). Ours learn from cached encoder outputs at the utterance's own length, in bfloat16 where
the processor has it. ``--train`` and ``--dev`` add the comparison at equal wall time; ours pays there for encoding, too.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr.cli.console import ProgressReporter
from asr.data.manifest import Utterance, load_samples, read_manifest
from asr.evaluation.evaluate import evaluate_texts
from asr.features import log_mel
from asr.models.checkpoint import load_whisper
from asr.models.contexts import OWN, WHOLE
from asr.models.precision import has_bfloat16
from asr.models.resolve import CTRANSLATE2_FOLDER, resolve_model
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.contexts import TrainingContexts
from training.data import general_sentences
from training.encoder_cache import EncoderCache
from training.examples import Example, collate, epoch_batches, make_examples
from training.loop import learning_rate_factor
from training.lora import LoraMethod
from training.methods import (
    CachedEncodings,
    DecoderMethod,
    Frame,
    Method,
    default_learning_rate,
)
from training.own_length import taught_own_length
from training.scoring import GREEDY, Scorer
from training.synth.dataset import SynthesisOptions, synthesize_dataset
from training.whisper_family import DECODER_RATE_SHARE, LORA_RATE

THREADS = 2
BATCH_SIZE = 8
WARMUP_SHARE = 0.1


class Bench:
    """The base before and after it was taught own lengths, and ways to train it."""

    def __init__(self, base: str, folder: Path) -> None:
        self.base = resolve_model(base)
        self.folder = folder
        self.taught = taught_own_length(self.base, ProgressReporter(None), num_workers=THREADS)
        self.tokenizer = WhisperTokenizer(self.base.transformers_dir / "tokenizer.json")
        self.frame = Frame(prompt=tuple(self.tokenizer.prompt(None)), end_of_text=self.tokenizer.end_of_text)
        self.cache = EncoderCache(
            folder / "encoded",
            CTranslate2Whisper(self.taught / CTRANSLATE2_FOLDER, num_workers=THREADS),
            num_workers=THREADS,
        )

    def ours(self, name: str) -> Method:
        """A fresh model under one of our methods."""
        model = load_whisper(self.taught)
        encodings = CachedEncodings(self.cache, model.device)
        if name == "decoder":
            return DecoderMethod(model, encodings, self.frame)
        return LoraMethod(model, encodings, self.frame, part="decoder", rank=16, alpha=32.0)

    def encode(self, examples: Sequence[Example]) -> float:
        """Fill the cache; return the seconds that it took."""
        started = time.perf_counter()
        contexts = TrainingContexts(context=OWN, seed=0)
        self.cache.fill([example.utterance for example in examples], lambda: None, contexts)
        return time.perf_counter() - started

    def rate(self, name: str) -> float:
        """Peak learning rate."""
        own = default_learning_rate(load_whisper(self.base.transformers_dir).config.d_model)
        return {"decoder": DECODER_RATE_SHARE * own, "lora": LORA_RATE, "peer": own}[name]


def forever(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Batches, epoch after epoch."""
    for epoch in count():
        yield from epoch_batches(examples, batch_size=BATCH_SIZE, seed=0, epoch=epoch)


def train(method: Method, examples: Sequence[Example], steps: int, peak: float) -> list[float]:
    """Train for ``steps``; return the seconds of each, the optimiser included."""
    weights = method.trainable()
    optimizer = torch.optim.AdamW(weights.values(), lr=peak, weight_decay=0.01, fused=True)
    device = next(iter(weights.values())).device
    seconds = []
    for step, batch in enumerate(islice(forever(examples), steps)):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = peak * learning_rate_factor(step, steps, WARMUP_SHARE)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
            loss = method.loss(batch, step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - started)
    return seconds


class Peer:
    """transformers' Seq2SeqTrainer on the same examples, in the same order of batches."""

    def __init__(self, bench: Bench, examples: Sequence[Example]) -> None:
        self._bench = bench
        self._order = list(examples)
        self._features = {
            example.utterance: log_mel(load_samples(example.utterance)) for example in self._order
        }

    def train(self, steps: int, peak: float) -> tuple[Any, list[float]]:
        """A model trained for ``steps``, and the seconds of each."""
        from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

        stamps: list[float] = []

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                stamps.append(time.perf_counter())

            def on_step_end(self, *_: Any, **__: Any) -> None:
                stamps.append(time.perf_counter())

        batches = [example for batch in islice(forever(self._order), steps) for example in batch]
        model = load_whisper(self._bench.base.transformers_dir)
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(self._bench.folder / "peer"), per_device_train_batch_size=BATCH_SIZE,
            learning_rate=peak, max_steps=steps, warmup_steps=round(WARMUP_SHARE * steps), weight_decay=0.01,
            use_cpu=True, report_to=[], save_strategy="no", remove_unused_columns=False, logging_strategy="no",
            disable_tqdm=True, dataloader_num_workers=0,
        )  # fmt: skip
        trainer = Seq2SeqTrainer(
            model=model, args=arguments, train_dataset=_InOrder(batches), data_collator=self._collate,
            callbacks=[Clock()],
        )  # fmt: skip
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(batches)
        trainer.train()
        return model, [end - start for start, end in zip(stamps[::2], stamps[1::2], strict=True)]

    def _collate(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch = collate(examples, self._bench.frame.prompt, self._bench.frame.end_of_text)
        features = np.stack([self._features[example.utterance] for example in examples])
        return {
            "input_features": torch.from_numpy(features),
            "decoder_input_ids": torch.from_numpy(batch.inputs),
            "labels": torch.from_numpy(batch.labels),
        }


class _InOrder(torch.utils.data.Dataset[Example]):
    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]


def speed(bench: Bench, rounds: int) -> None:
    """Print median seconds of a step by method; all in turn, round by round, the first round not counted."""
    options = SynthesisOptions(seed=0, engines=("hibari",))
    manifest = synthesize_dataset(
        general_sentences("general", 2 * BATCH_SIZE), bench.folder / "audio", options=options
    )
    examples, _ = make_examples(read_manifest(manifest), bench.tokenizer)
    fill_s = bench.encode(examples) / len(examples)
    peer = Peer(bench, examples)
    seconds: dict[str, list[float]] = {"decoder": [], "lora": [], "peer": []}
    for index in range(rounds + 1):
        for name, times in seconds.items():
            if name == "peer":
                _, taken = peer.train(3, bench.rate(name))
            else:
                taken = train(bench.ours(name), examples, 6, bench.rate(name))
            if index:
                times += taken[1:]
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, label in (
        ("decoder", "decoder, cached encoder outputs"),
        ("lora", "LoRA decoder, cached"),
        ("peer", "Seq2SeqTrainer, full, fp32, 30 s"),
    ):
        rate = BATCH_SIZE / medians[name]
        print(f"{label:34} {rate:6.2f} samples/s  {medians['peer'] / medians[name]:5.2f} x")
    print(f"filling the cache, once: {fill_s:.3f} s a sample")


def equal_time(bench: Bench, train_manifest: Path, dev: list[Utterance], wall_s: float) -> None:
    """Dev WER after the same wall time, as many steps as a few of them say."""
    examples, _ = make_examples(read_manifest(train_manifest), bench.tokenizer)
    scorer = Scorer(bench.base.transformers_dir, num_workers=THREADS)
    scorer.prepare(dev, lambda: None)
    encode_s = bench.encode(examples)
    peer = Peer(bench, examples)
    for name in ("decoder", "lora", "peer"):
        paid_s = 0.0 if name == "peer" else encode_s
        if name == "peer":
            _, tried = peer.train(4, bench.rate(name))
        else:
            tried = train(bench.ours(name), examples, 16, bench.rate(name))
        steps = max(1, int((wall_s - paid_s) / statistics.mean(tried[1:])))
        started = time.perf_counter()
        if name == "peer":
            model, _ = peer.train(steps, bench.rate(name))
            state, context = model.state_dict(), WHOLE
        else:
            method = bench.ours(name)
            train(method, examples, steps, bench.rate(name))
            start = load_whisper(bench.taught).state_dict()
            state, context = {**start, **method.merged(method.trainable())}, OWN
        taken_s = time.perf_counter() - started + paid_s
        result = evaluate_texts(dev, scorer.texts(state, dev, GREEDY, context), terms=())
        epochs = steps * BATCH_SIZE / len(examples)
        print(
            f"{name:8} {taken_s:6.0f} s  {steps:5d} steps  {epochs:5.1f} epochs  dev WER {result.wer or 0.0:.2%}"
        )


def main() -> None:
    """Print the table and the machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="bundled:tiny.en")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", type=Path, help="manifest to train on for the same wall time")
    parser.add_argument("--dev", type=Path, help="manifest to score then")
    parser.add_argument("--wall", type=float, default=120.0, help="seconds of training")
    arguments = parser.parse_args()
    if bool(arguments.train) != bool(arguments.dev):
        parser.error("give --train and --dev together")
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments.base, Path(temporary))
        speed(bench, arguments.rounds)
        if arguments.train:
            dev = read_manifest(arguments.dev)
            equal_time(bench, arguments.train, dev, arguments.wall)
    versions = " ".join(
        f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "ctranslate2")
    )
    print(f"{platform.machine()}, {THREADS} threads, batch {BATCH_SIZE}, {arguments.base}, {versions}")


if __name__ == "__main__":
    main()
