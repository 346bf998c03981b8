"""Analytic abdomens: an elliptic body with two kidneys and a tumor, at true Hounsfield units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

AIR, TISSUE, KIDNEY_HU, TUMOR_HU = -1000, 40, 160, 100
KIDNEY, TUMOR = 1, 2


@dataclass(frozen=True)
class Abdomen:
    """``image`` int16 HU and ``labels`` uint8 (network labels), both ``(z, y, x)``; spacing ``(z, y, x)`` in mm."""

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]

    def write(self, path: Path) -> Path:
        image = sitk.GetImageFromArray(self.image)
        image.SetSpacing(self.spacing[::-1])
        sitk.WriteImage(image, str(path))
        return path


def abdomen(
    shape=(12, 128, 128),
    spacing=(5.0, 2.0, 2.0),
    half_width=80.0,
    half_depth=60.0,
    center=(0.0, 0.0),
    noise=10.0,
    seed=0,
) -> Abdomen:
    """A body around ``center`` (y, x in mm from the middle of the slice), kidneys in all but the outer slices."""
    z, y, x = (step * (np.arange(count) - (count - 1) / 2) for count, step in zip(shape, spacing))
    z, y, x = z[:, None, None], y[None, :, None] - center[0], x[None, None, :] - center[1]
    reach = 0.4 * shape[0] * spacing[0]
    inside = np.broadcast_to((x / half_width) ** 2 + (y / half_depth) ** 2 <= 1, shape)

    def ball(across: float, down: float, radius: float) -> np.ndarray:
        x0, y0, r = across * half_width, down * half_depth, radius * half_width
        return ((x - x0) / r) ** 2 + ((y - y0) / r) ** 2 + (z / reach) ** 2 <= 1

    labels = np.zeros(shape, np.uint8)
    labels[ball(-0.5, 0.2, 0.2) | ball(0.5, 0.2, 0.2)] = KIDNEY
    labels[ball(0.4, -0.2, 0.28)] = TUMOR
    hu = np.select([labels == KIDNEY, labels == TUMOR, inside], [KIDNEY_HU, TUMOR_HU, TISSUE], AIR)
    grain = np.random.default_rng(seed).normal(0, noise, shape)
    return Abdomen((hu + grain * inside).astype(np.int16), labels, tuple(spacing))
