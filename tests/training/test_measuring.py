"""What is decided from few rows: only what is surely worse is left out, a context as well as a step of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch

from asr.audio.files import write_audio
from asr.biasing.phrases import Phrase, PhraseSet
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import evaluate_texts
from asr.models.contexts import OWN, WHOLE
from asr.models.export import Parity
from training.carried import Carried
from training.data import AdaptationData
from training.distributed import OneProcess
from training.family import Family, Plan, VariantScorer
from training.gate import ExportErrors
from training.interpolate import MixScore
from training.learning import Learned, Learner
from training.measuring import Measurer
from training.methods import Method
from training.probing import Probed, Transcribed
from training.progress import SilentReporter
from training.spec import SPLIT_MIXES, AdaptationSpec
from training.variants import Variant

SAID = "the quick brown fox jumps over the lazy dog"
MISHEARD = "the quick brown box jumps over a lazy dock"


class Heard:
    """Says in each context how many of the rows are misheard."""

    def __init__(self, misheard: dict[str, int]) -> None:
        self._misheard = misheard

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        return [MISHEARD if index < self._misheard[context] else SAID for index, _ in enumerate(rows)]


class HeardBy:
    """Weights that mishear so many of the rows."""

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        return [MISHEARD if index < state["misheard"] else SAID for index, _ in enumerate(rows)]


class OwnLengths:
    """A family that is heard at own lengths."""

    context = OWN
    base_context = OWN
    base_state: ClassVar[dict[str, Any]] = {}
    start_state: ClassVar[dict[str, Any]] = {"w": torch.zeros(1)}


class HeardWith:
    """The base's weights mishear all rows without phrases, 20 of 40 with them; learned ones so many either way."""

    def __init__(self, misheard: int) -> None:
        self._misheard = misheard

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        misheard = self._misheard if state else 20 if phrases else 40
        return [
            MISHEARD if index % 40 < misheard and row.text else row.text for index, row in enumerate(rows)
        ]


def _measurer(
    tmp_path: Path, scorer: Any, carried: Carried | None = None, **options: Any
) -> tuple[Measurer, list[Utterance]]:
    (tmp_path / "t.txt").write_text("x\n")
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=tmp_path / "t.txt", **options)
    rows = [
        Utterance(id=str(index), audio_path=tmp_path / f"{index}.wav", duration_s=1.0, text=SAID)
        for index in range(40)
    ]
    quiet = [Utterance(id="noise", audio_path=tmp_path / "noise.wav", duration_s=1.0, text="")]
    data = AdaptationData(
        train=[], dev=rows, test=[], general=rows, terms=(), critical=(), sounds=quiet, hashes={}
    )
    family = cast(Family, OwnLengths())
    return Measurer(
        family, cast(VariantScorer, scorer), spec, data, SilentReporter(), carried or Carried()
    ), rows


def _settled(tmp_path: Path, own: int, whole: int) -> tuple[str, list[str]]:
    scorer = Heard({OWN: own, WHOLE: whole})
    measurer, rows = _measurer(tmp_path, scorer)
    evaluations = {
        name: evaluate_texts(rows, scorer.texts({}, rows, None, OWN)) for name in ("dev", "general")
    }
    score = MixScore(mix=0.5, domain_error=0.0, general_wer=0.0)
    chosen = Variant(score=score, context=OWN, evaluations=evaluations)
    settled, contexts = measurer.settle_contexts(chosen, {})
    return settled.context, contexts


@pytest.mark.parametrize(
    ("own", "whole", "expected"),
    [
        (0, 0, (OWN, [OWN, WHOLE])),
        (1, 0, (OWN, [OWN, WHOLE])),  # by chance
        (0, 1, (OWN, [OWN, WHOLE])),
        (0, 20, (OWN, [OWN])),
    ],
)
def test_a_context_is_proved_unless_it_is_surely_worse(
    tmp_path: Path, own: int, whole: int, expected: tuple[str, list[str]]
) -> None:
    assert _settled(tmp_path, own, whole) == expected


