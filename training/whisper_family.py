"""What an adaptation job needs of a Whisper base: contexts, examples, method, scorer and export.

With own lengths, training starts from the base after it was taught them (``training.own_length``). The order of steps,
the mixes, the gate and publishing are the job's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.data.manifest import Utterance
from asr.errors import OptionError
from asr.models.checkpoint import load_whisper, save_whisper, weights_sha256
from asr.models.contexts import OWN, WHOLE, is_taught
from asr.models.export import export_ctranslate2
from asr.models.resolve import CTRANSLATE2_FOLDER, ResolvedModel, serving_folder
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from asr.models.whisper_torch import TorchWhisper
from asr.units import WHISPER_WINDOW_S
from training.contexts import TrainingContexts
from training.coverage import coverage_of
from training.data import AdaptationData
from training.encoder_cache import EncoderCache
from training.examples import Example, make_examples
from training.family import Plan, Rows
from training.lora import ADAPTER_FOLDER, LoraMethod
from training.methods import (
    CachedEncodings,
    DecoderMethod,
    Frame,
    FullMethod,
    LiveEncodings,
    Method,
    default_learning_rate,
)
from training.own_length import TeachingOptions, taught_own_length
from training.progress import Reporter
from training.scoring import Scorer
from training.sounds import quiet_rows
from training.spec import AdaptationSpec, TrainingOptions
from training.spec_augment import SpecAugment

DECODER_RATE_SHARE = 0.8  # of the full fine-tune's rate
LORA_RATE = 3e-4  # within 2e-4 to 5e-4, what adapters of rank 16 to 32 want
MIN_QUIET = 39  # three of every kind: with fewer, a small job learns to speak up (docs/experiments.md)
QUIET_SEED = 1000  # beyond the seeds of the sounds that are measured on
ENOUGH_STEPS = 64  # of a decoder on synthesised speech: then dev gains nothing more (docs/experiments.md)
ENCODER_HOURS = 0.4  # recordings from which on the encoder learns, too: how the domain sounds lies there
FULL_HOURS = 3.0  # likewise, all of a wide model
WIDE = 1024  # from medium on: until there are FULL_HOURS, low-rank changes


class WhisperFamily:
    """The Whisper side of a job.

    Attributes:
        base_state: weights of the base.
        start_state: weights that training starts from: the base's, or those taught to hear own lengths.
        context: in which the result is to be heard.
    """

    name = "whisper"
    carries_phrases = True

    def __init__(
        self, base: ResolvedModel, spec: AdaptationSpec, data: AdaptationData, folder: Path, reporter: Reporter,
        *, num_workers: int,
    ) -> None:  # fmt: skip
        """Load ``base``; teach it own lengths where the spec wants them and it was not taught before.

        Raises:
            OptionError: the method is not one for a Whisper.
        """
        if spec.method == "ctc":
            raise OptionError(
                f"--method ctc is for a Wav2Vec2, and {spec.base} is a Whisper; give decoder, lora, full or auto",
                field="method",
            )
        self._base, self._spec, self._folder = base, spec, folder
        self._reporter, self._num_workers = reporter, num_workers
        self._tokenizer = WhisperTokenizer(base.transformers_dir / "tokenizer.json")
        self._cache: EncoderCache | None = None
        self._scorer: Scorer | None = None
        self.base_state: Mapping[str, Tensor] = _state_of(base.transformers_dir)
        self._start_dir, self._start_engine_dir = base.transformers_dir, serving_folder(base)
        self.context = OWN if spec.training.own_length and is_taught(spec.code) else WHOLE
        if self.context == OWN and not base.own_length:
            # of a job with a domain, every base is taught once and for all; without one, on the user's speech, too
            speech = [] if spec.has_domain else _of_one_window(data.train, data.notes)
            teaching = TeachingOptions(sentences=spec.training.own_length_sentences)
            taught = taught_own_length(
                base, reporter, num_workers=num_workers, options=teaching, speech=speech
            )
            self._start_dir, self._start_engine_dir = taught, taught / CTRANSLATE2_FOLDER
        self.model = load_whisper(self._start_dir)
        self.start_state: Mapping[str, Tensor] = _copied(self.model)
        self._has_learned = False
        self._contexts = TrainingContexts(context=self.context, seed=spec.seed)

    @property
    def base_context(self) -> str:
        """The context in which the base is served."""
        return OWN if self._base.own_length else WHOLE

    def move(self, device: torch.device) -> None:
        """See :class:`training.family.Family`."""
        self.model.to(device)

    def rows(self, utterances: Sequence[Utterance]) -> Rows:
        """See :class:`training.family.Family`."""
        examples, rejected = make_examples(utterances, self._tokenizer)
        share = self._spec.training.quiet_share
        count = max(MIN_QUIET, round(share * len(examples))) if share else 0
        seed = self._spec.seed + QUIET_SEED
        quiet = [Example(row, ()) for row in quiet_rows(self._folder / "quiet", count=count, seed=seed)]
        notes = [f"train: {count} sounds in which nobody speaks beside {len(examples)} rows"] if quiet else []
        return Rows(examples=[*examples, *quiet], rejected=rejected, notes=[*self._notes(utterances), *notes])

    def _notes(self, utterances: Sequence[Utterance]) -> list[str]:
        """How the language is written in tokens, how it is decoded, and what is not taught in it."""
        texts = [row.text for row in utterances if row.text and row.language in (None, self._spec.code)]
        notes = [coverage_of(texts, self._tokenizer).as_line(self._spec.code)] if texts else []
        if self._tokenizer.is_multilingual:
            notes.append(
                f"figures are of decoding in {self._spec.code} as named, not detected: name it to transcribe or serve "
                f"the version (--language {self._spec.code}, language_code)"
            )
        if self._spec.training.own_length and not is_taught(self._spec.code):
            notes.append(
                f"own lengths are taught in English alone: in {self._spec.code} the version works in whole windows"
            )
        return notes

    def plan(self, num_recorded_hours: float) -> Plan:
        """See :class:`training.family.Family`."""
        width = self.model.config.d_model
        return choose_method(self._spec.method, self._spec.training, num_recorded_hours, width=width)

    def plan_instead(self, plan: Plan) -> Plan | None:
        """See :class:`training.family.Family`."""
        if self._spec.method != "auto" or not plan.changes_encoder:
            return None
        reason = "the budgets hold back much of what was learned, so the decoder is taught alone"
        if plan.method == "full":
            return Plan(method="decoder", reason=reason)
        is_free = self._spec.training.lora_part == "auto"
        return Plan(method="lora", part="decoder", reason=reason) if is_free else None

    def method(self, plan: Plan, examples: Sequence[Example], num_steps: int) -> Method:
        """See :class:`training.family.Family`."""
        del num_steps
        if self._has_learned:  # by another plan
            self.model = load_whisper(self._start_dir).to(self.model.device)
        self._has_learned = True
        frame = self._frame(examples)
        live = LiveEncodings(
            self.model,
            self._contexts,
            SpecAugment(num_masks=self._spec.training.spec_masks, seed=self._spec.seed),
        )
        if plan.method == "full":
            return FullMethod(self.model, live, frame, written=frame.written(examples))
        if plan.method == "decoder" or plan.part == "decoder":
            self._cache = self._filled_cache(examples)
            if self._scorer is not None:
                self._scorer.take_cache(self._cache, self.start_state)
            encodings: CachedEncodings | LiveEncodings = CachedEncodings(self._cache, self.model.device)
        else:
            encodings = live
        if plan.method == "decoder":
            learn_embeddings = self._spec.training.learn_embeddings
            return DecoderMethod(
                self.model,
                encodings,
                frame,
                learn_embeddings=learn_embeddings,
                written=frame.written(examples),
            )
        options = self._spec.training
        return LoraMethod(
            self.model, encodings, frame, part=plan.part, rank=options.lora_rank, alpha=options.lora_alpha
        )

    def _frame(self, examples: Sequence[Example]) -> Frame:
        """Every example behind the prompt of its language, the job's where it names none."""
        languages = {example.utterance.language for example in examples} - {None}
        prompts = {language: tuple(self._tokenizer.prompt(language)) for language in languages if language}
        return Frame(
            prompt=tuple(self._tokenizer.prompt(self._spec.code)), end_of_text=self._tokenizer.end_of_text,
            by_language=prompts, no_speech=self._tokenizer.no_speech,
        )  # fmt: skip

    def learning_rate(self, plan: Plan, num_recorded_hours: float) -> float:
        """See :class:`training.family.Family`."""
        del num_recorded_hours
        own_rate = default_learning_rate(self.model.config.d_model)
        return {"lora": LORA_RATE, "decoder": DECODER_RATE_SHARE * own_rate}.get(plan.method, own_rate)

    def scorer(self) -> Scorer:
        """See :class:`training.family.Family`."""
        frozen = self.start_state if self._cache is not None else None
        self._scorer = Scorer(self._base.transformers_dir, self._cache, frozen, num_workers=self._num_workers)
        return self._scorer

    def export(self, state: Mapping[str, Tensor], folder: Path) -> None:
        """See :class:`training.family.Family`."""
        save_whisper(state, self._base.transformers_dir, folder)
        export_ctranslate2(folder, folder / CTRANSLATE2_FOLDER)

    def finish(self, folder: Path) -> None:
        """See :class:`training.family.Family`; nothing is to be added."""
        del folder

    def engines(self, folder: Path, context: str) -> tuple[TorchWhisper, CTranslate2Whisper]:
        """See :class:`training.family.Family`."""
        own = context == OWN
        served = CTranslate2Whisper(
            folder / CTRANSLATE2_FOLDER, num_threads=self._num_workers, own_length=own
        )
        return TorchWhisper(folder, own_length=own), served

    def save_adapter(self, method: Method, weights: Mapping[str, Tensor], mix: float, folder: Path) -> None:
        """See :class:`training.family.Family`."""
        if isinstance(method, LoraMethod) and weights:
            method.save_adapter(weights, mix, self._adapted_base(), folder / ADAPTER_FOLDER)

    def _adapted_base(self) -> str:
        """What an adapter is to be added to: the base, or the base after it was taught own lengths."""
        if self._start_dir == self._base.transformers_dir:
            return self._base.reference
        digest = weights_sha256(self._start_dir)
        return f"{self._base.reference} taught own lengths, as lexitune adapt --name does it (weights {digest[:16]})"

    def _filled_cache(self, examples: Sequence[Example]) -> EncoderCache:
        engine = CTranslate2Whisper(self._start_engine_dir, num_workers=self._num_workers)
        cache = EncoderCache(self._folder / "encoded", engine, num_workers=self._num_workers)
        with self._reporter.stage("encoding train", len(examples)) as stage:
            cache.fill([example.utterance for example in examples], stage.advance, self._contexts)
        return cache


