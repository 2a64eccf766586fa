"""Make the small Wav2Vec2-CTC that the tests use: synthesised speech, a closed domain, an hour on two cores.

Speaks sentences of a small grammar (coffee orders, pharmacy calls) and everyday sentences with the bundled voice,
trains a ``Wav2Vec2ForCTC`` of 3 million weights from scratch, and writes an ordinary transformers folder with a README of
what it reached. It knows synthesised speech only: it is there for tests, not for users.

    python benchmarks/train_small_ctc.py --out build/small-ctc-1
    python benchmarks/train_small_ctc.py --start build/small-ctc-1 --epochs 10 --learning-rate 1e-3 \\
        --out build/small-ctc-2
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from small_ctc_domain import draw_sentences

from asr.audio.files import read_audio
from asr.data.manifest import Utterance, read_manifest
from asr.evaluation.evaluate import evaluate_model
from asr.models.base import DecodingOptions
from asr.models.checkpoint import load_wav2vec2
from asr.recognizer import Recognizer
from asr.units import SAMPLE_RATE_HZ
from training.augment import AugmentOptions
from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset
from training.synth.speech import HibariEngine

VOCABULARY = (
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "|",
    *"ETAONIHSRDLUMWCFGYPBVK'XJQZ",
)  # facebook/wav2vec2-base-960h's
SYNTH_TEXTS = Path(__file__).resolve().parent.parent / "training" / "synth"
NUM_TEST = 100
EVERYDAY_TEST = 16
NUM_BANDS, NUM_PHASES = 40, 4
LAYER_NORM_GAIN = 4.0  # before GELU: weak bands are rectified too, not only squared
MASK_LENGTH = 6
RUNS = "runs.json"
NOISE_SHARE, NOISE_SNR_DB = 0.4, (12.0, 35.0)
SILENCE_S = (0.05, 0.35)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run depends on."""

    seed: int = 0
    num_sentences: int = 2600
    everyday_copies: int = 3
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    warmup_share: float = 0.08
    weight_decay: float = 0.01
    clip_norm: float = 1.0


# milder than the defaults: what 20 minutes of training on two cores can take in
SURROUNDINGS = AugmentOptions(
    room_probability=0.2, rt60_s=(0.1, 0.3), direct_to_reverb_db=(6.0, 15.0), noise_probability=0.5,
    noise_snr_db=(15.0, 40.0), telephone_probability=0.05,
)  # fmt: skip


def speak(recipe: Recipe, work: Path, *, num_threads: int) -> dict[str, list[Utterance]]:
    """The parts "train", "test" (sentences of the domain that train lacks) and "everyday" as recordings on disk."""
    domain = draw_sentences(recipe.num_sentences + NUM_TEST, seed=recipe.seed)
    everyday = [
        line
        for name in ("general.txt", "replay.txt")
        for line in (SYNTH_TEXTS / name).read_text().splitlines()
    ]
    random.Random(recipe.seed).shuffle(everyday)
    parts = {
        "test": (domain[:NUM_TEST], 1, recipe.seed + 1),
        "everyday": (everyday[:EVERYDAY_TEST], 2, recipe.seed + 2),
        "train": (domain[NUM_TEST:], 1, recipe.seed),
        "train-everyday": (everyday[EVERYDAY_TEST:], recipe.everyday_copies, recipe.seed),
    }
    rows = {}
    for name, (texts, copies, seed) in parts.items():
        options = SynthesisOptions(
            copies=copies,
            seed=seed,
            engines=("hibari",),
            augmentation=SURROUNDINGS,
            num_threads=num_threads,
            silence_s=SILENCE_S,
        )
        sentences = [Sentence(id=f"{name}-{index}", text=text) for index, text in enumerate(texts)]
        rows[name] = read_manifest(synthesize_dataset(sentences, work / name, options=options))
    rows["train"] += rows.pop("train-everyday")
    return rows


def fold(text: str) -> str:
    """Upper case, letters and apostrophes only, single spaces."""
    return " ".join(re.sub(r"[^A-Z' ]+", " ", text.upper()).split())


