"""Random fields and turns."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator


def smooth_noise(shape: tuple[int, ...], scales: Sequence[float], rng: Generator) -> np.ndarray:
    """Random field of mean 0 and variance 1 that is smooth over ``scales`` voxels an axis; 0: white there.

    A coarse grid of independent values, one a scale, is spread by a Gaussian along each axis.
    """
    kernels = [_spread(n, scale) for n, scale in zip(shape, scales)]
    coarse = [n if kernel is None else kernel.shape[1] for n, kernel in zip(shape, kernels)]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, kernel in enumerate(kernels):
        if kernel is not None:
            field = np.moveaxis(np.tensordot(kernel, field, (1, axis)), 0, axis)
    return field


def _spread(n: int, scale: float) -> np.ndarray | None:
    """(n, coarse) weights of unit square sum a row; None for no smoothing."""
    if scale < 1:
        return None
    nodes = np.arange(-1, np.ceil(n / scale) + 2) * scale
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] - nodes) / (0.7 * scale)) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def plane_noise(shape: tuple[int, int, int], scale: float, rng: Generator) -> np.ndarray:
    """(z, y, x) noise that is smooth within slices; slices, which may lie far apart, are independent."""
    return smooth_noise(shape, (0, scale, scale), rng)


def random_rotation(rng: Generator, degrees: float) -> np.ndarray:
    """(3, 3): turns by up to ``degrees`` about each axis."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-degrees, degrees, 3))):
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix
