"""Reading a CT from one NIfTI, NRRD or MetaImage file.

SimpleITK reads the voxels. Headers are looked at before (``file_headers``), because SimpleITK repairs
some broken ones without a word.
"""

import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from . import file_headers

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
SUFFIXES_WITH_SEPARATE_DATA = (".nhdr", ".mhd")
"""Headers whose voxels lie in another file."""
LARGEST_VOXEL_COUNT = 2**31
"""Some 8,000 slices of 512 × 512: a header that claims more is damaged."""


def is_image_file(path: Path) -> bool:
    """Whether the name ends as one of the formats read here."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def claims_dicom(path: Path) -> bool:
    """Whether the file must be read or refused, never passed over: DICOM by its mark or suffix, or locked."""
    if path.suffix.lower() == ".dcm":
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return True


def read_image(path: Path) -> tuple[sitk.Image, str]:
    """The 3D image (int16 or float32) of a file, and a text on what was read, without its name.

    Raises ``InputError`` when the file is damaged, holds anything but one scalar volume, or its header
    does not say how the voxels lie in the patient.
    """
    try:
        file_headers.check(path)
        image = narrowed(_read_scalar_volume(path))
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise _damaged(path) from error
    except RuntimeError as error:  # all that SimpleITK raises
        raise _refusal(path, str(error)) from error
    suffix = next(suffix for suffix in IMAGE_SUFFIXES[::-1] if path.name.lower().endswith(suffix))
    size = " × ".join(str(count) for count in image.GetSize())
    spacing = " × ".join(f"{mm:.2f}" for mm in image.GetSpacing())
    return image, f"{suffix} file: {size} voxels of {spacing} mm"


def narrowed(image: sitk.Image) -> sitk.Image:
    """The image as int16 or float32: integers become int16 when they fit."""
    if image.GetPixelID() in (sitk.sitkInt16, sitk.sitkFloat32):
        return image
    values = sitk.GetArrayViewFromImage(image)
    limits = np.iinfo(np.int16)
    fits = np.issubdtype(values.dtype, np.integer) and limits.min <= values.min() and values.max() <= limits.max
    return sitk.Cast(image, sitk.sitkInt16 if fits else sitk.sitkFloat32)


def _read_scalar_volume(path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size = reader.GetSize()
    if reader.GetNumberOfComponents() > 1:
        raise InputError(
            f'"{path.name}" has {reader.GetNumberOfComponents()} values a voxel, as a color picture or a vector '
            "field, not one Hounsfield unit; choose the original CT."
        )
    if len(size) < 3:
        raise InputError(f'"{path.name}" is a 2D picture; choose a CT volume of at least five slices.')
    if any(count > 1 for count in size[3:]):
        raise InputError(
            f'"{path.name}" is 4D: it holds {max(size[3:])} volumes (time points or phases); '
            "export one as its own file."
        )
    if np.prod(size, dtype=float) > LARGEST_VOXEL_COUNT:
        raise InputError(
            f'"{path.name}" claims {" × ".join(map(str, size))} voxels, more than any CT has; copy or export it again.'
        )
    if len(size) > 3:  # a fourth axis of one time point
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
    return reader.Execute()


def _refusal(path: Path, reason: str) -> InputError:
    """The sentence for what SimpleITK found."""
    if "orthonormal direction" in reason:
        return file_headers.sheared(path.name)
    if "determinant is 0" in reason or "Zero-valued spacing" in reason:
        return file_headers.collapsed(path)
    return _damaged(path)


def _damaged(path: Path) -> InputError:
    detached = path.name.lower().endswith(SUFFIXES_WITH_SEPARATE_DATA)
    reason = "damaged, incomplete or without its separate data file" if detached else "damaged or incomplete"
    return InputError(f'"{path.name}" cannot be read because it is {reason}; copy or export it again.')
