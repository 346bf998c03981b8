"""The segmentation network, planned as the paper's nnU-Net (section 4, "U-Net for segmentation")."""

from typing import List

import torch
from torch import Tensor, nn

BOTTLENECK_SIZE = 8
SMALLEST_SKIP_SIZE = 32
"""Pixels along a side of the lowest level, and of the lowest one that is skipped to (paper section 4)."""


def block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Convolution 3 × 3, batch normalization, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def up_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution 2 × 2 that doubles the image, batch normalization, ReLU.

    The paper names no kernel of its own for it; with 2 × 2, as in nnU-Net, its steps do not overlap.
    """
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def output_block(in_channels: int, classes: int) -> nn.Sequential:
    """As ``block`` with softmax for ReLU; the softmax is left to the caller, whose loss needs the logits."""
    return nn.Sequential(nn.Conv2d(in_channels, classes, 3, padding=1, bias=False), nn.BatchNorm2d(classes))


class UNet(nn.Module):
    """2D U-Net from a square image of ``size`` pixels (a power of two, at least 64) down to 8 × 8.

    Every encoder level is a block with stride 1 and a block with stride 2, which doubles the features; every
    decoder level is a transposed block, which halves them, and a block with stride 1. Skip connections join
    the levels of 32 × 32 pixels and more.
    """

    def __init__(self, size: int, classes: int, features: int = 24, in_channels: int = 1) -> None:
        super().__init__()
        levels = (size // BOTTLENECK_SIZE).bit_length() - 1
        if size != BOTTLENECK_SIZE << levels or size < 2 * SMALLEST_SKIP_SIZE:
            raise ValueError(f"U-Net input size must be a power of two of at least 64 pixels, not {size}.")
        width = [features << level for level in range(levels + 1)]
        has_skip = [size >> level >= SMALLEST_SKIP_SIZE for level in range(levels)]
        self.first = block(in_channels, width[0])
        self.down = nn.ModuleList(block(width[i], width[i + 1], stride=2) for i in range(levels))
        self.encode = nn.ModuleList(block(width[i + 1], width[i + 1]) for i in range(levels))
        self.up = nn.ModuleList(up_block(width[i + 1], width[i]) for i in reversed(range(levels)))
        self.decode = nn.ModuleList(
            block(width[i] * (2 if has_skip[i] else 1), width[i]) for i in reversed(range(levels))
        )
        self.heads = nn.ModuleList(output_block(width[i], classes) for i in reversed(range(levels)) if has_skip[i])
        self.skips = sum(has_skip)

    def forward(self, image: Tensor) -> List[Tensor]:
        """Logits of every level with a skip connection, for deep supervision.

        image: ``(B, in_channels, size, size)``. Returns ``[(B, classes, size, size),
        (B, classes, size/2, size/2), …]`` down to 32 × 32, finest first.
        """
        features = self.first(image)
        kept = [features]
        for down, encode in zip(self.down, self.encode):
            features = encode(down(features))
            kept.append(features)
        decoded: List[Tensor] = []
        level = len(kept) - 2
        for up, decode in zip(self.up, self.decode):
            features = up(features)
            if level < self.skips:
                features = torch.cat([features, kept[level]], dim=1)
            features = decode(features)
            decoded.append(features)
            level -= 1
        logits: List[Tensor] = []
        first = len(decoded) - self.skips
        for index, head in enumerate(self.heads):
            logits.insert(0, head(decoded[first + index]))
        return logits
