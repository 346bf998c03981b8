"""From a path to a checked CT: which reader, and what every CT must fulfil whatever its format.

The readers return an image and a text on what was read; the checks here look at the grid and the
Hounsfield units. Every refusal is an ``InputError`` of one sentence: what is wrong, where, what to do.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..volume import SMALLEST_SLICE_COUNT, CTVolume, Origin
from . import file_headers, files
from .files import claims_dicom

SPACING_IN_PLANE_MM = (0.1, 3.0)
SPACING_OF_SLICES_MM = (0.1, 10.0)
"""Wider than any CT that is made: what lies outside is a lost or mistaken unit."""

LOWEST_TISSUE_HU = -200
SMALLEST_BODY_FRACTION = 0.005
"""Part of the volume above air, below which no body is in view; a newborn in a 50 cm field fills 2 %."""
AIR_AND_FAT_HU = (-1100, -50)
SMALLEST_AIR_AND_FAT_FRACTION = 0.001
"""Any CT of a body has air or fat in view; values below are padding, which other images have as well."""
LARGEST_HU = 70_000
"""Beyond anything that 16 bits and a rescale give, metal included."""

ARCHIVE_SUFFIXES = (".zip", ".7z", ".rar", ".tar", ".tgz")
"""Told apart from damaged files, for a better sentence."""
FORMATS = "a folder of DICOM slices or a .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd file"


def read_ct(path: str | Path) -> CTVolume:
    """Read and check a CT: a DICOM folder or file, NIfTI, NRRD or MetaImage (MHA, MHD).

    A folder is searched recursively and its axial CT series with most slices is taken; a file of a DICOM
    series stands for the whole series in its folder. CTs of several patients or examinations in one folder are
    refused. Any orientation, oblique grids and anisotropic spacing are kept as they are; values below -1024 HU
    (padding) too. A tilted gantry is corrected.

    Raises ``InputError`` for everything that is not a complete, regular CT of a body.
    """
    path = Path(path)
    ct = _read(path)
    name = path.name or str(path)
    _check_grid(ct.image, name)
    _check_values(ct.image, name)
    return ct


def read_labels(path: str | Path, known: Collection[int] = range(256)) -> sitk.Image:
    """Read a label map of whole numbers (NIfTI, NRRD or MetaImage) on its own grid, as uint8.

    Raises ``InputError`` when the file cannot be read or holds a value that is not ``known``.
    """
    path = Path(path)
    if not path.exists():
        raise _missing(path)
    if not files.is_image_file(path):
        raise InputError(f'"{path.name}" cannot be read as a label map; give a NIfTI, NRRD or MHA file.')
    image, _ = files.read_image(path)
    found = np.unique(sitk.GetArrayViewFromImage(image))
    unknown = found[~np.isin(found, list(known))]
    if unknown.size:
        raise InputError(
            f'"{path.name}" holds the label {unknown[0]:g}, which is not one of {_listed(known)}; '
            "choose the label map that belongs here."
        )
    return sitk.Cast(image, sitk.sitkUInt8)


def _listed(labels: Collection[int]) -> str:
    """From the first to the last one, or each of them where there are gaps between."""
    ordered = sorted(labels)
    if ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))


def _missing(path: Path) -> InputError:
    return InputError(f'There is no file or folder "{path}"; check the name and that its drive is connected.')


def _read(path: Path) -> CTVolume:
    if not os.path.exists(path):
        raise _missing(path)
    if path.is_dir():
        from . import dicom  # pydicom, which no other format waits for

        return dicom.read_series(_files_below(path), f'The folder "{path.name or path}"')
    if not os.access(path, os.R_OK):
        raise InputError(f'"{path.name}" may not be opened; check your access rights.')
    if files.is_image_file(path):
        return CTVolume(*files.read_image(path), Origin((path,)))
    if claims_dicom(path):
        from . import dicom

        return dicom.read_series_of(path)
    if path.suffix.lower() in ARCHIVE_SUFFIXES:
        raise InputError(f'"{path.name}" is an archive; unpack it and choose {FORMATS}.')
    raise InputError(f'"{path.name}" is not in a format that can be read; choose {FORMATS}.')


def _files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted; hidden ones (as file managers leave behind) are skipped."""

    def refuse(error: OSError) -> NoReturn:
        raise InputError(f'The folder "{folder.name}" cannot be opened; check your access rights.') from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        found += [file for file in visible if os.path.isfile(file)]
    if not found:
        raise InputError(f'The folder "{folder.name or folder}" is empty; choose the folder that holds the CT.')
    if not any(map(claims_dicom, found)):
        raise InputError(f'The folder "{folder.name or folder}" holds no DICOM file; choose {FORMATS}.')
    return found


