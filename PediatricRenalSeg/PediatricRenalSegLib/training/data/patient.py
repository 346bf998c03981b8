"""A patient to train on, and the labels of scans that hold segments."""

from dataclasses import dataclass

import numpy as np

from ...structures import RENAL, StructureSet
from ...volume import AIR_HU, Spacing

KINDS = ("generated", "composite", "real")
"""Where a patient's image comes from: ``synthetic``, ``composites``, or a scanner."""
LABELS_OF_SEGMENTS = np.array([0, *(segment.structure.label for segment in RENAL.segments)], np.uint8)
"""Label by the value of a segment; ``NAME_label.nii.gz`` and generated scans hold renal segments."""


@dataclass(frozen=True)
class TrainingPatient:
    """One patient to train on; slices of a composite need not be neighbors."""

    name: str
    kind: str
    """One of ``KINDS``."""
    image: np.ndarray
    """(z, y, x) int16, HU, axial, LPS order."""
    labels: np.ndarray
    """(z, y, x) uint8: 0 background, elsewhere the label of a structure."""
    spacing: Spacing
    """(z, y, x) mm."""
    structures: StructureSet = RENAL
    """What the labels mean. Generated children and composites are renal."""


def clip_hu(image: np.ndarray) -> np.ndarray:
    """As int16, without the values that stand for nothing."""
    return np.clip(image, AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
