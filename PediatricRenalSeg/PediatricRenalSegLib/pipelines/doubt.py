"""Where a result may be wrong: doubt, voxel by voxel, and the slices that deserve a look."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..volume import Box, CTVolume

SMALLEST_DOUBT_CM2 = 0.5
"""A slice with a smaller doubtful area is not worth a stop."""

DISTANCE_MM = 10.0
"""Two slices to check are at least this far apart: their neighbors are looked at on the way."""

MOST = 8
"""At most so many slices, those with the largest doubt: more would not be looked at."""


@dataclass(frozen=True)
class Doubt:
    """How doubtful a result is, on the grid of ``CTVolume.axial``; 0 outside ``box``.

    0 is sure; a pixel adds up to 1 for each way in which it may be wrong, so that the sum over a slice is an area.
    """

    values: np.ndarray
    """``(z, y, x)`` float16, the voxels of ``box``."""
    box: Box

    @classmethod
    def none(cls) -> "Doubt":
        """That of a method that does not say how sure it is."""
        return cls(np.zeros((0, 0, 0), np.float16), (slice(0, 0),) * 3)


@dataclass(frozen=True)
class SliceToCheck:
    """One axial slice that deserves a look."""

    position_mm: tuple[float, float, float]
    """Where in this slice the doubt lies: its center of gravity, LPS mm."""
    doubt_cm2: float
    """Area that may be wrong: the sum of ``Doubt.values`` over the slice."""


def slices_to_check(doubt: Doubt, ct: CTVolume) -> tuple[SliceToCheck, ...]:
    """The slices with the largest doubtful areas, from the lowest to the highest."""
    between_slices, *in_plane = ct.axial()[1]
    areas = doubt.values.sum(axis=(1, 2), dtype=np.float32) * float(np.prod(in_plane)) / 100
    chosen: list[int] = []
    for index in np.argsort(-areas, kind="stable"):
        near = any(abs(index - other) * between_slices < DISTANCE_MM for other in chosen)
        if areas[index] >= SMALLEST_DOUBT_CM2 and not near and len(chosen) < MOST:
            chosen.append(int(index))
    return tuple(SliceToCheck(_position(index, doubt, ct), float(areas[index])) for index in sorted(chosen))


def _position(index: int, doubt: Doubt, ct: CTVolume) -> tuple[float, float, float]:
    """LPS mm of the center of gravity of a slice's doubt; ``index`` counts from the box."""
    z, y, x = (side.start for side in doubt.box)
    row, column = ndimage.center_of_mass(doubt.values[index].astype(np.float32))
    return ct.axial_point(z + index, y + row, x + column)