def choose_method(asked: str, options: TrainingOptions, num_recorded_hours: float, *, width: int) -> Plan:
    """What is trained of a Whisper of this width, for ``auto`` by the hours recorded, and the reason."""
    method, reason = asked, "as asked"
    if asked == "auto" and num_recorded_hours < ENCODER_HOURS:
        method = "decoder"
        reason = f"a glossary, text or less than {ENCODER_HOURS:g} h of recordings teach words, which live in the decoder"
    elif asked == "auto":
        is_full = width < WIDE or num_recorded_hours >= FULL_HOURS
        method = "full" if is_full else "lora"
        reason = (
            f"{num_recorded_hours:.1f} h of recordings show how the domain sounds, which the encoder learns"
            + ("" if is_full else f"; all of so wide a model from {FULL_HOURS:g} h on")
        )
    if method == "decoder" and not num_recorded_hours:
        return Plan(method=method, reason=reason, enough_steps=ENOUGH_STEPS)
    if method != "lora":
        return Plan(method=method, reason=reason)
    part = options.lora_part
    if part == "auto":
        part = "both" if num_recorded_hours >= ENCODER_HOURS else "decoder"
    return Plan(method=method, reason=reason, part=part)


def _of_one_window(rows: Sequence[Utterance], notes: list[str]) -> list[Utterance]:
    fitting = [row for row in rows if row.duration_s <= WHISPER_WINDOW_S]
    if len(fitting) < len(rows):
        notes.append(
            f"own lengths: {len(rows) - len(fitting)} of {len(rows)} rows are over {WHISPER_WINDOW_S:g} s: left out"
        )
    return fitting


def _state_of(folder: Path) -> dict[str, Tensor]:
    return _copied(load_whisper(folder))


def _copied(model: Any) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
