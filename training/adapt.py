"""One adaptation job from end to end: data, cache, training, mix, export, evaluation, gate, registry.

Interrupted at any point and run again with the same spec and files, it goes on: synthesised audio, encoder outputs and
checkpoints are kept in a work folder of the job's own, which is removed once the version is published.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr import __version__
from asr.data.manifest import Utterance
from asr.errors import InputError
from asr.evaluation.breakdown import by_term
from asr.evaluation.evaluate import Evaluation, compare, evaluate_texts
from asr.evaluation.significance import PairedComparison
from asr.evaluation.terms import TermCounts
from asr.models.checkpoint import load_whisper, save_whisper
from asr.models.export import Parity, check_parity, export_ctranslate2
from asr.models.resolve import CTRANSLATE2_FOLDER, ResolvedModel, resolve_model, serving_folder
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from asr.models.whisper_torch import TorchWhisper
from asr.registry import Registry
from asr.storage import exclusive, home_dir
from training.checkpoint import CheckpointStore, CurvePoint
from training.data import AdaptationData, collect
from training.encoder_cache import EncoderCache
from training.examples import Example, examples_digest, make_examples
from training.exhaustion import explained
from training.gate import GateFigures, GateVerdict, general_budget, judge
from training.interpolate import MixScore, choose_mix, interpolate
from training.loop import DevScore, Hooks, TrainingLoop, TrainingResult
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
from training.page import render_page
from training.progress import Reporter
from training.publish import publish, run_file
from training.report import PAGE, AdaptationReport, build_card, build_run
from training.scoring import GREEDY, SERVED, Scorer
from training.spec import MIXES, AdaptationSpec, TrainingOptions

PARITY_PROBES = 6
DECODER_RATE_SHARE = 0.8  # of the full fine-tune's rate; docs/experiments.md
LORA_RATE = 3e-4  # within 2e-4 to 5e-4, what adapters of rank 16 to 32 want
ENCODER_HOURS = 0.4  # recordings from which on LoRA changes the encoder, too


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mix:
    """A mix with the base, and what it scores on dev and on general speech."""

    score: MixScore
    evaluations: dict[str, Evaluation]


def adapt(spec: AdaptationSpec, reporter: Reporter, *, num_workers: int = 2) -> AdaptationReport:
    """Run a job; the result says what was published and whether the gate let it pass.

    Raises:
        LexituneError: the input cannot be used.
    """
    registry = Registry.open()  # before hours of work, not after
    job = _Job(spec, reporter, num_workers, registry)
    with exclusive(job.folder), explained(job.folder, batch_size=spec.training.batch_size):
        return job.run()


def choose_method(spec: AdaptationSpec, num_recorded_hours: float) -> tuple[str, str]:
    """The method for ``auto`` and the reason."""
    if spec.method != "auto":
        return spec.method, "as asked"
    if num_recorded_hours >= 3:
        return "full", f"{num_recorded_hours:.1f} h of recordings are enough to train the encoder too"
    return "decoder", "a glossary, text or less than 3 h of recordings teach words, which live in the decoder"


def choose_lora_part(options: TrainingOptions, num_recorded_hours: float) -> str:
    """What LoRA changes: "decoder" or "both"."""
    if options.lora_part != "auto":
        return options.lora_part
    return "both" if num_recorded_hours >= ENCODER_HOURS else "decoder"


class _Job:
    """The steps of one job and what they share."""

    def __init__(
        self, spec: AdaptationSpec, reporter: Reporter, num_workers: int, registry: Registry
    ) -> None:
        self._registry = registry
        self._spec = spec
        self._reporter = reporter
        self._num_workers = num_workers
        self._base: ResolvedModel = resolve_model(spec.base)
        self.folder = home_dir("work", spec.digest(self._base.sha256, __version__, *_input_hashes(spec)))
        self._tokenizer = WhisperTokenizer(self._base.transformers_dir / "tokenizer.json")
        torch.manual_seed(spec.seed)
        torch.set_num_threads(max(1, num_workers))

    def run(self) -> AdaptationReport:
        """All steps in order."""
        started = time.monotonic()
        data = self._collect()
        examples = self._examples(data)
        num_hours = sum(e.utterance.duration_s for e in examples) / 3600
        name, reason = choose_method(self._spec, num_hours)
        part = choose_lora_part(self._spec.training, num_hours) if name == "lora" else ""
        self._reporter.note(f"method {name}: {reason}" + (f"; changes {part}" if part else ""))
        model = load_whisper(self._base.transformers_dir)
        base_state = {key: value.detach().clone() for key, value in model.state_dict().items()}
        cache = self._encode(examples) if name == "decoder" or part == "decoder" else None
        scorer = self._scorer(cache, data)
        method = self._method(name, part, model, cache)
        trained = self._train(method, base_state, examples, data, scorer)
        tuned = method.merged(trained.weights or {})
        mixes = self._measure_mixes(scorer, base_state, tuned, data)
        chosen = self._choose(mixes)
        final = interpolate(base_state, tuned, chosen.score.mix)
        if data.test:
            self._measure_test(scorer, {mixes[0].score.mix: base_state, chosen.score.mix: final}, mixes, data)
        folder, parity = self._export(final, scorer, data)
        if isinstance(method, LoraMethod) and trained.weights:
            method.save_adapter(
                trained.weights, chosen.score.mix, self._base.reference, folder / ADAPTER_FOLDER
            )
        verdict = self._judge(mixes[0], chosen, parity, data)
        facts = {
            "method": name,
            "lora_part": part,
            "reason": reason,
            "seconds": round(time.monotonic() - started, 1),
            "mix": chosen.score.mix,
            "mixes": [mix.score for mix in mixes],
            "best_step": trained.best_step,
            "curve": trained.curve,
            "parity": parity,
            "num_train": len(examples),
            "train_sha256": examples_digest(examples),
        }
        evaluations = {"base": mixes[0].evaluations, "adapted": chosen.evaluations}
        report = self._publish(folder, data, evaluations, verdict, facts)
        shutil.rmtree(self.folder, ignore_errors=True)
        return report

    def _collect(self) -> AdaptationData:
        data = collect(self._spec, self.folder / "data", self._reporter)
        for note in data.notes:
            self._reporter.note(note)
        return data

    def _examples(self, data: AdaptationData) -> list[Example]:
        examples, rejected = make_examples(data.train, self._tokenizer)
        for row in rejected[:20]:
            self._reporter.note(f"not trained on: {row.id}: {row.reason}")
        if len(rejected) > 20:
            self._reporter.note(f"not trained on: {len(rejected) - 20} more")
        if not examples:
            raise InputError(f"none of {len(data.train)} utterances can be trained on; see the reasons above")
        data.notes.extend(
            [f"train: {len(rejected)} of {len(data.train)} rows not trained on"] if rejected else []
        )
        return examples

    def _encode(self, examples: Sequence[Example]) -> EncoderCache:
        engine = CTranslate2Whisper(serving_folder(self._base), num_workers=self._num_workers)
        cache = EncoderCache(self.folder / "encoded", engine, num_workers=self._num_workers)
        with self._reporter.stage("encoding train", len(examples)) as stage:
            cache.fill([example.utterance for example in examples], stage.advance)
        return cache

    def _scorer(self, cache: EncoderCache | None, data: AdaptationData) -> Scorer:
        scorer = Scorer(self._base.transformers_dir, cache, num_workers=self._num_workers)
        measured = [*data.dev, *data.test, *data.general]
        with self._reporter.stage("encoding what is measured", len(measured)) as stage:
            scorer.prepare(measured, stage.advance)
            scorer.prepare(
                data.sounds, lambda: None, whole=True
            )  # no voice activity: cut, nothing would be left
        return scorer

    def _method(self, name: str, part: str, model: Any, cache: EncoderCache | None) -> Method:
        frame = Frame(prompt=tuple(self._tokenizer.prompt(None)), end_of_text=self._tokenizer.end_of_text)
        if name == "full":
            return FullMethod(model, frame)
        encodings = CachedEncodings(cache, model.device) if cache else LiveEncodings(model)
        if name == "decoder":
            return DecoderMethod(model, encodings, frame)
        options = self._spec.training
        return LoraMethod(
            model, encodings, frame, part=part, rank=options.lora_rank, alpha=options.lora_alpha
        )

    def _train(
        self, method: Method, base_state: Mapping[str, Tensor], examples: Sequence[Example],
        data: AdaptationData, scorer: Scorer,
    ) -> TrainingResult:  # fmt: skip
        options = self._spec.training
        if not options.learning_rate:
            own_rate = default_learning_rate(method.model.config.d_model)
            rates = {"lora": LORA_RATE, "decoder": DECODER_RATE_SHARE * own_rate}
            options = replace(options, learning_rate=rates.get(method.name, own_rate))
        loop = TrainingLoop(method, examples, options=options, seed=self._spec.seed)
        with self._reporter.stage("training", loop.total_steps) as stage:
            hooks = Hooks(
                score=lambda: self._dev_score(
                    scorer, {**base_state, **method.merged(method.trainable())}, data
                ),
                on_step=lambda _step, loss: stage.advance(f"loss {loss:.3f}"),
                on_point=lambda point: self._reporter.note(_point_line(point)),
            )
            return loop.run(CheckpointStore(self.folder / "checkpoints"), hooks)

    def _texts_score(
        self, texts: Sequence[str], utterances: Sequence[Utterance], data: AdaptationData
    ) -> Evaluation:
        return evaluate_texts(utterances, texts, normalizer=self._spec.normalizer, terms=data.terms)

    def _dev_score(self, scorer: Scorer, state: Mapping[str, Tensor], data: AdaptationData) -> DevScore:
        evaluation = self._texts_score(scorer.texts(state, data.dev, GREEDY), data.dev, data)
        return DevScore(evaluation.wer, evaluation.term_f1)

    def _measure_mixes(
        self,
        scorer: Scorer,
        base_state: Mapping[str, Tensor],
        tuned: Mapping[str, Tensor],
        data: AdaptationData,
    ) -> list[_Mix]:
        """Every mix on dev and on general speech, as served; the first is the base."""
        measured = []
        candidates = (0.0, *(MIXES if tuned else ()))
        sets = {"dev": data.dev, "general": data.general, "sounds": data.sounds}
        everything = [row for rows in sets.values() for row in rows]
        with self._reporter.stage("mixing with the base", len(candidates)) as stage:
            for mix in candidates:
                state = interpolate(base_state, tuned, mix)
                texts = iter(scorer.texts(state, everything, SERVED))
                evaluations = {
                    name: self._texts_score([next(texts) for _ in rows], rows, data)
                    for name, rows in sets.items()
                }
                dev, general = evaluations["dev"], evaluations["general"]
                score = MixScore(
                    mix=mix,
                    domain_error=dev.error,
                    general_wer=general.wer or 0.0,
                    sound_words=_num_words(evaluations["sounds"]),
                )
                measured.append(_Mix(score=score, evaluations=evaluations))
                stage.advance()
        return measured

    def _measure_test(
        self,
        scorer: Scorer,
        states: Mapping[float, Mapping[str, Tensor]],
        mixes: Sequence[_Mix],
        data: AdaptationData,
    ) -> None:
        """The locked test, for the base and the chosen mix alone, once nothing is left to choose."""
        for mix in mixes:
            if mix.score.mix in states:
                texts = scorer.texts(states[mix.score.mix], data.test, SERVED)
                mix.evaluations["test"] = self._texts_score(texts, data.test, data)

    def _choose(self, mixes: Sequence[_Mix]) -> _Mix:
        budget = general_budget(mixes[0].score.general_wer, self._spec.gate)
        by_mix = {mix.score.mix: mix for mix in mixes}

        def prob_better(first: MixScore, second: MixScore) -> float:
            return self._compare(by_mix[second.mix], by_mix[first.mix]).prob_better

        best = choose_mix([mix.score for mix in mixes], budget_wer=budget, prob_better=prob_better)
        for mix in mixes:
            self._reporter.note(
                f"mix {mix.score.mix:g}: dev error {mix.score.domain_error:.2%}, general WER "
                f"{mix.score.general_wer:.2%}, {mix.score.sound_words} words on sounds"
                f"{' <- chosen' if mix.score is best else ''}"
            )
        return next(mix for mix in mixes if mix.score is best)

    def _export(
        self, state: Mapping[str, Tensor], scorer: Scorer, data: AdaptationData
    ) -> tuple[Path, Parity]:
        folder = self.folder / "version"
        shutil.rmtree(folder, ignore_errors=True)
        save_whisper(state, self._base.transformers_dir, folder)
        export_ctranslate2(folder, folder / CTRANSLATE2_FOLDER)
        probes = scorer.segments((*data.dev, *data.general))[:PARITY_PROBES]
        exported = CTranslate2Whisper(folder / CTRANSLATE2_FOLDER, num_threads=self._num_workers)
        parity = check_parity(TorchWhisper(folder), exported, probes, GREEDY)
        exported.close()
        self._reporter.note(
            f"export: {parity.num_equal}/{parity.num_probes} probes equal, {parity.ratio:.1%} of characters"
        )
        return folder, parity

    def _compare(self, base: _Mix, other: _Mix, part: str = "dev") -> PairedComparison:
        """Whether ``other`` is better than ``base`` on a part of the data."""
        num_samples = self._spec.gate.bootstrap_samples
        return compare(
            base.evaluations[part], other.evaluations[part], num_samples=num_samples, seed=self._spec.seed
        )

    def _judge(self, base: _Mix, chosen: _Mix, parity: Parity, data: AdaptationData) -> GateVerdict:
        comparison = self._compare(base, chosen)
        test = self._compare(base, chosen, "test") if data.test else None
        figures = GateFigures(
            prob_better=comparison.prob_better,
            metric=base.evaluations["dev"].error_name,
            resampled=f"{comparison.num_units} {comparison.unit}s",
            base_general_wer=base.score.general_wer,
            general_wer=chosen.score.general_wer,
            parity=parity.ratio,
            test_prob_better=test.prob_better if test else None,
            test_resampled=f"{test.num_units} {test.unit}s" if test else "",
            base_term_f1=base.evaluations["dev"].term_f1,
            term_f1=chosen.evaluations["dev"].term_f1,
            critical=_critical_counts(base, chosen, data),
            base_sound_words=base.score.sound_words,
            sound_words=chosen.score.sound_words,
        )
        return judge(figures, self._spec.gate)

    def _publish(
        self,
        folder: Path,
        data: AdaptationData,
        evaluations: Mapping[str, Mapping[str, Evaluation]],
        verdict: GateVerdict,
        facts: dict[str, Any],
    ) -> AdaptationReport:
        card = build_card(self._spec, self._base, data, evaluations, verdict, facts)
        sets = {"dev": data.dev, "test": data.test, "general": data.general, "sounds": data.sounds}
        sets = {name: rows for name, rows in sets.items() if rows}
        page = render_page(card, f"{self._spec.name}, adapted from {self._base.reference}", evaluations, sets)
        version = publish(self._registry, self._spec.name, folder, card, build_run(self._spec, card, page))
        promoted = bool(self._spec.alias) and verdict.passed
        if promoted:
            self._registry.set_alias(self._spec.name, self._spec.alias, version)
        return AdaptationReport(
            name=self._spec.name, version=version, verdict=verdict, card=card,
            promoted_alias=self._spec.alias if promoted else "",
            page=run_file(self._registry, self._spec.name, version, PAGE),
        )  # fmt: skip


def _critical_counts(
    base: _Mix, chosen: _Mix, data: AdaptationData
) -> dict[str, tuple[TermCounts, TermCounts]]:
    before, after = (by_term(mix.evaluations["dev"], data.dev) for mix in (base, chosen))
    none = TermCounts()
    return {term: (before.get(term, none), after.get(term, none)) for term in data.critical}


def _num_words(sounds: Evaluation) -> int:
    """Words in texts where nothing was said."""
    return sounds.words.insertions if sounds.words is not None else 0


def _point_line(point: CurvePoint) -> str:
    parts = [f"epoch {point.epoch:g}", f"step {point.step}"]
    if point.step:
        parts.append(f"loss {point.loss:.3f}")
    if point.dev_wer is not None:
        parts.append(f"dev WER {point.dev_wer:.2%}")
    if point.dev_term_f1 is not None:
        parts.append(f"term F1 {point.dev_term_f1:.3f}")
    return ", ".join(parts)


def _input_hashes(spec: AdaptationSpec) -> list[str]:
    paths = (spec.text, spec.terms, spec.train, spec.dev, spec.test, spec.general, spec.templates)
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path else "" for path in paths]
