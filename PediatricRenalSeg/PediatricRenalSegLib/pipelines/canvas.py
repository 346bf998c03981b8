"""From a CT to the square slices that a slicewise network sees (paper section 4, "Pre-Processing"), and back.

The paper uses nnU-Net's preprocessing: (i) crop to the non-zero region, here the body; (ii) resampling to a
common pixel size; (iii) clipping to the 0.5 and 99.5 percentile of the foreground voxels; (iv) z-score. As
in nnU-Net's scheme for CT, the numbers of (iii) and (iv) come from the labeled voxels of the training set
and are part of the model: Hounsfield units are absolute, and a scan must not look different because more
bowel gas is in view.
"""


from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..models.normalization import Normalization
from ..volume import AIR_HU, CTVolume, Spacing

MARGIN = 1.1
"""Canvas side in widths of the body: a rim of air on every side."""


@dataclass(frozen=True)
class Canvas:
    """The square on which a model sees every slice; part of the model's input contract."""

    size: int = 256
    """Pixels along a side."""
    pixel_mm: float = 1.0
    """Side of a pixel; larger only where a big body would not fit."""


DEFAULT_CANVAS = Canvas()
"""That of trainings, and so of the models they make."""


@dataclass(frozen=True)
class CanvasGrid:
    """Where the square canvas lies on the canonical axial array; the same for every slice of a volume."""

    size: int
    pixel_mm: float
    origin_mm: tuple[float, float]
    """(y, x) of the center of the canvas's first pixel, from the center of the array's first voxel."""
    axial_shape: tuple[int, int, int]
    axial_spacing: Spacing

    def centers_mm(self, axis: int) -> np.ndarray:
        """Pixel centers along y (0) or x (1)."""
        return self.origin_mm[axis] + self.pixel_mm * np.arange(self.size)

    def axial_centers_mm(self, axis: int) -> np.ndarray:
        """Voxel centers of the axial array along y (0) or x (1)."""
        return self.axial_spacing[axis + 1] * np.arange(self.axial_shape[axis + 1])

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """``resampling_matrix`` from the axial array to the canvas along y and x."""
        y, x = (resampling_matrix(self.axial_centers_mm(axis), self.centers_mm(axis)) for axis in (0, 1))
        return y, x

    @cached_property
    def weights_back(self) -> tuple[np.ndarray, np.ndarray]:
        """``resampling_matrix`` from the canvas to the axial array along y and x."""
        y, x = (resampling_matrix(self.centers_mm(axis), self.axial_centers_mm(axis)) for axis in (0, 1))
        return y, x


@dataclass(frozen=True)
class SliceStack:
    """All axial slices of one patient, ready for the network."""

    images: np.ndarray
    """``(N, size, size)`` float32, normalized; air outside the body."""
    masks: np.ndarray
    """``(N, size, size)`` uint8 foreground mask: the body without table and arms."""
    grid: CanvasGrid


def preprocess(ct: CTVolume, body: np.ndarray, canvas: Canvas, normalization: Normalization) -> SliceStack:
    """The paper's preprocessing of one scan.

    body: ``(z, y, x)`` bool on ``ct.axial()``, as ``body.body_mask`` gives it.
    """
    array, spacing = ct.axial()
    grid = canvas_grid(body, spacing, canvas)
    images = np.empty((len(array), grid.size, grid.size), np.float32)
    masks = np.empty(images.shape, np.uint8)
    for index in range(len(array)):  # slice by slice: whole volumes of float64 would be gigabytes
        (hu,), (mask,) = on_canvas(array[index : index + 1], body[index : index + 1], grid)
        images[index], masks[index] = normalization(np.where(mask, hu, AIR_HU)), mask
    return SliceStack(images, masks, grid)


def on_canvas(array: np.ndarray, body: np.ndarray, grid: CanvasGrid) -> tuple[np.ndarray, np.ndarray]:
    """Slices in Hounsfield units and the body's mask ``(n, y, x)`` → int16 and uint8 ``(n, size, size)``."""
    hu = resample_slices(array, grid, outside=AIR_HU).round().astype(np.int16)
    masks = (resample_slices(body, grid, outside=0) >= 0.5).astype(np.uint8)
    return hu, masks


def canvas_grid(body: np.ndarray, spacing: Spacing, canvas: Canvas) -> CanvasGrid:
    """A square around the body with the common pixel size; coarser only where a big body would not fit."""
    bounds = []
    for axis in (1, 2):
        found = np.flatnonzero(body.any(axis=tuple({0, 1, 2} - {axis})))
        bounds.append((float(found[0] * spacing[axis]), float(found[-1] * spacing[axis])))
    extent = max(high - low for low, high in bounds)
    pixel = max(canvas.pixel_mm, MARGIN * extent / canvas.size)
    top, left = ((low + high) / 2 - pixel * (canvas.size - 1) / 2 for low, high in bounds)
    depth, height, width = body.shape
    return CanvasGrid(canvas.size, pixel, (top, left), (depth, height, width), spacing)


def resample_slices(array: np.ndarray, grid: CanvasGrid, outside: float) -> np.ndarray:
    """In-plane resampling of an axial array ``(z, y, x)`` to the canvas ``(z, size, size)``, float32."""
    return _apply(*grid.weights, array, outside)


def resample_back(canvas: np.ndarray, grid: CanvasGrid, outside: float) -> np.ndarray:
    """The way back: ``(..., size, size)`` to the in-plane grid of the axial array ``(..., y, x)``, float32."""
    return _apply(*grid.weights_back, canvas, outside)


def resampling_matrix(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights ``(target, source)`` of linear interpolation between two evenly spaced axes in mm.

    When the target is coarser the triangle widens to its spacing, which keeps fine noise from folding into
    the picture. Rows of targets beyond the source sum to less than 1: the rest is the
    weight of what lies outside.
    """
    step = source[1] - source[0]
    width = max(step, target[1] - target[0])
    ghosts = int(np.ceil(width / step))
    extended = source[0] + step * np.arange(-ghosts, len(source) + ghosts)
    weights = np.maximum(0, 1 - np.abs(target[:, np.newaxis] - extended) / width)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float32).eps)
    return weights[:, ghosts:-ghosts].astype(np.float32)


def _apply(rows: np.ndarray, columns: np.ndarray, array: np.ndarray, outside: float) -> np.ndarray:
    result = np.empty((*array.shape[:-2], rows.shape[0], columns.shape[0]), np.float32)
    for index in np.ndindex(array.shape[:-2]):
        result[index] = rows @ (array[index].astype(np.float32) - outside) @ columns.T + outside
    return result
