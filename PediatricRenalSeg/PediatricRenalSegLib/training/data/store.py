"""The prepared store: canvas slices of many patients, so that training needs only torch and numpy.

One ``.npz`` a patient holds

- ``images`` ``(N, size, size)`` int16 Hounsfield units, air outside the body,
- ``masks`` ``(N, size, size)`` uint8 foreground masks,
- ``labels`` ``(N, size, size)`` uint8, labels of the store's structures.

``structures.json`` says what these structures are; a store without it, of an earlier version, has the renal ones.
Patients can be added at any time and by several processes; a file appears only when it is complete.
Which patients validate is told by ``split``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...body import body_mask
from ...errors import InputError
from ...models.bundle import BACKGROUND
from ...output_files import whole_file, write_text
from ...pipelines.canvas import DEFAULT_CANVAS, canvas_grid, on_canvas, resample_slices
from ...structures import RENAL, StructureSet
from ...volume import AIR_HU
from .patient import TrainingPatient
from .split import is_validation, read_split

STRUCTURES = "structures.json"
"""In the folder of the store."""
REACH_MM = 40.0
"""Slices of a real scan this far above and below the labels are kept more densely than the rest."""


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
    structures: StructureSet
    """What the labels mean."""

    def __len__(self) -> int:
        return len(self.images)

    def contains(self, label: int) -> np.ndarray:
        """``(N,)`` bool: slices with the label."""
        return (self.labels == label).any(axis=(1, 2))

    def in_channels(self, channels: Sequence[str]) -> "SliceStore":
        """The same slices with the numbers of a network's channels as labels.

        channels: as ``ModelMetadata.channels``. Raises ``InputError`` unless they are the store's structures.
        """
        names = [row.name for row in self.structures]
        if sorted(channels) != sorted([BACKGROUND, *names]):
            raise InputError(
                f"The store holds {', '.join(names)}, but the network tells apart {', '.join(channels[1:])}: "
                "train it with a store of the same structures."
            )
        rows = tuple(
            replace(self.structures.named(name), label=number) for number, name in enumerate(channels) if number
        )
        if rows == self.structures.rows:
            return self
        numbers = np.zeros(256, np.uint8)
        for row in rows:
            numbers[self.structures.named(row.name).label] = row.label
        return replace(self, labels=numbers[self.labels], structures=StructureSet(rows))


@dataclass(frozen=True)
class PatientSlices:
    """All slices of one patient on the canvas, as the store holds them."""

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    body: np.ndarray
    """``(z, y, x)`` bool: the mask on the patient's own grid."""


def channels_of(structures: StructureSet) -> tuple[str, ...]:
    """The channels of a network that is trained from the beginning."""
    return (BACKGROUND, *(row.name for row in structures))


def read_structures(folder: Path) -> StructureSet:
    """What the labels of a store mean. Raises ``InputError`` if its ``structures.json`` is unreadable."""
    path = Path(folder) / STRUCTURES
    return read_structure_file(path) if path.is_file() else RENAL


def read_structure_file(path: Path) -> StructureSet:
    """Structures in the form of a store's ``structures.json``. Raises ``InputError`` if it is unreadable."""
    try:
        return StructureSet.from_list(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} must be a JSON list of structures ({error}): name a store's {STRUCTURES}.") from None


def claim_store(folder: Path, structures: StructureSet) -> StructureSet:
    """Make a store for labels of these structures, or take one that there is; returns those of the store.

    They agree in names and labels; what else a store says of its structures stays. Raises ``InputError`` if it holds
    others.
    """
    folder = Path(folder)
    path = folder / STRUCTURES
    if path.is_file() or any(folder.glob("*.npz")):
        kept, wanted = (_label_text(rows) for rows in (read_structures(folder), structures))
        if kept != wanted:
            raise InputError(f"The store {folder} holds {kept}, not {wanted}: name another folder.")
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(structures.to_list(), indent=2) + "\n")
    return read_structures(folder)


def _label_text(structures: StructureSet) -> str:
    """Names and labels for a sentence, the same for the same ones in another order."""
    return ", ".join(f"{row.name} ({row.label})" for row in sorted(structures, key=lambda row: row.label))


def slices_of(patient: TrainingPatient) -> PatientSlices:
    """Preprocess a patient as ``pipelines.canvas.preprocess`` does before it normalizes."""
    body = body_mask(patient.image, patient.spacing)
    grid = canvas_grid(body, patient.spacing, DEFAULT_CANVAS)
    hu, masks = on_canvas(patient.image, body, grid)
    labels = np.zeros(hu.shape, np.uint8)
    for structure in patient.structures:
        share = resample_slices(patient.labels == structure.label, grid, outside=0)
        labels[share >= 0.5] = structure.label
    return PatientSlices(np.where(masks, hu, AIR_HU), masks, labels, body)


def real_rows(patient: TrainingPatient) -> np.ndarray:
    """Slices of a real scan: all around the labels, every third elsewhere."""
    labeled = np.flatnonzero(patient.labels.any(axis=(1, 2)))
    reach = round(REACH_MM / patient.spacing[0])
    near = np.arange(len(patient.image))
    near = (near >= labeled[0] - reach) & (near <= labeled[-1] + reach)
    return np.flatnonzero(near | (np.arange(len(near)) % 3 == 0))


def store_patient(folder: Path, patient: TrainingPatient, rows: np.ndarray | None = None) -> None:
    """Put a patient (or some of its slices) on the canvas and into the store.

    Raises ``InputError`` if the store is one of other structures.
    """
    store_slices(folder, patient, slices_of(patient), rows)


def store_slices(folder: Path, patient: TrainingPatient, slices: PatientSlices, rows: np.ndarray | None) -> None:
    """The same where the slices are made already."""
    claim_store(folder, patient.structures)
    rows = np.arange(len(slices.images)) if rows is None else rows
    images, masks, labels = (values[rows] for values in (slices.images, slices.masks, slices.labels))
    add_patient(folder, patient.name, patient.kind, images, masks, labels)


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
        structures=read_structures(folder),
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
    found = np.any(labels, axis=0)
    if not found.any():
        return np.full(4, np.nan, np.float32)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return 2 * edges / labels.shape[-1] - 1
