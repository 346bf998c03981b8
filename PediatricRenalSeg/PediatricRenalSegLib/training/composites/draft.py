"""A composite that is being made."""

from dataclasses import dataclass

import numpy as np

from ...volume import Box
from .tissues import Tissue

NEUTRAL_HU = 50.0
"""Between water and enhanced organs: interpolated with either it gives nothing strange."""
NEUTRAL_FAT_HU = -100.0
"""That of fat."""
NEUTRALS = np.where(np.arange(len(Tissue)) == Tissue.FILL_FAT, NEUTRAL_FAT_HU, NEUTRAL_HU).astype(np.float32)
"""(tissues,) HU that stands for a painted tissue until intensities are drawn."""
EVERYWHERE: Box = (slice(None), slice(None), slice(None))
"""The box that holds a whole array."""


@dataclass
class Draft:
    """The working copy of a background: whole volumes before the slices are chosen, slices after."""

    image: np.ndarray
    """(z, y, x), HU, painted tissues as ``NEUTRALS``."""
    tissue: np.ndarray
    """(z, y, x) uint8, values of ``Tissue``."""

    def paint(self, box: Box, where: np.ndarray, tissue: Tissue | np.ndarray) -> None:
        """Put a tissue, or a map of tissues, where the mask of the box is true."""
        kinds = np.broadcast_to(np.asarray(tissue, np.uint8), where.shape)[where]
        self.tissue[box][where] = kinds
        self.image[box][where] = NEUTRALS[kinds]
