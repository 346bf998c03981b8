"""Reading a CT from DICOM: choose the series, check its slices, put them where they were in the patient.

The grid comes from the position and orientation of every slice (SimpleITK's own series reader averages
uneven spacing without a word); GDCM, in SimpleITK, decodes the pixels and applies the rescale.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from ..errors import InputError
from ..volume import AIR_HU, SMALLEST_SLICE_COUNT, CTVolume, Instance, Origin
from .dicom_headers import (
    HEADER_ERRORS,
    Series,
    Slice,
    damaged,
    read_all_series,
    series_key,
    unvalidated,
)  # fmt: skip
from .files import claims_dicom, narrowed

SAME_PLACE_MM = 0.01
LARGEST_POSITION_ERROR_MM = 0.1
"""How far a slice may lie from its even place: scanners round positions to 0.1 mm or better."""
LARGEST_SHAPE_DIFFERENCE = 1e-3
"""Between the direction cosines, and (relative) the pixel sizes, of slices of one series."""
LARGEST_DRIFT_PIXELS = 0.5
"""Sideways shift from the first slice to the last that is still no gantry tilt."""


@dataclass(frozen=True)
class Stack:
    """Slices in even steps, lowest along their normal first."""

    slices: tuple[Slice, ...]
    step: np.ndarray
    """From one slice to the next, LPS mm; not along the normal where the gantry was tilted."""

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors along a row, a column and the normal, as columns of a right-handed matrix."""
        row = np.array(self.slices[0].orientation[:3])
        normal = np.cross(row, self.slices[0].orientation[3:])
        row, normal = row / np.linalg.norm(row), normal / np.linalg.norm(normal)
        return np.column_stack([row, np.cross(normal, row), normal])

    @property
    def tilted(self) -> bool:
        """Whether the slices drift sideways: the grid that they make is sheared."""
        along = self.axes[:, 2] @ self.step
        sideways = float(np.linalg.norm(self.step - along * self.axes[:, 2]))
        return sideways * (len(self.slices) - 1) > LARGEST_DRIFT_PIXELS * min(self.slices[0].pixel_spacing)

    @property
    def tilt(self) -> float:
        """Angle between step and normal, in degrees."""
        cosine = self.axes[:, 2] @ self.step / np.linalg.norm(self.step)
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def read_series_of(file: Path) -> CTVolume:
    """As ``read_series``, for the series that one file of a folder belongs to (an enhanced file is all of it)."""
    key = series_key(file)
    try:
        neighbors = sorted(one for one in file.parent.iterdir() if one.is_file() and not one.name.startswith("."))
    except OSError as error:
        raise InputError(f'The folder of "{file.name}" cannot be opened; check your access rights.') from error
    together = [other for other in neighbors if claims_dicom(other) and series_key(other) == key]
    return read_series(together, f'The DICOM file "{file.name}"')


def read_series(files: list[Path], place: str) -> CTVolume:
    """The best CT series in these files; its ``source`` says what was chosen and what was not.

    Axial before other planes, original before derived, then most slices. ``place`` begins a message.
    Raises ``InputError`` when there is no CT, or CTs of several patients or examinations, or the chosen one is
    incomplete or irregular.
    """
    series = read_all_series(files)
    chosen = _choose(series, place)
    stack, phase = _stack(chosen)
    image = _image(stack)
    note = ""
    if stack.tilted:
        image = _upright(image)
        note = f", gantry tilt of {stack.tilt:.1f}° corrected: resampled to the upright grid on which the results lie"
    elif max(abs(s.tilt) for s in stack.slices) > 1:
        note = ", gantry tilt in the header but none in the positions: taken as corrected by the scanner"
    spacing = " × ".join(f"{mm:.2f}" for mm in image.GetSpacing())
    source = f"DICOM {chosen.summary}{phase}: {len(stack.slices)} slices, voxels of {spacing} mm{note}"
    left_out = "; ".join(one.summary for one in series if one is not chosen)
    return CTVolume(image, f"{source}; not used: {left_out}" if left_out else source, _origin(stack))


def _origin(stack: Stack) -> Origin:
    """The images of the stack, one a slice; without them where it was resampled to another grid."""
    files = tuple(dict.fromkeys(s.file for s in stack.slices))
    if stack.tilted:
        return Origin(files)
    return Origin(files, tuple(Instance(s.file, s.class_uid, s.instance_uid, s.frame) for s in stack.slices))


def _choose(series: list[Series], place: str) -> Series:
    usable = [one for one in series if not one.not_ct]
    if not usable:
        found: Counter[str] = Counter()
        for one in series:
            found[one.not_ct] += len(one.slices)
        kinds = ", ".join(f"{kind} ({count})" for kind, count in found.most_common()) or "a DICOM directory alone"
        raise InputError(f"{place} holds no CT slices but {kinds}; choose the CT series.")
    _check_one_examination(usable, place)
    return max(usable, key=lambda one: (one.plane == "axial", not one.derived, one.location_count))


