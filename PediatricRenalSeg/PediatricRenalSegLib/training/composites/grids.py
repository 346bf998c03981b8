"""Arrays on grids of millimeters: resampling and closing."""

import numpy as np
from scipy import ndimage

from ...volume import Spacing


def resample(array: np.ndarray, spacing: Spacing, target: Spacing, order: int) -> np.ndarray:
    """The array on another grid over the same extent; ``order`` 0 for labels, 1 for images."""
    shape = [max(1, round(n * old / new)) for n, old, new in zip(array.shape, spacing, target)]
    axes = [
        np.clip((np.arange(n) + 0.5) * new / old - 0.5, 0, limit - 1)
        for n, new, old, limit in zip(shape, target, spacing, array.shape)
    ]
    if order == 0:
        return array[np.ix_(*[np.round(axis).astype(int) for axis in axes])]
    for axis, positions in enumerate(axes):
        array = _interpolate_axis(array, positions, axis)
    return array


def _interpolate_axis(array: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along one axis at fractional indices."""
    low = np.floor(positions).astype(int)
    if np.array_equal(low, positions) and len(low) == array.shape[axis]:
        return array
    high = np.minimum(low + 1, array.shape[axis] - 1)
    weight = (positions - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return np.take(array, low, axis) * (1 - weight) + np.take(array, high, axis) * weight


def close_mask(mask: np.ndarray, spacing: Spacing, radius: float) -> np.ndarray:
    """Morphological closing with a ball of ``radius`` mm on any grid."""
    margin = [int(np.ceil(radius / step)) + 1 for step in spacing]
    padded = np.pad(mask, [(n, n) for n in margin])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= radius
    closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
    return mask | closed[tuple(slice(n, -n) for n in margin)]
