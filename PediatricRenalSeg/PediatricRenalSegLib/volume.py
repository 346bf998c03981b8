"""The CT and the labels on its grid, and the canonical axial order of their voxels.

Arrays are ``(z, y, x)``; physical space is LPS millimeters: x grows toward the patient's Left, y toward
Posterior, z toward Superior.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import SimpleITK as sitk

AIR_HU = -1024
"""Scanners write lower values outside their circle; they mean nothing."""

SAME_GRID_TOLERANCE = 1e-3
"""mm, and between direction cosines: formats round their headers."""


class InputError(ValueError):
    """The input or the call is wrong; the message is one sentence: what, where, what to do."""


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

    def axial(self) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Canonical axial array and spacing.

        Returns the array ``(z, y, x)`` with x toward the patient's Left, y toward Posterior and z toward
        Superior (axes permuted and flipped only: no interpolation), and the spacing ``(z, y, x)`` in mm.
        An oblique grid goes to the nearest axial order.
        """
        return _axial(self.image)

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
    """Segments on exactly the grid of the CT; values as in ``structures.SEGMENTS``."""

    image: sitk.Image
    """3D, uint8."""

    @classmethod
    def from_axial(cls, array: np.ndarray, ct: CTVolume) -> "LabelVolume":
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
        return cls(labels)

    def axial(self) -> tuple[np.ndarray, tuple[float, float, float]]:
        """As ``CTVolume.axial``."""
        return _axial(self.image)


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether the voxels of two images lie at the same places."""
    return first.GetSize() == second.GetSize() and all(
        np.allclose(getattr(first, name)(), getattr(second, name)(), atol=SAME_GRID_TOLERANCE)
        for name in ("GetSpacing", "GetOrigin", "GetDirection")
    )


def _axial(image: sitk.Image) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Canonical axial copy ``(z, y, x)`` of a 3D image, and its spacing ``(z, y, x)`` in mm."""
    order, flips = _axial_order(image)
    array = sitk.GetArrayViewFromImage(image).transpose(order)[flips]
    spacing = image.GetSpacing()[::-1]
    return np.array(array, order="C"), tuple(spacing[axis] for axis in order)


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
