"""The prepared store: canvas slices of many patients, so that training needs only torch and numpy.

One ``.npz`` a patient holds

- ``images`` ``(N, size, size)`` int16 Hounsfield units, air outside the body,
- ``masks`` ``(N, size, size)`` uint8 foreground masks,
- ``labels`` ``(N, size, size)`` uint8, network labels as in ``structures.STRUCTURES``.

Patients can be added at any time and by several processes; a file appears only when it is complete.
``split.json``, where there is one, names the patients of ``training`` and ``validation``; for patients that it
does not name, the name decides (``is_validation``).
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import preprocessing
from ..output_files import whole_file, write_text
from ..structures import STRUCTURES
from ..volume import InputError
from .real_data import TrainingPatient

VALIDATION_SHARE = 0.1
SPLIT = "split.json"
REACH_MM = 40.0
"""Slices of a real scan this far above and below the kidneys are kept more densely than the rest."""


@dataclass(frozen=True)
class SliceStore:
    """Slices of all patients in memory; row ``i`` of every array is one slice."""

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    """``(N,)`` str: "generated", "composite" or "real"."""
    patients: np.ndarray
    """``(N,)`` str."""
    boxes: np.ndarray
    """``(N, 4)`` float32 x0, y0, x1, y1 in [-1, 1]: the box around all labeled voxels of the slice's patient,
    NaN where nothing is labeled. One box a patient, so that neighboring slices are cropped alike."""

    def __len__(self) -> int:
        return len(self.images)

    def contains(self, label: int) -> np.ndarray:
        """``(N,)`` bool: slices with the label."""
        return (self.labels == label).any(axis=(1, 2))


@dataclass(frozen=True)
class PatientSlices:
    """All slices of one patient on the canvas, as the store holds them."""

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    body: np.ndarray
    """``(z, y, x)`` bool: the mask on the patient's own grid."""


def is_validation(patient: str) -> bool:
    """A fixed patient-wise split by name: it does not change when patients join."""
    return place_in_split(patient) < VALIDATION_SHARE * 1000


def place_in_split(patient: str) -> int:
    """0 to 999, the same for a name forever."""
    return zlib.crc32(patient.encode()) % 1000


def read_split(folder: Path) -> dict[str, bool]:
    """Whether a patient named in ``split.json`` is one of validation. Raises ``InputError`` if it is unreadable."""
    path = Path(folder) / SPLIT
    if not path.is_file():
        return {}
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        return {name: validation for validation in (False, True) for name in parts[_part_name(validation)]}
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f'{path} must be a JSON object of two lists of names, "training" and "validation": correct or delete it.'
        ) from None


def write_split(folder: Path, split: dict[str, bool]) -> None:
    """Write ``split.json``; ``split`` as ``read_split`` returns it."""
    parts = {_part_name(value): sorted(name for name in split if split[name] == value) for value in (False, True)}
    write_text(Path(folder) / SPLIT, json.dumps(parts, indent=2) + "\n")


def _part_name(validation: bool) -> str:
    return "validation" if validation else "training"


def slices_of(patient: TrainingPatient) -> PatientSlices:
    """Preprocess a patient as ``preprocessing.preprocess`` does before it normalizes."""
    hu, masks, body, grid = preprocessing.to_canvas(patient.image, patient.spacing)
    labels = np.zeros(hu.shape, np.uint8)
    for structure in STRUCTURES:
        share = preprocessing.resample_slices(patient.labels == structure.label, grid, outside=0)
        labels[share >= 0.5] = structure.label
    return PatientSlices(np.where(masks, hu, preprocessing.AIR_HU), masks, labels, body)


def real_rows(patient: TrainingPatient) -> np.ndarray:
    """Slices of a real scan: all around the labels, every third elsewhere."""
    labeled = np.flatnonzero(patient.labels.any(axis=(1, 2)))
    reach = round(REACH_MM / patient.spacing[0])
    near = np.arange(len(patient.image))
    near = (near >= labeled[0] - reach) & (near <= labeled[-1] + reach)
    return np.flatnonzero(near | (np.arange(len(near)) % 3 == 0))


def store_patient(folder: Path, patient: TrainingPatient, rows: np.ndarray | None = None) -> None:
    """Put a patient (or some of its slices) on the canvas and into the store."""
    store_slices(folder, patient, slices_of(patient), rows)


def store_slices(folder: Path, patient: TrainingPatient, slices: PatientSlices, rows: np.ndarray | None) -> None:
    """The same where the slices are made already."""
    rows = np.arange(len(slices.images)) if rows is None else rows
    chosen = (values[rows] for values in (slices.images, slices.masks, slices.labels))
    add_patient(folder, patient.name, patient.kind, *chosen)


def add_patient(folder: Path, name: str, kind: str, images: np.ndarray, masks: np.ndarray, labels: np.ndarray) -> None:
    """Write one patient; arrays ``(N, size, size)`` as in the module's description."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}.npz") as partial:
        np.savez(
            partial,
            images=images.astype(np.int16),
            masks=masks.astype(np.uint8),
            labels=labels.astype(np.uint8),
            kind=kind,
        )


def open_store(folder: Path, validation: bool) -> SliceStore:
    """Load the training or the validation patients of a store. Raises ``InputError`` when there are none."""
    found = sorted(path for path in Path(folder).glob("*.npz") if not path.name.startswith("."))
    split = read_split(folder)
    files = [path for path in found if _in_validation(path, split) == validation]
    if not files:
        part = "validation" if validation else "training"
        raise InputError(f"The store {folder} holds no {part} patients (*.npz): prepare more patients.")
    labels, kinds, boxes = zip(*(_labels_of(path) for path in files))
    rows = np.cumsum([0, *(len(values) for values in labels)])
    # Filled in place: lists of small arrays, put together at the end, leave the process with twice the memory.
    images = np.empty((rows[-1], *labels[0].shape[1:]), np.int16)
    masks = np.empty(images.shape, np.uint8)
    for path, first, end in zip(files, rows, rows[1:]):
        with np.load(path) as patient:
            images[first:end], masks[first:end] = patient["images"], patient["masks"]
    counts = np.diff(rows)
    return SliceStore(
        images=images,
        masks=masks,
        labels=np.concatenate(labels),
        kinds=np.repeat(kinds, counts),
        patients=np.repeat([path.stem for path in files], counts),
        boxes=np.repeat(boxes, counts, axis=0),
    )


def _labels_of(path: Path) -> tuple[np.ndarray, str, np.ndarray]:
    """Labels, kind and box of a stored patient."""
    with np.load(path) as patient:
        labels = patient["labels"]
        return labels, str(patient["kind"]), patient_box(labels)


def _in_validation(path: Path, split: dict[str, bool]) -> bool:
    """Composites are for training alone: they share backgrounds and kidneys with one another."""
    if not split.get(path.stem, is_validation(path.stem)):
        return False
    with np.load(path) as patient:
        return str(patient["kind"]) != "composite"


def patient_box(labels: np.ndarray) -> np.ndarray:
    """Box x0, y0, x1, y1 in [-1, 1] around the labeled voxels of ``(N, size, size)``; NaN when there are none."""
    found = labels.any(axis=0)
    if not found.any():
        return np.full(4, np.nan, np.float32)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return 2 * edges / labels.shape[-1] - 1
