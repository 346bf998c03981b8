"""2D affine matrices in the normalized coordinates of ``torch.nn.functional.affine_grid``.

A matrix ``theta`` of shape ``(B, 2, 3)`` maps *output* coordinates to *input* coordinates, both in
[-1, 1] with (-1, -1) the outer corner of the first pixel (``align_corners=False``): exactly what
resampling needs, and the reason why the "inverse" brings a result back to the input frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def compose(first: Tensor, second: Tensor) -> Tensor:
    """One matrix for two resamplings done one after the other: ``(B, 2, 3), (B, 2, 3) -> (B, 2, 3)``.

    Resampling with ``first`` and the result with ``second`` equals resampling once with the composition,
    and interpolates once instead of twice.
    """
    linear = first[:, :, :2] @ second[:, :, :2]
    shift = first[:, :, :2] @ second[:, :, 2:] + first[:, :, 2:]
    return torch.cat([linear, shift], dim=2)


def invert(theta: Tensor) -> Tensor:
    """Closed-form inverse of ``(B, 2, 3)`` affine matrices (theta^-1 in the paper's eq. 3)."""
    a, b, c, d = theta[:, 0, 0], theta[:, 0, 1], theta[:, 1, 0], theta[:, 1, 1]
    adjugate = torch.stack([d, -b, -c, a], dim=1).view(-1, 2, 2)
    linear = adjugate / (a * d - b * c).view(-1, 1, 1)
    return torch.cat([linear, -linear @ theta[:, :, 2:]], dim=2)


def resample(image: Tensor, theta: Tensor, height: int, width: int, outside: float = 0.0) -> Tensor:
    """Bilinear resampling of ``(B, C, H, W)`` to ``(B, C, height, width)``.

    Places outside the input get the value ``outside``.
    """
    grid = F.affine_grid(theta, [image.shape[0], image.shape[1], height, width], align_corners=False)
    sampled = F.grid_sample(
        image - outside, grid.to(image.dtype), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled + outside
