"""Random kills: a training killed (SIGKILL) at random instants and started again ends as the one that nobody killed.

A real job's parts on the embedded model: encoder cache, decoder training, dev loss, a checkpoint after every step. Each
life is a fork of a parent that has loaded everything and runs no thread, so that a life costs no import. Prints kills,
where they hit, and mismatches; exit code 1 if there is one. What a power cut does to a disk is not tried here.
"""

# ruff: noqa: E402
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy and torch: a process with threads cannot be forked

import argparse
import hashlib
import json
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr.atomic import write_bytes_atomically
from asr.data.manifest import read_manifest
from asr.models.checkpoint import load_whisper
from asr.models.resolve import resolve_model, serving_folder
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from asr.storage import sha256_file
from training.checkpoint import MOMENTS, CheckpointStore
from training.encoder_cache import EncoderCache
from training.examples import Example, make_examples
from training.loop import DevScore, Hooks, TrainingLoop
from training.methods import CachedEncodings, DecoderMethod, Frame
from training.spec import TrainingOptions

NUM_TRAIN, NUM_DEV = 4, 2
SENTENCES = (
    "Please refill my apixaban before Friday.",
    "She was given rivaroxaban in the morning.",
    "The pharmacy has no dabigatran today.",
    "How many edoxaban tablets are left?",
    "Can you deliver the apixaban to my house?",
    "I missed a dose of rivaroxaban yesterday.",
)
OUTCOME = "outcome.json"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every life starts from, loaded once.

    Attributes:
        model: a ``WhisperForConditionalGeneration``; a life changes its own copy of the pages.
        engine_dir: CTranslate2 folder of the encoder.
        frame: around the labels.
        examples: to train on, then dev's.
        options: of training.
    """

    model: Any
    engine_dir: Path
    frame: Frame
    examples: list[Example]
    options: TrainingOptions


def live(job: Job, folder: Path) -> None:
    """One life: go on with the run in ``folder`` and, if nobody interferes, write how it ended."""
    cache = EncoderCache(folder / "encoded", CTranslate2Whisper(job.engine_dir, num_workers=1), num_workers=1)
    cache.fill([example.utterance for example in job.examples], lambda: None)
    method = DecoderMethod(job.model, CachedEncodings(cache, torch.device("cpu")), job.frame)

    def dev_loss(_weights: Mapping[str, Tensor]) -> DevScore:
        with torch.inference_mode():
            return DevScore(float(method.loss(job.examples[NUM_TRAIN:], 0)), None)

    def damaged(message: str) -> None:
        raise AssertionError(message)  # a kill alone must never damage a checkpoint

    loop = TrainingLoop(method, job.examples[:NUM_TRAIN], options=job.options, seed=0)
    hooks = Hooks(score=dev_loss, on_step=lambda _step, _loss: None, on_point=lambda _point: None)
    result = loop.run(CheckpointStore(folder / "checkpoints", on_damaged=damaged), hooks)
    newest = max((folder / "checkpoints").glob("step-*"))
    outcome = {
        "curve": [asdict(point) for point in result.curve],
        "best_step": result.best_step,
        "best_weights_sha256": digest(result.weights or {}),
        "final_weights_sha256": digest(method.trainable()),
        "final_moments_sha256": sha256_file(newest / MOMENTS),
    }
    write_bytes_atomically(folder / OUTCOME, json.dumps(outcome, indent=1).encode())


def digest(weights: Mapping[str, Tensor]) -> str:
    """Hex sha256 of names and bytes."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(name.encode() + b"\0" + value.detach().numpy().tobytes())
    return found.hexdigest()


