"""One job on several processes: each computes its share of every batch, together they take the step that one would.

Data parallel, started by ``torchrun`` or ``accelerate launch``: every process holds the whole model and its optimizer, or
its share of them where the launcher says so (``training.sharding``). Who does what else of a job is ``training.adapt``'s
to say.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from asr.errors import OptionError, UnavailableError
from training.examples import Example
from training.methods import Method

_T = TypeVar("_T")

Loss = Callable[[Sequence[Example], int], Tensor]
"""Of examples at a step, see :meth:`training.methods.Method.loss`."""

# A process that ends closes its connections, and the launcher ends the others: the limit is not how a death is noticed.
# It has to outlast what the main process does alone, such as speaking a whole data set.
_LONGEST_WAIT = timedelta(days=7)
_LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_SHARDED = "ACCELERATE_USE_FSDP"  # what accelerate launch --use_fsdp sets; torchrun takes it from its user
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "keeping weights in the memory of the CPU",
    "FSDP_ACTIVATION_CHECKPOINTING": "activation checkpointing",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


class Processes(Protocol):
    """The processes of a job, seen from one of them.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        device: what this process computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process also scores, writes and reports: that of rank 0."""
        ...

    def ready(self, method: Method) -> Loss:
        """The method's loss as these processes compute it; asked for before its weights are."""
        ...

    def passes(self, method: Method, batch: Sequence[Example]) -> list[tuple[Sequence[Example], float]]:
        """What this process computes of a batch that all have, one loss after the other, and how much each counts.

        Nothing where there are more processes than examples.
        """
        ...

    def sum_gradients(self, weights: Iterable[Tensor], loss: float) -> float:
        """Replace every gradient by its sum over the processes; return the sum of the losses."""
        ...

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What the main process may read of weights or moments: the same, or put together; every process calls it."""
        ...

    def from_main(self, compute: Callable[[], _T]) -> _T:
        """What ``compute`` returns on the main process, which alone calls it, on every process."""
        ...

    def wait(self) -> None:
        """Go on when all have come here."""
        ...

    def main_first(self) -> AbstractContextManager[None]:
        """A block that the others enter when the main process has left it: they find what it has made."""
        ...


def local_device(local_rank: int = 0) -> torch.device:
    """The GPU of this number where there are GPUs, else the CPU.

    Raises:
        OptionError: there are GPUs, but not so many.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise OptionError(
            f"{local_rank + 1} or more processes for {torch.cuda.device_count()} GPUs; start one for each GPU"
        )
    return torch.device("cuda", local_rank)


