"""One adaptation job from end to end: data, cache, training, mix, export, evaluation, gate, registry.

Interrupted at any point and run again with the same spec and files, it goes on: synthesised audio, encoder outputs and
checkpoints are kept in a work folder of the job's own, which is removed once the version is published.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
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
from asr.models.contexts import WHOLE
from asr.models.export import Parity, check_parity
from asr.models.resolve import ResolvedModel, resolve_model
from asr.registry import Registry
from asr.storage import exclusive, home_dir
from training.checkpoint import CheckpointStore
from training.data import AdaptationData, collect
from training.distributed import Processes, joined
from training.examples import Example, epoch_batches, examples_digest
from training.exhaustion import explained
from training.families import open_family
from training.family import Plan, Rows, VariantScorer
from training.gate import GateFigures, GateVerdict, general_budget, judge
from training.interpolate import MixScore, choose_mix, interpolate
from training.loop import DevScore, Hooks, TrainingLoop, TrainingResult
from training.methods import Method
from training.page import render_page
from training.progress import Reporter, SilentReporter
from training.publish import publish, run_file
from training.report import PAGE, AdaptationReport, build_card, build_run
from training.scoring import GREEDY, SERVED
from training.spec import MIXES, AdaptationSpec

PARITY_PROBES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mix:
    """A mix with the base, the context in which it was heard, and what it scores there."""

    score: MixScore
    context: str
    evaluations: dict[str, Evaluation]


def adapt(spec: AdaptationSpec, reporter: Reporter, *, num_workers: int = 2) -> AdaptationReport | None:
    """Run a job; the result says what was published and whether the gate let it pass.

    Processes of one launcher train together, in the same LEXITUNE_HOME; all but the main one return None.

    Raises:
        LexituneError: the input cannot be used.
    """
    with joined() as processes, ExitStack() as held:
        with processes.main_first():
            registry = Registry.open()  # before hours of work, not after
            reporter = reporter if processes.is_main else SilentReporter()
            job = _Job(spec, reporter, num_workers, registry, processes)
        if processes.is_main:
            held.enter_context(exclusive(job.folder))
        held.enter_context(explained(job.folder, batch_size=spec.training.batch_size))
        return job.run()


class _Job:
    """The steps of one job and what they share."""

    def __init__(
        self, spec: AdaptationSpec, reporter: Reporter, num_workers: int, registry: Registry,
        processes: Processes,
    ) -> None:  # fmt: skip
        self._processes = processes
        self._registry = registry
        self._spec = spec
        self._reporter = reporter
        self._num_workers = num_workers
        self._base: ResolvedModel = resolve_model(spec.base)
        self.folder = home_dir("work", spec.digest(self._base.sha256, __version__, *_input_hashes(spec)))
        torch.manual_seed(spec.seed)
        torch.set_num_threads(max(1, num_workers // processes.size))

    def run(self) -> AdaptationReport | None:
        """All steps in order."""
        started = time.monotonic()
        with self._processes.main_first():  # the others find its files
            data = self._collect()
            self._family = open_family(
                self._base, self._spec, data, self.folder, self._reporter, num_workers=self._num_workers
            )
            rows = self._rows(data)
            plan = self._plan(rows)
            method = self._family.method(plan, rows.examples, self._num_steps(rows.examples))
            scorer = self._scorer(data)
        trained = self._train(method, plan, rows.examples, data, scorer)
        if not self._processes.is_main:
            return None
        tuned = method.merged(trained.weights or {})
        mixes = self._measure_mixes(scorer, tuned, data)
        chosen = self._choose(mixes)
        final = self._mixed(tuned, chosen.score.mix)
        contexts = self._prove_whole(scorer, final, mixes[0], chosen, data)
        folder = self._export(final)
        finished = self._family.finish(folder) if chosen.score.mix else None
        if finished is not None:
            self._prepare(finished, data)
            chosen = self._measure(finished, {}, chosen.score.mix, chosen.context, data)
        if data.test:
            self._measure_test(scorer, finished, final, mixes[0], chosen, data)
        parity = self._parity(folder, chosen.context, scorer, data)
        self._family.save_adapter(method, trained.weights or {}, chosen.score.mix, folder)
        verdict = self._judge(mixes[0], chosen, parity, data)
        facts = {
            "method": plan.method,
            "lora_part": plan.part,
            "reason": plan.reason,
            "contexts": contexts,
            "seconds": round(time.monotonic() - started, 1),
            "mix": chosen.score.mix,
            "mixes": [mix.score for mix in mixes],
            "best_step": trained.best_step,
            "curve": trained.curve,
            "parity": parity,
            "num_train": len(rows.examples),
            "train_sha256": examples_digest(rows.examples),
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

    def _rows(self, data: AdaptationData) -> Rows:
        rows = self._family.rows(data.train)
        for row in rows.rejected[:20]:
            self._reporter.note(f"not trained on: {row.id}: {row.reason}")
        if len(rows.rejected) > 20:
            self._reporter.note(f"not trained on: {len(rows.rejected) - 20} more")
        if not rows.examples:
            raise InputError(f"none of {len(data.train)} utterances can be trained on; see the reasons above")
        if rows.rejected:
            data.notes.append(f"train: {len(rows.rejected)} of {len(data.train)} rows not trained on")
        data.notes.extend(rows.notes)
        return rows

    def _plan(self, rows: Rows) -> Plan:
        plan = self._family.plan(_num_hours(rows.examples))
        changes = f"; changes {plan.part}" if plan.part else ""
        self._reporter.note(f"method {plan.method}: {plan.reason}{changes}")
        return plan

    def _num_steps(self, examples: Sequence[Example]) -> int:
        options = self._spec.training
        batches = epoch_batches(examples, batch_size=options.batch_size, seed=0, epoch=0)
        return options.epochs * sum(1 for _ in batches)

    def _scorer(self, data: AdaptationData) -> VariantScorer:
        scorer = self._family.scorer()
        if self._processes.is_main:
            self._prepare(scorer, data)
        return scorer

    def _prepare(self, scorer: VariantScorer, data: AdaptationData) -> None:
        measured = [*data.dev, *data.test, *data.general]
        with self._reporter.stage("cutting what is measured", len(measured)) as stage:
            scorer.prepare(measured, stage.advance)
            # no voice activity: cut, nothing would be left
            scorer.prepare(data.sounds, lambda: None, whole=True)

    def _train(
        self, method: Method, plan: Plan, examples: Sequence[Example], data: AdaptationData,
        scorer: VariantScorer,
    ) -> TrainingResult:  # fmt: skip
        options = self._spec.training
        if not options.learning_rate:
            rate = self._family.learning_rate(plan, _num_hours(examples))
            options = replace(options, learning_rate=rate)
        loop = TrainingLoop(
            method, examples, options=options, seed=self._spec.seed, processes=self._processes
        )
        start = self._family.start_state
        with self._reporter.stage("training", loop.total_steps) as stage:
            hooks = Hooks(
                score=lambda: self._dev_score(scorer, {**start, **method.merged(method.trainable())}, data),
                on_step=lambda _step, loss: stage.advance(f"loss {loss:.3f}"),
                on_point=lambda point: self._reporter.note(point.as_line()),
            )
            store = CheckpointStore(self.folder / "checkpoints", on_damaged=self._reporter.note)
            return loop.run(store, hooks)

    def _texts_score(
        self, texts: Sequence[str], utterances: Sequence[Utterance], data: AdaptationData
    ) -> Evaluation:
        return evaluate_texts(utterances, texts, normalizer=self._spec.normalizer, terms=data.terms)

    def _dev_score(
        self, scorer: VariantScorer, state: Mapping[str, Tensor], data: AdaptationData
    ) -> DevScore:
        texts = scorer.texts(state, data.dev, GREEDY, self._family.context)
        evaluation = self._texts_score(texts, data.dev, data)
        return DevScore(evaluation.wer, evaluation.term_f1)

    def _mixed(self, tuned: Mapping[str, Tensor], mix: float) -> Mapping[str, Tensor]:
        """Weights at ``mix``; at 0 the base itself, without what was taught about contexts."""
        return interpolate(self._family.start_state, tuned, mix) if mix else self._family.base_state

    def _measure_mixes(
        self, scorer: VariantScorer, tuned: Mapping[str, Tensor], data: AdaptationData
    ) -> list[_Mix]:
        """The base, then every mix: on dev, general speech and sounds, as served.

        Where no mix at own lengths is better than the base, they are tried in whole windows, too.
        """
        family = self._family
        candidates = MIXES if tuned else ()
        contexts = dict.fromkeys((family.context, WHOLE))
        with self._reporter.stage("mixing with the base", 1 + len(candidates) * len(contexts)) as stage:
            measured = [self._measure(scorer, family.base_state, 0.0, family.base_context, data)]
            stage.advance()
            for context in contexts:
                for mix in candidates:
                    state = interpolate(family.start_state, tuned, mix)
                    measured.append(self._measure(scorer, state, mix, context, data))
                    stage.advance()
                if self._best(measured) is not measured[0]:
                    break
        return measured

    def _measure(
        self, scorer: VariantScorer, state: Mapping[str, Tensor], mix: float, context: str,
        data: AdaptationData,
    ) -> _Mix:  # fmt: skip
        sets = {"dev": data.dev, "general": data.general, "sounds": data.sounds}
        everything = [row for rows in sets.values() for row in rows]
        texts = iter(scorer.texts(state, everything, SERVED, context))
        evaluations = {
            name: self._texts_score([next(texts) for _ in rows], rows, data) for name, rows in sets.items()
        }
        score = MixScore(
            mix=mix,
            domain_error=evaluations["dev"].error,
            general_wer=evaluations["general"].wer or 0.0,
            sound_words=_num_words(evaluations["sounds"]),
        )
        return _Mix(score=score, context=context, evaluations=evaluations)

    def _measure_test(
        self, scorer: VariantScorer, finished: VariantScorer | None, final: Mapping[str, Tensor],
        base: _Mix, chosen: _Mix, data: AdaptationData,
    ) -> None:  # fmt: skip
        """The locked test, for the base and the chosen mix alone, once nothing is left to choose."""
        adapted = finished.texts if finished is not None else scorer.texts
        texts = scorer.texts(self._family.base_state, data.test, SERVED, base.context)
        base.evaluations["test"] = self._texts_score(texts, data.test, data)
        texts = adapted({} if finished is not None else final, data.test, SERVED, chosen.context)
        chosen.evaluations["test"] = self._texts_score(texts, data.test, data)

    def _prove_whole(
        self, scorer: VariantScorer, final: Mapping[str, Tensor], base: _Mix, chosen: _Mix,
        data: AdaptationData,
    ) -> list[str]:  # fmt: skip
        """The contexts that the chosen weights are proved on; those of own lengths are tried in whole windows, too."""
        if chosen.context == WHOLE:
            return [WHOLE]
        whole = self._measure(scorer, final, chosen.score.mix, WHOLE, data).score
        budget = general_budget(base.score.general_wer, self._spec.gate)
        proved = whole.general_wer <= budget and whole.domain_error <= base.score.domain_error
        self._reporter.note(
            f"in whole windows: dev error {whole.domain_error:.2%}, general WER {whole.general_wer:.2%}"
            f"{'' if proved else '; not proved there'}"
        )
        return [chosen.context, *([WHOLE] if proved else [])]

    def _best(self, mixes: Sequence[_Mix]) -> _Mix:
        budget = general_budget(mixes[0].score.general_wer, self._spec.gate)
        by_score = {id(mix.score): mix for mix in mixes}

        def prob_better(first: MixScore, second: MixScore) -> float:
            return self._compare(by_score[id(second)], by_score[id(first)]).prob_better

        best = choose_mix([mix.score for mix in mixes], budget_wer=budget, prob_better=prob_better)
        return by_score[id(best)]

    def _choose(self, mixes: Sequence[_Mix]) -> _Mix:
        best = self._best(mixes)
        for mix in mixes:
            self._reporter.note(
                f"mix {mix.score.mix:g} in {mix.context}: dev error {mix.score.domain_error:.2%}, general WER "
                f"{mix.score.general_wer:.2%}, {mix.score.sound_words} words on sounds"
                f"{' <- chosen' if mix is best else ''}"
            )
        return best

    def _export(self, state: Mapping[str, Tensor]) -> Path:
        folder = self.folder / "version"
        shutil.rmtree(folder, ignore_errors=True)
        self._family.export(state, folder)
        return folder

    def _parity(self, folder: Path, context: str, scorer: VariantScorer, data: AdaptationData) -> Parity:
        probes = scorer.segments((*data.dev, *data.general))[:PARITY_PROBES]
        reference, exported = self._family.engines(folder, context)
        parity = check_parity(reference, exported, probes, GREEDY)
        exported.close()
        self._reporter.note(
            f"export: {parity.num_equal}/{parity.num_probes} probes equal, {parity.ratio:.1%} of characters"
        )
        return parity

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


def _num_hours(examples: Sequence[Example]) -> float:
    return sum(example.utterance.duration_s for example in examples) / 3600


def _critical_counts(
    base: _Mix, chosen: _Mix, data: AdaptationData
) -> dict[str, tuple[TermCounts, TermCounts]]:
    before, after = (by_term(mix.evaluations["dev"], data.dev) for mix in (base, chosen))
    none = TermCounts()
    return {term: (before.get(term, none), after.get(term, none)) for term in data.critical}


def _num_words(sounds: Evaluation) -> int:
    """Words in texts where nothing was said."""
    return sounds.words.insertions if sounds.words is not None else 0


def _input_hashes(spec: AdaptationSpec) -> list[str]:
    paths = (spec.text, spec.terms, spec.train, spec.dev, spec.test, spec.general, spec.templates)
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path else "" for path in paths]
