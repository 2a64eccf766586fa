"""One adaptation job from end to end: data, cache, training, mix, export, evaluation, gate, registry.

Interrupted at any point and run again with the same spec and files, it goes on: synthesised audio, encoder outputs and
checkpoints are kept in a work folder of the job's own, which is removed once the version is published.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr import __version__
from asr.atomic import write_bytes_atomically
from asr.biasing.phrases import PhraseSet, format_phrases
from asr.errors import InputError
from asr.evaluation.evaluate import Evaluation
from asr.models.contexts import TAUGHT_LANGUAGE, WHOLE
from asr.models.resolve import PHRASES, ResolvedModel, resolve_model
from asr.registry import Registry, read_card
from asr.shown import without_paths
from asr.storage import exclusive, home_dir
from asr.text.languages import ENGLISH
from training.carried import carried_by
from training.data import AdaptationData, collect
from training.distributed import Processes, joined
from training.examples import examples_digest, num_batches
from training.exhaustion import explained
from training.families import open_family
from training.family import Plan, Rows, VariantScorer
from training.gate import Check, GateVerdict, general_budget, judge
from training.inputs import input_hashes
from training.languages import base_languages, settled
from training.learning import Learned, Learner
from training.measuring import Measurer
from training.methods import Method
from training.page import render_page
from training.probing import Exported, Probed, probe
from training.progress import Reporter, SilentReporter
from training.publish import publish, published_by, run_file
from training.report import PAGE, AdaptationReport, build_card, build_run
from training.spec import AdaptationSpec, TrainingOptions
from training.variants import Variant

PARITY_PROBES = 6
MOST_TRANSCRIBED = (
    40  # rows that the reference engine decodes where the probes differ, a second of a core each
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Of a job that is run for somebody who may lose its answer and have it run again.

    Attributes:
        job: a name that no other job ever has: what the job of this name has published is its answer from then on.
        folder: where unfinished work is kept; whoever owns the job removes it.
        names: what the card says in the place of paths, as for :func:`asr.shown.without_paths`.
    """

    job: str
    folder: Path
    names: Mapping[str, str] = field(default_factory=dict)


def adapt(
    spec: AdaptationSpec, reporter: Reporter, *, num_workers: int = 2, owner: Owner | None = None
) -> AdaptationReport | None:
    """Run a job; the result says what was published and whether the gate let it pass.

    Processes of one launcher train together, in the same LEXITUNE_HOME; all but the main one return None.

    Args:
        spec: what to do.
        reporter: of its progress.
        num_workers: cores to use.
        owner: without one, unfinished work is kept under LEXITUNE_HOME, and equal jobs go on with each other's.

    Raises:
        LexituneError: the input cannot be used.
    """
    with joined() as processes, ExitStack() as held:
        with processes.main_first():
            registry = Registry.open()  # before hours of work, not after
            reporter = reporter if processes.is_main else SilentReporter()
            running = _Job(spec, reporter, num_workers, registry, processes, owner)
        if processes.is_main:
            held.enter_context(exclusive(running.folder))
        held.enter_context(explained(running.folder, batch_size=spec.training.batch_size))
        return running.published_before() or running.run()