def _check_one_examination(series: list[Series], place: str) -> None:
    """One patient and one study; a missing identity is taken for that of the others."""
    slices = [s for one in series for s in one.slices]
    for what, identities in (
        ("patients", {s.patient for s in slices}),
        ("examinations", {s.study for s in slices}),
    ):
        count = len(identities - {""})
        if count > 1:
            raise InputError(f"{place} holds CTs of {count} {what}; choose the folder of one.")


# Even slices


def _stack(series: Series) -> tuple[Stack, str]:
    """The evenly spaced slices of a series; of several phases in one series the first complete one, and which."""
    where = f"DICOM series {series.number}"
    slices = list({(s.instance_uid, s.frame): s for s in series.slices}.values())  # a file may lie there twice
    if len(slices) < SMALLEST_SLICE_COUNT:
        raise InputError(
            f"{where} has only {len(slices)} slice{'s' * (len(slices) > 1)}, fewer than {SMALLEST_SLICE_COUNT}; "
            "choose the folder of the complete series."
        )
    _check_placed(slices, where)
    slices = sorted(_alike(slices, where), key=_height)
    defect = _unevenness(slices)
    if not defect:
        return Stack(tuple(slices), _step(slices)), ""
    for what in ("acquisition", "temporal_position"):
        phase = _complete_phase(slices, what)
        if phase:
            return Stack(tuple(phase), _step(phase)), f", {what.replace('_', ' ')} {getattr(phase[0], what)} alone"
    raise InputError(f"{where} {defect}.")


def _check_placed(slices: list[Slice], where: str) -> None:
    for s in slices:
        if not (s.position and s.orientation and s.pixel_spacing and all(s.shape)):
            raise InputError(
                f"{where}, image {s.name}, does not say where it lies in the patient (size, position, orientation or "
                "pixel spacing is missing); export the original series."
            )
        row, column = np.reshape(s.orientation, (2, 3))
        lengths = np.linalg.norm(row), np.linalg.norm(column)
        if not np.allclose([*lengths, row @ column], [1, 1, 0], atol=0.01):
            raise InputError(
                f"{where}, image {s.name}, has rows and columns that are not perpendicular (broken orientation); "
                "export the original series."
            )
        if min(s.pixel_spacing) <= 0:
            found = " × ".join(f"{mm:g}" for mm in s.pixel_spacing)
            raise InputError(f"{where}, image {s.name}, has a pixel size of {found} mm; export the original series.")
        if s.rescale[0] == (0.0,):
            raise InputError(f"{where}, image {s.name}, has a rescale slope of 0; export the original series.")


def _alike(slices: list[Slice], where: str) -> list[Slice]:
    """The slices, when their size, pixel spacing and orientation are one; the last digits evened out."""
    shape, spacing, orientation = (
        Counter(getattr(s, what) for s in slices).most_common(1)[0][0]
        for what in ("shape", "pixel_spacing", "orientation")
    )
    for s in slices:
        if s.shape != shape:
            found, others = (f"{columns} × {rows} pixels" for rows, columns in (s.shape, shape))
        elif not np.allclose(s.pixel_spacing, spacing, rtol=LARGEST_SHAPE_DIFFERENCE):
            found, others = (f"pixels of {size[1]:g} × {size[0]:g} mm" for size in (s.pixel_spacing, spacing))
        elif not np.allclose(s.orientation, orientation, rtol=0, atol=LARGEST_SHAPE_DIFFERENCE):
            found, others = "another orientation", "the orientation of the series"
        else:
            continue
        raise InputError(
            f"{where} mixes images of different geometry: image {s.name} has {found}, most others {others}; "
            "put the slices that belong together in a folder of their own."
        )
    if len({(s.file, s.rescale) for s in slices}) > len({s.file for s in slices}):
        raise InputError(f"{where} has another rescale in every frame; export it as a classic CT series.")
    return [replace(s, pixel_spacing=spacing, orientation=orientation) for s in slices]


def _height(s: Slice) -> float:
    """Place along the normal, mm."""
    return float(s.normal @ s.position)


def _step(slices: list[Slice]) -> np.ndarray:
    """From the outer slices, so that rounded positions in between do not add up."""
    return (np.array(slices[-1].position) - slices[0].position) / (len(slices) - 1)


