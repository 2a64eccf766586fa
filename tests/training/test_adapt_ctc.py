"""A whole job on the small Wav2Vec2-CTC: chosen by its base, published as it is served, measured as it is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr.cli.console import ProgressReporter
from asr.models.resolve import resolve_model
from asr.recognizer import DecodingOptions, Recognizer
from training.adapt import adapt
from training.report import AdaptationReport
from training.spec import AdaptationSpec, SplitOptions, TrainingOptions


@pytest.fixture(scope="module")
def report(small_ctc: Path, tmp_path_factory: pytest.TempPathFactory) -> AdaptationReport:
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("\n".join((small_ctc / "heldout.txt").read_text().splitlines()[:60]) + "\n")
    spec = AdaptationSpec(
        base=str(small_ctc),
        name="ctc",
        text=text,
        alias="production",
        training=TrainingOptions(epochs=1, batch_size=8, evaluations_per_epoch=1),
        split=SplitOptions(general_sentences=16, dev_share=0.3),
    )
    made = adapt(spec, ProgressReporter(None), num_workers=2)
    assert made is not None
    return made


def test_the_method_follows_from_the_base(report: AdaptationReport) -> None:
    training = report.card["training"]
    assert (training["method"], training["reason"]) == ("ctc", "the base is a Wav2Vec2 with CTC")
    assert len(training["curve"]) == 2
    assert 0 < training["curve"][-1]["loss"] < 5
    assert report.card["contexts"] == ["30s"]


def test_what_is_better_passes_the_gate_and_is_promoted(report: AdaptationReport) -> None:
    assert report.verdict.passed, report.verdict
    assert report.promoted_alias == "production"
    promoted = resolve_model("models:/ctc@production")
    assert promoted.reference == report.reference


def test_figures_are_of_the_version_as_it_is_served(report: AdaptationReport, domain_speech: Any) -> None:
    """The gate saw dev with the language model, if that was kept; a recogniser of the version has it, too."""
    recognizer = Recognizer.load(report.reference)
    texts = [recognizer.transcribe(samples, DecodingOptions()).text for samples in domain_speech.values()]
    recognizer.close()
    assert sum(bool(text) for text in texts) >= 7
    before, after = (report.card["evaluation"][which]["dev"]["wer"] for which in ("base", "adapted"))
    assert after < before < 0.5
