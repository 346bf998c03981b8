"""Real scans whose kidneys are labeled by side.

A folder of scans holds, for every name, ``NAME.nii.gz`` (CT) and ``NAME_label.nii.gz`` (1 right kidney,
2 left kidney, 3 tumor). Arrays are ``(z, y, x)`` in LPS order.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...reading import read_ct, read_labels
from ...volume import CTVolume, axial, same_grid
from .patient import LABELS_OF_SEGMENTS, TrainingPatient, clip_hu


def read_labels_of(ct: CTVolume, path: Path, known: Collection[int]) -> np.ndarray:
    """Labels of a CT, (z, y, x) in LPS order; ``InputError`` when they lie elsewhere or are not ``known``."""
    labels = read_labels(path, known)
    if not same_grid(ct.image, labels):
        raise InputError(f'"{path.name}" lies on another grid than its CT; save the labels on the grid of the CT.')
    return axial(labels)[0]


def read_scan(folder: Path | str, name: str) -> tuple[CTVolume, np.ndarray]:
    """A CT and its segments (z, y, x). Raises ``InputError`` when they cannot be read or do not belong together."""
    ct = read_ct(Path(folder, f"{name}.nii.gz"))
    return ct, read_labels_of(ct, Path(folder, f"{name}_label.nii.gz"), range(len(LABELS_OF_SEGMENTS)))


def load_real(folder: Path | str, name: str) -> TrainingPatient:
    """A scan on its own grid with its labels: both kidneys become 1, a tumor (3) becomes 2."""
    ct, sides = read_scan(folder, name)
    image, spacing = ct.axial()
    return TrainingPatient(
        name=name,
        kind="real",
        image=clip_hu(image),
        labels=LABELS_OF_SEGMENTS[sides],
        spacing=spacing,
    )
