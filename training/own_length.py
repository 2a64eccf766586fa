"""Teaching a Whisper to hear an utterance at its own length: once for each base, kept in the cache folder.

The teacher is the base itself in a whole window: the student's encoder learns, on everyday synthesised speech, to bring
the decoder into the teacher's states from a context that ends shortly behind the speech. Few steps at a low rate: more
costs speech that does not sound like synthesis (docs/experiments.md). U tokens, D width.
Source: futo-org/whisper-acft, whose loss this is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr import __version__
from asr.atomic import write_bytes_atomically
from asr.data.manifest import Utterance, load_samples, manifest_sha256, read_manifest
from asr.errors import ModelError
from asr.models.base import DecodingOptions
from asr.models.checkpoint import WHISPER, check_folder, load_whisper, read_config, save_whisper
from asr.models.contexts import OWN
from asr.models.export import export_ctranslate2
from asr.models.resolve import CTRANSLATE2_FOLDER, ResolvedModel, serving_folder
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from asr.storage import build_folder, cache_dir, exclusive, home_dir
from asr.units import WHISPER_WINDOW_FRAMES
from training.checkpoint import CheckpointStore
from training.contexts import TrainingContexts
from training.examples import IGNORED, Example
from training.loop import DevScore, Hooks, TrainingLoop
from training.methods import Encoded, Frame, LiveEncodings, decoded, default_learning_rate, learning
from training.progress import Reporter
from training.spec import OWN_LENGTH_SENTENCES, TrainingOptions
from training.synth.dataset import SynthesisOptions, synthesize_dataset
from training.synth.everyday import everyday_sentences

LANGUAGE = "en"  # of the everyday sentences
RATE_SHARE = 4 / 3  # of a full fine-tune's rate: few steps, on a task that the base nearly does


@dataclass(frozen=True, kw_only=True, slots=True)
class TeachingOptions:
    """How own lengths are taught; the figures behind the defaults are in docs/experiments.md.

    Attributes:
        sentences: everyday sentences that are spoken for it.
        learning_rate: peak; 0 takes the base's own, by its width.
        epochs: passes over them.
        batch_size: utterances a step.
        whole_share: share of them in whole windows.
        seed: of sentences, voices, contexts and order.
    """

    sentences: int = OWN_LENGTH_SENTENCES
    learning_rate: float = 0.0
    epochs: int = 3
    batch_size: int = 8
    whole_share: float = 0.1
    seed: int = 0


def taught_own_length(
    base: ResolvedModel,
    reporter: Reporter,
    *,
    num_workers: int,
    options: TeachingOptions | None = None,
    speech: Sequence[Utterance] = (),
) -> Path:
    """The folder of ``base`` after teaching, transformers files and ``ctranslate2/``; made once, then found.

    Interrupted and run again, it goes on; while another process teaches the same base, it waits for that one.

    Args:
        base: a Whisper.
        reporter: to tell how far it is.
        num_workers: threads.
        options: of the teaching.
        speech: recordings to be taught on beside the everyday sentences, each at most 30 s; no transcript is needed.
    """
    options = _for_base(options or TeachingOptions(), base)
    target = _target(base, options, speech)
    if target.is_dir():
        return target
    work = home_dir("work", f"own-length-{target.name}")
    with exclusive(work, waits=True):
        if target.is_dir():  # made by the one that we waited for
            return target
        reporter.note(
            f"teaching {base.reference} to hear utterances at their own length: once, for every later job like it"
        )
        state = _Teaching(base, work, reporter, options, num_workers).run(speech)
        build_folder(target, lambda folder: _write(state, base, folder))
        shutil.rmtree(work, ignore_errors=True)
    return target


def is_taught(base: ResolvedModel) -> bool:
    """Whether :func:`taught_own_length` would find its folder made, with the options that are the default."""
    return (
        check_folder(base.transformers_dir) == WHISPER
        and _target(base, _for_base(TeachingOptions(), base)).is_dir()
    )


def _for_base(options: TeachingOptions, base: ResolvedModel) -> TeachingOptions:
    """With the rate that a model as wide as ``base`` takes, where none is given."""
    width = read_config(base.transformers_dir)["d_model"]
    return replace(options, learning_rate=options.learning_rate or RATE_SHARE * default_learning_rate(width))


def _target(base: ResolvedModel, options: TeachingOptions, speech: Sequence[Utterance] = ()) -> Path:
    heard = [manifest_sha256(speech)] if speech else []
    recipe = json.dumps([base.sha256, __version__, asdict(options), *heard])
    return cache_dir("own-length") / hashlib.sha256(recipe.encode()).hexdigest()[:24]


def _write(state: Mapping[str, Tensor], base: ResolvedModel, folder: Path) -> None:
    save_whisper(state, base.transformers_dir, folder)
    export_ctranslate2(folder, folder / CTRANSLATE2_FOLDER)


class _Teaching:
    def __init__(
        self, base: ResolvedModel, work: Path, reporter: Reporter, options: TeachingOptions, num_workers: int
    ) -> None:
        self._base, self._work, self._reporter, self._options = base, work, reporter, options
        self._num_workers = num_workers
        self._model = load_whisper(base.transformers_dir)
        self._tokenizer = WhisperTokenizer(base.transformers_dir / "tokenizer.json")
        self._frame = Frame(
            prompt=tuple(self._tokenizer.prompt(LANGUAGE)), end_of_text=self._tokenizer.end_of_text
        )

    def run(self, speech: Sequence[Utterance]) -> dict[str, Tensor]:
        """The taught weights."""
        options = self._options
        torch.manual_seed(options.seed)
        teacher = Teacher(
            self._work / "teacher", self._base, self._tokenizer, self._frame, num_workers=self._num_workers
        )
        rows = [*self._speak(), *speech]
        with self._reporter.stage("asking the teacher", len(rows)) as stage:
            examples = teacher.ask(self._model, rows, stage.advance)
        if len(examples) < len(rows):
            self._reporter.note(
                f"{len(rows) - len(examples)} of {len(rows)} left out: the teacher hears no word there"
            )
        if not examples:
            raise ModelError(
                f"{self._base.reference} hears no word in {len(rows)} utterances, so it cannot teach own "
                "lengths; give another base, or set training.own_length = false"
            )
        contexts = TrainingContexts(context=OWN, seed=options.seed, whole_share=options.whole_share)
        method = OwnLengthMethod(self._model, teacher, self._frame, contexts)
        training = TrainingOptions(
            learning_rate=options.learning_rate, epochs=options.epochs, batch_size=options.batch_size,
            evaluations_per_epoch=1, patience=options.epochs + 1,
        )  # fmt: skip
        loop = TrainingLoop(method, examples, options=training, seed=options.seed)
        with self._reporter.stage("teaching own lengths", loop.total_steps) as stage:
            hooks = Hooks(
                score=lambda _weights: DevScore(None, None),
                on_step=lambda _step, loss: stage.advance(f"loss {loss:.3f}"),
                on_point=lambda _point: None,
            )
            loop.run(CheckpointStore(self._work / "checkpoints"), hooks)
        return {name: value.detach() for name, value in self._model.state_dict().items()}

    def _speak(self) -> list[Utterance]:
        options = self._options
        sentences = everyday_sentences(options.sentences, options.seed)
        with self._reporter.stage("speaking everyday sentences", len(sentences)) as stage:
            synthesis = SynthesisOptions(seed=options.seed, engines=("hibari",))
            manifest = synthesize_dataset(
                sentences, self._work / "speech", options=synthesis, progress=stage.advance
            )
        return read_manifest(manifest)


class Teacher:
    """What the base says in a whole window: its words, and its decoder's last hidden states (U, D) at each of them."""

    def __init__(
        self,
        folder: Path,
        base: ResolvedModel,
        tokenizer: WhisperTokenizer,
        frame: Frame,
        *,
        num_workers: int,
    ) -> None:
        """Keep the answers below ``folder``."""
        self._folder, self._base, self._tokenizer, self._frame = folder, base, tokenizer, frame
        self._num_workers = num_workers
        self._files: dict[str, Path] = {}

    def ask(self, model: Any, utterances: Sequence[Utterance], on_done: Callable[[], None]) -> list[Example]:
        """Examples with the teacher's words; answers on disk are not computed again.

        Args:
            model: the base in torch, not trained yet.
            utterances: of at most 30 s; those in which the teacher hears no word are left out.
            on_done: called once an utterance.
        """
        engine = CTranslate2Whisper(serving_folder(self._base), num_workers=self._num_workers)
        greedy = DecodingOptions(beam_size=1, word_times=False, language=LANGUAGE)

        def answer(utterance: Utterance) -> Example:
            path = self._folder / f"{_file_name(utterance)}.npz"
            if not path.is_file():
                outputs = engine.encode(load_samples(utterance), WHISPER_WINDOW_FRAMES)
                [[hypothesis]] = engine.decode_encoded([outputs], [utterance.duration_s], greedy)
                tokens = self._tokenizer.encode(hypothesis.text) if hypothesis.text else []
                hidden = self._hidden(model, Example(utterance, tuple(tokens)), outputs)
                _save(path, np.asarray(tokens, dtype=np.int32), hidden)
            self._files[utterance.id] = path
            with np.load(path) as stored:
                return Example(utterance, tuple(int(token) for token in stored["tokens"]))

        with ThreadPoolExecutor(self._num_workers) as workers:
            examples = []
            for example in workers.map(answer, utterances):
                examples.append(example)
                on_done()
        engine.close()
        return [example for example in examples if example.tokens]

    def hidden(self, examples: Iterable[Example]) -> Tensor:
        """The hidden states at every labelled position of the examples, one behind the other (N, D), float32."""
        arrays = []
        for example in examples:
            with np.load(self._files[example.utterance.id]) as stored:
                arrays.append(stored["hidden"].astype(np.float32))
        return torch.from_numpy(np.concatenate(arrays))

    def _hidden(self, model: Any, example: Example, outputs: Any) -> Any:
        batch = self._frame.batch([example])
        with torch.inference_mode():
            embeddings = model.model.decoder.embed_tokens(torch.from_numpy(batch.inputs))
            states = decoded(model, torch.from_numpy(np.asarray(outputs, dtype=np.float32)), embeddings)
        return states[torch.from_numpy(batch.labels) != IGNORED].numpy().astype(np.float16)


