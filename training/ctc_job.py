"""A Wav2Vec2-CTC base in an adaptation job: ``training.family`` over :class:`training.ctc_family.CtcFamily`.

A Wav2Vec2 hears every utterance at its own length by design: there is one context. With domain text, an n-gram language
model is trained and kept if dev is better with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr.data.manifest import Utterance
from asr.decoding.ctc import LM_FOLDER
from asr.errors import OptionError
from asr.evaluation.evaluate import evaluate_texts
from asr.models.contexts import WHOLE
from asr.models.ctc_torch import TorchCtc
from asr.models.resolve import ResolvedModel
from asr.text.languages import normalizer_for
from asr.text.normalize import get_normalizer
from asr.units import MAX_UTTERANCE_S
from training.ctc_family import CtcFamily
from training.ctc_method import default_ctc_learning_rate
from training.ctc_scoring import CtcScorer
from training.data import AdaptationData
from training.examples import Example
from training.family import Plan, Rows
from training.gate import general_budget
from training.methods import Method
from training.ngram import remove_language_model
from training.progress import Reporter
from training.scoring import SERVED
from training.spec import AdaptationSpec
from training.windows import SEGMENTS

MIN_TEXTS = 30  # sentences below which an n-gram of words says nothing that dev could judge


class CtcJob:
    """See :class:`training.family.Family`."""

    carries_phrases = False  # its language model learns them
    name = "wav2vec2"
    context = WHOLE
    base_context = WHOLE

    def __init__(
        self, base: ResolvedModel, spec: AdaptationSpec, data: AdaptationData, folder: Path,
        reporter: Reporter, *, num_workers: int,
    ) -> None:  # fmt: skip
        """Load ``base``, with new outputs for characters that enough transcripts need.

        Raises:
            OptionError: the method is one for Whisper.
        """
        if spec.method not in ("auto", "ctc"):
            raise OptionError(
                f"--method {spec.method} is for a Whisper, and {spec.base} is a Wav2Vec2; give --method ctc or auto",
                field="method",
            )
        self._spec, self._data, self._reporter, self._num_workers = spec, data, reporter, num_workers
        transcripts = [row.text for row in data.train if row.text]
        self._family = CtcFamily(base.transformers_dir, transcripts, work=folder, seed=spec.seed)
        self.base_state: Mapping[str, Tensor] = self._family.base_state()
        self.start_state: Mapping[str, Tensor] = self.base_state

    def move(self, device: torch.device) -> None:
        """See :class:`training.family.Family`."""
        self._family.model.to(device)

    def rows(self, utterances: Sequence[Utterance]) -> Rows:
        """See :class:`training.family.Family`."""
        made = self._family.examples(utterances)
        return Rows(examples=made.examples, rejected=made.rejected, notes=made.notes)

    def plan(self, num_recorded_hours: float) -> Plan:
        """See :class:`training.family.Family`."""
        del num_recorded_hours
        asked = self._spec.method == "ctc"
        return Plan(method="ctc", reason="as asked" if asked else "the base is a Wav2Vec2 with CTC")

    def plan_instead(self, plan: Plan) -> Plan | None:
        """See :class:`training.family.Family`; there is one way to train these."""
        del plan
        return None

    def method(self, plan: Plan, examples: Sequence[Example], num_steps: int) -> Method:
        """See :class:`training.family.Family`."""
        del plan, examples
        return self._family.method(num_steps)

    def learning_rate(self, plan: Plan, num_recorded_hours: float) -> float:
        """See :class:`training.family.Family`."""
        del plan
        return default_ctc_learning_rate(num_recorded_hours)

    def scorer(self) -> CtcScorer:
        """See :class:`training.family.Family`."""
        return self._family.scorer(num_workers=self._num_workers)

    def export(self, state: Mapping[str, Tensor], folder: Path) -> None:
        """See :class:`training.family.Family`."""
        self._family.export(state, folder)

    def finish(self, folder: Path) -> CtcScorer | None:
        """Add the domain's language model to the version, if dev is better with it than with the one it came with.

        It is taken out again where it hears more words than the base in sounds without speech, or costs general speech
        more than its budget: a beam that knows only the domain's words finds them elsewhere, too.

        Returns:
            A scorer of the version, if what it is served with has changed.
        """
        dev = [row for row in self._data.dev if row.text and row.duration_s <= MAX_UTTERANCE_S]
        said = get_normalizer(normalizer_for(self._spec.code))
        held_out = {said(row.text or "") for row in (*self._data.dev, *self._data.test)}
        spoken = [row for row in self._data.train if row.text and SEGMENTS not in row.extra]
        domain = [row for row in spoken if not row.id.startswith(("replay-", "everyday-"))]
        once = {
            said(row.text or ""): row.text or "" for row in domain
        }  # copies would make unknown words impossible
        texts = [text for key, text in once.items() if key not in held_out]
        if len(texts) < MIN_TEXTS or not dev:
            self._reporter.note(
                f"no language model: {len(texts)} texts that dev does not say, and {len(dev)} transcribed dev rows of at "
                f"most {MAX_UTTERANCE_S:g} s; it needs {MIN_TEXTS} texts and a dev with transcripts"
            )
            return None
        normalizer = self._spec.normalizer_in(self._spec.code)
        before = folder.with_name(f"{folder.name}-before") / LM_FOLDER
        if (folder / LM_FOLDER).is_dir():
            shutil.copytree(folder / LM_FOLDER, before)
        made = self._family.add_language_model(folder, texts, dev, normalizer=normalizer)
        tuning = made.tuning
        self._reporter.note(
            f"language model of {made.facts.num_sentences} sentences: dev WER {made.wer_before:.2%} before, "
            f"{tuning.wer_with:.2%} with; {'kept' if made.kept else 'not kept'}"
        )
        scorer = CtcScorer(folder, num_workers=self._num_workers) if made.kept else None
        if scorer is not None and (harm := self._harm(scorer)):
            self._reporter.note(f"the language model is taken out again: {harm}")
            remove_language_model(folder)
            if before.is_dir():
                shutil.copytree(before, folder / LM_FOLDER)
            scorer = None
        shutil.rmtree(before.parent, ignore_errors=True)
        return scorer

    def _harm(self, scorer: CtcScorer) -> str:
        """What a version with its new language model breaks and the base does not; empty if nothing."""
        before = self.scorer()
        most = self._num_words(before, self.base_state)
        if (heard := self._num_words(scorer, {})) > most:
            return f"{heard} words on silence, noise and music, {most} of the base"
        error, limit = (
            self._general_error(scorer, {}),
            general_budget(self._general_error(before, self.base_state), self._spec.gate),
        )
        return f"general error rate {error:.2%}, at most {limit:.2%}" if error > limit else ""

    def _general_error(self, scorer: CtcScorer, state: Mapping[str, Tensor]) -> float:
        rows = self._data.general
        language = next((row.language for row in rows if row.language), self._spec.code)
        normalizer = self._spec.normalizer_in(language)
        scorer.prepare(rows, lambda: None)
        return (
            evaluate_texts(rows, scorer.texts(state, rows, SERVED), normalizer=normalizer).text_error or 0.0
        )

    def _num_words(self, scorer: CtcScorer, state: Mapping[str, Tensor]) -> int:
        sounds = self._data.sounds
        scorer.prepare(sounds, lambda: None, whole=True)
        return sum(len(text.split()) for text in scorer.texts(state, sounds, SERVED))

    def engines(self, folder: Path, context: str) -> tuple[TorchCtc, TorchCtc]:
        """See :class:`training.family.Family`."""
        del context
        return self._family.engines(folder)

    def save_adapter(self, method: Method, weights: Mapping[str, Tensor], mix: float, folder: Path) -> None:
        """See :class:`training.family.Family`; the whole model learns, so there is nothing beside it."""
        del method, weights, mix, folder
