"""Reading CT volumes and carrying their geometry.

Arrays are ``(z, y, x)``; physical space is LPS millimetres.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk


class InputError(ValueError):
    """The input or the call is wrong; the message is one sentence: what, where, what to do."""


@dataclass(frozen=True)
class CTVolume:
    """A checked CT: the image exactly as it lies on its input grid, any orientation."""

    image: sitk.Image
    """3D, int16 or float32 Hounsfield units."""
    source: str
    """What was read and what was not, for the log: no patient identity."""

    def axial(self) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Canonical axial array and spacing.

        Returns the array ``(z, y, x)`` with x toward the patient's Left, y toward Posterior and z toward
        Superior (axes permuted and flipped only: no interpolation), and the spacing ``(z, y, x)`` in mm.
        """
        oriented = sitk.DICOMOrient(self.image, "LPS")
        return sitk.GetArrayFromImage(oriented), oriented.GetSpacing()[::-1]


@dataclass(frozen=True)
class LabelVolume:
    """Segments on exactly the grid of the CT; values as in ``structures.SEGMENTS``."""

    image: sitk.Image
    """3D, uint8."""

    @classmethod
    def from_axial(cls, array: np.ndarray, ct: CTVolume) -> "LabelVolume":
        """Bring a canonical axial array ``(z, y, x)`` back to the input grid, voxel by voxel."""
        oriented = sitk.DICOMOrient(ct.image, "LPS")
        labels = sitk.GetImageFromArray(array.astype(np.uint8))
        labels.CopyInformation(oriented)
        back = sitk.DICOMOrient(labels, sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(ct.image.GetDirection()))
        back.CopyInformation(ct.image)
        return cls(back)

    def axial(self) -> tuple[np.ndarray, tuple[float, float, float]]:
        """As ``CTVolume.axial``."""
        oriented = sitk.DICOMOrient(self.image, "LPS")
        return sitk.GetArrayFromImage(oriented), oriented.GetSpacing()[::-1]