def _check_grid(image: sitk.Image, name: str) -> None:
    """Enough slices, plausible spacing, perpendicular axes."""
    slice_count = min(image.GetSize())
    if slice_count < SMALLEST_SLICE_COUNT:
        raise InputError(
            f'"{name}" has only {slice_count} slice{"s" * (slice_count > 1)}, fewer than {SMALLEST_SLICE_COUNT}; '
            "choose the complete series."
        )
    # The slice axis may be any of the three; it is the coarsest one.
    *in_plane, of_slices = sorted(image.GetSpacing())
    _check_spacing(in_plane, SPACING_IN_PLANE_MM, "pixel size", name)
    _check_spacing([of_slices], SPACING_OF_SLICES_MM, "slice spacing", name)
    direction = np.reshape(image.GetDirection(), (3, 3))
    if not np.all(np.abs(direction.T @ direction - np.eye(3)) < file_headers.LARGEST_SHEAR):
        raise file_headers.sheared(name)


def _check_spacing(found: list[float], allowed: tuple[float, float], what: str, name: str) -> None:
    low, high = allowed
    if not all(low <= value <= high for value in found):
        sizes = " × ".join(f"{value:.4g}" for value in found)
        raise InputError(
            f'"{name}" has a {what} of {sizes} mm, outside the {low:g} to {high:g} mm of a CT; '
            "export it again with its true spacing."
        )


def _check_values(image: sitk.Image, name: str) -> None:
    """Finite Hounsfield units that show a body."""
    values = sitk.GetArrayViewFromImage(image)
    _check_finite(values, name)
    lowest, highest = float(values.min()), float(values.max())
    if not _are_hounsfield(values, lowest, highest):
        raise InputError(
            f'"{name}" is not a CT in Hounsfield units: its values run from {lowest:g} to {highest:g}, '
            f"{_what_it_may_be(values, lowest, highest)}; choose the original CT."
        )
    body = np.count_nonzero(values > LOWEST_TISSUE_HU) / values.size
    if body < SMALLEST_BODY_FRACTION:
        raise InputError(
            f'"{name}" shows no body: {100 * (1 - body):.1f} % of it is air; choose the series of the abdomen.'
        )


def _check_finite(values: np.ndarray, name: str) -> None:
    if not np.issubdtype(values.dtype, np.floating):
        return
    broken = ~np.isfinite(values)
    count = int(np.count_nonzero(broken))
    if count:
        raise file_headers.not_finite(name, count, np.unravel_index(np.argmax(broken), values.shape))


def _are_hounsfield(values: np.ndarray, lowest: float, highest: float) -> bool:
    if lowest >= 0 or max(-lowest, highest) > LARGEST_HU:
        return False
    low, high = AIR_AND_FAT_HU
    if highest <= low:  # nothing but padding
        return False
    air_and_fat = np.count_nonzero((values >= low) & (values <= high))
    return bool(air_and_fat >= SMALLEST_AIR_AND_FAT_FRACTION * values.size)


def _what_it_may_be(values: np.ndarray, lowest: float, highest: float) -> str:
    if lowest == highest:
        return "one value everywhere"
    if max(-lowest, highest) > LARGEST_HU:
        return "far beyond those of any CT"
    if -20 < lowest and highest < 20 and np.any(values != np.round(values)):
        return "as in a normalized image"
    if lowest >= 0:
        picture = "a label map or a picture" if highest <= 255 else "an MR image or a CT stored without its rescale"
        return f"without the negative values of air and fat, as in {picture}"
    return "without air and fat"
