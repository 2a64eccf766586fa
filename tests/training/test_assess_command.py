"""``lexitune assess`` from the command line: one JSON document on stdout, the text of a table, one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.errors import InputError, OptionError
from server.cli import app


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["assess", *(str(argument) for argument in arguments)])


def test_text_and_terms_are_measured_and_no_curve_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Please refill the lisinopril.\nWhere does it hurt?\n")
    (tmp_path / "terms.txt").write_text("lisinopril\n")
    result = _invoke("--text", tmp_path / "text.txt", "--terms", tmp_path / "terms.txt", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    text, terms = document["distances"]
    assert (text["source"], text["synthesised"], text["measured"], text["of"]) == ("text", True, 2, 2)
    assert (terms["source"], terms["measured"]) == ("terms", 1)
    assert terms["evaluation"]["term_recall"] is not None
    assert (
        terms["fragmentation"]["tokens_per_word"] > document["everyday"]["fragmentation"]["tokens_per_word"]
    )
    assert document["everyday"]["surprise"]["perplexity"] < text["surprise"]["perplexity"]
    assert document["curve"] is None
    assert any("no learning curve" in note for note in document["notes"])
    assert any("spoken by synthesis" in note for note in document["notes"])


@pytest.fixture
def recordings(tmp_path: Path, domain_speech: dict[str, Any]) -> Path:
    """A manifest of 128 rows by eight speakers over eight recordings."""
    rows = []
    for number, (text, samples) in enumerate(domain_speech.items()):
        write_audio(tmp_path / f"{number}.wav", samples)
        row = {"audio_filepath": f"{number}.wav", "duration": len(samples) / 16_000, "text": text}
        rows += [row | {"id": f"{number}-{copy}", "speaker": f"s{number}"} for copy in range(16)]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_recordings_get_a_curve_and_what_the_budget_left_out_is_said(
    recordings: Path, small_ctc: Path
) -> None:
    result = _invoke(recordings, "--model", small_ctc, "--budget-minutes", "0.001", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (distance,) = document["distances"]
    assert (distance["measured"], distance["of"]) == (32, 128)
    assert distance["surprise"]["perplexity"] is None
    curve = document["curve"]
    assert [run["utterances"] for run in curve["runs"]] == [24]  # of 96
    assert (curve["verdict"], curve["forecasts"]) == ("too few runs", None)
    assert any("left out within 0.001 minutes" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give MANIFEST, --text or --terms"),
        (("missing.jsonl",), "manifest missing.jsonl does not exist"),
        (("empty.jsonl", "--budget-minutes", "0"), "--budget-minutes is 0"),
        (("--text", "empty.jsonl", "--own-length"), "needs a MANIFEST"),
    ],
)
def test_wrong_use_is_one_clear_error(
    arguments: tuple[str, ...], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    result = _invoke(*arguments)
    assert isinstance(result.exception, OptionError)
    assert problem in str(result.exception)


def test_rows_with_nothing_to_score_are_an_error(
    tmp_path: Path, spoken: dict[str, Any], small_ctc: Path
) -> None:
    write_audio(tmp_path / "a.wav", next(iter(spoken.values())))
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav"}\n')
    result = _invoke(tmp_path / "m.jsonl", "--model", small_ctc)
    assert isinstance(result.exception, InputError)
    assert "none of its 1 rows has text or terms" in str(result.exception)


def test_own_lengths_are_refused_for_a_ctc(recordings: Path, small_ctc: Path) -> None:
    result = _invoke(recordings, "--model", small_ctc, "--own-length")
    assert isinstance(result.exception, OptionError)
    assert "--own-length is for a Whisper" in str(result.exception)


def test_recordings_that_name_terms_only_are_measured_by_them(
    tmp_path: Path, domain_speech: dict[str, Any], small_ctc: Path
) -> None:
    lines = []
    for number, samples in enumerate(list(domain_speech.values())[:3]):
        write_audio(tmp_path / f"{number}.wav", samples)
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "terms": ["lisinopril"]}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + "\n")
    result = _invoke(tmp_path / "m.jsonl", "--model", small_ctc)
    assert result.exit_code == 0, result.output
    assert "term recall" in result.stdout
    assert "no learning curve: it needs transcribed recordings" in result.stdout
