"""From a CT volume to the slices that the network sees (paper section 4, "Pre-Processing").

The paper uses nnU-Net's preprocessing: (i) crop to the non-zero region, here the body; (ii) resampling to a
common pixel size; (iii) clipping to the 0.5 and 99.5 percentile of the foreground voxels; (iv) z-score. As
in nnU-Net's scheme for CT, the numbers of (iii) and (iv) come from the labeled voxels of the training set
and are part of the model: Hounsfield units are absolute, and a scan must not look different because more
bowel gas is in view.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .volume import AIR_HU, CTVolume, InputError

TISSUE_HU = -300
"""Between air and fat: what is above belongs to the body, its table or its blanket."""
MASK_PIXEL_MM = 2.0
OPENING_MM = 4.0
"""Thicker than a mattress cover or the touch of an arm, thinner than an infant's abdominal wall."""
CANVAS = 256
PIXEL_MM = 1.0
MARGIN = 1.1
"""Canvas side in widths of the body: a rim of air on every side."""


@dataclass(frozen=True)
class Normalization:
    """Intensity window and z-score of a model, in Hounsfield units."""

    low: float
    high: float
    mean: float
    std: float

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """Clip and z-score, float32."""
        return ((np.clip(hu, self.low, self.high) - self.mean) / self.std).astype(np.float32)

    @property
    def air(self) -> float:
        """Normalized intensity of air."""
        return (self.low - self.mean) / self.std


@dataclass(frozen=True)
class CanvasGrid:
    """Where the square canvas lies on the canonical axial array; the same for every slice of a volume."""

    size: int
    pixel_mm: float
    origin_mm: tuple[float, float]
    """(y, x) of the center of the canvas's first pixel, from the center of the array's first voxel."""
    axial_shape: tuple[int, int, int]
    axial_spacing: tuple[float, float, float]

    def centers_mm(self, axis: int) -> np.ndarray:
        """Pixel centers along y (0) or x (1)."""
        return self.origin_mm[axis] + self.pixel_mm * np.arange(self.size)

    def axial_centers_mm(self, axis: int) -> np.ndarray:
        """Voxel centers of the axial array along y (0) or x (1)."""
        return self.axial_spacing[axis + 1] * np.arange(self.axial_shape[axis + 1])


@dataclass(frozen=True)
class SliceStack:
    """All axial slices of one patient, ready for the network."""

    images: np.ndarray
    """``(N, size, size)`` float32, normalized; air outside the body."""
    masks: np.ndarray
    """``(N, size, size)`` uint8 foreground mask: the body without table and arms."""
    body: np.ndarray
    """The same mask on the axial array ``(z, y, x)``, bool."""
    grid: CanvasGrid


def preprocess(ct: CTVolume, normalization: Normalization) -> SliceStack:
    """The paper's preprocessing of one scan. Raises ``InputError`` when no body is in view."""
    array, spacing = ct.axial()
    hu, masks, body, grid = to_canvas(array, spacing)
    images = normalization(np.where(masks, hu, AIR_HU))
    return SliceStack(images, masks, body, grid)


def to_canvas(array: np.ndarray, spacing: tuple[float, float, float]):
    """Crop to the body and resample in plane.

    array: ``(z, y, x)`` HU. Returns HU ``(z, size, size)`` int16, foreground mask ``(z, size, size)`` uint8,
    the mask on the array's own grid and the ``CanvasGrid``.
    """
    body = body_mask(array, spacing)
    grid = canvas_grid(body, spacing)
    hu = resample_slices(array, grid, outside=AIR_HU).round().astype(np.int16)
    masks = (resample_slices(body, grid, outside=0) >= 0.5).astype(np.uint8)
    return hu, masks, body, grid


def body_mask(array: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
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
    padded = np.pad(array, [(0, 0), *((0, count) for count in missing)], mode="edge")
    rows = sum(padded[:, start :: step[0]].astype(np.float32) for start in range(step[0]))
    return sum(rows[:, :, start :: step[1]] for start in range(step[1])) / np.float32(np.prod(step))


def canvas_grid(body: np.ndarray, spacing: tuple[float, float, float]) -> CanvasGrid:
    """A square around the body with the common pixel size; coarser only where a big body would not fit."""
    bounds = []
    for axis in (1, 2):
        found = np.flatnonzero(body.any(axis=tuple({0, 1, 2} - {axis})))
        bounds.append((float(found[0] * spacing[axis]), float(found[-1] * spacing[axis])))
    extent = max(high - low for low, high in bounds)
    pixel = max(PIXEL_MM, MARGIN * extent / CANVAS)
    origin = tuple((low + high) / 2 - pixel * (CANVAS - 1) / 2 for low, high in bounds)
    return CanvasGrid(CANVAS, pixel, origin, body.shape, tuple(spacing))


def resample_slices(array: np.ndarray, grid: CanvasGrid, outside: float) -> np.ndarray:
    """In-plane resampling of an axial array ``(z, y, x)`` to the canvas ``(z, size, size)``, float32."""
    rows = resampling_matrix(grid.axial_centers_mm(0), grid.centers_mm(0))
    columns = resampling_matrix(grid.axial_centers_mm(1), grid.centers_mm(1))
    return _apply(rows, columns, array, outside)


def resample_back(canvas: np.ndarray, grid: CanvasGrid, outside: float) -> np.ndarray:
    """The way back: ``(..., size, size)`` to the in-plane grid of the axial array ``(..., y, x)``, float32."""
    rows = resampling_matrix(grid.centers_mm(0), grid.axial_centers_mm(0))
    columns = resampling_matrix(grid.centers_mm(1), grid.axial_centers_mm(1))
    return _apply(rows, columns, canvas, outside)


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


def _ellipse(radius_y: float, radius_x: float) -> np.ndarray:
    y, x = np.mgrid[-int(radius_y) : int(radius_y) + 1, -int(radius_x) : int(radius_x) + 1]
    return (y / max(radius_y, 1)) ** 2 + (x / max(radius_x, 1)) ** 2 <= 1
