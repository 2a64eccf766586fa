"""A whole job in process on a small Whisper with random weights: the gate must refuse, and nothing may break."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr.audio.files import write_audio
from asr.cli.console import ProgressReporter
from asr.errors import OptionError, UnavailableError
from asr.models.resolve import resolve_model
from asr.registry import Registry
from asr.storage import exclusive
from training.adapt import adapt
from training.data import AdaptationData
from training.families import open_family
from training.family import Plan
from training.report import AdaptationReport
from training.spec import AdaptationSpec, SplitOptions, TrainingOptions
from training.whisper_family import choose_method


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, spoken: Any) -> Path:
    """Rows to measure on: one longer than a Whisper window, one silent, one that names terms only."""
    folder = tmp_path_factory.mktemp("dev")
    (text, samples), *_ = spoken.items()
    pause = np.zeros(16_000, np.float32)
    long = np.concatenate([samples, pause] * 8)
    assert len(long) > 31 * 16_000
    rows = []
    for name, audio, row in (
        ("long", long, {"text": " ".join([text] * 8)}),
        ("silent", pause, {"text": ""}),
        ("terms", samples, {"terms": ["aspirin"]}),
        ("plain", samples, {"text": text}),
    ):
        write_audio(folder / f"{name}.wav", audio)
        rows.append(json.dumps({"audio_filepath": f"{name}.wav", "duration": len(audio) / 16_000} | row))
    (folder / "dev.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "dev.jsonl"


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory, spoken: Any) -> Path:
    folder = tmp_path_factory.mktemp("test")
    rows = []
    for number, (text, samples) in enumerate(list(spoken.items())[1:3]):
        write_audio(folder / f"{number}.wav", samples)
        rows.append(json.dumps({"audio_filepath": f"{number}.wav", "text": text}))
    (folder / "test.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "test.jsonl"


class Noting(ProgressReporter):
    """Keeps what it tells."""

    def __init__(self) -> None:
        super().__init__(None)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def reporter() -> Noting:
    return Noting()


@pytest.fixture(scope="module", params=["decoder", "lora", "full"])
def report(
    request: Any, small_whisper: Path, dev: Path, test_set: Path, reporter: Noting,
    tmp_path_factory: pytest.TempPathFactory,
) -> AdaptationReport:  # fmt: skip
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("".join(f"Please send {number} boxes of aspirin.\n" for number in range(5)))
    spec = AdaptationSpec(
        base=str(small_whisper),
        name=f"small-{request.param}",
        text=text,
        dev=dev,
        test=test_set,
        method=request.param,
        alias="production",
        training=TrainingOptions(
            epochs=1, batch_size=4, learning_rate=2e-4, evaluations_per_epoch=1, own_length_sentences=16
        ),
        split=SplitOptions(general_sentences=4),
    )
    reporter.notes.clear()
    return adapt(spec, reporter, num_workers=2)


def test_every_evaluation_says_how_long_it_and_the_training_before_it_took(
    report: AdaptationReport, reporter: Noting
) -> None:
    first, *others = [note for note in reporter.notes if note.startswith("epoch ")]
    assert re.search(r"step 0, dev WER [^(]* \(\d+\.\d s of scoring\)$", first)
    assert len(others) == 1
    assert re.search(r"\(\d+\.\d s of training and saving, \d+\.\d s of scoring\)$", others[0])


def test_a_useless_version_is_published_but_not_promoted(report: AdaptationReport) -> None:
    assert not report.verdict.passed
    assert report.promoted_alias == ""
    summary = Registry.open().get_version(report.name, report.version)
    assert (summary.gate_passed, summary.aliases) == (False, ())
    domain = next(check for check in report.verdict.checks if check.name == "domain")
    assert "needed 0.95" in domain.detail
    locked = next(check for check in report.verdict.checks if check.name == "locked test")
    assert not locked.passed and "2 utterances" in locked.detail


def test_every_row_is_scored_by_what_is_known_of_it(report: AdaptationReport) -> None:
    figures = report.card["evaluation"]["adapted"]["dev"]
    assert (figures["utterances"], figures["utterances_with_text"]) == (4, 3)
    assert figures["reference_words"] > 9


def test_what_is_written_on_sounds_is_counted(report: AdaptationReport) -> None:
    figures = report.card["evaluation"]["base"]["sounds"]
    assert figures["utterances"] == 13
    assert figures["insertions"] > 0  # random weights babble
    check = next(check for check in report.verdict.checks if check.name == "sounds")
    assert check.limit == figures["insertions"]


def test_the_locked_test_is_scored_for_the_base_and_the_choice(report: AdaptationReport) -> None:
    for model in ("base", "adapted"):
        assert report.card["evaluation"][model]["test"]["utterances"] == 2
    assert not any("locked" in note for note in report.card["data"]["notes"])


def test_the_card_says_how_it_was_made(report: AdaptationReport) -> None:
    training = report.card["training"]
    assert training["method"] == report.name.removeprefix("small-")
    assert next(mix["mix"] for mix in training["mixes"]) == 0.0
    assert max(mix["mix"] for mix in training["mixes"]) <= 0.625  # no general speech was recorded
    assert any("a little too good" in note for note in report.card["data"]["notes"])
    assert report.card["base_sha256"]


def test_auto_takes_the_encoder_along_where_recordings_show_how_a_domain_sounds() -> None:
    options = TrainingOptions()
    assert choose_method("auto", options, 0.0, width=384).method == "decoder"
    assert choose_method("auto", options, 0.2, width=384).method == "decoder"
    spoken, recorded = (choose_method("auto", options, hours, width=384) for hours in (0.0, 0.2))
    assert [spoken.epochs(steps) for steps in (1, 16, 22, 31, 32, 500)] == [4, 4, 3, 3, 2, 2]
    assert {recorded.epochs(steps) for steps in (1, 500)} == {4}
    assert choose_method("auto", options, 0.5, width=384).method == "full"
    wide = choose_method("auto", options, 0.5, width=1280)
    assert (wide.method, wide.part) == ("lora", "both")
    assert choose_method("auto", options, 5.0, width=1280).method == "full"
    assert choose_method("lora", options, 0.1, width=384).part == "decoder"
    assert choose_method("lora", options, 1.0, width=384).part == "both"
    assert choose_method("lora", TrainingOptions(lora_part="decoder"), 1.0, width=384).part == "decoder"


class Interrupting(Noting):
    """Presses Ctrl-C when it is told of the second plan."""

    def note(self, text: str) -> None:
        super().note(text)
        if text.startswith("method decoder: "):
            raise KeyboardInterrupt


def test_where_the_budgets_hold_back_what_all_of_it_learned_the_decoder_is_taught_alone(
    small_whisper: Path, forgetful: dict[str, Path]
) -> None:
    """Interrupted between its two plans and run again, the job goes on with the second."""
    spec = AdaptationSpec(
        base=str(small_whisper), name="held-back", **forgetful,
        training=TrainingOptions(
            epochs=1, batch_size=2, learning_rate=2e-4, evaluations_per_epoch=1, own_length=False, quiet_share=0,
            replay_share=0, window_share=0,
        ),
    )  # fmt: skip
    begun, told = Interrupting(), Noting()
    with pytest.raises(KeyboardInterrupt):
        adapt(spec, begun, num_workers=2)
    report = adapt(spec, told, num_workers=2)
    assert report is not None
    first, beyond, second = [note for note in told.notes if note.startswith("method ")]
    assert first.startswith("method full: ")
    assert "beyond the budgets, has dev error 0.00%, and 0, the best within them, 100.00%" in beyond
    assert (
        second
        == "method decoder: the budgets hold back much of what was learned, so the decoder is taught alone"
    )
    points = [
        [note.split(" (")[0] for note in one.notes if note.startswith("epoch ")] for one in (begun, told)
    ]
    assert [[point.split(", ")[1] for point in one] for one in points] == [["step 0", "step 25"]] * 2
    assert points[0][0] == points[1][0]  # both begin with the weights that training starts from
    assert points[1][-1].endswith("dev WER 0.00%")
    measured = [note for note in told.notes if note.startswith("mix 0 in ") and ": dev error" in note]
    assert len(measured) == 1
    (tried,) = [note for note in report.card["data"]["notes"] if note.startswith("two plans")]
    assert "full, mix 0, dev error 100.00%; decoder, mix 0, dev error 100.00%" in tried
    assert tried.endswith("taken: nothing that was learned") and not report.verdict.passed


@pytest.mark.parametrize(
    ("asked", "hours", "instead"),
    [
        ("auto", 0.5, "decoder"),
        ("auto", 0.1, None),  # the decoder is all that was taught
        ("full", 0.5, None),  # as asked
        ("lora", 0.5, None),
    ],
)
def test_another_plan_is_made_only_where_auto_taught_the_encoder(
    small_whisper: Path, tmp_path: Path, asked: str, hours: float, instead: str | None
) -> None:
    (tmp_path / "t.txt").write_text("Please send the boxes.\n")
    options = TrainingOptions(own_length=False)
    spec = AdaptationSpec(
        base=str(small_whisper), name="x", text=tmp_path / "t.txt", method=asked, training=options
    )
    data = AdaptationData(train=[], dev=[], test=[], general=[], terms=(), critical=(), sounds=[], hashes={})
    family = open_family(resolve_model(str(small_whisper)), spec, data, tmp_path, Noting(), num_workers=1)
    other = family.plan_instead(family.plan(hours))
    assert (other.method if other else None) == instead
    wide = family.plan_instead(Plan(method="lora", part="both", reason="as for a wide model"))
    assert ((wide.method, wide.part) if wide else None) == (("lora", "decoder") if asked == "auto" else None)


def test_another_method_begins_with_the_weights_of_the_start(small_whisper: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Please send the boxes.\n")
    options = TrainingOptions(own_length=False)
    spec = AdaptationSpec(base=str(small_whisper), name="x", text=tmp_path / "t.txt", training=options)
    data = AdaptationData(train=[], dev=[], test=[], general=[], terms=(), critical=(), sounds=[], hashes={})
    family = open_family(resolve_model(str(small_whisper)), spec, data, tmp_path, Noting(), num_workers=1)
    learned = family.method(Plan(method="full", reason="a test"), [], 1)
    with torch.no_grad():
        for weight in learned.model.parameters():
            weight.add_(1.0)
    again = family.method(Plan(method="decoder", reason="a test"), [], 1)
    weights = again.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in family.start_state.items())


def test_a_method_of_the_other_family_is_refused(
    small_whisper: Path, small_ctc: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_text("".join(f"Please send {number} boxes.\n" for number in range(40)))
    for base, method, wanted in (
        (small_whisper, "ctc", "decoder, lora"),
        (small_ctc, "lora", "--method ctc"),
    ):
        spec = AdaptationSpec(base=str(base), name="x", text=tmp_path / "t.txt", method=method)
        with pytest.raises(OptionError, match=wanted):
            adapt(spec, ProgressReporter(None), num_workers=2)


def test_without_a_domain_only_own_lengths_are_taught(small_whisper: Path) -> None:
    spec = AdaptationSpec(base=str(small_whisper), name="short", split=SplitOptions(general_sentences=4))
    report = adapt(spec, ProgressReporter(None), num_workers=2)
    assert report is not None
    training, checks = report.card["training"], {check.name: check for check in report.verdict.checks}
    assert (training["method"], training["utterances"]) == ("own-length", 0)
    assert "domain" not in checks and checks["own length"].limit >= 0.005
    assert report.card["contexts"] == (["own", "30s"] if report.verdict.passed else ["30s"])
    assert resolve_model(report.reference).own_length == report.verdict.passed
    assert checks["latency"].value < 1  # short sentences in their own length


def test_without_a_domain_and_without_own_lengths_there_is_nothing_to_do(small_whisper: Path) -> None:
    with pytest.raises(OptionError, match="nothing to adapt from"):
        AdaptationSpec(base=str(small_whisper), name="x", training=TrainingOptions(own_length=False))


def test_two_processes_do_not_share_a_job(tmp_path: Path) -> None:
    refused = pytest.raises(UnavailableError, match="wait for it")
    with exclusive(tmp_path / "job"), refused, exclusive(tmp_path / "job"):
        pass
    with exclusive(tmp_path / "job"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_registry_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnavailableError, match="MLFLOW_TRACKING_URI"):
        Registry("http://127.0.0.1:9")
