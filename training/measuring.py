"""What a job measures: the base and every mix with it, in the contexts in which they are heard, and what follows.

Which mix is chosen, on which contexts it is proved, and the figures that the gate holds against its limits. Training,
export and publishing are ``training.adapt``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from torch import Tensor

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, compare, evaluate_texts
from asr.evaluation.significance import PairedComparison
from asr.models.contexts import WHOLE
from training.carried import Carried
from training.data import AdaptationData
from training.family import Family, VariantScorer
from training.gate import OWN_LENGTH_POINTS, ExportErrors, GateFigures, GateVerdict, general_budget, judge
from training.inputs import shared_audio
from training.interpolate import MEASURED, SMALLEST, MixScore, choose_mix, interpolate
from training.loop import DevScore
from training.probing import Probed, Transcribed
from training.progress import Reporter
from training.scoring import GREEDY, SERVED
from training.spec import MIXES, SPLIT_MIXES, AdaptationSpec
from training.variants import Variant, critical_counts, num_said, num_words

MAX_MIX_UNHEARD = 0.625  # where no general speech was recorded (docs/experiments.md)
SURELY_BETTER_STEP = 0.95  # probability above which earlier weights than the last are taken
NARROWINGS = 2  # mixes tried between one within the budget and a better one beyond it,
MIN_NARROWED = 0.12  # where their sizes are so far apart at least
MIN_TRANSCRIBED = 10  # rows by which an export that says something else than its reference is judged
WHOLE_PROBES = 40  # rows of each set that are also heard in whole windows, at half a second of a core each


class Measurer:
    """Measures variants of a family's base on a job's data, which the scorer was prepared for."""

    def __init__(
        self, family: Family, scorer: VariantScorer, spec: AdaptationSpec, data: AdaptationData,
        reporter: Reporter, carried: Carried,
    ) -> None:  # fmt: skip
        self._family, self._scorer, self._spec, self._data = family, scorer, spec, data
        self._carried = carried
        self._reporter = reporter
        self._cause = ""
        self.heard: dict[str, dict[str, float]] = {}

    def _evaluated(self, texts: Sequence[str], utterances: Sequence[Utterance]) -> Evaluation:
        language = next((row.language for row in utterances if row.language), self._spec.code)
        # general speech may be in another one; the glossary is the domain's
        terms = self._data.terms if language == self._spec.code else ()
        return evaluate_texts(utterances, texts, normalizer=self._spec.normalizer_in(language), terms=terms)

    def dev_score(self, state: Mapping[str, Tensor]) -> DevScore:
        """Dev's score of weights in training, by a greedy search."""
        dev = self._data.dev
        evaluation = self._evaluated(self._scorer.texts(state, dev, GREEDY, self._family.context), dev)
        return DevScore(evaluation.text_error, evaluation.term_f1, evaluation.error_name)

    def is_first_better(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
        """Whether dev is sure, by a paired bootstrap of a greedy search, that the first weights are better.

        A small dev set ranks steps by chance, and at the end of training, where the rate is low, more is learned and less
        forgotten (docs/experiments.md).
        """
        dev, context = self._data.dev, self._family.context
        evaluations = [
            self._evaluated(self._scorer.texts(state, dev, GREEDY, context), dev) for state in (first, second)
        ]
        num_samples = self._spec.gate.bootstrap_samples
        compared = compare(evaluations[1], evaluations[0], num_samples=num_samples, seed=self._spec.seed)
        return compared.prob_better >= SURELY_BETTER_STEP

    def phrases_of(self, score: MixScore) -> PhraseSet | None:
        """What a version of this mix carries."""
        return self._phrases(score.mix, score.carries)

    def _phrases(self, mix: float, carries: bool) -> PhraseSet | None:
        return self._carried.adapted if mix or carries else self._carried.base

    def mixed(
        self, tuned: Mapping[str, Tensor], mix: float, encoder_mix: float | None = None
    ) -> Mapping[str, Tensor]:
        """Weights at a mix; at 0 the base itself, without what was taught about contexts."""
        return (
            interpolate(self._family.start_state, tuned, mix, encoder_mix) if mix else self._family.base_state
        )

    def measure_mixes(
        self, tuned: Mapping[str, Tensor], *, is_split: bool = False, known: Sequence[Variant] = ()
    ) -> list[Variant]:
        """The base, it with the phrases that the job carries, and every mix: on dev, general speech and sounds.

        Then what lies between the best mix and a better one that costs general speech too much. Where no mix at own
        lengths is better than the base, they are tried in whole windows, too.

        Args:
            tuned: the weights that learned.
            is_split: whether the encoder is mixed by shares of its own.
            known: what was measured of the base before.
        """
        family = self._family
        # what a whole change costs real speech, synthesised speech does not show (docs/experiments.md)
        most = 1.0 if self._spec.general else MAX_MIX_UNHEARD
        pairs = SPLIT_MIXES if is_split else tuple((mix, None) for mix in MIXES)
        candidates = [pair for pair in pairs if max(pair[0], pair[1] or 0) <= most] if tuned else []
        contexts = dict.fromkeys((family.context, WHOLE))
        with self._reporter.stage("mixing with the base", 1 + len(candidates) * len(contexts)) as stage:
            measured = list(known) or self._measure_without_learning()
            stage.advance()
            for context in contexts:
                for mix, encoder_mix in candidates:
                    state = self.mixed(tuned, mix, encoder_mix)
                    measured.append(self.measure(state, mix, context, encoder_mix=encoder_mix))
                    self._tell(measured[-1])
                    stage.advance()
                for _ in range(NARROWINGS):
                    if (between := self._between(measured, context)) is None:
                        break
                    state = self.mixed(tuned, *between)
                    measured.append(self.measure(state, between[0], context, encoder_mix=between[1]))
                    self._tell(measured[-1])
                if self.best(measured).score.mix:
                    break
        return measured

    def _between(self, measured: Sequence[Variant], context: str) -> tuple[float, float | None] | None:
        """Half way from the largest mix within the budgets to one that dev prefers and that forgets too much.

        Of those to the cheapest, unless that was tried. None where there is none, or where the two are near each other.
        Where no mix is within the budgets, it is half way from nothing learned.
        """
        budget = general_budget(measured[0].score.general_wer, self._spec.gate)
        best = self.best(measured).score
        quiet = measured[0].score.sound_words
        here = [one.score for one in measured if one.score.mix and one.context == context]
        here = [score for score in here if score.sound_words <= quiet]
        nothing = replace(measured[0].score, carries=False)
        pairs = [
            (
                high,
                max(
                    (low for low in here if _is_below(low, high, budget)),
                    key=attrgetter("size"),
                    default=nothing,
                ),
            )
            for high in here
            if high.general_wer > budget and high.domain_error < best.domain_error
        ]
        pairs = [(high, low) for high, low in pairs if high.size - low.size >= MIN_NARROWED]
        tried = [(score.mix, score.encoder_mix) for score in here]
        for high, low in sorted(pairs, key=lambda pair: (pair[0].general_wer, pair[0].size)):
            encoder = None if high.encoder_mix is None else ((low.encoder_mix or 0.0) + high.encoder_mix) / 2
            if (between := ((low.mix + high.mix) / 2, encoder)) not in tried:
                return between
        return None

    def _measure_without_learning(self) -> list[Variant]:
        """The base as it is served, and with the phrases that the job carries."""
        measured = [self.measure_base()]
        if self._carried.adapted != self._carried.base:
            base = self._family.base_state
            measured.append(self.measure(base, 0.0, self._family.base_context, carries=True))
        for one in measured:
            self._tell(one)
        return measured

    def measure_base(self) -> Variant:
        """The base as it is served."""
        return self.measure(self._family.base_state, 0.0, self._family.base_context)

    def measure(
        self, state: Mapping[str, Tensor], mix: float, context: str, scorer: VariantScorer | None = None,
        *, encoder_mix: float | None = None, carries: bool = False,
    ) -> Variant:  # fmt: skip
        """Weights on dev, general speech and sounds, as served; by another ``scorer`` if one is given."""
        data = self._data
        sets = {"dev": data.dev, "general": data.general, "sounds": data.sounds}
        sets = {name: rows for name, rows in sets.items() if rows}
        everything = [row for rows in sets.values() for row in rows]
        phrases = self._phrases(mix, carries)
        texts = iter((scorer or self._scorer).texts(state, everything, SERVED, context, phrases))
        evaluations = {
            name: self._evaluated([next(texts) for _ in rows], rows) for name, rows in sets.items()
        }
        score = MixScore(
            mix=mix,
            encoder_mix=encoder_mix,
            carries=carries,
            domain_error=evaluations["dev" if data.dev else "general"].error,
            general_wer=evaluations["general"].text_error or 0.0,
            sound_words=num_words(evaluations["sounds"]),
        )
        return Variant(score=score, context=context, evaluations=evaluations)

    def measure_again(
        self, score: MixScore, state: Mapping[str, Tensor], context: str, scorer: VariantScorer | None = None
    ) -> Variant:
        """The weights of a mix that was measured before, in another context or by another ``scorer``."""
        return self.measure(
            state, score.mix, context, scorer, encoder_mix=score.encoder_mix, carries=score.carries
        )

    def measure_test(
        self, base: Variant, chosen: Variant, final: Mapping[str, Tensor], finished: VariantScorer | None
    ) -> None:
        """The locked test, for the base and the chosen one alone, once nothing is left to choose."""
        test = self._data.test
        texts = self._scorer.texts(
            self._family.base_state, test, SERVED, base.context, self.phrases_of(base.score)
        )
        base.evaluations["test"] = self._evaluated(texts, test)
        phrases = self.phrases_of(chosen.score)
        texts = (finished or self._scorer).texts(final, test, SERVED, chosen.context, phrases)
        chosen.evaluations["test"] = self._evaluated(texts, test)

    def settle_contexts(self, chosen: Variant, final: Mapping[str, Tensor]) -> tuple[Variant, list[str]]:
        """In which contexts the chosen weights may be heard, and the chosen one as it is heard first.

        What was measured at own lengths is also heard in whole windows, on some of dev and of general speech; ``heard``
        then holds the figures. A context is taken unless it is surely worse than the other one, by more than
        ``OWN_LENGTH_POINTS``.
        """
        if chosen.context == WHOLE:
            return chosen, [WHOLE]
        proved = {chosen.context: True, WHOLE: True}
        for name, rows in (("dev", self._data.dev), ("general", self._data.general)):
            step = max(1, len(rows) // WHOLE_PROBES)
            some = rows[::step]
            texts = self._scorer.texts(final, some, SERVED, WHOLE, self.phrases_of(chosen.score))
            whole = self._evaluated(texts, some)
            own = replace(chosen.evaluations[name], rows=chosen.evaluations[name].rows[::step])
            proved[WHOLE] &= not self._surely_worse(whole, own)
            proved[chosen.context] &= not self._surely_worse(own, whole)
            self.heard[name] = {"rows": len(some), "own": own.error, "30s": whole.error}
            self._reporter.note(
                f"{len(some)} rows of {name}: {own.error_name} {own.error:.2%} at own lengths, {whole.error:.2%} in "
                "whole windows"
            )
        if not proved[chosen.context]:
            return self.measure_again(chosen.score, final, WHOLE), [WHOLE]
        return chosen, [context for context, is_proved in proved.items() if is_proved]

    def _surely_worse(self, one: Evaluation, other: Evaluation) -> bool:
        if one.error <= other.error + OWN_LENGTH_POINTS / 100:
            return False
        gate = self._spec.gate
        compared = compare(one, other, num_samples=gate.bootstrap_samples, seed=self._spec.seed)
        return compared.prob_better >= gate.min_prob_better

    def best(self, mixes: Sequence[Variant]) -> Variant:
        """The best mix within the budgets, the base where there is none; the first of ``mixes`` is the base."""
        budget = general_budget(mixes[0].score.general_wer, self._spec.gate)
        by_score = {id(mix.score): mix for mix in mixes}

        def prob_better(first: MixScore, second: MixScore) -> float:
            return self._compare(by_score[id(second)], by_score[id(first)]).prob_better

        preferred = MEASURED if self._spec.general else SMALLEST
        scores = [mix.score for mix in mixes]
        best = choose_mix(
            scores,
            budget_wer=budget,
            prob_better=prob_better,
            preferred=preferred,
            min_prob_better=self._spec.gate.min_prob_better,
        )
        return by_score[id(best)]

    def beyond_budgets(self, mixes: Sequence[Variant]) -> list[Variant]:
        """Of what was learned, the mixes that cost general speech too much or write too much on sounds."""
        base = mixes[0].score
        budget = general_budget(base.general_wer, self._spec.gate)
        return [
            mix
            for mix in mixes
            if mix.score.mix and (mix.score.general_wer > budget or mix.score.sound_words > base.sound_words)
        ]

    def choose(self, mixes: Sequence[Variant]) -> Variant:
        """The best mix within the budgets, told; where it is the base, the gate will say why."""
        best = self.best(mixes)
        if best is mixes[0] and len(mixes) > 1:
            self._cause = self._why_none(mixes)
        self._reporter.note(f"mix {best.score.label} in {best.context} is taken")
        return best

    def _tell(self, mix: Variant) -> None:
        self._reporter.note(
            f"mix {mix.score.label} in {mix.context}: dev error {mix.score.domain_error:.2%}, general WER "
            f"{mix.score.general_wer:.2%}, {mix.score.sound_words} words on sounds"
        )

    def _why_none(self, mixes: Sequence[Variant]) -> str:
        """Why the base is kept: the best of the others, and what it broke."""
        base, others = mixes[0].score, [mix.score for mix in mixes[1:]]
        best = min(others, key=lambda score: score.domain_error)
        budget = general_budget(base.general_wer, self._spec.gate)
        return (
            f"no mix is better on dev and within the budgets, so the base is kept: the best on dev, {best.label}, has "
            f"dev error {best.domain_error:.2%} after {base.domain_error:.2%}, general {best.general_wer:.2%} of at most "
            f"{budget:.2%} and {best.sound_words} words on sounds of at most {base.sound_words}"
        )

    def is_surely_better(self, one: Variant, other: Variant) -> bool:
        """Whether dev is sure, by a paired bootstrap, that ``one`` is better than ``other``."""
        return self._compare(other, one).prob_better >= self._spec.gate.min_prob_better

    def _compare(self, base: Variant, other: Variant, part: str = "dev") -> PairedComparison:
        """Whether ``other`` is better than ``base`` on a part of the data."""
        num_samples = self._spec.gate.bootstrap_samples
        return compare(
            base.evaluations[part], other.evaluations[part], num_samples=num_samples, seed=self._spec.seed
        )

    def figures(self, base: Variant, chosen: Variant, probed: Probed) -> GateFigures:
        """What every version is held against."""
        return GateFigures(
            export_errors=self._export_errors(probed.transcribed),
            prob_better=None,
            metric="",
            resampled="",
            general_metric=base.evaluations["general"].error_name,
            base_general_wer=base.score.general_wer,
            general_wer=chosen.score.general_wer,
            parity=probed.parity.ratio,
            parity_limit=probed.parity_limit,
            base_sound_words=base.score.sound_words,
            sound_words=chosen.score.sound_words,
            latency_ratio=probed.latency_ratio,
            leaked=len(
                shared_audio(self._data.train, [*self._data.dev, *self._data.test, *self._data.general])
            ),
        )

    def _export_errors(self, transcribed: Transcribed | None) -> ExportErrors | None:
        """What the export and its reference make of rows of dev, where there are enough of them."""
        if transcribed is None or len(transcribed.rows) < MIN_TRANSCRIBED:
            return None
        rows = transcribed.rows
        export, reference = (
            self._evaluated(texts, rows) for texts in (transcribed.by_export, transcribed.by_reference)
        )
        return ExportErrors(
            metric=export.error_name, num_rows=len(rows), export=export.error, reference=reference.error
        )

    def judge(self, base: Variant, chosen: Variant, probed: Probed) -> GateVerdict:
        """The gate's verdict on the chosen one."""
        data = self._data
        comparison = self._compare(base, chosen)
        test = self._compare(base, chosen, "test") if data.test else None
        figures = replace(
            self.figures(base, chosen, probed),
            prob_better=comparison.prob_better,
            metric=base.evaluations["dev"].error_name,
            resampled=f"{comparison.num_units} {comparison.unit}s",
            test_prob_better=test.prob_better if test else None,
            test_resampled=f"{test.num_units} {test.unit}s" if test else "",
            base_term_f1=base.evaluations["dev"].term_f1,
            term_f1=chosen.evaluations["dev"].term_f1,
            terms_said=num_said(base.evaluations["dev"]),
            critical=critical_counts(base, chosen, data),
        )
        return replace(judge(figures, self._spec.gate), cause=self._cause)


def _is_below(low: MixScore, high: MixScore, budget: float) -> bool:
    """Whether a mix is within the budget for general speech and keeps less of the change than another."""
    return low.general_wer <= budget and low.size < high.size
