"""An export on its probes: what says something else than its reference is asked for what was said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from asr.data.manifest import Utterance
from asr.models.contexts import WHOLE
from asr.models.export import export_ctranslate2
from asr.models.resolve import resolve_model
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_torch import TorchWhisper
from training.family import Family
from training.probing import Exported, probe
from training.progress import SilentReporter


@dataclass
class Engines:
    """A family whose export is of this folder and whose reference of that."""

    reference: Path
    export: Path

    def engines(self, folder: Path, context: str) -> tuple[TorchWhisper, CTranslate2Whisper]:
        return TorchWhisper(self.reference), CTranslate2Whisper(self.export)


@pytest.mark.parametrize("is_broken", [True, False])
def test_only_an_export_that_says_something_else_is_held_against_what_was_said(
    small_whisper: Path,
    spoken: dict[str, Any],
    spoken_utterances: list[Utterance],
    tmp_path: Path,
    is_broken: bool,
) -> None:
    base = resolve_model("bundled:tiny.en")
    assert base.ctranslate2_dir is not None
    if is_broken:
        export_ctranslate2(small_whisper, tmp_path / "other")
    engines = Engines(base.transformers_dir, tmp_path / "other" if is_broken else base.ctranslate2_dir)
    exported = Exported(folder=tmp_path, context=WHOLE, phrases=None)
    segments = list(spoken.values())
    probed = probe(
        exported, cast(Family, engines), base, segments[:1], SilentReporter(), language="en", num_threads=1,
        transcribed=list(zip(spoken_utterances, segments, strict=True))[1:],
    )  # fmt: skip
    assert (probed.parity.ratio < probed.parity_limit) == is_broken
    if not is_broken:
        assert probed.transcribed is None
        return
    assert probed.transcribed is not None
    assert list(probed.transcribed.rows) == spoken_utterances[1:]
    assert [text.strip(" .") for text in probed.transcribed.by_reference] == [
        "The train to the coast leaves at half past seven", "Could you tell me where the library is?"
    ]  # fmt: skip
    assert probed.transcribed.by_export != probed.transcribed.by_reference
