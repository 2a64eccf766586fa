"""What ``test_distributed.py`` starts on one process and on two: short trainings, and what every rank saw of them.

``torchrun ... run_in_processes.py WHISPER_FOLDER MANIFEST WORK_FOLDER``; results are ``WORK_FOLDER/rank-N.json`` and,
of the main process, the best weights of each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from asr.data.manifest import read_manifest
from asr.models.checkpoint import load_whisper
from asr.models.contexts import OWN
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.checkpoint import CheckpointStore
from training.contexts import TrainingContexts
from training.distributed import Processes, joined
from training.encoder_cache import EncoderCache
from training.examples import Example, make_examples
from training.loop import DevScore, Hooks, TrainingLoop, TrainingResult
from training.lora import LoraMethod
from training.methods import CachedEncodings, DecoderMethod, Frame, LiveEncodings, Method
from training.spec import TrainingOptions

BATCH_SIZE = 3


RUNS = {"to the end": (2, 9), "stopped": (50, 2), "adapters": (1, 9)}
"""Epochs and patience: to the end, with a dev score that only gets worse, and with adapters in own contexts."""


class StopError(Exception):
    """A run is to end here."""


@dataclass(frozen=True)
class Data:
    """What is trained on, and where it is cached."""

    whisper: Path
    frame: Frame
    cached: CachedEncodings
    train: list[Example]
    dev: list[Example]

    def method(self, name: str) -> Method:
        """What learns in the run ``name``."""
        model = load_whisper(self.whisper)
        if name != "adapters":
            return DecoderMethod(model, self.cached, self.frame)
        torch.manual_seed(0)  # they begin with random directions
        encodings = LiveEncodings(model, TrainingContexts(context=OWN, seed=0))
        return LoraMethod(model, encodings, self.frame, part="both", rank=4, alpha=8.0)


def read(processes: Processes, whisper: Path, manifest: Path, work: Path) -> Data:
    """Tokens, and encoder outputs that the main process alone computes."""
    tokenizer = WhisperTokenizer(whisper / "tokenizer.json")
    examples = make_examples(read_manifest(manifest), tokenizer)[0]
    cache = EncoderCache(work / "encoded", CTranslate2Whisper(whisper / "ctranslate2"), num_workers=1)
    utterances = [example.utterance for example in examples]
    processes.from_main(lambda: cache.fill(utterances, lambda: None))
    cache.fill(utterances, lambda: None)  # on the others: finds the files
    frame = Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)
    cached = CachedEncodings(cache, processes.device)
    return Data(whisper, frame, cached, train=examples[:-1], dev=examples[-1:])


def run(
    processes: Processes, whisper: Path, manifest: Path, work: Path, stop_after: int | None = None
) -> dict[str, Any]:
    """Train as ``RUNS`` says; return what this rank saw. With ``stop_after``, StopError after so many steps."""
    data = read(processes, whisper, manifest, work)
    seen: dict[str, Any] = {"calls": 0}
    scored = data.method("to the end")

    def on_step(step: int, _loss: float) -> None:
        if step == stop_after:
            raise StopError

    for name, (epochs, patience) in RUNS.items():
        method = data.method(name)
        worse = iter(range(1, 100))

        def score(
            weights: Mapping[str, Tensor], method: Method = method, name: str = name, worse: Any = worse
        ) -> DevScore:
            seen["calls"] += 1
            if name == "stopped":
                return DevScore(next(worse), None)
            scored.model.load_state_dict(method.merged(weights), strict=False)
            with torch.inference_mode():
                return DevScore(float(scored.loss(data.dev, 0)), None)

        options = TrainingOptions(
            learning_rate=2e-4, epochs=epochs, batch_size=BATCH_SIZE, evaluations_per_epoch=3, patience=patience
        )  # fmt: skip
        loop = TrainingLoop(
            method, data.train, options=options, seed=3, processes=processes, dtype=torch.float32
        )
        hooks = Hooks(score=score, on_step=on_step, on_point=lambda _point: None)
        result = loop.run(CheckpointStore(work / name), hooks)
        if processes.is_main and result.weights:
            save_file(result.weights, work / f"{name}.safetensors")
        seen.update(_seen(name, result, method))
    return seen


def _seen(name: str, result: TrainingResult, method: Method) -> dict[str, Any]:
    weights = method.trainable()
    shares = [value.to_local() if isinstance(value, DTensor) else value for value in weights.values()]
    return {
        name: [asdict(point) for point in result.curve],
        f"{name}, best": result.best_step,
        f"{name}, held": sum(share.numel() for share in shares),
        f"{name}, sums": {
            key: full_of(value).sum(dtype=torch.float64).item() for key, value in weights.items()
        },
    }


def full_of(value: Tensor) -> Tensor:
    """A weight, put together where it is divided."""
    return value.full_tensor().detach() if isinstance(value, DTensor) else value.detach()


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    with joined() as joint:
        found = run(joint, folders[0], folders[1], folders[2])
    (folders[2] / f"rank-{joint.rank}.json").write_text(json.dumps(found))
