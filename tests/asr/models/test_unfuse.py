"""Converting a model to CTranslate2 and splitting it back gives the same tensors."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from asr.errors import ModelError
from asr.models.ct2_file import read_variables
from asr.models.export import export_ctranslate2
from asr.models.unfuse import unfuse


def test_fused_and_split_again_is_the_identity(small_whisper: Path, tmp_path: Path) -> None:
    export_ctranslate2(small_whisper, tmp_path / "ct2", quantization="float32")
    variables = read_variables(tmp_path / "ct2" / "model.bin")
    assert variables.spec == "WhisperSpec"
    state = unfuse(variables.arrays)
    original = load_file(small_whisper / "model.safetensors")
    assert state.keys() == original.keys()
    for name, value in original.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


@pytest.mark.parametrize("size", [0, 3, 40, 2000])
def test_a_file_cut_short_is_refused(small_whisper: Path, tmp_path: Path, size: int) -> None:
    export_ctranslate2(small_whisper, tmp_path / "ct2", quantization="float32")
    short = tmp_path / "short.bin"
    short.write_bytes((tmp_path / "ct2" / "model.bin").read_bytes()[:size])
    with pytest.raises(ModelError, match="install its wheel again"):
        read_variables(short)
