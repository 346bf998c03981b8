"""Slices through the network: device, batches, progress, cancel."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from .model_bundle import ModelBundle
from .preprocessing import SliceStack
from .volume import InputError

BATCH_SIZE = 8


class Cancelled(Exception):
    """The user asked to stop; nothing was written."""


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]
"""Called between batches; it may raise ``Cancelled``, which ends the run."""


@dataclass(frozen=True)
class SlicePredictions:
    """What the network says about every slice of a stack."""

    probabilities: np.ndarray
    """``(N, C, size, size)`` float16 in the frame of the canvas."""
    poses: np.ndarray
    """``(N, 2, 3)`` float32: matrices of the pose STN."""
    crops: np.ndarray
    """``(N, 2, 3)`` float32: matrices of the crop STN."""


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the processor. Raises ``InputError`` for an absent device."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, found in present.items() if found))
    if name not in present:
        raise InputError(f"Unknown device {name!r}: choose auto, cpu, cuda or mps.")
    if not present[name]:
        raise InputError(f"The device {name!r} was asked for, but PyTorch finds none here: choose auto or cpu.")
    return torch.device(name)


def run_network(
    bundle: ModelBundle,
    stack: SliceStack,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
    progress: ProgressCallback = lambda _: None,
) -> SlicePredictions:
    """Segment every slice. When memory runs out the batch is halved and the run goes on.

    Raises ``InputError`` when not even one slice fits into memory, and ``Cancelled`` from ``progress``.
    """
    images = torch.from_numpy(stack.images)[:, None]
    masks = torch.from_numpy(stack.masks)[:, None].float()
    batches: list[tuple[np.ndarray, ...]] = []
    started, done, total = time.monotonic(), 0, len(images)
    progress(Progress("network", 0, total))
    while done < total:
        chosen = slice(done, done + batch_size)
        try:
            batches.append(_run_batch(bundle, images[chosen].to(device), masks[chosen].to(device)))
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise InputError(
                    f"Not even one slice fits into the memory of {device}: choose another device."
                ) from None
            batch_size = (batch_size + 1) // 2
            if device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        done = min(done + batch_size, total)
        progress(Progress("network", done, total, (time.monotonic() - started) / done * (total - done)))
    return SlicePredictions(*(np.concatenate(parts) for parts in zip(*batches)))


def _run_batch(bundle: ModelBundle, images: torch.Tensor, masks: torch.Tensor) -> tuple[np.ndarray, ...]:
    device = images.device.type
    precision = torch.autocast(device, torch.bfloat16) if _gains_from_bfloat16(device) else nullcontext()
    with torch.inference_mode(), precision:
        probabilities, poses, crops = bundle.network(images, masks)
    return probabilities.half().cpu().numpy(), poses.float().cpu().numpy(), crops.float().cpu().numpy()


def _gains_from_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not every build for processors has oneDNN, and only oneDNN knows whether the arithmetic is there.
    return device == "cpu" and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an exception of its own; the CPU allocator and MPS only a text."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory")
    )
