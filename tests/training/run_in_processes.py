"""What ``test_distributed.py`` starts on one process and on two: two short trainings, and what every rank saw of them.

``torchrun ... run_in_processes.py WHISPER_FOLDER MANIFEST WORK_FOLDER``; results are ``WORK_FOLDER/rank-N.json`` and,
of the main process, ``weights.safetensors``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from asr.data.manifest import read_manifest
from asr.models.checkpoint import load_whisper
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.checkpoint import CheckpointStore
from training.distributed import Processes, joined
from training.encoder_cache import EncoderCache
from training.examples import make_examples
from training.loop import DevScore, Hooks, TrainingLoop
from training.methods import CachedEncodings, DecoderMethod, Frame
from training.spec import TrainingOptions

BATCH_SIZE = 3


def run(processes: Processes, whisper: Path, manifest: Path, work: Path) -> dict[str, Any]:
    """Train to the end, then train again with a dev score that only gets worse; return what this rank saw."""
    tokenizer = WhisperTokenizer(whisper / "tokenizer.json")
    examples = make_examples(read_manifest(manifest), tokenizer)[0]
    train, dev = examples[:-1], examples[-1:]
    cache = EncoderCache(work / "encoded", CTranslate2Whisper(whisper / "ctranslate2"), num_workers=1)
    utterances = [example.utterance for example in examples]
    processes.from_main(lambda: cache.fill(utterances, lambda: None))
    cache.fill(utterances, lambda: None)  # on the others: finds the files
    frame = Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)
    seen: dict[str, Any] = {"calls": 0}

    for name, epochs, patience in (("to the end", 2, 9), ("stopped", 50, 2)):
        torch.manual_seed(0)
        method = DecoderMethod(load_whisper(whisper), CachedEncodings(cache, processes.device), frame)
        worse = iter(range(1, 100))

        def score(method: DecoderMethod = method, name: str = name, worse: Any = worse) -> DevScore:
            seen["calls"] += 1
            with torch.inference_mode():
                return DevScore(float(method.loss(dev, 0)) if name == "to the end" else next(worse), None)

        options = TrainingOptions(
            learning_rate=2e-4,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            evaluations_per_epoch=3,
            patience=patience,
        )
        loop = TrainingLoop(method, train, options=options, seed=3, processes=processes, dtype=torch.float32)
        hooks = Hooks(score=score, on_step=lambda _step, _loss: None, on_point=lambda _point: None)
        result = loop.run(CheckpointStore(work / name), hooks)
        seen[name] = [asdict(point) for point in result.curve]
        seen[f"{name}, best"] = result.best_step
        if processes.is_main and result.weights:
            save_file(result.weights, work / "weights.safetensors")
        final = {
            key: value.detach().sum(dtype=torch.float64).item() for key, value in method.trainable().items()
        }
        seen[f"{name}, sums"] = final
    return seen


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    with joined() as joint:
        found = run(joint, *folders)
    (folders[2] / f"rank-{joint.rank}.json").write_text(json.dumps(found))
