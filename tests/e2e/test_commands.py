"""Commands on real recordings made here: formats, resume, failures beside successes, exit codes, one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.errors import LexituneError
from server.cli import app

LIBRARY = "Could you tell me where the library is?"


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def recordings(tmp_path: Path, spoken: Any) -> list[Path]:
    paths = []
    for number, samples in enumerate(spoken.values()):
        path = tmp_path / f"call{number}.wav"
        write_audio(path, samples)
        paths.append(path)
    return paths


@pytest.fixture
def manifest(tmp_path: Path, recordings: list[Path], spoken: Any) -> Path:
    rows = [
        {
            "audio_filepath": path.name,
            "duration": len(samples) / 16_000,
            "text": text,
            "speaker": f"s{number}",
        }
        for number, (path, (text, samples)) in enumerate(zip(recordings, spoken.items(), strict=True))
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_one_recording_to_stdout(recordings: list[Path]) -> None:
    result = _invoke("transcribe", recordings[2])
    assert (result.exit_code, result.stdout) == (0, LIBRARY + "\n")


def test_the_reference_engine_says_the_same(recordings: list[Path]) -> None:
    arguments = ("transcribe", recordings[2], "--engine", "torch", "--beam-size", "1")
    assert _invoke(*arguments).stdout == LIBRARY + "\n"


@pytest.mark.parametrize("bad", ["truncated", "text", "empty", "missing"])
def test_a_bad_recording_is_reported_and_the_others_are_done(
    recordings: list[Path], tmp_path: Path, bad: str
) -> None:
    broken = tmp_path / f"{bad}.wav"
    whole = recordings[0].read_bytes()
    payload = {"truncated": whole[: len(whole) // 2], "text": b"hello, I am a letter", "empty": b""}.get(bad)
    if payload is not None:
        broken.write_bytes(payload)
    out = tmp_path / "out"
    result = _invoke("transcribe", broken, recordings[2], "--output", out)
    assert result.exit_code == 1
    assert str(broken) in result.stderr and "1 of 2 failed" in result.stderr
    assert {path.name: path.read_text() for path in out.glob("*.txt")} == {"call2.txt": LIBRARY + "\n"}
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert (failure["id"], failure["path"]) == (bad, str(broken))
    assert failure["code"] == ("missing-audio" if bad == "missing" else "unreadable-audio")
    assert failure["reason"] in result.stderr


def test_a_manifest_to_jsonl_and_resume_redoes_nothing(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("transcribe", "--manifest", manifest, "--format", "jsonl", "--output", output)
    assert _invoke(*arguments).exit_code == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["call0", "call1", "call2"]
    assert rows[2]["text"] == LIBRARY
    assert rows[2]["words"][-1]["text"] == "is?"
    # what a killed run leaves: a whole row that must not be redone, and half of the next
    part = output.with_name("out.jsonl.partial")
    lines = output.read_text().splitlines()
    part.write_text(lines[0] + "\n" + lines[1][:30])
    output.unlink()
    result = _invoke(*arguments, "--resume")
    assert "1 of 3 are done already" in result.stderr
    assert output.read_text().splitlines() == lines
    assert not part.exists()
    assert "3 of 3 are done already" in _invoke(*arguments, "--resume").stderr


def test_channels_can_be_transcribed_apart(tmp_path: Path, spoken: Any) -> None:
    first, second = list(spoken.values())[1:]
    length = max(len(first), len(second))
    channels = np.stack([np.pad(samples, (0, length - len(samples))) for samples in (first, second)], axis=1)
    write_audio(tmp_path / "stereo.wav", channels)
    out = tmp_path / "out"
    assert (
        _invoke("transcribe", tmp_path / "stereo.wav", "--channels", "split", "--output", out).exit_code == 0
    )
    assert (out / "stereo#1.txt").read_text() == LIBRARY + "\n"
    assert "half past seven" in (out / "stereo#0.txt").read_text()


def test_evaluate_counts_and_compares(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("aspirin\nlibrary\n")
    result = _invoke(
        "evaluate", manifest, "--against", "bundled:tiny.en", "--terms", tmp_path / "terms.txt", "--json",
        "--report", tmp_path / "report",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["utterances"] == 3
    errors = document["substitutions"] + document["deletions"] + document["insertions"]
    assert document["wer"] == pytest.approx(errors / document["reference_words"])
    assert (document["terms_said"], document["term_recall"]) == (2, 1.0)
    assert document["comparison"]["delta"] == 0  # the same model twice
    assert document["comparison"]["prob_better"] == 0
    assert len((tmp_path / "report" / "rows.jsonl").read_text().splitlines()) == 3


def test_validate_reports_every_problem_and_exits_1(manifest: Path) -> None:
    assert _invoke("data", "validate", manifest).exit_code == 0
    with manifest.open("a") as stream:
        stream.write('{"duration": 1.0, "text": "no audio"}\n{"audio_filepath": "gone.wav", "text": "x"}\n')
    result = _invoke("data", "validate", manifest, "--json")
    assert result.exit_code == 1
    codes = {(problem["row"], problem["code"]) for problem in json.loads(result.stdout)["problems"]}
    assert {(4, "malformed-row"), (5, "missing-audio")} <= codes


def test_a_repeated_text_is_a_warning_and_no_problem(manifest: Path, tmp_path: Path) -> None:
    alone = json.loads(_invoke("data", "validate", manifest, "--json").stdout)
    assert alone["warnings"] == []
    result = _invoke("data", "validate", manifest, "--against", manifest, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["problems"]) == (0, [])
    assert [(row["row"], row["code"]) for row in document["warnings"]] == [
        (number, "near-duplicate-text") for number in range(1, document["rows"] + 1)
    ]
    assert (
        "warning near-duplicate-text" in _invoke("data", "validate", manifest, "--against", manifest).stdout
    )


def test_split_writes_three_manifests_that_share_no_speaker(manifest: Path, tmp_path: Path) -> None:
    result = _invoke(
        "data", "split", manifest, "--out", tmp_path / "parts", "--dev", "0.3", "--test", "0.3", "--json"
    )
    parts = json.loads(result.stdout)
    assert sum(part["utterances"] for part in parts.values()) == 3
    assert (parts["dev"]["texts_like_train"], parts["test"]["texts_like_train"]) == (0, 0)


def test_synthesize_gives_a_valid_manifest(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("apixaban\nramipril\n")
    result = _invoke(
        "data", "synthesize", "--terms", tmp_path / "terms.txt", "--out", tmp_path / "s", "--per-term", "2"
    )
    assert result.exit_code == 0
    written = Path(result.stdout.strip())
    rows = [json.loads(line) for line in written.read_text().splitlines()]
    assert len(rows) == 4
    assert all(set(row["terms"]) <= {"apixaban", "ramipril"} and row["text"] for row in rows)
    assert _invoke("data", "validate", written).exit_code == 0


def test_doctor_finds_this_installation_sound() -> None:
    result = _invoke("doctor", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (0, True)
    assert {"device", "registry", "decode", "package names"} <= {
        check["name"] for check in document["checks"]
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transcribe",), "give recordings or --manifest"),
        (("transcribe", "x.wav", "--resume"), "--resume needs --output"),
        (("transcribe", "x.wav", "--engine", "spark"), "there are ctranslate2, torch, ray"),
        (("transcribe", "x.wav", "--engine", "ray"), "--engine ray needs --output"),
        (
            ("transcribe", "x.wav", "--legs", "agent"),
            "give a name of its own to each of two or more channels",
        ),
        (("transcribe", "x.wav", "--steps", "itn-en-0"), "there are itn-en-1"),
        (("transcribe", "x.wav", "--redact", "towns"), "--redact towns is not known"),
        (("transcribe", "x.wav", "--model", "models:/nobody@production"), "nobody"),
        (("transcribe", "x.wav", "--model", "bundled:large"), "bundled:tiny.en"),
        (("evaluate", "gone.jsonl"), "gone.jsonl"),
        (("models", "alias", "nobody", "production", "1"), "nobody"),
        (("data", "synthesize", "--out", "x"), "--text or --terms"),
    ],
)
def test_wrong_usage_is_one_clear_error(arguments: tuple[str, ...], message: str) -> None:
    error = _invoke(*arguments).exception
    assert isinstance(error, LexituneError)
    assert message in str(error)


def test_steps_and_redaction_are_done_where_they_are_asked_for(
    recordings: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra 'redact' is not installed")
    out = tmp_path / "o.json"
    arguments = ("transcribe", recordings[0], "--format", "json", "--output", out, "--resume")
    assert _invoke(*arguments, "--steps", "itn-en-1", "--redact", "numbers").exit_code == 0
    document = json.loads(out.read_text())
    assert "[NUMBER] boxes" in document["text"]
    assert (document["steps"], [one["kind"] for one in document["redactions"]]) == (["itn-en-1"], ["numbers"])
    assert "42" not in document["text"] and "forty" not in document["text"]
    result = _invoke(*arguments)
    assert "1 outputs were made with steps itn-en-1,redact-1, not none; done again" in result.stderr
    assert "[NUMBER]" not in out.read_text()


def test_legs_are_merged_by_time_under_their_names(tmp_path: Path, spoken: Any) -> None:
    train, library = list(spoken.values())[1:]
    legs = [np.pad(train, (0, 3 * 16_000 + len(library))), np.pad(library, (len(train) + 3 * 16_000, 0))]
    write_audio(tmp_path / "calls" / "stereo.wav", np.stack(legs, axis=1))
    write_audio(tmp_path / "calls" / "mono.wav", train)
    out = tmp_path / "out"
    result = _invoke("transcribe", tmp_path / "calls", "--legs", "agent,customer", "--output", out)
    assert result.exit_code == 1
    agent, customer = (out / "stereo.txt").read_text().splitlines()
    assert agent.startswith("agent: ") and "half past" in agent
    assert customer == f"customer: {LIBRARY}"
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert failure["reason"].endswith("name each channel, or leave --legs out to mix them")
