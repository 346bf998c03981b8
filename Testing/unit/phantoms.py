"""Analytic label volumes in any geometry."""

import numpy as np
import SimpleITK as sitk

from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.volume import CTVolume, LabelVolume

DIRECTIONS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "left_handed": np.diag([1.0, 1.0, -1.0]),
    "mirrored": np.diag([-1.0, 1.0, 1.0]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]]),
    "oblique_left_handed": np.array([[0.96, 0.0, -0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, -0.96]]),
}
CENTER = np.array([12.0, -35.0, 410.0])
"""Physical center of every grid, LPS mm."""


def grid(direction=DIRECTIONS["axial"], spacing=(1.0, 1.0, 1.0), extent=(120.0, 100.0, 110.0)) -> sitk.Image:
    """An empty uint8 image around ``CENTER``; spacing and extent along its own ``(x, y, z)`` axes in mm."""
    size = [int(round(length / step)) for length, step in zip(extent, spacing, strict=True)]
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction).ravel())
    half = [(count - 1) / 2 * step for count, step in zip(size, spacing, strict=True)]
    image.SetOrigin(CENTER - np.asarray(direction) @ half)
    return image


def offsets_of(image: sitk.Image) -> list[np.ndarray]:
    """LPS mm from ``CENTER`` of every voxel center: three arrays ``(z, y, x)``, or of a shape that broadcasts."""
    indices = np.ogrid[tuple(slice(0, count) for count in reversed(image.GetSize()))][::-1]
    steps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    origin = np.array(image.GetOrigin()) - CENTER
    return [
        sum((step * index for step, index in zip(row, indices, strict=True) if step), start)
        for row, start in zip(steps, origin, strict=True)
    ]


def ellipsoids(image: sitk.Image, rows) -> LabelVolume:
    """Paint ``(value, offset from CENTER, radii)`` in LPS mm, later rows over earlier ones."""
    offsets = offsets_of(image)
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    for value, center, radii in rows:
        array[sum(((o - c) / r) ** 2 for o, c, r in zip(offsets, center, radii, strict=True)) <= 1] = value
    labels = sitk.GetImageFromArray(array)
    labels.CopyInformation(image)
    return LabelVolume(labels, RENAL)


def ct_of(labels: LabelVolume) -> CTVolume:
    """A CT with 100 times the segment's value inside segments and -50 HU elsewhere."""
    array = sitk.GetArrayFromImage(labels.image).astype(np.int16)
    image = sitk.GetImageFromArray(np.where(array > 0, 100 * array, -50).astype(np.int16))
    image.CopyInformation(labels.image)
    return CTVolume(image, "phantom")


PATIENT = ((1, (-35, 0, 0), (14, 14, 30)), (2, (35, 0, 0), (14, 14, 30)), (3, (35, -12, 15), (20, 18, 20)))
"""Right kidney, left kidney, and a tumor that grows out of the left one."""
