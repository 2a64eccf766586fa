"""Which family a base belongs to."""

from __future__ import annotations

from pathlib import Path

from asr.models.checkpoint import WAV2VEC2, check_folder
from asr.models.resolve import ResolvedModel
from training.data import AdaptationData
from training.family import Family
from training.progress import Reporter
from training.spec import AdaptationSpec


def open_family(
    base: ResolvedModel, spec: AdaptationSpec, data: AdaptationData, folder: Path, reporter: Reporter,
    *, num_workers: int,
) -> Family:  # fmt: skip
    """Load a base for a job.

    Raises:
        OptionError: the method does not fit the family.
        ModelError: the base cannot be loaded.
    """
    if check_folder(base.transformers_dir) == WAV2VEC2:
        from training.ctc_job import CtcJob

        return CtcJob(base, spec, data, folder, reporter, num_workers=num_workers)
    from training.whisper_family import WhisperFamily

    return WhisperFamily(base, spec, data, folder, reporter, num_workers=num_workers)