class _Job:
    """The steps of one job and what they share."""

    def __init__(
        self, spec: AdaptationSpec, reporter: Reporter, num_workers: int, registry: Registry,
        processes: Processes, owner: Owner | None,
    ) -> None:  # fmt: skip
        self._started = time.monotonic()
        self._name = owner.job if owner else ""
        self._names: Mapping[str, str] = owner.names if owner else {}
        self._processes = processes
        self._registry = registry
        self._reporter = reporter
        self._num_workers = num_workers
        self._base: ResolvedModel = resolve_model(spec.base)
        self._languages = base_languages(self._base)
        spec, self._language_notes = settled(spec, self._languages)
        self._spec = spec
        digest = spec.digest(self._base.sha256, __version__, *input_hashes(spec))
        self.folder = (owner.folder if owner else home_dir("work")) / digest
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(spec.seed)
        torch.set_num_threads(max(1, num_workers // processes.size))

    def published_before(self) -> AdaptationReport | None:
        """What a job of this name has published, whose end nobody learned of; None if there is nothing."""
        version = published_by(self._registry, self._spec.name, self._name) if self._name else ""
        if not version:
            return None
        card = read_card(self._registry.resolve(f"models:/{self._spec.name}/{version}").path)
        verdict = GateVerdict(tuple(Check(**check) for check in card["gate"]["checks"]))
        report = self._report(version, card, verdict)
        shutil.rmtree(self.folder, ignore_errors=True)
        return report

    def run(self) -> AdaptationReport | None:
        """All steps in order."""
        with self._processes.main_first():  # the others find its files
            data = self._collect()
            self._family = open_family(
                self._base, self._spec, data, self.folder, self._reporter, num_workers=self._num_workers
            )
            self._family.move(self._processes.device)
        if not self._spec.has_domain:
            return self._teach_only(data) if self._processes.is_main else None
        with self._processes.main_first():
            rows = self._rows(data)
            plan = self._plan(data)
            method, options = self._method(plan, rows, data)
            scorer = self._scorer(data)
        measurer = self._measurer(data, scorer)
        learner = Learner(self._family, self._spec, self.folder, self._reporter, self._processes, measurer)
        learned = learner.learn(plan, method, options, rows.examples)
        instead = self._learned_instead(learner, plan, learned, rows, data)
        if learned is None:
            return None  # not the main process
        taken, chosen = learner.chosen([learned, *([instead] if instead else [])])
        data.notes.extend(learner.notes)
        mixes, plan = taken.mixes, taken.plan
        compared = [mix.score for mix in mixes if mix is mixes[0] or mix.context == chosen.context]
        final = measurer.mixed(taken.tuned, chosen.score.mix, chosen.score.encoder_mix)
        chosen, contexts = measurer.settle_contexts(chosen, final)
        phrases = measurer.phrases_of(chosen.score)
        folder = self._export(final, phrases)
        finished = self._family.finish(folder)
        if finished is not None:
            self._prepare(finished, data)
            chosen = measurer.measure_again(chosen.score, final, chosen.context, finished)
        if data.test:
            measurer.measure_test(mixes[0], chosen, final, finished)
        exported = Exported(folder=folder, context=chosen.context, phrases=phrases)
        probed = self._probe(exported, scorer, data)
        self._family.save_adapter(taken.method, taken.weights, chosen.score.mix, folder)
        verdict = measurer.judge(mixes[0], chosen, probed)
        facts = {
            "method": plan.method,
            "lora_part": plan.part,
            "reason": plan.reason,
            "contexts": contexts,
            "phrases": len(phrases or ()),
            "heard": measurer.heard,
            "mixes": compared,
            "step": taken.step,
            "curve": taken.curve,
            "num_train": len(rows.examples),
            "train_sha256": examples_digest(rows.examples),
        }
        return self._finish(folder, (mixes[0], chosen), probed, verdict, data, facts)

    def _learned_instead(
        self, learner: Learner, plan: Plan, learned: Learned | None, rows: Rows, data: AdaptationData
    ) -> Learned | None:
        """What the family's other plan comes to, where the budgets hold back much of what this one learned."""
        other = self._family.plan_instead(plan)
        if other is None or not self._processes.from_main(lambda: learner.is_held_back(learned)):
            return None
        with self._processes.main_first():
            self._tell_plan(other)
            method, options = self._method(other, rows, data)
        return learner.learn(
            other, method, options, rows.examples, checkpoints="checkpoints-instead", before=learned
        )

    def _teach_only(self, data: AdaptationData) -> AdaptationReport:
        """A version that hears own lengths and is otherwise the base."""
        family = self._family
        if family.context == WHOLE or self._base.own_length:
            raise InputError(f"{self._spec.base} hears own lengths as it is; give --text, --terms or --train")
        others = sorted({row.language for row in data.general if row.language} - {TAUGHT_LANGUAGE})
        if others:
            raise InputError(
                f"--general {self._spec.general} is in {', '.join(others)}; own lengths are taught and proved in "
                f"{TAUGHT_LANGUAGE} alone: give speech in it"
            )
        scorer = self._scorer(data)
        measurer = self._measurer(data, scorer)
        base = measurer.measure_base()
        own, whole = (
            measurer.measure(family.start_state, 1.0, context) for context in (family.context, WHOLE)
        )
        phrases = measurer.phrases_of(own.score)
        folder = self._export(family.start_state, phrases)
        exported = Exported(folder=folder, context=family.context, phrases=phrases)
        probed = self._probe(exported, scorer, data)
        figures = replace(measurer.figures(base, own, probed), whole_general_wer=whole.score.general_wer)
        verdict = judge(figures, self._spec.gate)
        budget = general_budget(base.score.general_wer, self._spec.gate)
        is_whole = (
            whole.score.general_wer <= budget or not verdict.passed
        )  # refused, it is still heard somehow
        facts = {
            "method": "own-length",
            "lora_part": "",
            "reason": "no domain was given",
            "heard": {},
            "phrases": len(phrases or ()),
            "contexts": [*([family.context] if verdict.passed else []), *([WHOLE] if is_whole else [])],
            "mixes": [base.score, own.score],
            "step": 0,
            "curve": (),
            "num_train": len(data.train),
            "train_sha256": data.hashes["train"],
        }
        return self._finish(folder, (base, own), probed, verdict, data, facts)

    def _finish(
        self, folder: Path, compared: tuple[Variant, Variant], probed: Probed, verdict: GateVerdict,
        data: AdaptationData, facts: Mapping[str, Any],
    ) -> AdaptationReport:  # fmt: skip
        """Publish, and leave nothing of the job behind; ``compared`` are the base and the chosen one."""
        base, chosen = compared
        both = {
            "seconds": round(time.monotonic() - self._started, 1),
            "mix": chosen.score.mix,
            "encoder_mix": chosen.score.encoder_mix,
            "parity": probed.parity,
            "latency_ratio": round(probed.latency_ratio, 3),
        }
        evaluations = {"base": base.evaluations, "adapted": chosen.evaluations}
        report = self._publish(folder, data, evaluations, verdict, {**facts, **both})
        shutil.rmtree(self.folder, ignore_errors=True)
        return report

    def _collect(self) -> AdaptationData:
        data = collect(
            self._spec, self.folder / "data", self._reporter, knows_english=ENGLISH in self._languages
        )
        data.notes[:0] = self._language_notes
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

    def _plan(self, data: AdaptationData) -> Plan:
        plan = self._family.plan(data.recorded_hours)
        self._tell_plan(plan)
        return plan

    def _tell_plan(self, plan: Plan) -> None:
        changes = f"; changes {plan.part}" if plan.part else ""
        self._reporter.note(f"method {plan.method}: {plan.reason}{changes}")

    def _method(self, plan: Plan, rows: Rows, data: AdaptationData) -> tuple[Method, TrainingOptions]:
        """The model ready to learn by this plan, and how it is to learn."""
        torch.manual_seed(self._spec.seed)  # adapters begin the same on every process
        steps_per_epoch = num_batches(rows.examples, self._spec.training.batch_size)
        epochs = self._spec.training.epochs or plan.epochs(steps_per_epoch)
        method = self._family.method(plan, rows.examples, epochs * steps_per_epoch)
        rate = self._spec.training.learning_rate or self._family.learning_rate(plan, data.recorded_hours)
        return method, replace(self._spec.training, learning_rate=rate, epochs=epochs)

    def _scorer(self, data: AdaptationData) -> VariantScorer:
        scorer = self._family.scorer()
        if self._processes.is_main:
            self._prepare(scorer, data)
        return scorer

    def _measurer(self, data: AdaptationData, scorer: VariantScorer) -> Measurer:
        is_able = self._family.carries_phrases
        carried = carried_by(self._spec, self._base.phrases, is_able=is_able, lines=data.text_lines)
        data.notes.extend(carried.notes)
        for note in carried.notes:
            self._reporter.note(note)
        return Measurer(self._family, scorer, self._spec, data, self._reporter, carried)

    def _prepare(self, scorer: VariantScorer, data: AdaptationData) -> None:
        measured = [*data.dev, *data.test, *data.general]
        with self._reporter.stage("cutting what is measured", len(measured)) as stage:
            scorer.prepare(measured, stage.advance)
            # no voice activity: cut, nothing would be left
            scorer.prepare(data.sounds, lambda: None, whole=True)

    def _export(self, state: Mapping[str, Tensor], phrases: PhraseSet | None) -> Path:
        folder = self.folder / "version"
        shutil.rmtree(folder, ignore_errors=True)
        self._family.export(state, folder)
        if phrases:
            (folder / PHRASES).write_text(format_phrases(phrases), encoding="utf-8")
        return folder

    def _probe(self, exported: Exported, scorer: VariantScorer, data: AdaptationData) -> Probed:
        rows = (*data.dev, *data.general) if len(data.dev) < PARITY_PROBES else data.dev
        probes = scorer.segments(rows[:: max(1, len(rows) // PARITY_PROBES)])[:PARITY_PROBES]
        fitting = [(row, scorer.segments([row])) for row in data.dev if row.text]
        transcribed = [(row, segments[0]) for row, segments in fitting if len(segments) == 1]
        transcribed = transcribed[:: -(-len(transcribed) // MOST_TRANSCRIBED) or 1]
        # of dev, whose segments come first, is the language
        return probe(
            exported, self._family, self._base, probes, self._reporter, language=self._spec.code,
            num_threads=self._num_workers, transcribed=transcribed,
        )  # fmt: skip

    def _publish(
        self,
        folder: Path,
        data: AdaptationData,
        evaluations: Mapping[str, Mapping[str, Evaluation]],
        verdict: GateVerdict,
        facts: dict[str, Any],
    ) -> AdaptationReport:
        card = without_paths(
            build_card(self._spec, self._base, data, evaluations, verdict, facts), self._names
        )
        sets = {"dev": data.dev, "test": data.test, "general": data.general, "sounds": data.sounds}
        sets = {name: rows for name, rows in sets.items() if rows}
        page = render_page(card, f"{self._spec.name}, adapted from {self._base.reference}", evaluations, sets)
        run = build_run(self._spec, card, page)
        run = replace(run, params=without_paths(run.params, self._names), job=self._own_name())
        version = publish(self._registry, self._spec.name, folder, card, run)
        return self._report(version, card, verdict)

    def _report(self, version: str, card: Mapping[str, Any], verdict: GateVerdict) -> AdaptationReport:
        """The end: the alias follows the gate."""
        promoted = bool(self._spec.alias) and verdict.passed
        if promoted:
            self._registry.set_alias(self._spec.name, self._spec.alias, version)
        return AdaptationReport(
            name=self._spec.name, version=version, verdict=verdict, card=card,
            promoted_alias=self._spec.alias if promoted else "",
            page=run_file(self._registry, self._spec.name, version, PAGE),
        )  # fmt: skip

    def _own_name(self) -> str:
        """This job's name, kept as long as its folder is: run again after its end, the same command is another job."""
        if self._name:
            return self._name
        path = self.folder / "job"
        if not path.is_file():
            write_bytes_atomically(path, uuid.uuid4().hex.encode())
        return path.read_text()