def test_what_is_surely_worse_at_own_lengths_is_heard_in_whole_windows(tmp_path: Path) -> None:
    assert _settled(tmp_path, 20, 0) == (WHOLE, [WHOLE])


@pytest.mark.parametrize(("best", "last", "is_sure"), [(0, 20, True), (19, 20, False), (20, 0, False)])
def test_few_rows_less_are_no_proof_that_earlier_weights_are_better(
    tmp_path: Path, best: int, last: int, is_sure: bool
) -> None:
    measurer, _ = _measurer(tmp_path, HeardBy())
    states: list[Any] = [{"misheard": best}, {"misheard": last}]
    assert measurer.is_first_better(*states) == is_sure


@pytest.mark.parametrize(("misheard", "label"), [(0, "0.25"), (25, "0 with phrases")])
def test_what_was_learned_must_be_worth_more_than_the_phrases_alone(
    tmp_path: Path, misheard: int, label: str
) -> None:
    glossary = PhraseSet((Phrase(text="lazy dog"),))
    measurer, _ = _measurer(tmp_path, HeardWith(misheard), Carried(adapted=glossary))
    measured = measurer.measure_mixes({"w": torch.ones(1)})
    chosen = measurer.choose(measured)
    assert chosen.score.label == label
    assert measurer.phrases_of(measured[0].score) is None
    assert measurer.phrases_of(chosen.score) == glossary
    settled, contexts = measurer.settle_contexts(chosen, {} if misheard else {"w": torch.ones(1)})
    assert (settled, contexts) == (chosen, [OWN, WHOLE])


@pytest.mark.parametrize(
    ("general", "is_split", "tried"),
    [
        (False, False, [(0.25, None), (0.5, None), (0.625, None)]),
        (False, True, [(0.5, 0.0), (0.25, 0.5), (0.5, 0.5), (0.625, 0.625)]),
        (True, False, [(mix, None) for mix in (0.25, 0.5, 0.625, 0.75, 1.0)]),
        (True, True, list(SPLIT_MIXES)),
    ],
)
def test_larger_mixes_are_tried_only_where_general_speech_was_recorded(
    tmp_path: Path, general: bool, is_split: bool, tried: list[tuple[float, float | None]]
) -> None:
    recorded = tmp_path / "general.jsonl"
    recorded.touch()
    measurer, _ = _measurer(tmp_path, HeardWith(0), general=recorded if general else None)
    measured = measurer.measure_mixes({"w": torch.ones(1)}, is_split=is_split)
    assert [(one.score.mix, one.score.encoder_mix) for one in measured if one.score.mix] == tried


