"""A Wav2Vec2-CTC through every door: folder, registry, command line, with a language model, and a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import (
    FileOnServer,
    JobsClient,
    Phrase,
    PhraseReport,
    PhraseState,
    Ready,
    RecognitionResult,
    RecordingOnServer,
    SpeechClient,
    StreamConfig,
    Vocabulary,
    VocabularyApplied,
)
from asr.decoding.ctc import LmWeights, write_weights
from asr.models.ctc_torch import TorchCtc
from asr.models.resolve import resolve_model
from asr.models.writable import tokens_of
from asr.recognizer import Recognizer
from server.cli import app
from server.config import ServerConfig
from server.jobs.options import JobsOptions
from training.ngram import write_ngram


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def manifest(domain_speech: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ctc-manifest")
    rows = []
    for number, (text, samples) in enumerate(domain_speech.items()):
        write_audio(folder / f"{number}.wav", samples)
        rows.append({"audio_filepath": f"{number}.wav", "duration": len(samples) / 16_000, "text": text})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def imported(small_ctc: Path) -> str:
    """The small model as a registered version."""
    result = _invoke("models", "import", small_ctc, "--name", "orders", "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["reference"])


def test_a_version_transcribes_what_its_folder_transcribes(
    small_ctc: Path, imported: str, manifest: Path
) -> None:
    texts = []
    for model in (str(small_ctc), imported):
        result = _invoke("transcribe", "--model", model, "--manifest", manifest, "--format", "jsonl")
        assert result.exit_code == 0, result.output
        texts.append([json.loads(line)["text"] for line in result.stdout.splitlines()])
    assert texts[0] == texts[1] and all(texts[0])


def test_a_version_keeps_its_language_model_and_is_better_for_it(
    small_ctc_copy: Path, imported: str, manifest: Path
) -> None:
    held_out = (small_ctc_copy / "heldout.txt").read_text().splitlines()
    write_ngram(held_out, TorchCtc(small_ctc_copy).tokens, small_ctc_copy)
    write_weights(small_ctc_copy / "lm", LmWeights(alpha=0.75, beta=2.0))
    result = _invoke("models", "import", small_ctc_copy, "--name", "orders-lm", "--json")
    with_model = json.loads(result.stdout)["reference"]
    result = _invoke("evaluate", "--model", with_model, "--against", imported, manifest, "--json")
    assert result.exit_code == 0, result.output
    wers = [
        json.loads(_invoke("evaluate", "--model", model, manifest, "--json").stdout)["wer"]
        for model in (with_model, imported)
    ]
    assert wers[0] <= wers[1] <= 0.25
    assert wers[0] < 0.1


def test_a_server_streams_it(imported: str, running_server: Any, domain_speech: dict[str, Any]) -> None:
    pause = np.zeros(24_000, np.float32)
    samples = np.concatenate([next(iter(domain_speech.values())), pause])
    payload = encode_pcm(samples, Encoding.LINEAR16)
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, models=(imported,))
    with running_server(config) as server, SpeechClient(server.address) as client:
        chunks = [payload[start : start + 640] for start in range(0, len(payload), 640)]
        events = [update.event for update in client.stream(iter(chunks), StreamConfig(language="en-US"))]
    finals = [event for event in events if isinstance(event, RecognitionResult) and event.is_final]
    expected = Recognizer.load(imported).transcribe(samples)
    assert [final.alternatives[0].text for final in finals] == [segment.text for segment in expected.segments]


UNWRITABLE = Vocabulary(
    phrases=(Phrase(text="oat milk"), Phrase(text="café latte"), Phrase(text="$SIZE tea")),
    classes={"SIZE": ("large", "trés large")},
)


def _refused(reports: Sequence[PhraseReport]) -> list[str]:
    """The states, once the reasons are seen to name what cannot be written."""
    assert all("cannot write é" in one.reason for one in reports if one.state is PhraseState.REFUSED)
    return [one.state.name for one in reports]


def test_phrases_that_a_model_cannot_write_are_refused_at_every_door(
    small_ctc: Path, running_server: Any, domain_speech: dict[str, Any], manifest: Path, tmp_path: Path
) -> None:
    payload = encode_pcm(next(iter(domain_speech.values())), Encoding.LINEAR16)
    expected = ["ACTIVE", "REFUSED", "REFUSED"]
    jobs = JobsOptions(
        database=f"sqlite:///{tmp_path / 'jobs.db'}", folder=str(tmp_path), roots={"all": str(tmp_path)}
    )
    write_audio(tmp_path / "call.wav", next(iter(domain_speech.values())))
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, models=(str(small_ctc),), jobs=jobs)
    with running_server(config) as server, SpeechClient(server.address) as client:
        whole = client.recognize(payload, StreamConfig(vocabulary=UNWRITABLE))
        assert _refused(whole.phrases) == expected
        inputs = [UNWRITABLE, payload]
        events = [update.event for update in client.stream(iter(inputs), StreamConfig(vocabulary=UNWRITABLE))]
        (ready,) = [one for one in events if isinstance(one, Ready)]
        (applied,) = [one for one in events if isinstance(one, VocabularyApplied)]
        assert _refused(ready.phrases) == _refused(applied.phrases) == expected
        with JobsClient(server.address) as client_of_jobs:
            call = RecordingOnServer(file=FileOnServer(root="all", path="call.wav"), id="call")
            job = client_of_jobs.create_batch_job([call], vocabulary=UNWRITABLE)
            assert _refused(job.phrases) == expected
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("oat milk\ncafé latte\n$SIZE tea\n$SIZE=large|trés large\n")
    result = _invoke("evaluate", "--model", small_ctc, manifest, "--phrases", phrases, "--json")
    assert [one["state"] for one in json.loads(result.stdout)["phrases"]] == ["active", "refused", "refused"]
    result = _invoke("transcribe", "--model", small_ctc, "--manifest", manifest, "--phrases", phrases)
    assert "phrase 'café latte' is not used: the model cannot write" in result.stderr


def test_what_a_model_can_write_is_known_without_its_weights(small_ctc: Path) -> None:
    assert tokens_of(resolve_model(str(small_ctc))) == TorchCtc(small_ctc).tokens
    assert tokens_of(resolve_model("bundled:tiny.en")) is None
