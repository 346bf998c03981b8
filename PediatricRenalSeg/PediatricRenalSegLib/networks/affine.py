"""2D affine matrices in the normalized coordinates of ``torch.nn.functional.affine_grid``.

A matrix ``theta`` of shape ``(B, 2, 3)`` maps *output* coordinates to *input* coordinates, both in
[-1, 1] with (-1, -1) the outer corner of the first pixel (``align_corners=False``): exactly what
resampling needs, and the reason why the "inverse" brings a result back to the input frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Sums of products are written out here: under autocast a matrix product, ``affine_grid``'s own one too, takes
# bfloat16, whose coordinates are off by up to a pixel.


def compose(first: Tensor, second: Tensor) -> Tensor:
    """One matrix for two resamplings done one after the other: ``(B, 2, 3), (B, 2, 3) -> (B, 2, 3)``.

    Resampling with ``first`` and the result with ``second`` equals resampling once with the composition,
    and interpolates once instead of twice.
    """
    product = (first[:, :, :2, None] * second[:, None, :, :]).sum(dim=2)
    return torch.cat([product[:, :, :2], product[:, :, 2:] + first[:, :, 2:]], dim=2)


def invert(theta: Tensor) -> Tensor:
    """Closed-form inverse of ``(B, 2, 3)`` affine matrices (theta^-1 in the paper's eq. 3)."""
    a, b, c, d = theta[:, 0, 0], theta[:, 0, 1], theta[:, 1, 0], theta[:, 1, 1]
    adjugate = torch.stack([d, -b, -c, a], dim=1).view(-1, 2, 2)
    linear = adjugate / (a * d - b * c).view(-1, 1, 1)
    shift = -(linear * theta[:, None, :, 2]).sum(dim=2, keepdim=True)
    return torch.cat([linear, shift], dim=2)


def sampling_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Input coordinates ``(B, height, width, 2)`` of every output pixel, as ``affine_grid`` has them."""
    x = (2 * torch.arange(width, device=theta.device, dtype=theta.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, device=theta.device, dtype=theta.dtype) + 1) / height - 1
    columns = theta[:, None, None, :, 0] * x[:, None]
    rows = theta[:, None, None, :, 1] * y[:, None, None]
    return columns + rows + theta[:, None, None, :, 2]


def resample(image: Tensor, theta: Tensor, height: int, width: int, outside: float = 0.0) -> Tensor:
    """Bilinear resampling of ``(B, C, H, W)`` to ``(B, C, height, width)``.

    Places outside the input get the value ``outside``.
    """
    grid = sampling_grid(theta, height, width).to(image.dtype)
    sampled = F.grid_sample(image - outside, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled + outside
