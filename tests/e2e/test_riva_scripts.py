"""What NVIDIA's scripts for files do says what our own client says: the stock package's options, calls and printing.

The wheel of ``nvidia-riva-client`` holds no scripts, only what they are made of. With LEXITUNE_RIVA_SCRIPTS, the folder
``scripts/asr`` of a checkout of nvidia-riva/python-clients, they are run themselves, unchanged.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import RecognitionResult, SpeechClient, StreamConfig
from asr.models.base import Samples

riva = pytest.importorskip("riva.client", reason="the stock client is in the dev extra")
options = pytest.importorskip("riva.client.argparse_utils")

SCRIPTS = os.environ.get("LEXITUNE_RIVA_SCRIPTS", "")
FINAL = re.compile(r"^Time [\d.]+s: Transcript 0: (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def recording(call_audio: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("riva") / "call.wav"
    write_audio(path, call_audio)
    return path


@pytest.fixture(scope="module")
def expected(speech_server: Any, call_audio: Samples) -> list[str]:
    """What our own client gets for the samples as they are in the file."""
    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    chunks = [payload[start : start + 3200] for start in range(0, len(payload), 3200)]
    with SpeechClient(speech_server.address) as client:
        events = [update.event for update in client.stream(chunks, StreamConfig())]
    return [event.text for event in events if isinstance(event, RecognitionResult) and event.text]


def _arguments(address: str) -> Any:
    """As the scripts read them, with their defaults."""
    parser = options.add_connection_argparse_parameters(argparse.ArgumentParser())
    parser = options.add_asr_config_argparse_parameters(
        parser, max_alternatives=True, profanity_filter=True, word_time_offsets=True
    )
    return parser.parse_args(["--server", address, "--word-time-offsets", "--automatic-punctuation"])


def _service(arguments: Any) -> Any:
    return riva.ASRService(
        riva.Auth(use_ssl=arguments.use_ssl, uri=arguments.server, metadata_args=arguments.metadata)
    )


def _with_options(config: Any, arguments: Any) -> Any:
    """All that the scripts put into a config, in any case."""
    riva.add_word_boosting_to_config(config, arguments.boosted_lm_words, arguments.boosted_lm_score)
    riva.add_speaker_diarization_to_config(
        config, arguments.speaker_diarization, arguments.diarization_max_speakers
    )
    riva.add_endpoint_parameters_to_config(
        config, arguments.start_history, arguments.start_threshold, arguments.stop_history,
        arguments.stop_history_eou, arguments.stop_threshold, arguments.stop_threshold_eou,
    )  # fmt: skip
    riva.add_custom_configuration_to_config(config, arguments.custom_configuration)
    return config


def _config(arguments: Any) -> Any:
    return riva.RecognitionConfig(
        language_code=arguments.language_code,
        model=arguments.model_name,
        max_alternatives=arguments.max_alternatives,
        profanity_filter=arguments.profanity_filter,
        enable_automatic_punctuation=arguments.automatic_punctuation,
        verbatim_transcripts=not arguments.no_verbatim_transcripts,
        enable_word_time_offsets=arguments.word_time_offsets,
    )


def test_streaming_as_the_scripts_do_it(
    speech_server: Any, recording: Path, expected: list[str], tmp_path: Path
) -> None:
    arguments = _arguments(speech_server.address)
    config = riva.StreamingRecognitionConfig(config=_config(arguments), interim_results=True)
    with riva.AudioChunkFileIterator(str(recording), 1600) as chunks:
        responses = _service(arguments).streaming_response_generator(chunks, _with_options(config, arguments))
        riva.print_streaming(
            responses, output_file=tmp_path / "output", additional_info="time", word_time_offsets=True
        )
    written = (tmp_path / "output").read_text()
    assert FINAL.findall(written) == [f"{text} " for text in expected]
    assert written.count("Timestamps:") == len(expected)


def test_a_whole_file_as_the_scripts_do_it(speech_server: Any, recording: Path, expected: list[str]) -> None:
    arguments = _arguments(speech_server.address)
    config = _with_options(_config(arguments), arguments)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        riva.print_offline(_service(arguments).offline_recognize(recording.read_bytes(), config))
    assert printed.getvalue().endswith(f"Final transcript: {' '.join(expected)} \n")


@pytest.mark.skipif(
    not SCRIPTS, reason="no scripts: set LEXITUNE_RIVA_SCRIPTS to scripts/asr of python-clients"
)
@pytest.mark.parametrize("kind", ["streaming", "offline"])
def test_the_scripts_themselves(
    speech_server: Any, recording: Path, expected: list[str], tmp_path: Path, kind: str
) -> None:
    name = {"streaming": "riva_streaming_asr_client.py", "offline": "transcribe_file_offline.py"}[kind]
    command = [sys.executable, str(Path(SCRIPTS).resolve() / name), "--server", speech_server.address]
    done = subprocess.run(
        [*command, "--input-file", str(recording)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if kind == "streaming":
        found = FINAL.findall((tmp_path / "output_0.txt").read_text())
        assert found == [f"{text} " for text in expected]
    else:
        assert f"Final transcript: {' '.join(expected)} \n" in done.stdout