class Forgetting:
    """Weights that mishear the less of dev the more of them is kept, and a row of general speech beyond a limit."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        kept = float(state["w"]) if state else 0.0
        misheard = {*range(round(40 * (1 - kept))), *([40] if kept > self._limit else [])}
        return [MISHEARD if index in misheard else row.text for index, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("limit", "narrowed", "chosen"),
    [
        (0.57, [0.5625, 0.59375], 0.5625),  # half way to 0.625, then half way again
        (0.51, [0.5625, 0.53125], 0.5),
        (0.2, [0.125, 0.1875], 0.1875),  # from nothing learned
        (0.7, [], 0.625),  # none is over
    ],
)
def test_between_the_best_mix_and_a_better_one_over_the_budget_others_are_tried(
    tmp_path: Path, limit: float, narrowed: list[float], chosen: float
) -> None:
    measurer, _ = _measurer(tmp_path, Forgetting(limit))
    measured = measurer.measure_mixes({"w": torch.ones(1)})
    assert [one.score.mix for one in measured if one.context == OWN][1:] == [0.25, 0.5, 0.625, *narrowed]
    assert measurer.choose(measured).score.mix == chosen


class NotMonotone(Forgetting):
    """Likewise, but of what is beyond the limit, the larger half costs less."""

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        kept = float(state["w"]) if state else 0.0
        texts = super().texts(state, rows, options, context, phrases)
        return [*texts[:41], MISHEARD, *texts[42:]] if self._limit < kept <= 0.7 else texts


def test_where_half_way_to_the_cheapest_was_tried_it_is_half_way_to_the_next(tmp_path: Path) -> None:
    recorded = tmp_path / "general.jsonl"
    recorded.touch()
    measurer, _ = _measurer(tmp_path, NotMonotone(0.57), general=recorded)
    measured = measurer.measure_mixes({"w": torch.ones(1)})
    tried = [one.score.mix for one in measured if one.context == OWN][1:]
    # 0.75 costs less than 0.625, and half way to it is 0.625
    assert tried[:5] == [0.25, 0.5, 0.625, 0.75, 1.0] and tried[5] == 0.5625
    assert measurer.choose(measured).score.mix == 0.5625


def test_shares_of_encoder_and_decoder_are_both_halved(tmp_path: Path) -> None:
    measurer, _ = _measurer(tmp_path, Forgetting(0.57))
    measured = measurer.measure_mixes({"w": torch.ones(1)}, is_split=True)
    pairs = [(one.score.mix, one.score.encoder_mix) for one in measured]
    assert pairs.index((0.625, 0.625)) + 1 == pairs.index((0.5625, 0.5625))


def test_where_nothing_was_learned_and_phrases_do_not_help_the_base_is_kept(tmp_path: Path) -> None:
    carried = Carried(adapted=PhraseSet((Phrase(text="lazy dog"),)))
    measurer, _ = _measurer(tmp_path, Forgetting(1.0), carried)
    measured = measurer.measure_mixes({})
    assert len(measured) == 2
    assert measurer.choose(measured) is measured[0]


def test_an_export_that_says_something_else_is_held_against_the_reference_by_what_was_said(
    tmp_path: Path,
) -> None:
    measurer, rows = _measurer(tmp_path, Forgetting(1.0))
    for row in rows:  # the gate hashes them
        write_audio(row.audio_path, np.zeros(1600, np.float32))
    base = measurer.measure_base()
    by_export, by_reference = (
        [MISHEARD if index < misheard else SAID for index, _ in enumerate(rows)] for misheard in (20, 10)
    )
    transcribed = Transcribed(rows=rows, by_reference=by_reference, by_export=by_export)
    few = Transcribed(rows=rows[:9], by_reference=by_reference[:9], by_export=by_export[:9])
    errors = []
    for one in (transcribed, few, None):
        parity = Parity(num_probes=6, num_equal=0, ratio=0.7, first_difference="")
        probed = Probed(parity=parity, parity_limit=0.9, latency_ratio=1.0, transcribed=one)
        errors.append(measurer.figures(base, base, probed).export_errors)
    wrong = 3 / 9  # words of the sentence
    assert errors == [
        ExportErrors(metric="WER", num_rows=40, export=wrong / 2, reference=wrong / 4), None, None
    ]  # fmt: skip


def _learned(measurer: Measurer, method: str) -> Learned:
    tuned = {"w": torch.ones(1)}
    return Learned(
        plan=Plan(method=method, reason="a test"), method=cast(Method, None), weights={}, tuned=tuned, step=1, curve=(),
        mixes=measurer.measure_mixes(tuned, is_split=method == "full"),
    )  # fmt: skip


def _learner(tmp_path: Path, scorer: Any) -> tuple[Learner, Measurer]:
    measurer, _ = _measurer(tmp_path, scorer)
    processes = OneProcess(torch.device("cpu"))
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", text=tmp_path / "t.txt")
    family = cast(Family, OwnLengths())
    return Learner(family, spec, tmp_path, SilentReporter(), processes, measurer), measurer


@pytest.mark.parametrize(("limit", "held_back"), [(0.2, True), (0.57, False), (1.0, False)])
def test_the_budgets_hold_back_what_has_far_fewer_errors_beyond_them(
    tmp_path: Path, limit: float, held_back: bool
) -> None:
    learner, measurer = _learner(tmp_path, Forgetting(limit))
    assert learner.is_held_back(_learned(measurer, "full")) == held_back
    assert not learner.is_held_back(None)  # on a process that measures nothing


def test_of_two_plans_the_one_with_the_best_mix_within_the_budgets_is_taken(tmp_path: Path) -> None:
    learner, measurer = _learner(tmp_path, Forgetting(0.2))
    first = _learned(measurer, "full")
    _, better = _learner(tmp_path, Forgetting(1.0))
    second = _learned(better, "decoder")
    assert learner.chosen([first]) == (first, measurer.choose(first.mixes))
    assert learner.notes == []  # one plan is no news
    assert learner.chosen([first, second]) == (second, better.choose(second.mixes))
    worse = _learned(_learner(tmp_path, Forgetting(0.0))[1], "decoder")
    assert learner.chosen([first, worse]) == (first, measurer.choose(first.mixes))
    nothing = [_learned(_learner(tmp_path, Forgetting(0.0))[1], method) for method in ("full", "decoder")]
    assert learner.chosen(nothing)[1] is nothing[0].mixes[0]
    taken = [note.rsplit("; ", 1)[1] for note in learner.notes]
    assert taken == ["taken: decoder", "taken: full", "taken: nothing that was learned"]
    assert "budgets: full, mix 0.125, encoder 0, dev error" in learner.notes[0]


def test_whole_windows_lose_against_own_lengths_of_the_other_plan(tmp_path: Path) -> None:
    learner, measurer = _learner(tmp_path, Forgetting(0.2))
    own = _learned(measurer, "full")
    better = _learned(_learner(tmp_path, Forgetting(1.0))[1], "decoder")
    whole = replace(better, mixes=[replace(mix, context=WHOLE) for mix in better.mixes])
    assert learner.chosen([own, whole])[0] == own
    assert learner.chosen([own, better])[0] == better


class OneRowLess:
    """Weights that mishear a row of dev; those beyond a half none, and a row of general speech or a sound instead."""

    def __init__(self, beyond: int) -> None:
        self._beyond = beyond  # 40 is general speech's first row, 80 the sound

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        kept = float(state["w"]) if state else 0.0
        misheard = set(range(40)) if not kept else {0} if kept <= 0.5 else {self._beyond}
        return [MISHEARD if index in misheard else row.text for index, row in enumerate(rows)]


@pytest.mark.parametrize("beyond", [40, 80])
def test_a_row_less_beyond_the_budgets_is_no_reason_to_learn_again(tmp_path: Path, beyond: int) -> None:
    learner, measurer = _learner(tmp_path, OneRowLess(beyond))
    learned = _learned(measurer, "full")
    beyond_budgets = measurer.beyond_budgets(learned.mixes)
    assert beyond_budgets == [mix for mix in learned.mixes if mix.score.mix > 0.5] != []
    assert not learner.is_held_back(learned)


class PhrasesTooLoud:
    """The base's own phrases find all of dev and are said on a sound; what was learned changes nothing."""

    def texts(
        self, state: Any, rows: Any, options: Any, context: str = WHOLE, phrases: Any = None
    ) -> list[str]:
        heard = bool(phrases) and not state
        return [(row.text or "dog") if heard else MISHEARD if row.text else "" for row in rows]


def test_what_phrases_alone_would_bring_is_not_what_was_learned(tmp_path: Path) -> None:
    carried = Carried(adapted=PhraseSet((Phrase(text="lazy dog"),)))
    measurer, _ = _measurer(tmp_path, PhrasesTooLoud(), carried)
    learner, _ = _learner(tmp_path, PhrasesTooLoud())
    learned = _learned(measurer, "full")
    assert min(mix.score.domain_error for mix in learned.mixes) == 0.0
    assert not learner.is_held_back(learned)
