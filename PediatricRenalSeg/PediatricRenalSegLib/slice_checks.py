"""Slices to look at first: where the network was least sure, or its neighbors say something else."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .postprocessing import neighbor_sigma, with_neighbors
from .preprocessing import SliceStack
from .volume import CTVolume

DOUBT = 0.1
"""Pixels at least this unsure count; the faint rest of a whole slice says nothing about its outlines."""

FAINT = DOUBT / 2
"""Where no structure ever has more than this probability there is no doubt, with two structures to choose from."""

SMALLEST_DOUBT_CM2 = 0.5
"""A slice with a smaller doubtful area is not worth a stop."""

DISTANCE_MM = 10.0
"""Two slices to check are at least this far apart: their neighbors are looked at on the way."""

MOST = 8
"""At most so many slices, those with the largest doubt."""


@dataclass(frozen=True)
class SliceToCheck:
    """One axial slice that deserves a look."""

    position_mm: tuple[float, float, float]
    """Where in this slice the doubt lies: its center of gravity, LPS mm."""
    doubt_cm2: float
    """Area that may be wrong; see ``doubtful_areas``."""


def slices_to_check(probabilities: np.ndarray, stack: SliceStack, ct: CTVolume) -> tuple[SliceToCheck, ...]:
    """The slices with the largest doubtful areas, from the lowest to the highest.

    probabilities: ``(N, C, size, size)`` as the network gave them, one slice a plane of the axial CT.
    """
    corner, probabilities = _without_background(probabilities)
    doubts = doubtful_areas(probabilities, neighbor_sigma(stack))
    areas = doubts.sum(axis=(1, 2)) * stack.grid.pixel_mm**2 / 100
    chosen: list[int] = []
    for index in np.argsort(-areas, kind="stable"):
        near = any(abs(index - other) * stack.grid.axial_spacing[0] < DISTANCE_MM for other in chosen)
        if areas[index] >= SMALLEST_DOUBT_CM2 and not near and len(chosen) < MOST:
            chosen.append(int(index))
    return tuple(
        SliceToCheck(_position(index, doubts[index], corner, stack, ct), float(areas[index]))
        for index in sorted(chosen)
    )


def doubtful_areas(probabilities: np.ndarray, sigma: float) -> np.ndarray:
    """How doubtful every pixel is, ``(N, size, size)`` float32 from 0 to 2; ``sigma`` as of ``with_neighbors``.

    The sum of two doubts. How unsure: the probability, averaged over neighboring slices as for the result, that
    the chosen label is wrong, where it is at least ``DOUBT``. Whether neighbors disagree: 1 where the slice alone
    would have another label than it has together with its neighbors.

    On six generated children the sum over a slice had a rank correlation of 0.60 on average with the area that was
    wrong in it (0.33 to 0.87).
    """
    alone = probabilities.astype(np.float32)
    together = with_neighbors(alone, sigma)
    unsure = 1 - together.max(axis=1)
    unsure[unsure < DOUBT] = 0
    return unsure + (alone.argmax(axis=1) != together.argmax(axis=1))


def _without_background(probabilities: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """The rows and columns in which some slice has a structure, if only faintly, and the first of them.

    The rest is most of the canvas, and no doubt is there.
    """
    seen = probabilities[:, 1:].max(axis=(0, 1)) > FAINT
    if not seen.any():
        return (0, 0), probabilities[:, :, :0, :0]
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return (rows[0], columns[0]), probabilities[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _position(index: int, doubt: np.ndarray, corner, stack: SliceStack, ct: CTVolume) -> tuple[float, float, float]:
    """LPS mm of the center of gravity of a slice's doubt; ``corner`` is (row, column) of its first pixel."""
    grid = stack.grid
    canvas = np.add(ndimage.center_of_mass(doubt), corner) * grid.pixel_mm + grid.origin_mm
    return ct.axial_point(index, *(canvas / grid.axial_spacing[1:]))
