"""Slices a second against the batch size, beside a 2D network as nnU-Net plans it for whole slices.

    python Testing/benchmarks/batch_size.py [--threads 2]

Both go through the same ``run_network`` in the same run, with the same precision. The other network is nnU-Net's
default 2D PlainConvUNet for 512 × 512 pixels (8 stages of 2 convolutions, 32 to 512 features), with random
weights: its speed does not depend on them. It needs the package dynamic_network_architectures (pip install --no-deps
dynamic_network_architectures==0.4.4: what else it asks for is not needed here, and would bring another torch).
Writes results/batch_size.md.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from common import add_run_options, machine, use_threads, write_tables
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from PediatricRenalSegLib.body import body_mask
from PediatricRenalSegLib.devices import choose_device
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS, CanvasGrid, SliceStack, preprocess
from PediatricRenalSegLib.pipelines.slicewise import run_network
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.volume import CTVolume

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
SLICES = 120
"""Of the CT that times are given for."""
MEASURED = 32
"""Slices measured of ours at least, a full batch of the largest size."""
REPEATS = 3
"""The fastest counts: everything else on the machine only slows down."""
CLASSES = 3
FULL_SIZE = 512
STAGES = 8
MIRRORINGS = 4
"""nnU-Net's default predicts every slice in all mirrorings and averages."""


class WholeSliceNetwork(torch.nn.Module):
    """nnU-Net's default 2D configuration, called like our network."""

    def __init__(self):
        super().__init__()
        features = [min(32 * 2**stage, 512) for stage in range(STAGES)]
        self.unet = PlainConvUNet(
            input_channels=1,
            n_stages=STAGES,
            features_per_stage=features,
            conv_op=torch.nn.Conv2d,
            kernel_sizes=3,
            strides=[1] + [2] * (STAGES - 1),
            n_conv_per_stage=2,
            num_classes=CLASSES,
            n_conv_per_stage_decoder=2,
            conv_bias=True,
            norm_op=torch.nn.InstanceNorm2d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=torch.nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )

    def forward(self, image, mask):
        matrices = torch.eye(2, 3, device=image.device).expand(len(image), 2, 3)
        return torch.softmax(self.unet(image).float(), dim=1), matrices, matrices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--whole-slices", type=int, default=4, help="slices measured of nnU-Net's network (default: 4)")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    add_run_options(parser)
    options = parser.parse_args()
    use_threads(options.threads)
    device = choose_device(options.device)
    ours = load_model(options.model, device)
    child = CTVolume(training_scan(3.0, 1_000_000).to_sitk()[0], "generated")
    body = body_mask(*child.axial())
    stack = preprocess(child, body, DEFAULT_CANVAS, ours.metadata.normalization)

    rows = []
    for batch_size in options.batch_sizes:
        slices = repeated(stack, max(MEASURED, batch_size))
        rate = slices_per_second(ours.network, slices, device, batch_size, options.repeats)
        rows.append([batch_size, f"{rate:.2f}", f"{SLICES / rate:.1f}"])
    whole = WholeSliceNetwork().eval().to(device)
    whole_rates = {
        batch_size: slices_per_second(whole, whole_slices(options.whole_slices), device, batch_size, options.repeats)
        for batch_size in (1, options.whole_slices)
    }
    whole_rows = [
        [batch_size, f"{rate:.2f}", f"{SLICES / rate:.0f}", f"{MIRRORINGS * SLICES / rate:.0f}"]
        for batch_size, rate in whole_rates.items()
    ]
    best = max(float(row[1]) for row in rows)
    texts = [
        f"The shipped pipeline ({ours.metadata.id}, {millions(ours.network)} million weights) on the slices of a "
        f"generated child; the fastest of {options.repeats} passes over at least {MEASURED} slices. "
        "Time of the network alone.",
        f"nnU-Net's default 2D network ({millions(whole)} million weights) on whole slices of {FULL_SIZE} × "
        f"{FULL_SIZE} pixels, random weights: measured on {options.whole_slices} slices and extrapolated to {SLICES}, "
        f"without and with its default {MIRRORINGS} mirrorings.",
        f"At its best batch size the pipeline is {best / max(whole_rates.values()):.1f} times as fast, "
        f"{MIRRORINGS * best / max(whole_rates.values()):.0f} times with mirrorings.",
        machine(options.device),
    ]
    write_tables(
        "batch_size.md",
        "Slices a second",
        texts,
        [
            (["pipeline, batch size", "slices / s", f"seconds for {SLICES}"], rows),
            (["nnU-Net 2D, batch size", "slices / s", f"seconds for {SLICES}", "with mirrorings"], whole_rows),
        ],
    )


def slices_per_second(
    network: torch.nn.Module, stack: SliceStack, device: torch.device, batch_size: int, repeats: int
) -> float:
    """The fastest pass; one batch before it warms up."""
    first = repeated(stack, batch_size)
    run_network(network, first, device, batch_size)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run_network(network, stack, device, batch_size)
        seconds.append(time.perf_counter() - started)
    return len(stack.images) / min(seconds)


def repeated(stack: SliceStack, count: int) -> SliceStack:
    rows = np.arange(count) % len(stack.images)
    return SliceStack(stack.images[rows], stack.masks[rows], stack.grid)


def whole_slices(count: int) -> SliceStack:
    shape = (count, FULL_SIZE, FULL_SIZE)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    grid = CanvasGrid(FULL_SIZE, 1.0, (0.0, 0.0), shape, (1.0, 1.0, 1.0))
    return SliceStack(images, np.ones(shape, np.uint8), grid)


def millions(network: torch.nn.Module) -> str:
    return f"{sum(weight.numel() for weight in network.parameters()) / 1e6:.1f}"


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    main()
