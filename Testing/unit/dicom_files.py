"""Real DICOM files for the tests: classic CT series and enhanced multi-frame CT, written with pydicom."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Doe^Jane"
"""The identity in every file, which no message and no log may repeat."""
PATIENT_ID = "ID-4711"
OTHER_PATIENT_ID = "ID-0815"
STUDY_UID = generate_uid()
STUDY_DATE = "20240229"
AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
INTERCEPT = -1024

HounsfieldField = Callable[[np.ndarray], np.ndarray]
"""Hounsfield units at LPS points ``(…, 3)`` in mm."""


def body(points: np.ndarray) -> np.ndarray:
    """A ball of soft tissue, 60 mm wide, around the origin, in air; fat in its outermost 5 mm."""
    radius = np.linalg.norm(points, axis=-1)
    return np.select([radius < 25, radius < 30], [40, -100], -1000)


def slice_positions(count: int = 8, spacing: float = 6.0, size: int = 32, pixel: float = 2.5) -> list[np.ndarray]:
    """First-pixel positions of axial slices centerd on the origin, feet first."""
    edge = -(size - 1) / 2 * pixel
    return [np.array([edge, edge, (index - (count - 1) / 2) * spacing]) for index in range(count)]


def sample(field: HounsfieldField, position, orientation, size: int, pixel: float) -> np.ndarray:
    """The field on the pixels of one slice, ``(rows, columns)``."""
    row, column = np.reshape(orientation, (2, 3))
    steps = np.arange(size) * pixel
    return field(position + steps[None, :, None] * row + steps[:, None, None] * column)


def write_series(
    folder: Path,
    positions: Sequence[np.ndarray] | None = None,
    *,
    orientation=AXIAL,
    size: int = 32,
    pixel: float = 2.5,
    field: HounsfieldField = body,
    number: int = 3,
    first_instance: int = 1,
    uid: str | None = None,
    change: Callable[[int, Dataset], None] | None = None,
    **elements,
) -> list[Path]:
    """A classic CT series, one file a slice; ``elements`` are set in every file, then ``change(index, dataset)``."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    files = []
    for index, position in enumerate(slice_positions(size=size, pixel=pixel) if positions is None else positions):
        dataset = _image_dataset(CTImageStorage, uid, number)
        dataset.InstanceNumber = first_instance + index
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
        dataset.ImageOrientationPatient = [f"{value:.8f}" for value in orientation]
        dataset.PixelSpacing = [pixel, pixel]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, INTERCEPT
        _set_pixels(dataset, sample(field, position, orientation, size, pixel)[None])
        files.append(folder / f"{number:02d}-{first_instance + index:04d}.dcm")
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        if change:
            change(index, dataset)
        save(dataset, files[-1])
    return files


def write_enhanced(
    file: Path,
    positions: Sequence[np.ndarray] | None = None,
    *,
    size: int = 32,
    pixel: float = 2.5,
    field: HounsfieldField = body,
    intercepts: Sequence[int] | None = None,
    **elements,
) -> Path:
    """An enhanced multi-frame CT; its rescale is shared by all frames unless ``intercepts`` gives one a frame."""
    positions = slice_positions(size=size, pixel=pixel) if positions is None else positions
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset = _image_dataset(EnhancedCTImageStorage, generate_uid(), 5)
    shared = Dataset()
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=list(AXIAL))
    shared.PixelMeasuresSequence = _item(PixelSpacing=[pixel, pixel], SliceThickness=1)
    if intercepts is None:
        shared.PixelValueTransformationSequence = _rescale(INTERCEPT)
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames = []
    for index, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = _item(ImagePositionPatient=[float(value) for value in position])
        if intercepts is not None:
            frame.PixelValueTransformationSequence = _rescale(intercepts[index])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    dataset.NumberOfFrames = len(frames)
    _set_pixels(dataset, np.stack([sample(field, position, AXIAL, size, pixel) for position in positions]))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    save(dataset, file)
    return file


def save(dataset: Dataset, file: Path) -> None:
    """Write with the file meta information that belongs to the dataset as it is now."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(file, enforce_file_format=True)


def _image_dataset(sop_class: UID, series_uid: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = PATIENT, PATIENT_ID, STUDY_DATE
    dataset.SeriesDescription = f"Abdomen {PATIENT}"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = STUDY_UID, series_uid, number
    return dataset


def _set_pixels(dataset: Dataset, hounsfield: np.ndarray) -> None:
    """Store frames ``(frames, rows, columns)`` as 16-bit values with the usual intercept."""
    dataset.Rows, dataset.Columns = hounsfield.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = np.round(hounsfield - INTERCEPT).astype("<i2").tobytes()


def _item(**elements) -> DicomSequence:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return DicomSequence([item])


def _rescale(intercept: int) -> DicomSequence:
    return _item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU")