def _file_name(utterance: Utterance) -> str:
    """Not the id, which is the user's: it may be a path, or too long, or that of another recording."""
    heard = [
        utterance.id,
        str(utterance.audio_path),
        utterance.offset_s,
        utterance.duration_s,
        utterance.channel,
    ]
    return hashlib.sha256(json.dumps(heard).encode()).hexdigest()[:32]


def _save(path: Path, tokens: Any, hidden: Any) -> None:
    from io import BytesIO

    sink = BytesIO()
    np.savez(sink, tokens=tokens, hidden=hidden)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, sink.getvalue())


class OwnLengthMethod:
    """The encoder learns; the loss is how far the decoder's last hidden states are from the teacher's."""

    name = "own-length"

    def __init__(self, model: Any, teacher: Teacher, frame: Frame, contexts: TrainingContexts) -> None:
        self.model = model
        self._teacher = teacher
        self._frame = frame
        self._encodings = LiveEncodings(model, contexts)
        model.requires_grad_(False)
        model.model.encoder.requires_grad_(True)
        model.model.encoder.embed_positions.requires_grad_(False)

    def trainable(self) -> dict[str, Tensor]:
        """See :class:`training.methods.Method`."""
        return learning(self.model)

    def loss(self, examples: Sequence[Example], step: int) -> Tensor:
        """Mean squared difference over the labelled positions and the width."""
        groups = self._encodings(examples, step)
        differences = [self._difference(group) for group in groups]
        return torch.stack(differences).sum() / self._frame.num_labels(examples)

    def passes(self, examples: Sequence[Example]) -> list[list[Example]]:
        """See :class:`training.methods.Method`."""
        return self._encodings.by_context(examples)

    def num_targets(self, examples: Sequence[Example]) -> int:
        """See :class:`training.methods.Method`."""
        return self._frame.num_labels(examples)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`training.methods.Method`."""
        return dict(weights)

    def _difference(self, group: Encoded) -> Tensor:
        """Squared difference, a mean over the width and a sum over the positions."""
        batch = self._frame.batch(group.examples)
        labelled = torch.from_numpy(batch.labels) != IGNORED
        embeddings = self.model.model.decoder.embed_tokens(
            torch.from_numpy(batch.inputs).to(group.outputs.device)
        )
        states = decoded(self.model, group.outputs, embeddings)[labelled].float()
        wanted = self._teacher.hidden(group.examples).to(states.device)
        return (states - wanted).square().mean(-1).sum()