def _unevenness(slices: list[Slice]) -> str:
    """What keeps sorted slices from being evenly spaced, as the rest of a sentence; empty for even slices."""
    heights = np.array([_height(s) for s in slices])
    gaps = np.diff(heights)
    typical = float(np.median(gaps))
    narrowest, widest = int(np.argmin(gaps)), int(np.argmax(gaps))
    if gaps[narrowest] < SAME_PLACE_MM:
        first, second = slices[narrowest : narrowest + 2]
        return (
            f"holds images {first.name} and {second.name} at the same place ({heights[narrowest]:.1f} mm), as of two "
            "acquisitions or phases; put the slices of one phase in a folder of their own"
        )
    positions = np.array([s.position for s in slices])
    error = positions - positions[0] - np.arange(len(slices))[:, None] * _step(slices)
    tolerance = min(LARGEST_POSITION_ERROR_MM, typical / 4)
    if np.linalg.norm(error, axis=1).max() <= tolerance:
        return ""
    first, second = slices[widest : widest + 2]
    places = f"{heights[widest]:.1f} to {heights[widest + 1]:.1f} mm"
    between = f"between images {first.name} and {second.name} ({places})"
    if gaps[widest] > 1.5 * typical:
        return (
            f"has a gap of {gaps[widest]:.2f} mm {between} where slices are {typical:.2f} mm apart, "
            "so slices are missing; export the complete series again"
        )
    if np.abs(error @ slices[0].normal).max() <= tolerance:
        return "has slices that are shifted sideways against each other; export the original series"
    return (
        f"has unevenly spaced slices, {gaps[narrowest]:.2f} to {gaps[widest]:.2f} mm apart, the widest {between}; "
        "export a series with even spacing"
    )


def _complete_phase(slices: list[Slice], what: str) -> list[Slice]:
    """The first even phase that reaches from the lowest slice of the series to the highest; empty if none.

    A phase that covers less is not taken: what looks like a phase may be one half of a scan with a gap.
    """
    phases: dict[str, list[Slice]] = {}
    for s in slices:
        phases.setdefault(getattr(s, what), []).append(s)
    lowest, highest = _height(slices[0]), _height(slices[-1])
    complete = [
        phase
        for _, phase in sorted(phases.items(), key=lambda item: item[0].zfill(12))
        if len(phase) >= SMALLEST_SLICE_COUNT
        and _height(phase[0]) < lowest + SAME_PLACE_MM
        and _height(phase[-1]) > highest - SAME_PLACE_MM
        and not _unevenness(phase)
    ]
    return max(complete, key=len, default=[]) if len(phases) > 1 else []


# Voxels


def _image(stack: Stack) -> sitk.Image:
    """The slices as one image; its direction is sheared where the gantry was tilted."""
    by_file: dict[Path, np.ndarray] = {}
    for s in stack.slices:
        if s.file not in by_file:
            by_file[s.file] = _pixels(s.file)
        if by_file[s.file].shape[0] <= s.frame or by_file[s.file].shape[1:] != s.shape:
            raise damaged(s.file)
    image = sitk.GetImageFromArray(np.stack([by_file[s.file][s.frame] for s in stack.slices]))
    direction, distance = stack.axes, stack.axes[:, 2] @ stack.step
    if stack.tilted:
        distance = np.linalg.norm(stack.step)
        direction[:, 2] = stack.step / distance
    between_rows, between_columns = stack.slices[0].pixel_spacing
    image.SetSpacing([between_columns, between_rows, float(distance)])
    image.SetOrigin(stack.slices[0].position)
    image.SetDirection(direction.ravel())
    return image


def _pixels(file: Path) -> np.ndarray:
    """Hounsfield units ``(frames, rows, columns)`` of one file, int16 or float32."""
    _check_pixels_complete(file)
    try:
        return sitk.GetArrayFromImage(narrowed(sitk.ReadImage(str(file), imageIO="GDCMImageIO")))
    except RuntimeError as error:
        raise InputError(
            f'The pixels of the DICOM file "{file.name}" cannot be decoded, because it is damaged, incomplete or '
            "compressed in an unknown way; export the series again, uncompressed."
        ) from error


def _check_pixels_complete(file: Path) -> None:
    """GDCM fills uncompressed pixels that are missing with whatever lies in memory."""
    elements = ["Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PixelData"]
    try:
        with unvalidated():
            dataset = pydicom.dcmread(file, specific_tags=elements)
            frames = int(dataset.get("NumberOfFrames") or 1)
            bits = frames * dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated
            complete = dataset.file_meta.TransferSyntaxUID.is_encapsulated or len(dataset.PixelData) * 8 >= bits
    except HEADER_ERRORS:
        complete = False
    if not complete:
        raise damaged(file)


def _upright(sheared: sitk.Image) -> sitk.Image:
    """A tilted scan on an upright grid that holds all of it: linear interpolation, air around, float32.

    The slice axis becomes the way of the table; rows stay as near to their direction as they can.
    """
    row, _, way = np.reshape(sheared.GetDirection(), (3, 3)).T
    row = row - (row @ way) * way
    row /= np.linalg.norm(row)
    direction = np.column_stack([row, np.cross(way, row), way])
    last = np.array(sheared.GetSize()) - 1
    corners = [sheared.TransformIndexToPhysicalPoint((last * corner).tolist()) for corner in np.ndindex(2, 2, 2)]
    extent = np.array(corners) @ direction
    lowest, highest = extent.min(axis=0), extent.max(axis=0)
    spacing = np.array(sheared.GetSpacing())
    size = np.ceil((highest - lowest) / spacing).astype(int) + 1
    return sitk.Resample(
        sheared, size.tolist(), sitk.Transform(), sitk.sitkLinear,
        (direction @ lowest).tolist(), spacing.tolist(), direction.ravel().tolist(), AIR_HU, sitk.sitkFloat32,
    )  # fmt: skip
