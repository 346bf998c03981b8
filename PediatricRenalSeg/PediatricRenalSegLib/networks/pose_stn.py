"""STN¹: brings a slice to the reference pose and size."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from .localization import LocalizationNetwork


class PoseSTN(nn.Module):
    """Spatial transformer of pose and size (paper section 4, "STN to homogenize pose and size").

    Five values: one angle, two scales, two translations. Each passes through a bounded function, so the
    matrix can neither fold (scales are exponentials) nor explode.
    """

    max_angle: Final[float] = math.radians(60)
    """A child on its side is 90° away and must be turned in the header, not by guesswork."""
    max_log_scale: Final[float] = math.log(4)
    """The reference is a two-year-old: newborn to adult is a factor of about 0.6 to 2.2."""
    max_shift: Final[float] = 0.5
    """In half images; preprocessing has centered the body already."""

    def __init__(self) -> None:
        super().__init__()
        self.localization = LocalizationNetwork(outputs=5)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Pose matrix theta¹.

        image, mask: ``(B, 1, H, W)``, normalized intensities and foreground mask. Returns ``(B, 2, 3)``.
        """
        values = torch.tanh(self.localization(torch.cat([image, mask], dim=1)).float())
        angle = self.max_angle * values[:, 0]
        scale = torch.exp(self.max_log_scale * values[:, 1:3])
        shift = self.max_shift * values[:, 3:5]
        return similarity(angle, scale, shift)


def similarity(angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x_in = R(angle) · diag(scale) · x_out + shift``.

    angle ``(B,)`` in radians, scale and shift ``(B, 2)`` as (x, y). Returns ``(B, 2, 3)``.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([cos * scale[:, 0], -sin * scale[:, 1], shift[:, 0]], dim=1)
    row_y = torch.stack([sin * scale[:, 0], cos * scale[:, 1], shift[:, 1]], dim=1)
    return torch.stack([row_x, row_y], dim=1)
