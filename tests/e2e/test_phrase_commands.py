"""``--phrases`` of transcribe, evaluate and stream: phrases are heard, and refused ones are told with their reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from server.cli import app

FILE = "$DRUG=apixaban|warfarin\n$DRUG\tcritical\nsertraline\tboost=6\tsounds_like=search line\n40 mg\n7/8\n"
REFUSED = "phrase '7/8' is not used: no letter in it"


def _invoke(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def phrases(tmp_path: Path) -> Path:
    path = tmp_path / "phrases.txt"
    path.write_text(FILE)
    return path


@pytest.fixture
def recordings(tmp_path: Path, drug_audio: dict[str, Any]) -> dict[str, Path]:
    paths = {drug: tmp_path / f"{drug}.wav" for drug in drug_audio}
    for drug, path in paths.items():
        write_audio(path, drug_audio[drug])
    return paths


def test_transcribe_hears_phrases_and_tells_those_that_it_cannot_use(
    recordings: dict[str, Path], phrases: Path
) -> None:
    plain = _invoke("transcribe", recordings["apixaban"])
    assert "apixaban" not in plain.stdout and "not used" not in plain.stderr
    biased = _invoke("transcribe", recordings["apixaban"], "--phrases", phrases)
    assert "apixaban" in biased.stdout and REFUSED in biased.stderr


def test_evaluate_scores_with_phrases_and_lists_them(
    recordings: dict[str, Path], phrases: Path, tmp_path: Path, drug_audio: dict[str, Any]
) -> None:
    rows = [
        {"audio_filepath": path.name, "duration": len(drug_audio[drug]) / 16_000, "terms": [drug]}
        for drug, path in recordings.items()
    ]
    manifest = tmp_path / "calls.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = json.loads(_invoke("evaluate", manifest, "--json").stdout)
    assert (plain["term_recall"], "phrases" in plain) == (0.0, False)
    biased = json.loads(_invoke("evaluate", manifest, "--json", "--phrases", phrases).stdout)
    assert biased["term_recall"] == 1.0
    assert [(one["text"], one["state"]) for one in biased["phrases"]] == [
        ("$DRUG", "active"), ("sertraline", "aliased"), ("40 mg", "active"), ("7/8", "refused"),
    ]  # fmt: skip


def test_the_report_says_which_phrases_each_model_looked_for(
    recordings: dict[str, Path], phrases: Path, tmp_path: Path
) -> None:
    rows = [{"audio_filepath": recordings["apixaban"].name, "duration": 2.0, "terms": ["apixaban"]}]
    manifest, report = tmp_path / "calls.jsonl", tmp_path / "report"
    manifest.write_text(json.dumps(rows[0]) + "\n")
    _invoke("evaluate", manifest, "--against", "bundled:base", "--phrases", phrases, "--report", report)
    page = (report / "index.html").read_text()
    assert page.count(f"from {phrases}") == 2


def test_stream_sends_phrases_and_shows_what_became_of_them(
    speech_server: Any, recordings: dict[str, Path], phrases: Path
) -> None:
    arguments = ("stream", recordings["sertraline"], "--server", speech_server.address)
    assert "sertraline" not in _invoke(*arguments).stdout
    shown = _invoke(*arguments, "--phrases", phrases)
    assert "sertraline" in shown.stdout and REFUSED in shown.stderr
    document = json.loads(_invoke(*arguments, "--phrases", phrases, "--json").stdout)
    assert "sertraline" in document["text"]
    states = {one["text"]: one["state"] for one in document["phrases"]}
    assert states == {
        "apixaban": "active", "warfarin": "active", "sertraline": "aliased", "40 mg": "active", "7/8": "refused",
    }  # fmt: skip
