"""Back-test of the forecast of ``lexitune assess``: from half of the training speakers, what do all of them give?

    python benchmarks/assess_backtest.py MANIFEST [--own-length] [--max-sizes N] [--seed N]

The same recipe, the same speakers to measure on, whom no run learns from. Prints every run, the forecast with its
interval, what all training speakers gave, and the machine; JSON on the last line.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from importlib import metadata
from pathlib import Path

import torch

from asr.cli.console import ProgressReporter
from asr.data.manifest import read_manifest
from asr.evaluation.evaluate import evaluate_model, evaluate_texts
from asr.evaluation.significance import bootstrap_interval
from asr.models.resolve import resolve_model
from asr.recognizer import Recognizer
from training.assess import open_assessed
from training.assess_data import AssessData, collect_sources
from training.assess_report import judge_curve
from training.assess_spec import AssessSpec
from training.examples import Example
from training.learning_curve import FIRST, CurveOptions, CurveRunner, Part, curve_order
from training.scoring import GREEDY

WORKERS = 2


def main() -> None:
    """Run the curve of one half, forecast, then train on all."""
    arguments = _arguments()
    spec = AssessSpec(
        model=arguments.model, manifest=arguments.manifest, own_length=arguments.own_length,
        max_measured=arguments.max_measured, seed=arguments.seed,
    )  # fmt: skip
    torch.set_num_threads(WORKERS)
    options = CurveOptions(seed=spec.seed, max_sizes=arguments.max_sizes)
    reporter = ProgressReporter(None)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lexitune-backtest-") as temporary:
        folder = Path(arguments.work or temporary)
        data: AssessData = collect_sources(spec, folder, reporter)
        dev = data.sources[0].rows
        recognizer = Recognizer.load(spec.model, num_workers=WORKERS)
        base = evaluate_model(recognizer, dev, normalizer=spec.normalizer, options=GREEDY)
        recognizer.close()
        family = open_assessed(spec, resolve_model(spec.model), data, folder, reporter, WORKERS)
        order = curve_order(list(family.rows(data.train).examples), spec.seed)
        half = first_speakers(order, share=0.5)
        runner = CurveRunner(family, dev, folder, reporter, options)
        curve = runner.measure(half, deadline_s=float("inf"))
        report = judge_curve(curve, base, dev, options, seed=spec.seed)
        full = runner.run(Part(count=len(order), chain=FIRST), order)
    assert report.fitted is not None
    forecast = report.fitted.at(full.hours)
    actual = evaluate_texts(dev, full.texts, normalizer=spec.normalizer)
    counts = [row.words for row in actual.rows if row.words is not None]
    interval = bootstrap_interval(
        [one.errors for one in counts], [one.num_reference for one in counts],
        blocks=[row.speaker or row.id for row in actual.rows if row.words is not None],
    )  # fmt: skip
    result = {
        "manifest_rows": len(read_manifest(arguments.manifest)),
        "speakers_measured": len({row.speaker for row in dev}),
        "utterances_measured": len(dev),
        "speakers_half": _num_speakers(half),
        "speakers_all": _num_speakers(order),
        "hours_half": curve.total_hours,
        "hours_all": full.hours,
        "curve": report.as_document(),
        "forecast": forecast.error,
        "forecast_interval": [forecast.low, forecast.high],
        "actual": actual.wer,
        "actual_interval": [interval.low, interval.high],
        "actual_errors": sum(one.errors for one in counts),
        "reference_words": sum(one.num_reference for one in counts),
        "inside": forecast.low <= actual.error <= forecast.high,
        "seconds": round(time.monotonic() - started),
    }
    _print(result)


def first_speakers(order: list[Example], *, share: float) -> list[Example]:
    """The rows of the first ``share`` of the speakers in an order that keeps each speaker's rows together."""
    speakers = list(dict.fromkeys(example.utterance.speaker for example in order))
    kept = set(speakers[: round(len(speakers) * share)])
    return [example for example in order if example.utterance.speaker in kept]


def _num_speakers(examples: list[Example]) -> int:
    return len({example.utterance.speaker for example in examples})


def _print(result: dict[str, object]) -> None:
    curve = result["curve"]
    assert isinstance(curve, dict)
    print(f"WER as it is: {curve['base']:.2%}")
    for run in curve["runs"]:
        print(
            f"{run['utterances']:5d} utterances, {60 * run['hours']:5.1f} min, {run['chain']}: {run['error']:.2%}"
        )
    print(f"law: {curve['law']}, scatter {curve['scatter']:.3f}")
    interval = result["forecast_interval"]
    assert isinstance(interval, list)
    print(
        f"from {result['speakers_half']} of {result['speakers_all']} training speakers: all are forecast to give "
        f"{result['forecast']:.2%} ({interval[0]:.2%} - {interval[1]:.2%}); they gave {result['actual']:.2%}"
    )
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("torch", "ctranslate2"))
    print(f"{platform.machine()}, {WORKERS} threads, {versions}, {result['seconds']} s")
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, help="transcribed recordings that name their speakers")
    parser.add_argument("--model", default="bundled:tiny.en")
    parser.add_argument("--own-length", action="store_true", help="as of lexitune assess")
    parser.add_argument("--max-sizes", type=int, default=4)
    parser.add_argument("--max-measured", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keeps finished runs, so that a stopped back-test goes on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
