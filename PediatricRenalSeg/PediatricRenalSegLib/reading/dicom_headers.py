"""DICOM headers as plain records: one ``Slice`` an image, grouped into ``Series``.

Only the elements named in ``_ELEMENTS`` are read. ``PatientID`` and ``StudyInstanceUID`` are there to be
compared; they and free text of the header go into no message and no file.
"""

import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import cos, isfinite, radians
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from ..errors import InputError
from .files import claims_dicom

HEADER_ERRORS = (
    InvalidDicomError, BytesLengthException, NotImplementedError, OSError, EOFError, struct.error,
    ValueError, TypeError, KeyError, AttributeError, OverflowError,
)  # fmt: skip
"""What pydicom raises for a damaged file, on reading it or on the first use of a value."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
DIRECTORY = "1.2.840.10008.1.3.10"
SECONDARY_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
PROJECTIONS = {"MIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION IMAGE", "VOLUME_RENDER"}
HOUNSFIELD_TYPES = ("", "HU", "HU_MOD", "US", "UNSPECIFIED")
"""Rescale types of plain CT; spectral maps have others (Z_EFF, ED, MGML, …)."""
LARGEST_AXIAL_ANGLE = 30
"""Degrees between the patient's long axis and the normal of slices that still count as axial."""

_ELEMENTS = [
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "ConcatenationUID", "SOPInstanceUID", "SOPClassUID",
    "SeriesNumber", "InstanceNumber",
    "Modality", "ImageType", "AcquisitionNumber", "TemporalPositionIdentifier", "GantryDetectorTilt",
    "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """One image of a series: a classic file, or one frame of an enhanced one."""

    file: Path
    frame: int
    """Index in the file, from 0."""
    name: str
    """How a message calls it: its instance or frame number, or the file name."""
    class_uid: str
    instance_uid: str
    shape: tuple[int, int]
    """Rows and columns."""
    position: tuple[float, ...]
    """Centre of the first pixel, LPS mm; empty, as the next two, where the header has none."""
    orientation: tuple[float, ...]
    """Direction of a row, then of a column."""
    pixel_spacing: tuple[float, ...]
    """Between rows, then between columns, mm."""
    rescale: tuple[tuple[float, ...], tuple[float, ...]]
    """Slope and intercept, each empty where the header has none."""
    tilt: float
    """Gantry tilt in degrees as the header states it; the positions decide."""
    acquisition: str
    temporal_position: str
    patient: str = field(repr=False)
    """Identity, to be compared only; empty where the header has none."""
    study: str = field(repr=False)
    """As ``patient``, of the examination."""

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across a row and a column, LPS."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return normal / np.linalg.norm(normal)


@dataclass(frozen=True)
class Series:
    """Images that belong together: same series, same kind."""

    number: str
    not_ct: str
    """Why it is not a CT to segment ("MR", "scout", "secondary capture", …); empty for a CT."""
    derived: bool
    """Computed from other images (a reformat, for instance), by the header's own word."""
    slices: tuple[Slice, ...]

    @property
    def plane(self) -> str:
        """The anatomical plane of most slices, or "unplaced" without positions."""
        orientations = Counter(s.orientation for s in self.slices if s.orientation and s.position)
        if not orientations:
            return "unplaced"
        (orientation, _), *_ = orientations.most_common(1)
        normal = np.abs(np.cross(orientation[:3], orientation[3:]))
        if normal[2] >= cos(radians(LARGEST_AXIAL_ANGLE)):
            return "axial"
        return ("sagittal", "coronal", "oblique")[int(np.argmax(normal))]

    @property
    def location_count(self) -> int:
        """Slices at different places: phases of the same place count once."""
        return len({s.position for s in self.slices})

    @property
    def summary(self) -> str:
        """For the log, without identity: ``series 3 (CT axial, 120 images)``."""
        kind = self.not_ct or f"{'derived ' * self.derived}CT {self.plane}"
        return f"series {self.number} ({kind}, {len(self.slices)} image{'s' * (len(self.slices) > 1)})"


def read_all_series(files: list[Path]) -> list[Series]:
    """The series in these files, in the order of their numbers; files that are not DICOM are passed over.

    Raises ``InputError`` for a DICOM file that cannot be read, whatever its series: a slice might be lost.
    """
    groups: dict[tuple, list[Slice]] = {}
    for file in filter(claims_dicom, files):
        key, slices = _read_file(file)
        if slices:
            groups.setdefault(key, []).extend(slices)
    series = [
        Series(number, not_ct, derived, tuple(slices)) for (_, _, number, not_ct, derived), slices in groups.items()
    ]
    return sorted(series, key=lambda one: (one.number.zfill(12), one.not_ct))


def series_key(file: Path) -> tuple:
    """What the images of one series share with this file's."""
    key, _ = _read_file(file)
    return key


@contextmanager
def unvalidated() -> Iterator[None]:
    """Reads with pydicom without its warnings, which quote values: what matters is checked here."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def damaged(file: Path) -> InputError:
    """The error for a file that cannot be read to its end."""
    return InputError(f'The DICOM file "{file.name}" is damaged or incomplete; copy or export the series again.')


def _read_file(file: Path) -> tuple[tuple, list[Slice]]:
    """The file's series key and its slices: none in a DICOM directory."""
    try:
        with unvalidated():
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_ELEMENTS)
            if dataset.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
                return _key(dataset), []
            kind = _text(dataset, "SOPClassUID")
            required = ("SeriesInstanceUID", "Rows", "Columns") if kind in (CT_IMAGE, *ENHANCED_CT_IMAGES) else ()
            if not kind or not all(_text(dataset, keyword) for keyword in required):
                raise EOFError("cut short in its header")
            return _key(dataset), _slices(file, dataset)
    except HEADER_ERRORS:
        # Not chained: pydicom quotes values of the header.
        raise damaged(file) from None