def in_child(act: Callable[[], None], *, kill_after_s: float | None = None) -> bool:
    """Run ``act`` in a fork, killed after that time; return whether the kill came before its end.

    Raises:
        RuntimeError: it failed by itself.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:  # the process boundary
            traceback.print_exc()
        finally:
            os._exit(code)
    ended = os.pidfd_open(child)
    try:
        if not select.select([ended], [], [], kill_after_s)[0]:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    finally:
        os.close(ended)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise RuntimeError(f"a life failed by itself, status {status}")
    return False


def load(base: str, epochs: int, folder: Path) -> Job:
    """Speak the sentences, in a fork for its threads, and load the model ``base``."""
    audio = folder / "audio"

    def speak() -> None:
        from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset

        sentences = [Sentence(id=str(number), text=text) for number, text in enumerate(SENTENCES)]
        synthesize_dataset(sentences, audio, options=SynthesisOptions(engines=("hibari",), num_threads=1))

    in_child(speak)
    torch.set_num_threads(1)
    resolved = resolve_model(base)
    tokenizer = WhisperTokenizer(resolved.transformers_dir / "tokenizer.json")
    examples, rejected = make_examples(read_manifest(audio / "manifest.jsonl"), tokenizer)
    assert not rejected and len(examples) == NUM_TRAIN + NUM_DEV
    job = Job(
        model=load_whisper(resolved.transformers_dir),
        engine_dir=serving_folder(resolved),
        frame=Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text),
        examples=examples,
        options=TrainingOptions(
            learning_rate=2e-4, epochs=epochs, batch_size=2, evaluations_per_epoch=2, patience=99
        ),
    )
    num_threads = len(list(Path("/proc/self/task").iterdir()))
    assert num_threads == 1, f"{num_threads} threads: a fork would lack {num_threads - 1} of them"
    return job


def remnants(folder: Path) -> dict[str, set[str]]:
    """What stands half done in a run's folder, by the work that it belongs to."""
    checkpoints = {path.name for path in (folder / "checkpoints").glob(".step-*")}
    removed = {name for name in checkpoints if name.endswith("-dropped")}
    return {
        "saving a checkpoint": checkpoints - removed,
        "removing an old checkpoint": removed,
        "writing an encoding": {path.name for path in (folder / "encoded").glob(".*.part")},
    }


def newest_step(folder: Path) -> int:
    """Of the newest checkpoint in a run's folder; -1 without any."""
    names = [path.name for path in (folder / "checkpoints").glob("step-*")]
    return int(max(names).removeprefix("step-")) if names else -1


def where(folder: Path, before: Mapping[str, set[str]]) -> str:
    """In what work the kill hit, by what it left that was not there ``before``."""
    for work, names in remnants(folder).items():
        if names - before[work]:
            return work
    if newest_step(folder) < 0:
        return "before the first checkpoint"
    return "training, scoring or resuming"


def main() -> None:
    """Kill runs until the asked number of kills is reached, and compare each run's end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100, help="at least")
    parser.add_argument(
        "--resumed", type=int, default=1, help="lives that resume from learned weights, at least"
    )
    parser.add_argument("--base", default="bundled:tiny.en", help="reference of the model that is trained")
    parser.add_argument("--epochs", type=int, default=3, help="of two steps each")
    parser.add_argument(
        "--horizon",
        type=float,
        default=0.35,
        help="kills come 0 to this share of the undisturbed run's time into a life",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lexitune-kills-") as temporary:
        folder = Path(temporary)
        job = load(options.base, options.epochs, folder)
        report = measure(job, folder, options)
    print(json.dumps({**vars(options), **report}, indent=1))
    sys.exit(1 if report["mismatches"] else 0)


def measure(job: Job, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of at least ``options.kills`` kills; a run that was begun is brought to its end."""
    rng = np.random.default_rng(options.seed)
    started = time.monotonic()
    in_child(lambda: live(job, folder / "undisturbed"))
    undisturbed_s = time.monotonic() - started
    expected = (folder / "undisturbed" / OUTCOME).read_bytes()
    kills: Counter[str] = Counter()
    runs = mismatches = resumed = 0
    while kills.total() < options.kills or resumed < options.resumed:
        run = folder / f"run-{runs}"
        killed = True
        while killed:
            before = remnants(run)
            resumed += newest_step(run) >= 1
            wanted = kills.total() < options.kills or resumed < options.resumed
            delay_s = float(rng.uniform(0, options.horizon * undisturbed_s)) if wanted else None
            killed = in_child(partial(live, job, run), kill_after_s=delay_s)
            if killed:
                kills[where(run, before)] += 1
        runs += 1
        mismatches += (run / OUTCOME).read_bytes() != expected
        print(
            f"run {runs} ended: {kills.total()} kills, {mismatches} mismatches so far",
            file=sys.stderr,
            flush=True,
        )
        shutil.rmtree(run)
    return {
        "kills": kills.total(),
        "kills_by_work": dict(kills.most_common()),
        "runs_completed": runs,
        "lives_resumed_from_learned_weights": resumed,
        "mismatches": mismatches,
        "steps": json.loads(expected)["curve"][-1]["step"],
        "best_step": json.loads(expected)["best_step"],
        "undisturbed_s": round(undisturbed_s, 1),
        "wall_s": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    main()
