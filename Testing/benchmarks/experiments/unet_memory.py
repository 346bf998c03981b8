"""Peak MiB of one training step of the U-Net alone: weights, activations, gradients, momentum. Run by crop_size.py.

    python Testing/benchmarks/experiments/unet_memory.py SIZE FEATURES BATCH_SIZE DEVICE

A process of its own, because memory that another network has left behind would be taken again unseen.
"""

import sys

import torch
from pages import common

from PediatricRenalSegLib.networks.unet import SMALLEST_SKIP_SIZE, UNet
from PediatricRenalSegLib.structures import RENAL

SMALLEST = 2 * SMALLEST_SKIP_SIZE


def main() -> None:
    size, features, batch_size = map(int, sys.argv[1:4])
    device = sys.argv[4]
    train_step(SMALLEST, features, 1, device)  # what the libraries themselves take, they take at the first step
    common.forget_peak()
    before = common.peak_mib()
    train_step(size, features, batch_size, device)
    print(torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else common.peak_mib() - before)


def train_step(size: int, features: int, batch_size: int, device: str) -> None:
    unet = UNet(size, 1 + len(RENAL), features).train().to(device)
    unet = unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    optimizer = torch.optim.SGD(unet.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    with torch.autocast(device, torch.bfloat16):
        logits = unet(torch.randn(batch_size, 1, size, size, device=device))
    sum(level.float().mean() for level in logits).backward()
    optimizer.step()


if __name__ == "__main__":
    main()