def _key(dataset: Dataset) -> tuple:
    enhanced = _text(dataset, "SOPClassUID") in ENHANCED_CT_IMAGES
    # An enhanced file is a volume of its own, unless it is one part of a concatenation.
    volume = (_text(dataset, "ConcatenationUID") or _text(dataset, "SOPInstanceUID")) if enhanced else ""
    derived = _image_type(dataset)[:1] == ["DERIVED"]
    number = _integer(dataset, "SeriesNumber") or "without number"
    return _text(dataset, "SeriesInstanceUID"), volume, number, _why_not_ct(dataset), derived


def _why_not_ct(dataset: Dataset) -> str:
    modality, kind = _text(dataset, "Modality"), _text(dataset, "SOPClassUID")
    image_type = _image_type(dataset)
    if kind.startswith(SECONDARY_CAPTURES):
        return "secondary capture"
    if modality != "CT":
        return (modality if re.fullmatch("[A-Z]{2,16}", modality) else "other") if modality else "no modality"
    if kind not in (CT_IMAGE, *ENHANCED_CT_IMAGES):
        return "CT, not images"
    if "LOCALIZER" in image_type:
        return "CT scout"
    if PROJECTIONS.intersection(image_type):
        return "CT projection"
    if _rescale_type(dataset) not in HOUNSFIELD_TYPES:
        return "CT spectral map"
    return "CT in color" if _text(dataset, "SamplesPerPixel") == "3" else ""


def _image_type(dataset: Dataset) -> list[str]:
    value = dataset.get("ImageType") or []
    return [str(word).upper() for word in ([value] if isinstance(value, str) else value)]


def _rescale_type(dataset: Dataset) -> str:
    per_frame, shared = _frame_groups(dataset)
    group = _functional(per_frame[0] if per_frame else Dataset(), shared, "PixelValueTransformationSequence")
    return (_text(dataset, "RescaleType") or _text(group, "RescaleType")).upper()


def _slices(file: Path, dataset: Dataset) -> list[Slice]:
    if _text(dataset, "SOPClassUID") not in ENHANCED_CT_IMAGES:
        return [_slice(file, dataset, 0, _integer(dataset, "InstanceNumber"), [dataset] * 5)]
    per_frame, shared = _frame_groups(dataset)
    names = (
        "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
        "PixelValueTransformationSequence", "FrameContentSequence",
    )  # fmt: skip
    return [
        _slice(file, dataset, index, str(index + 1), [_functional(groups, shared, name) for name in names])
        for index, groups in enumerate(per_frame)
    ]


def _slice(file: Path, dataset: Dataset, frame: int, number: str, sources: list[Dataset]) -> Slice:
    position, orientation, measures, transformation, content = sources
    return Slice(
        file=file,
        frame=frame,
        name=number or f'"{file.name}"',
        class_uid=_text(dataset, "SOPClassUID"),
        instance_uid=_text(dataset, "SOPInstanceUID") or str(file),
        shape=(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)),
        position=_numbers(position, "ImagePositionPatient", 3),
        orientation=_numbers(orientation, "ImageOrientationPatient", 6),
        pixel_spacing=_numbers(measures, "PixelSpacing", 2),
        rescale=(_numbers(transformation, "RescaleSlope", 1), _numbers(transformation, "RescaleIntercept", 1)),
        tilt=(_numbers(dataset, "GantryDetectorTilt", 1) or (0.0,))[0],
        acquisition=_integer(content, "AcquisitionNumber") or _integer(content, "FrameAcquisitionNumber"),
        temporal_position=_integer(content, "TemporalPositionIdentifier") or _integer(content, "TemporalPositionIndex"),
        patient=_text(dataset, "PatientID"),
        study=_text(dataset, "StudyInstanceUID"),
    )


def _frame_groups(dataset: Dataset) -> tuple[list[Dataset], Dataset]:
    """The functional groups of each frame, and those that all frames share."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])
    return list(dataset.get("PerFrameFunctionalGroupsSequence") or []), shared[0]


def _functional(per_frame: Dataset, shared: Dataset, name: str) -> Dataset:
    items = per_frame.get(name) or shared.get(name) or [Dataset()]
    return items[0]


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _integer(dataset: Dataset, keyword: str) -> str:
    """As ``_text`` where it is an integer, else empty: a file may declare any element to be free text."""
    text = _text(dataset, keyword)
    return text if re.fullmatch("[+-]?[0-9]{1,12}", text) else ""


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """The element's ``count`` finite numbers; empty where it is absent or incomplete."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return ()
    numbers = tuple(float(one) for one in (value if np.ndim(value) else [value]))
    return numbers if len(numbers) == count and all(map(isfinite, numbers)) else ()
