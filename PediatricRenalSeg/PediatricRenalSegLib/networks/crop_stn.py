"""STN²: finds the square region of interest in the homogenized slice."""

from typing import Final

import torch
from torch import Tensor, nn

from .localization import LocalizationNetwork


class CropSTN(nn.Module):
    """Spatial transformer that crops (paper section 4, "STN for ROI cropping").

    Four values: the two corners of the bounding box, each within one half image of the image's own corner.
    """

    smallest: Final[float] = 0.25
    """Side of the smallest box, as a part of the image side (paper section 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.localization = LocalizationNetwork(outputs=4)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Crop matrix theta².

        image, mask: ``(B, 1, H, W)``, both in the reference pose. Returns ``(B, 2, 3)``.
        """
        values = torch.tanh(self.localization(torch.cat([image, mask], dim=1)).float())
        return square_box(values[:, :2] - 1, values[:, 2:] + 1, self.smallest)


def square_box(low: Tensor, high: Tensor, smallest: float) -> Tensor:
    """Scaling and translation matrix of the square around a box.

    low, high: ``(B, 2)`` corners (x, y) in normalized coordinates. The square has the mean of both sides,
    between ``smallest`` parts of the image and the whole image. Returns ``(B, 2, 3)``.
    """
    half = ((high - low).mean(dim=1) / 2).clamp(smallest, 1.0)
    center = (low + high) / 2
    zero = torch.zeros_like(half)
    row_x = torch.stack([half, zero, center[:, 0]], dim=1)
    row_y = torch.stack([zero, half, center[:, 1]], dim=1)
    return torch.stack([row_x, row_y], dim=1)
