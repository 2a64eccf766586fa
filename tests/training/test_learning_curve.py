"""Learning curves: parts are nested and of other speakers than dev, runs are independent, budgets and disks are kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr.audio.files import write_audio
from asr.cli.console import ProgressReporter
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import evaluate_texts
from asr.models.resolve import resolve_model
from training.assess_data import split_speakers
from training.assess_report import FALLS, FLAT, NO_HELP, TOO_FEW, judge_curve
from training.data import AdaptationData
from training.examples import Example
from training.families import open_family
from training.learning_curve import (
    FIRST,
    MIN_ROWS,
    SECOND,
    Curve,
    CurveOptions,
    CurveRunner,
    Part,
    ShortRun,
    curve_order,
    curve_parts,
    estimated_s,
)
from training.spec import AdaptationSpec, TrainingOptions


def _row(number: int, speaker: str | None, **changes: Any) -> Utterance:
    row = Utterance(id=f"u{number}", audio_path=Path("x.wav"), duration_s=2.0, text="a word", speaker=speaker)
    return replace(row, **changes)


ROWS = [_row(number, f"s{number % 20}") for number in range(200)]
EXAMPLES = [Example(row, (1, 2)) for row in ROWS]


def test_parts_double_and_each_but_the_last_has_a_twin() -> None:
    parts = list(curve_parts(400))
    sizes = [part.count for part in parts if part.chain == FIRST]
    assert sizes == [25, 50, 100, 200, 400]
    assert [part.count for part in parts if part.chain == SECOND] == sizes[:-1]
    assert [part.count for part in curve_parts(400, 3) if part.chain == FIRST] == [100, 200, 400]
    assert [part.count for part in curve_parts(MIN_ROWS - 1)] == [MIN_ROWS - 1]


@pytest.mark.parametrize("chain", [FIRST, SECOND])
def test_parts_of_a_chain_are_nested_and_keep_speakers_together(chain: str) -> None:
    order = curve_order(EXAMPLES, seed=0)
    parts = [part.of(order) for part in curve_parts(len(order)) if part.chain == chain]
    for smaller, larger in itertools.pairwise(parts):
        assert {id(example) for example in smaller} < {id(example) for example in larger}
    speakers = [example.utterance.speaker for example in order]
    changes = sum(before != after for before, after in itertools.pairwise(speakers))
    assert changes == len(set(speakers)) - 1


def test_twins_of_up_to_half_the_rows_share_none() -> None:
    order = curve_order(EXAMPLES, seed=0)
    first, second = (Part(count=100, chain=chain).of(order) for chain in (FIRST, SECOND))
    assert not {one.utterance.id for one in first} & {one.utterance.id for one in second}


def test_the_order_does_not_depend_on_who_else_is_there() -> None:
    kept = [example for example in EXAMPLES if example.utterance.speaker != "s3"]
    whole = curve_order(EXAMPLES, seed=1)
    assert curve_order(kept[::-1], seed=1) == [one for one in whole if one.utterance.speaker != "s3"]


@pytest.mark.parametrize("seed", [0, 1])
def test_dev_speakers_are_in_no_part(seed: int) -> None:
    train, dev, by = split_speakers(ROWS, 0.15, seed)
    assert by == "speaker"
    assert sorted(row.id for row in (*train, *dev)) == sorted(row.id for row in ROWS)
    assert not {row.speaker for row in train} & {row.speaker for row in dev}
    assert len(dev) == 30  # three speakers of ten rows are the least that has 15 %


def test_without_speakers_sessions_and_then_rows_are_kept_apart() -> None:
    rows = [_row(number, None, session=f"c{number % 2}") for number in range(10)]
    train, dev, by = split_speakers(rows, 0.15, 0)
    assert by == "session" and len(dev) == len(train) == 5
    train, dev, by = split_speakers([_row(number, None) for number in range(10)], 0.15, 0)
    assert by == "row" and len(dev) == 2


def test_one_voice_is_left_to_learn_from() -> None:
    rows = [_row(number, "rare" if number == 0 else "most") for number in range(10)]
    train, dev, _ = split_speakers(rows, 0.5, 0)
    assert train and dev


def test_the_estimate_counts_what_is_encoded_already() -> None:
    run = _run(Part(count=100, chain=FIRST), ("x",), prepare_s=50.0, train_s=200.0, score_s=7.0)
    part = Part(count=200, chain=FIRST)
    assert estimated_s(part, 100, [run]) == pytest.approx(50 + 400 + 7)
    assert estimated_s(part, 0, [run]) == pytest.approx(400 + 7)


# --- what a curve says -------------------------------------------------------------------------------------------------

WORDS = "alder birch cedar elm fir hazel linden maple oak pine"
DEV = [_row(number, f"d{number}", text=WORDS) for number in range(12)]


def _run(part: Part, texts: tuple[str, ...], **seconds: float) -> ShortRun:
    times = {"prepare_s": 1.0, "train_s": 1.0, "score_s": 1.0} | seconds
    return ShortRun(part=part, hours=part.count / 100, texts=texts, num_fresh=part.count, **times)


def _texts(errors: int) -> tuple[str, ...]:
    """``errors`` wrong words in all of dev, spread over its rows."""
    wrong = [errors // len(DEV) + (index < errors % len(DEV)) for index in range(len(DEV))]
    return tuple(
        " ".join(["thorn"] * count + (row.text or "").split()[count:])
        for count, row in zip(wrong, DEV, strict=True)
    )


def _judged(base: int, errors: dict[int, int]) -> Any:
    runs = tuple(_run(Part(count=count, chain=FIRST), _texts(wrong)) for count, wrong in errors.items())
    curve = Curve(runs=runs, left_out=(), total_hours=max(errors) / 100)
    return judge_curve(curve, evaluate_texts(DEV, _texts(base)), DEV, CurveOptions(), seed=0)


def test_a_falling_curve_is_forecast_to_fall() -> None:
    report = _judged(72, {50: 48, 100: 24, 200: 12})
    assert report.errors == pytest.approx((0.4, 0.2, 0.1))
    assert report.verdict == FALLS
    _, twice = report.forecasts
    assert twice.hours == 4.0 and twice.error == pytest.approx(0.05, abs=0.005)
    assert twice.low < twice.error < twice.high
    assert "with twice the audio (4.0 h), expect 5.0% (" in report.sentence


def test_a_curve_that_does_not_fall_is_called_so() -> None:
    assert _judged(60, {50: 24, 100: 24, 200: 24}).verdict == FLAT
    worse = _judged(24, {50: 30, 100: 30, 200: 30})
    assert worse.verdict == NO_HELP
    assert "does not help here: WER 20.0% as it is, 25.0%" in worse.sentence
    assert _judged(72, {50: 48, 100: 24}).verdict == TOO_FEW


def test_the_document_has_every_run_and_forecast() -> None:
    document = _judged(72, {50: 48, 100: 24, 200: 12}).as_document()
    assert [run["utterances"] for run in document["runs"]] == [50, 100, 200]
    assert [forecast["audio_factor"] for forecast in document["forecasts"]] == [1.0, 2.0]
    assert document["base"] == pytest.approx(0.6)


# --- real runs of a small model ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, Any]) -> list[Utterance]:
    """96 utterances of 12 speakers over three recordings."""
    folder = tmp_path_factory.mktemp("curve-audio")
    voices = []
    for number, (text, samples) in enumerate(spoken.items()):
        write_audio(folder / f"{number}.wav", samples)
        voices.append((folder / f"{number}.wav", len(samples) / 16_000, text))
    made = []
    for number in range(96):
        path, duration_s, text = voices[number % 3]
        row = _row(number, f"s{number % 12}", audio_path=path, duration_s=duration_s, text=text)
        made.append(row)
    return made


class Clock:
    """A second passes whenever it is looked at."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture
def opened(small_whisper: Path, rows: list[Utterance], tmp_path: Path) -> Iterator[tuple[Any, list[Example]]]:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("{}\n")
    spec = AdaptationSpec(
        base=str(small_whisper), name="assess", train=manifest, method="decoder",
        training=TrainingOptions(own_length=False, quiet_share=0.0),
    )  # fmt: skip
    data = AdaptationData(
        train=rows, dev=[], test=[], general=[], terms=(), critical=(), sounds=[], hashes={}
    )
    reporter = ProgressReporter(None)
    family = open_family(resolve_model(spec.base), spec, data, tmp_path, reporter, num_workers=1)
    yield family, list(family.rows(rows).examples)


def test_a_budget_stops_before_the_next_run_and_says_what_is_left(
    opened: tuple[Any, list[Example]], rows: list[Utterance], tmp_path: Path
) -> None:
    family, examples = opened
    runner = CurveRunner(
        family,
        rows[:3],
        tmp_path,
        ProgressReporter(None),
        CurveOptions(epochs=1, batch_size=24),
        clock=Clock(),
    )
    curve = runner.measure(examples, deadline_s=0.0)
    assert [run.part for run in curve.runs] == [Part(count=24, chain=FIRST)]
    assert curve.num_sizes == 1
    assert "a run on 48 of 96 utterances" in curve.left_out[0]
    more = CurveRunner(
        family,
        rows[:3],
        tmp_path,
        ProgressReporter(None),
        CurveOptions(epochs=1, batch_size=24),
        clock=Clock(),
    )
    second = more.measure(examples, deadline_s=1000.0)
    assert second.left_out == ()
    assert second.runs[0] == curve.runs[0]  # read, not run again
    assert [run.part.count for run in second.runs] == [24, 48, 24, 96, 48]
    assert second.num_sizes == 3


def test_a_run_does_not_depend_on_those_before_it(
    opened: tuple[Any, list[Example]], rows: list[Utterance], tmp_path: Path
) -> None:
    family, examples = opened
    order = curve_order(examples, 0)
    small, large = Part(count=24, chain=FIRST), Part(count=48, chain=SECOND)
    options = CurveOptions(epochs=1, batch_size=24)
    texts = []
    for number, parts in enumerate(((large, small), (small,))):
        runner = CurveRunner(family, rows[:3], tmp_path / str(number), ProgressReporter(None), options)
        texts.append([runner.run(part, order) for part in parts][-1].texts)
    assert texts[0] == texts[1]
    assert any(texts[0])
