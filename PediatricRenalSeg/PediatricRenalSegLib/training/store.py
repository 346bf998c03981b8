"""The prepared store: canvas slices of many patients, so that training needs only torch and numpy.

One ``.npz`` a patient holds

- ``images`` ``(N, size, size)`` int16 Hounsfield units, air outside the body,
- ``masks`` ``(N, size, size)`` uint8 foreground masks,
- ``labels`` ``(N, size, size)`` uint8, network labels as in ``structures.STRUCTURES``.

Patients can be added at any time and by several processes; a file appears only when it is complete.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..volume import InputError

VALIDATION_SHARE = 0.1


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


def is_validation(patient: str) -> bool:
    """A fixed patient-wise split by name: it does not change when patients join."""
    return zlib.crc32(patient.encode()) % 1000 < VALIDATION_SHARE * 1000


def add_patient(folder: Path, name: str, kind: str, images: np.ndarray, masks: np.ndarray, labels: np.ndarray) -> None:
    """Write one patient; arrays ``(N, size, size)`` as in the module's description."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}.npz"
    np.savez(
        partial,
        images=images.astype(np.int16),
        masks=masks.astype(np.uint8),
        labels=labels.astype(np.uint8),
        kind=kind,
    )
    partial.replace(folder / f"{name}.npz")


def open_store(folder: Path, validation: bool) -> SliceStore:
    """Load the training or the validation patients of a store. Raises ``InputError`` when there are none."""
    found = sorted(path for path in Path(folder).glob("*.npz") if not path.name.startswith("."))
    files = [path for path in found if _in_validation(path) == validation]
    if not files:
        part = "validation" if validation else "training"
        raise InputError(f"The store {folder} holds no {part} patients (*.npz): prepare more patients.")
    columns = {name: [] for name in ("images", "masks", "labels", "kinds", "patients", "boxes")}
    for path in files:
        with np.load(path) as patient:
            count = len(patient["images"])
            for name in ("images", "masks", "labels"):
                columns[name].append(patient[name])
            columns["kinds"].append(np.repeat(str(patient["kind"]), count))
            columns["patients"].append(np.repeat(path.stem, count))
            columns["boxes"].append(np.tile(patient_box(columns["labels"][-1]), (count, 1)))
    return SliceStore(**{name: np.concatenate(columns.pop(name)) for name in list(columns)})


def _in_validation(path: Path) -> bool:
    """Composites are for training alone: they share backgrounds and kidneys with one another."""
    if not is_validation(path.stem):
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
