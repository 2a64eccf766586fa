"""Adaptation in other languages: one short job each on the multilingual base, from text that espeak-ng speaks.

Prints what each job measured of itself: dev is held-out sentences in the same synthetic voices, so the figures show that
the path works in that language and say little of people. Nothing is kept: the registry is a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

TEXTS = (
    Path(__file__).resolve().parent / "domain_texts"
)  # made up for this: bee-keeping in German, a clinic in Swahili


def adapted(language: str, base: str, workers: int) -> dict[str, Any]:
    """Run one job; its figures, JSON-ready."""
    from asr.cli.console import ProgressReporter
    from training.adapt import adapt
    from training.spec import AdaptationSpec, SplitOptions, TrainingOptions

    text = TEXTS / f"{language}.txt"
    spec = AdaptationSpec(
        base=base, name=f"languages-{language}", text=text, language=language,
        training=TrainingOptions(evaluations_per_epoch=1), split=SplitOptions(dev_share=0.25, general_sentences=12),
    )  # fmt: skip
    started = time.monotonic()
    report = adapt(spec, ProgressReporter(None), num_workers=workers)
    assert report is not None
    sets = report.card["evaluation"]
    rates = {
        name: {
            key: [sets[model][name][key] for model in ("base", "adapted")]
            for key in ("wer", "cer", "utterances", "normalizer")
        }
        for name in ("dev", "general")
    }
    return {
        "language": language,
        "lines": len(text.read_text(encoding="utf-8").splitlines()),
        "trained_on": report.card["training"]["utterances"],
        "mix": report.card["training"]["mix"],
        **rates,
        "contexts": report.card["contexts"],
        "export": report.card["export"],
        "gate": {"passed": report.verdict.passed, "reason": report.verdict.reason},
        "seconds": round(time.monotonic() - started, 1),
        "notes": report.card["data"]["notes"],
    }


def main() -> None:
    """Run the jobs one after the other."""
    known = sorted(path.stem for path in TEXTS.glob("*.txt"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", choices=known, default=known)
    parser.add_argument("--base", default="bundled:base")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lexitune-languages-") as home:
        os.environ["LEXITUNE_HOME"] = home
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        for language in options.languages:
            figures = adapted(language, options.base, options.workers)
            print(json.dumps(figures, ensure_ascii=False, indent=2), flush=True)


if __name__ == "__main__":
    main()
