"""The CT and the labels on its grid, and the canonical axial order of their voxels.

Arrays are ``(z, y, x)``; physical space is LPS millimeters: x grows toward the patient's Left, y toward
Posterior, z toward Superior.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .structures import StructureSet

AIR_HU = -1024
"""Scanners write lower values outside their circle; they mean nothing."""

SMALLEST_SLICE_COUNT = 5
"""Fewer slices are a scout or a few images picked out, and no CT of an abdomen."""

SAME_GRID_TOLERANCE = 1e-3
"""mm, and between direction cosines: formats round their headers."""


Spacing = tuple[float, float, float]
"""mm between voxels, in the order of the array's axes: ``(z, y, x)``."""

Box = tuple[slice, slice, slice]
"""Part of an array ``(z, y, x)``, with a first and a last index on every axis."""


@dataclass(frozen=True)
class Instance:
    """One DICOM image that a slice of a CT came from."""

    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    frame: int
    """From 0; that of an enhanced file, 0 in a classic one."""


@dataclass(frozen=True)
class Origin:
    """Where a CT came from, so that results can refer to it. Nothing of it is written unasked."""

    files: tuple[Path, ...]
    """The file that was read, or all those of the series."""
    instances: tuple[Instance, ...] = ()
    """One a slice along the image's last axis; empty where the CT was no DICOM, or its grid is a new one."""


@dataclass(frozen=True)
class CTVolume:
    """A checked CT: the image exactly as it lies on its input grid, any orientation.

    ``reading.read_ct`` makes it. A scan with a tilted gantry has no orthogonal grid of its own; for it
    the CT is the upright grid it was resampled to while reading, and ``source`` says so.
    """

    image: sitk.Image
    """3D, int16 or float32 Hounsfield units."""
    source: str
    """What was read and what was not, for the log: no patient identity."""
    origin: Origin | None = None
    """``None`` for a CT that came from no file."""

    def axial(self) -> tuple[np.ndarray, Spacing]:
        """Canonical axial array and spacing.

        Returns the array ``(z, y, x)`` with x toward the patient's Left, y toward Posterior and z toward
        Superior (axes permuted and flipped only: no interpolation), and the spacing ``(z, y, x)`` in mm.
        An oblique grid goes to the nearest axial order. The array is read-only, the same one at every call, and where
        the image lies in that order already it holds the image's own voxels.
        """
        return self._axial

    @cached_property
    def _axial(self) -> tuple[np.ndarray, Spacing]:
        return axial(self.image)

    def axial_point(self, z: float, y: float, x: float) -> tuple[float, float, float]:
        """LPS mm of a place in the array of ``axial``, given in voxels."""
        order, flips = _axial_order(self.image)
        counts = self.image.GetSize()[::-1]
        index = [0.0, 0.0, 0.0]
        for axis, flip, place in zip(order, flips, (z, y, x), strict=True):
            index[axis] = counts[axis] - 1 - place if flip.step == -1 else place
        return self.image.TransformContinuousIndexToPhysicalPoint(index[::-1])


@dataclass(frozen=True)
class LabelVolume:
    """Segments on exactly the grid of the CT."""

    image: sitk.Image
    """3D, uint8; values are those of ``structures.segments``."""
    structures: StructureSet

    @classmethod
    def from_axial(cls, array: np.ndarray, ct: CTVolume, structures: StructureSet) -> "LabelVolume":
        """Bring a canonical axial array ``(z, y, x)`` back to the input grid, voxel by voxel.

        Raises ``ValueError`` when the array does not have the shape of ``ct.axial()``.
        """
        order, flips = _axial_order(ct.image)
        grid_shape = ct.image.GetSize()[::-1]
        axial_shape = tuple(grid_shape[axis] for axis in order)
        if array.shape != axial_shape:
            raise ValueError(f"labels of shape {array.shape} do not fit the axial CT of shape {axial_shape}")
        on_grid = array[flips].transpose(np.argsort(order))
        labels = sitk.GetImageFromArray(on_grid.astype(np.uint8, order="C"))
        labels.CopyInformation(ct.image)
        return cls(labels, structures)

    def axial(self) -> tuple[np.ndarray, Spacing]:
        """As ``CTVolume.axial``."""
        return self._axial

    @cached_property
    def _axial(self) -> tuple[np.ndarray, Spacing]:
        return axial(self.image)

    @cached_property
    def boxes(self) -> dict[str, Box]:
        """Where in the array of ``axial`` each segment lies, by its id; a segment without voxels is left out."""
        from scipy import ndimage  # Slicer's start shall not wait for it

        found = ndimage.find_objects(self.axial()[0], len(self.structures.segments))
        return {segment.id: box for segment, box in zip(self.structures.segments, found, strict=True) if box}


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether the voxels of two images lie at the same places."""
    return first.GetSize() == second.GetSize() and all(
        np.allclose(getattr(first, name)(), getattr(second, name)(), atol=SAME_GRID_TOLERANCE)
        for name in ("GetSpacing", "GetOrigin", "GetDirection")
    )


def axial(image: sitk.Image) -> tuple[np.ndarray, Spacing]:
    """Canonical axial order ``(z, y, x)`` of a 3D image and its spacing ``(z, y, x)`` in mm, as ``CTVolume.axial``."""
    order, flips = _axial_order(image)
    array = np.ascontiguousarray(_voxels(image).transpose(order)[flips])
    array.flags.writeable = False
    spacing = image.GetSpacing()[::-1]
    return array, (spacing[order[0]], spacing[order[1]], spacing[order[2]])


class _HeldVoxels:
    """The voxels of an image as NumPy takes them; keeps the image, whose memory SimpleITK's own view does not."""

    def __init__(self, image: sitk.Image) -> None:
        self._image = image
        self.__array_interface__: dict[str, Any] = sitk.GetArrayViewFromImage(image).__array_interface__


def _voxels(image: sitk.Image) -> np.ndarray:
    """The voxels ``(z, y, x)`` of an image without a copy."""
    return np.asarray(_HeldVoxels(image))


def _axial_order(image: sitk.Image) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """How an image's array ``(z, y, x)`` becomes canonical axial: a transpose order, then flips.

    Written out rather than left to ``sitk.DICOMOrient``, so that left-handed directions (common in NIfTI
    and NRRD files) and grids turned by exactly 45 degrees take the same way there and back.
    """
    # Rounded: a grid turned by 45 degrees must not change its order with the last digit of a file header.
    direction = np.round(np.reshape(image.GetDirection(), (3, 3)), 6)
    axis_toward = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(direction[side, axes[side]]) for side in range(3)),
    )
    superior_posterior_left = (2, 1, 0)
    order = tuple(2 - axis_toward[side] for side in superior_posterior_left)
    flips = tuple(
        slice(None, None, -1 if direction[side, axis_toward[side]] < 0 else 1) for side in superior_posterior_left
    )
    return order, flips
