"""The patient in a CT, without the table, the arms and the air around."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy import ndimage

from .errors import InputError

TISSUE_HU = -300
"""Between air and fat: what is above belongs to the body, its table or its blanket."""
MASK_PIXEL_MM = 2.0
"""A noisy pixel of 0.4 mm says little about what is body."""
OPENING_MM = 4.0
"""Thicker than a mattress cover or the touch of an arm, thinner than an infant's abdominal wall."""


def body_mask(array: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The abdomen as the largest connected component; table and arms are cut off.

    array: ``(z, y, x)`` HU. Returns a bool array of the same shape, holes (gas, lungs) filled slice by slice.
    The mask is found on pixels of about 2 mm: a noisy 0.4 mm pixel says little about what is body.
    Raises ``InputError`` when nothing in the volume looks like a body.
    """
    step = [max(1, round(MASK_PIXEL_MM / mm)) for mm in spacing[1:]]
    coarse = _block_means(array, step)
    radius = [OPENING_MM / (mm * factor) for mm, factor in zip(spacing[1:], step)]
    opened = ndimage.binary_opening(coarse > TISSUE_HU, _ellipse(*radius)[np.newaxis])
    components, count = ndimage.label(opened)
    if count == 0:
        raise InputError("No body is in view: the volume holds only air; load the CT of the abdomen.")
    largest = 1 + np.argmax(np.bincount(components.ravel())[1:])
    mask = components == largest
    for mask_slice in mask:
        ndimage.binary_fill_holes(mask_slice, output=mask_slice)
    fine = mask.repeat(step[0], axis=1).repeat(step[1], axis=2)
    return fine[:, : array.shape[1], : array.shape[2]]


def _block_means(array: np.ndarray, step: list[int]) -> np.ndarray:
    """Means of in-plane blocks of ``step`` (y, x) pixels, float32; edge pixels fill up the last blocks."""
    missing = [-size % count for size, count in zip(array.shape[1:], step)]
    means = np.empty((len(array), *(-(-size // count) for size, count in zip(array.shape[1:], step))), np.float32)
    for mean, plane in zip(means, array):  # slice by slice: sums of a whole volume would not stay in the cache
        padded = np.pad(plane, [(0, count) for count in missing], mode="edge")
        rows = reduce(np.add, (padded[start :: step[0]].astype(np.float32) for start in range(step[0])))
        columns = reduce(np.add, (rows[:, start :: step[1]] for start in range(step[1])))
        mean[:] = columns / np.float32(np.prod(step))
    return means


def _ellipse(radius_y: float, radius_x: float) -> np.ndarray:
    y, x = np.mgrid[-int(radius_y) : int(radius_y) + 1, -int(radius_x) : int(radius_x) + 1]
    return (y / max(radius_y, 1)) ** 2 + (x / max(radius_x, 1)) ** 2 <= 1
