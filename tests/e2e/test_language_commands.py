"""``--language`` on the command line: what a model does not know is refused, and figures say how they were counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.errors import LexituneError
from asr.models.whisper_tokens import WhisperTokenizer
from asr.recognizer import DecodingOptions, Recognizer
from server.cli import app


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def manifest(tmp_path: Path, spoken: Any) -> Path:
    rows = []
    for number, (text, samples) in enumerate(spoken.items()):
        write_audio(tmp_path / f"{number}.wav", samples)
        rows.append({"audio_filepath": f"{number}.wav", "text": text, "language": "en-GB"})
    return _written(tmp_path / "manifest.jsonl", rows)


def _written(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _relabelled(manifest: Path, *languages: str) -> Path:
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return _written(
        manifest, [row | {"language": language} for row, language in zip(rows, languages, strict=True)]
    )


def _refusal(*arguments: str | Path) -> str:
    result = _invoke(*arguments)
    assert isinstance(result.exception, LexituneError)
    return str(result.exception)


def test_rows_name_the_language_and_it_is_decoded_in(manifest: Path) -> None:
    document = json.loads(_invoke("evaluate", manifest, "--json").stdout)
    assert (document["metric"], document["normalizer"]) == ("WER", "whisper-en-1")
    assert document["wer"] < 0.2


def test_rows_in_several_languages_or_in_one_that_the_model_lacks_are_refused(manifest: Path) -> None:
    assert "rows are in de, en" in _refusal("evaluate", _relabelled(manifest, "de", "en", "en"))
    refused = _refusal("evaluate", _relabelled(manifest, "de", "de", "de-AT"))
    assert "'de' is not known to bundled:tiny.en" in refused and "bundled:base" in refused


def test_an_english_model_transcribes_no_other_language(manifest: Path) -> None:
    recording = manifest.parent / "0.wav"
    assert "'cy' is not known" in _refusal("transcribe", recording, "--language", "cy")
    assert _invoke("transcribe", recording, "--language", "en-US").exit_code == 0


def test_a_named_language_brings_its_normaliser(manifest: Path, small_multilingual: Path) -> None:
    result = _invoke("evaluate", manifest, "--model", small_multilingual, "--language", "ja", "--json")
    document = json.loads(result.stdout)
    assert (document["metric"], document["normalizer"], document["wer"]) == ("CER", "basic-chars-1", None)
    table = _invoke("evaluate", manifest, "--model", small_multilingual, "--language", "ja").stdout
    assert "cer, 95 % interval" in table and "reference characters" in table


@pytest.mark.parametrize("engine", ["ctranslate2", "torch"])
def test_both_engines_decode_behind_the_named_languages_token(
    small_multilingual: Path, spoken: Any, engine: str
) -> None:
    """Random weights still answer the prompt: what they write differs between languages for the same audio."""
    recognizer = Recognizer.load(str(small_multilingual), engine=engine)
    samples = next(iter(spoken.values()))
    scores = {
        code: recognizer.decode([samples], DecodingOptions(beam_size=1, word_times=False, language=code))[0][
            0
        ]
        for code in ("cy", "en", "ja")
    }
    assert len({hypothesis.avg_log_prob for hypothesis in scores.values()}) == 3
    assert set(scores) < set(WhisperTokenizer(small_multilingual / "tokenizer.json").languages)
    recognizer.close()