class OneProcess:
    """A job on one process: the whole batch is its share."""

    def __init__(self, device: torch.device) -> None:
        """Compute on ``device``."""
        self.rank = 0
        self.size = 1
        self.device = device

    @property
    def is_main(self) -> bool:
        """See :class:`Processes`."""
        return True

    def ready(self, method: Method) -> Loss:
        """See :class:`Processes`."""
        return method.loss

    def passes(self, method: Method, batch: Sequence[Example]) -> list[tuple[Sequence[Example], float]]:
        """See :class:`Processes`."""
        del method
        return [(batch, 1.0)]

    def sum_gradients(self, weights: Iterable[Tensor], loss: float) -> float:
        """See :class:`Processes`."""
        del weights
        return loss

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See :class:`Processes`."""
        return tensors

    def from_main(self, compute: Callable[[], _T]) -> _T:
        """See :class:`Processes`."""
        return compute()

    def wait(self) -> None:
        """See :class:`Processes`."""

    def main_first(self) -> AbstractContextManager[None]:
        """See :class:`Processes`."""
        return nullcontext()


class ProcessGroup:
    """The default group of ``torch.distributed``; every method raises UnavailableError where another process has ended.

    Not ``DistributedDataParallel``: that synchronises in the forward pass of one module and averages over processes,
    while a :class:`training.methods.Method` computes its loss itself, and shares of a batch weigh by their labels.
    """

    def __init__(self, device: torch.device) -> None:
        """Join the group that is initialised, computing on ``device``."""
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()
        self.device = device

    @property
    def is_main(self) -> bool:
        """See :class:`Processes`."""
        return self.rank == 0

    def ready(self, method: Method) -> Loss:
        """See :class:`Processes`."""
        return method.loss

    def passes(self, method: Method, batch: Sequence[Example]) -> list[tuple[Sequence[Example], float]]:
        """See :class:`Processes`."""
        del method
        mine = self.share(batch)
        return [(mine, 1.0)] if mine else []

    def share(self, batch: Sequence[Example]) -> Sequence[Example]:
        """Every ``size``-th: batches are sorted by length, so the shares are about equally long."""
        return batch[self.rank :: self.size]

    def sum_gradients(self, weights: Iterable[Tensor], loss: float) -> float:
        """See :class:`Processes`; a weight that has no gradient anywhere keeps none, so the optimizer passes it over."""
        weights = list(weights)
        present = [float(weight.grad is not None) for weight in weights]
        summed = torch.tensor([loss, *present], dtype=torch.float64)
        with joint_work():
            torch.distributed.all_reduce(summed)
            pending = []
            for weight, count in zip(weights, summed[1:].tolist(), strict=True):
                if count:
                    weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                    pending.append(torch.distributed.all_reduce(weight.grad, async_op=True))
            for work in pending:
                work.wait()
        return float(summed[0])

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See :class:`Processes`."""
        return tensors

    def from_main(self, compute: Callable[[], _T]) -> _T:
        """See :class:`Processes`."""
        answers: list[Any] = [compute() if self.is_main else None]
        with joint_work():
            torch.distributed.broadcast_object_list(answers, src=0, device=torch.device("cpu"))
        answer: _T = answers[0]
        return answer

    def wait(self) -> None:
        """See :class:`Processes`."""
        with joint_work():
            torch.distributed.all_reduce(torch.zeros(1))  # on the CPU, whatever device computes

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """See :class:`Processes`."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


@contextmanager
def joint_work() -> Iterator[None]:
    """Say that another process ended as what it is: its own message tells why."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # torch has no narrower class for a closed connection
        raise UnavailableError(
            f"another process of this job has ended ({str(error).splitlines()[0][:160]}); see its message, then run the "
            "same command again: it goes on"
        ) from error


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that the launcher started for this job, or this one alone; left at the end of the block.

    Raises:
        OptionError: the launcher's environment is incomplete, or asks for what is not supported.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield OneProcess(local_device())
        return
    _check_environment()
    device = local_device(int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    try:
        yield _sharded(device) if _is_set(_SHARDED) else ProcessGroup(device)
    finally:
        torch.distributed.destroy_process_group()
        # Divided models are cycles that hold their group: were it freed with the interpreter, gloo's threads would abort
        # the process (pytorch/pytorch#179291).
        gc.collect()


def _sharded(device: torch.device) -> Processes:
    from training.sharding import ShardedGroup  # is built on this module

    # accelerate sets it, and transformers then loads weights on one process alone, for others to be sent
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"

    return ShardedGroup(device)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true")


def _check_environment() -> None:
    missing = [name for name in _LAUNCHED if name not in os.environ]
    if missing:
        raise OptionError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but {', '.join(missing)} is not set; start the processes with "
            "torchrun or accelerate launch, or unset WORLD_SIZE"
        )
    for variable, meaning in _REFUSED.items():
        if _is_set(variable):
            raise OptionError(
                f"{variable} is set, but {meaning} is not supported: processes hold the whole model each, or with "
                f"{_SHARDED}=true a share of it; use a launcher configuration without it"
            )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        raise OptionError(
            f"ACCELERATE_MIXED_PRECISION is {precision!r}; training uses bfloat16 where the device has it, else float32: "
            "give 'no' or 'bf16'"
        )
