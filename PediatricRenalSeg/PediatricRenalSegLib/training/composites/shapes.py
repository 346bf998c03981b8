"""Kidneys of other patients, for composites.

A folder of shapes holds label maps ``case_*.nii.gz`` without images (1 kidney, 2 tumor, 3 cyst), as KiTS has them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...reading import read_labels
from ...structures import KIDNEY, TUMOR
from ...volume import Spacing, axial

SHAPE_LABELS = range(4)
"""Background, kidney, tumor, cyst: values in ``case_*.nii.gz``."""
SMALLEST_KIDNEY_ML = 25.0
"""Less is a part of a kidney, or none: the shapes are those of adults."""
WIDEST_KIDNEY_MM = 150.0
"""A wider component is two kidneys that touch."""
SMALLEST_PAIR_RATIO = 0.15
"""A second component smaller than this part of the first is not the other kidney."""


@dataclass(frozen=True)
class KidneyShape:
    """One kidney of another patient with its tumors and cysts, cropped."""

    name: str
    is_left: bool
    labels: np.ndarray
    """(z, y, x) uint8: 1 kidney, 2 tumor, 3 cyst."""
    spacing: Spacing

    @property
    def has_tumor(self) -> bool:
        """Whether it brings a tumor along."""
        return bool((self.labels == TUMOR.label).any())


def load_shapes(folder: Path | str) -> list[KidneyShape]:
    """Kidneys of other patients, each side by itself."""
    shapes: list[KidneyShape] = []
    for path in sorted(Path(folder).glob("case_*.nii.gz")):
        labels, spacing = axial(read_labels(path, SHAPE_LABELS))
        shapes += separate_kidneys(path.name.removesuffix(".nii.gz"), labels, spacing)
    return shapes


def separate_kidneys(name: str, labels: np.ndarray, spacing: Spacing) -> list[KidneyShape]:
    """The kidneys of one patient; none where the sides cannot be told apart.

    Which side is which comes from their positions alone: a patient whose map was stored mirrored gives
    kidneys that are right for the side on which they lie.
    """
    parts, count = ndimage.label(labels > 0)
    if count < 2:
        return []
    sizes = np.bincount(parts.ravel())[1:]
    largest, second = np.argsort(sizes)[::-1][:2]
    if sizes[second] < SMALLEST_PAIR_RATIO * sizes[largest]:
        return []
    boxes = ndimage.find_objects(parts)
    middle = {part: (boxes[part][2].start + boxes[part][2].stop) / 2 for part in (largest, second)}
    shapes = []
    for part in (largest, second):
        box = boxes[part]
        kidney = np.where(parts[box] == part + 1, labels[box], 0).astype(np.uint8)
        milliliters = (kidney == KIDNEY.label).sum() * np.prod(spacing) / 1000
        if milliliters >= SMALLEST_KIDNEY_ML and kidney.shape[2] * spacing[2] <= WIDEST_KIDNEY_MM:
            is_left = middle[part] == max(middle.values())
            shapes.append(KidneyShape(name, is_left, kidney, spacing))
    return shapes
