"""One job on several processes, each of which holds its share of the weights, gradients and moments alone (FSDP).

For models that are too large for one device in training. A layer's weights are put together from all processes when the
layer runs, and apart again behind it, forwards and backwards; so all processes have to run the same layers equally
often, whatever their shares of a batch. PyTorch's ``fully_shard``; source: Zhao et al., arXiv 2304.11277.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from training.distributed import Loss, ProcessGroup, joint_work
from training.examples import Example
from training.methods import Method


class ShardedGroup(ProcessGroup):
    """The default group of ``torch.distributed``, between whose processes the weights are divided."""

    def ready(self, method: Method) -> Loss:
        """See :class:`training.distributed.Processes`; the method's weights become ``DTensor``, each a share of one."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        for layer in _layers(method.model):
            fully_shard(layer, mesh=mesh)
        root = _LossModule(method)
        fully_shard(root, mesh=mesh)
        _drop_no_layers(method.model)
        for module in root.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # shares weigh by their labels: a sum, no mean
                module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        return root

    def passes(self, method: Method, batch: Sequence[Example]) -> list[tuple[Sequence[Example], float]]:
        """See :class:`training.distributed.Processes`.

        One context at a time, and as many on every process: who has fewer runs one of the others' once more, for
        nothing.
        """
        mine = method.passes(self.share(batch))
        most = torch.tensor(len(mine))
        with joint_work():
            torch.distributed.all_reduce(most, op=torch.distributed.ReduceOp.MAX)
        idle = int(most) - len(mine)
        return [*((part, 1.0) for part in mine), *[(batch[:1], 0.0)] * idle]

    def sum_gradients(self, weights: Iterable[Tensor], loss: float) -> float:
        """See :class:`training.distributed.Processes`; the gradients are summed as they arise."""
        return super().sum_gradients((), loss)

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See :class:`training.distributed.Processes`."""
        from torch.distributed.tensor import DTensor

        together: dict[str, Tensor] = {}
        for name, value in tensors.items():
            with joint_work():
                full = value.full_tensor() if isinstance(value, DTensor) else value
            if self.is_main:  # one by one, so that the others never hold more than one
                together[name] = full.detach().cpu()
        return together


class _LossModule(torch.nn.Module):
    """A method's loss as a module, so that weights outside of the layers are put together around it."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.model = method.model
        self._loss = method.loss

    def forward(self, examples: Sequence[Example], step: int) -> Tensor:
        # the cache of casts would hold what the backward pass does not need
        with torch.autocast(self.model.device.type, enabled=_autocasts(self.model), cache_enabled=False):
            return self._loss(examples, step)


def _autocasts(model: Any) -> bool:
    return bool(torch.is_autocast_enabled(model.device.type))


def _drop_no_layers(model: Any) -> None:
    """Processes that skip different layers would wait for each other for ever."""
    for module in (model.config, *model.modules()):
        for name in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _layers(model: Any) -> Iterator[torch.nn.Module]:
    """The transformer layers of encoder and decoder, as transformers keeps them."""
    for name, module in model.named_modules():
        if name.endswith(".layers") and isinstance(module, torch.nn.ModuleList):
            yield from module
