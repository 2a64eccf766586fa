"""A full disk and an exhausted memory, said as what they are and with what to change; the job stays resumable."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr.errors import ResourceError

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


@contextmanager
def explained(folder: Path, *, batch_size: int) -> Iterator[None]:
    """Turn exhaustion within the block into an error that says the remedy.

    Args:
        folder: of the job.
        batch_size: of training, named in the remedy.

    Raises:
        ResourceError: disk or memory ran out.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:  # knows the fault of the system by its text alone
        code = _OS_ERROR.search(str(error))
        if code is None or int(code[1]) not in _DISK:
            raise
        raise ResourceError(_disk_message(folder, os.strerror(int(code[1])))) from error
    except OSError as error:
        if error.errno not in _DISK:
            raise
        failed = Path(str(error.filename)) if error.filename else folder
        raise ResourceError(_disk_message(failed, str(error.strerror))) from error
    except (MemoryError, RuntimeError) as error:
        # torch raises RuntimeError on a CPU, and a subclass of it on a GPU
        if isinstance(error, RuntimeError) and not _MEMORY.search(str(error)):
            raise
        raise ResourceError(_memory_message(batch_size, error)) from error


def _disk_message(folder: Path, reason: str) -> str:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free_mib = shutil.disk_usage(place).free // 2**20
    return (
        f"{reason}: {folder} cannot grow, {free_mib} MiB are free there; free some space, or set LEXITUNE_HOME "
        "to a folder on a larger disk and move the work folder there (LEXITUNE_CACHE for models, TMPDIR for what is "
        "temporary), then run the same command again: it goes on"
    )


def _memory_message(batch_size: int, error: BaseException) -> str:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"memory ran out with training.batch_size {batch_size} ({first_line[:160]}); give a smaller one by --config, "
        "--workers 1, or a smaller base model"
    )