def build_model(seed: int) -> Any:
    """An untrained model: 20 ms frames, pre-norm layers, masked batches, 32 characters."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        vocab_size=len(VOCABULARY), hidden_size=192, num_hidden_layers=6, num_attention_heads=4,
        intermediate_size=768, conv_dim=(NUM_BANDS * NUM_PHASES, 160, 192), conv_kernel=(256, 3, 3),
        conv_stride=(80, 2, 2), conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True,
        num_conv_pos_embeddings=31, num_conv_pos_embedding_groups=12, hidden_dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, feat_proj_dropout=0.0, final_dropout=0.0, layerdrop=0.0,  # SpecAugment suffices
        mask_time_prob=0.04, mask_time_length=MASK_LENGTH, mask_feature_prob=0.04, mask_feature_length=8,
        ctc_loss_reduction="mean", ctc_zero_infinity=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = Wav2Vec2ForCTC(config)
    first = model.wav2vec2.feature_extractor.conv_layers[0]
    with torch.no_grad():
        first.conv.weight.copy_(torch.from_numpy(gabor_filters(first.conv.kernel_size[0]))[:, None])
        first.conv.bias.zero_()
        first.layer_norm.weight.fill_(LAYER_NORM_GAIN)
    return model


def gabor_filters(num_taps: int) -> NDArray[np.float32]:
    """(NUM_BANDS * NUM_PHASES, num_taps): windowed waves at mel-spaced frequencies, four phases of each.

    A filter bank to start from, learnt on from there (Zeghidour et al. 2021, LEAF): it saves the hours that raw audio
    needs. Higher bands are louder, as speech falls by 6 dB an octave.
    """
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (100.0, 7600.0))
    centres_hz = 700 * (10 ** (np.linspace(low, high, NUM_BANDS) / 2595) - 1)
    times_s = (np.arange(num_taps) - num_taps / 2) / SAMPLE_RATE_HZ
    phases = np.arange(NUM_PHASES) * 2 * np.pi / NUM_PHASES
    waves = np.cos(2 * np.pi * centres_hz[:, None, None] * times_s + phases[:, None])
    window = np.hanning(num_taps) / np.hanning(num_taps).sum()
    loudness = np.maximum(1.0, centres_hz / 500.0)[:, None, None]
    return (waves * window * loudness).reshape(-1, num_taps).astype(np.float32)


@dataclass(frozen=True)
class Example:
    """Samples (T,) of zero mean and unit variance, and label ids (U,)."""

    samples: NDArray[np.float32]
    labels: list[int]


def load_examples(rows: Sequence[Utterance]) -> list[Example]:
    """Read, normalise and label."""
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    examples = []
    for row in rows:
        samples = read_audio(row.audio_path)
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        labels = [ids["|" if sign == " " else sign] for sign in fold(row.text or "")]
        examples.append(Example(samples.astype(np.float32), labels))
    return examples


def batches(examples: Sequence[Example], size: int, generator: random.Random) -> list[list[Example]]:
    """An epoch: lengths alike within a batch, batches in random order."""
    order = sorted(examples, key=lambda example: len(example.samples) * generator.uniform(0.9, 1.1))
    groups = [list(order[start : start + size]) for start in range(0, len(order), size)]
    generator.shuffle(groups)
    return groups


def vary(example: Example, generator: random.Random) -> Example:
    """Faster or slower by up to a tenth, the pitch with it, and sometimes noisier: no epoch hears the same twice."""
    length = round(len(example.samples) * generator.uniform(0.9, 1.1))
    positions = np.linspace(0, len(example.samples) - 1, length)
    samples = np.interp(positions, np.arange(len(example.samples)), example.samples)
    if generator.random() < NOISE_SHARE:
        noise = np.random.default_rng(generator.getrandbits(32)).standard_normal(length)
        samples = samples + noise * 10 ** (-generator.uniform(*NOISE_SNR_DB) / 20)
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return Example(samples.astype(np.float32), example.labels)


def collate(batch: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Samples and mask (B, T), labels (B, U) with -100 behind the end."""
    length, width = max(len(e.samples) for e in batch), max(len(e.labels) for e in batch)
    samples, mask = np.zeros((len(batch), length), np.float32), np.zeros((len(batch), length), np.int64)
    labels = np.full((len(batch), width), -100, np.int64)
    for row, example in enumerate(batch):
        samples[row, : len(example.samples)], mask[row, : len(example.samples)] = example.samples, 1
        labels[row, : len(example.labels)] = example.labels
    arrays = {"input_values": samples, "attention_mask": mask, "labels": labels}
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def train(
    model: Any, examples: Sequence[Example], recipe: Recipe, *, device: str, part: int = 0
) -> Iterator[str]:
    """Train in place, as the ``part``-th run of this model; yields a line every 50 steps."""
    seed = recipe.seed + part
    torch.manual_seed(seed)
    np.random.seed(seed)  # transformers draws SpecAugment's masks from NumPy's global generator
    generator = random.Random(seed)
    total = recipe.epochs * -(-len(examples) // recipe.batch_size)
    warmup = max(1, round(recipe.warmup_share * total))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    model.to(device).train()
    step, losses, started = 0, [], time.perf_counter()
    for epoch in range(recipe.epochs):
        for batch in batches(examples, recipe.batch_size, generator):
            rate = recipe.learning_rate * min(
                (step + 1) / warmup, max(0.02, (total - step) / (total - warmup))
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            inputs = {
                name: value.to(device)
                for name, value in collate([vary(one, generator) for one in batch]).items()
            }
            with torch.autocast(device, torch.bfloat16):
                loss = model(**inputs).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            step += 1
            losses.append(loss.item())
            if step % 50 == 0:
                elapsed = time.perf_counter() - started
                yield f"epoch {epoch} step {step}/{total} loss {np.mean(losses[-50:]):.3f} {elapsed:.0f} s"


def save(model: Any, folder: Path) -> None:
    """An ordinary transformers folder, weights in float16."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.architectures = ["Wav2Vec2ForCTC"]
    model.config.save_pretrained(folder)
    files: dict[str, dict[str, Any]] = {
        "vocab.json": {token: index for index, token in enumerate(VOCABULARY)},
        "tokenizer_config.json": {
            "tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>",
            "unk_token": "<unk>", "word_delimiter_token": "|", "do_lower_case": False, "replace_word_delimiter_char": " ",
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": SAMPLE_RATE_HZ,
            "padding_value": 0.0, "do_normalize": True, "return_attention_mask": True,
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def evaluate(folder: Path, rows: dict[str, list[Utterance]]) -> dict[str, float]:
    """WER of the written folder, greedy and through the recognizer that serves, by part."""
    recognizer = Recognizer.load(str(folder))
    greedy = DecodingOptions(beam_size=1)
    return {
        part: evaluate_model(recognizer, rows[part], options=greedy).wer or 0.0
        for part in ("test", "everyday")
    }


def write_readme(folder: Path, recipe: Recipe, facts: dict[str, Any], runs: Sequence[dict[str, Any]]) -> None:
    """The model card: what it is, how it was made, what it reached."""
    made = "\n".join(
        f"- `{run['command']}`: {run['epochs']} epochs, {run['seconds']:.0f} s on {run['machine']}, last training loss "
        f"{run['loss']:.2f}"
        for run in runs
    )
    (folder / "README.md").write_text(
        f"""---
language: en
license: apache-2.0
---
# small-ctc

A Wav2Vec2-CTC of {facts["num_weights"] / 1e6:.1f} million weights (float16) that transcribes synthesised English of one
small domain: coffee orders and pharmacy calls. It is there **for tests, not for users**: it has heard {facts["voices"]}
voices that are all made from the one in hibari-tts, in mild noise and rooms, and no human being.

| measured on, greedy, through `Recognizer`, normaliser whisper-en-1 | WER |
|---|---|
| {NUM_TEST} sentences of the domain that training lacks (`heldout.txt`), other seeds | {facts["wer"]["test"]:.1%} |
| {EVERYDAY_TEST} everyday sentences that training lacks, two recordings each | {facts["wer"]["everyday"]:.1%} |

Made from {facts["hours"]:.1f} h of synthesised speech, seed {recipe.seed}, on {facts["cores"]} cores of
{facts["processor"]}:

{made}

The recipe: `{asdict(recipe)}`.
"""
    )


def main() -> None:
    """Speak, train, write, measure; progress on stderr, word error rates on stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the transformers folder to write")
    parser.add_argument(
        "--start", type=Path, help="train on from this folder of an earlier run, which had the same seed"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/small-ctc"), help="synthesised speech is kept here"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--sentences", type=int, default=Recipe.num_sentences, help="of the domain, to train on"
    )
    parser.add_argument("--epochs", type=int, default=Recipe.epochs, help="0 with --start only measures")
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    recipe = replace(
        Recipe(),
        seed=arguments.seed,
        num_sentences=arguments.sentences,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
    )
    torch.set_num_threads(arguments.threads)
    started = time.perf_counter()
    rows = speak(recipe, arguments.work, num_threads=arguments.threads)
    lineage = arguments.start / RUNS if arguments.start else None
    runs = json.loads(lineage.read_text()) if lineage and lineage.is_file() else []
    model = load_wav2vec2(arguments.start) if arguments.start else build_model(recipe.seed)
    line = ""
    for line in train(model, load_examples(rows["train"]), recipe, device=arguments.device, part=len(runs)):
        print(line, file=sys.stderr, flush=True)
    save(model, arguments.out)
    if line:
        runs.append(
            {
                "command": "python benchmarks/train_small_ctc.py " + " ".join(sys.argv[1:]),
                "epochs": recipe.epochs,
                "seconds": round(time.perf_counter() - started),
                "machine": arguments.device,
                "loss": float(line.split("loss ")[1].split()[0]),
            }
        )
    (arguments.out / RUNS).write_text(json.dumps(runs, indent=1) + "\n")
    sentences = [row.text or "" for row in rows["test"]]
    (arguments.out / "heldout.txt").write_text("\n".join(sentences) + "\n")
    facts = {
        "num_weights": sum(parameter.numel() for parameter in model.parameters()),
        "cores": arguments.threads,
        "processor": processor(),
        "voices": len(HibariEngine().voices),
        "hours": sum(row.duration_s for row in rows["train"]) / 3600,
        "wer": evaluate(arguments.out, rows),
    }
    write_readme(arguments.out, recipe, facts, runs)
    print(json.dumps(facts["wer"]))


def processor() -> str:
    """The processor's name, where the system tells."""
    listing = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", listing.read_text()) if listing.is_file() else None
    return named[1] if named else platform.machine()


if __name__ == "__main__":
    main()
