"""A Wav2Vec2-CTC through every door: folder, registry, command line, with a language model, and a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import RecognitionResult, SpeechClient, StreamConfig
from asr.decoding.ctc import LmWeights, write_weights
from asr.models.ctc_torch import TorchCtc
from asr.recognizer import Recognizer
from server.cli import app
from server.config import ServerConfig
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
