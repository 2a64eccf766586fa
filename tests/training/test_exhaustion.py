"""What runs out is named, with the remedy; other faults pass as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.errors import ResourceError
from training.exhaustion import explained

FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from asr.errors import ResourceError
from training.checkpoint import CheckpointStore, Position, moments_of
from training.exhaustion import explained
folder = Path(sys.argv[1])
weights = {"w": torch.nn.Parameter(torch.zeros(4096))}
store = CheckpointStore(folder)
optimizer = torch.optim.AdamW(weights.values())
store.save(Position(step=1), weights, moments_of(weights, optimizer))
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    with explained(folder, batch_size=16):
        store.save(Position(step=2), weights, moments_of(weights, optimizer))
except ResourceError as error:
    print(error)
    print([path.name for path in sorted(folder.iterdir())], store.newest().step)
"""


def test_a_disk_that_takes_no_more_keeps_the_last_checkpoint_and_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    message, state = done.stdout.splitlines()
    assert "MiB are free" in message and "LEXITUNE_HOME" in message and "it goes on" in message
    assert state == "['step-0000001'] 1"


@pytest.mark.parametrize("allocate", [lambda: np.empty(2**50), lambda: torch.empty(2**60)])
def test_memory_that_is_not_there_names_the_batch_size(allocate: object, tmp_path: Path) -> None:
    assert callable(allocate)
    named = pytest.raises(ResourceError, match=r"training\.batch_size 32 .*give a smaller one")
    with named, explained(tmp_path, batch_size=32):
        allocate()


@pytest.mark.parametrize(
    "fault", [OSError(13, "Permission denied"), RuntimeError("shapes differ"), KeyError("x")]
)
def test_other_faults_are_not_touched(fault: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(fault)) as caught, explained(tmp_path, batch_size=1):
        raise fault
    assert caught.value is fault
