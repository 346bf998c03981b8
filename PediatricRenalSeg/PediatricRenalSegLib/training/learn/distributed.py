"""Training in several processes, one a GPU, that ``torchrun`` starts: all that knows about them is here.

Every process takes its part of each batch, and the gradients are those of the whole batch: sums over slices in
the losses and in batch normalization are taken over all processes (``total``). So the result does not depend on
the number of processes, up to rounding. Without ``torchrun`` there is one process and nothing to exchange.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ...errors import InputError

Item = TypeVar("Item")


@contextmanager
def joined_processes(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did; yields the device of this process.

    Raises ``InputError`` where there is no such device for every process.
    """
    if not dist.is_torchelastic_launched():
        yield device
        return
    if device.type == "mps":
        raise InputError("Several processes cannot share Apple's GPU: train without torchrun, or with --device cpu.")
    if device.type == "cuda":
        local, present = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= present:
            raise InputError(f"There are {present} GPUs here: give torchrun --nproc_per_node {present} or less.")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_number() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first_process() -> bool:
    """Whether this is the one process that writes files."""
    return process_number() == 0


def check_batch_size(size: int) -> None:
    """Raise ``InputError`` if a batch has no slice for every process."""
    if size < process_count():
        raise InputError(f"{process_count()} processes cannot share batches of {size} slices: raise batch_size.")


def part_of_process(items: Sequence[Item]) -> list[Item]:
    """What this process takes of the items of all."""
    return list(items[process_number() :: process_count()])


def wait_for_all() -> None:
    """Return when every process has come here."""
    if process_count() > 1:
        dist.barrier()


def total(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes."""
    return _Total.apply(values) if process_count() > 1 else values


def mean_over_slices(values: Tensor) -> Tensor:
    """Mean of ``(B,)`` values over the slices of all processes, which may have different numbers of them."""
    summed, count = total(torch.stack([values.sum(), values.new_tensor(len(values))]))
    return summed / count.clamp_min(1)


def share_training(loss: nn.Module) -> nn.Module:
    """A module that returns a loss, so that its ``backward`` gives every process the gradient of the whole batch."""
    if process_count() == 1:
        return loss
    for module in loss.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = _SharedBatchNorm  # it differs in ``forward`` alone; weights and names stay
    return nn.parallel.DistributedDataParallel(loss)


class _Total(torch.autograd.Function):
    """All-reduce whose gradient is all-reduced too: every process has its own copy of the sum."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        values = values.contiguous().clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _Total.apply(gradient)


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalization with mean and variance of the slices of all processes.

    As ``torch.nn.SyncBatchNorm``, which has no version for processors.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        values = features.to(self.running_mean.dtype)
        moments = torch.cat([values.sum(dim=(0, 2, 3)), values.new_tensor([values[:, 0].numel()])])
        sums, count = total(moments).split([self.num_features, 1])
        mean = sums / count
        centered = values - mean[:, None, None]
        variance = total(centered.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(features.dtype)
