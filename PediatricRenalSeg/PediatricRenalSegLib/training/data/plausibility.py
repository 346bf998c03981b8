"""What is wrong with a labeled patient, or may be.

What to expect stands in the rows of the patient's structures. ``body`` is the mask of ``body.body_mask`` on the
patient's own grid, ``(z, y, x)``.
"""

import numpy as np

from ...errors import InputError
from ...structures import Structure
from .patient import TrainingPatient

LARGEST_SHARE_OUTSIDE = 0.02
"""Part of the labeled voxels that may lie outside the body: here and there an outline reaches over the skin."""
FAT_HU = -30
"""An organ whose plausible median lies above may have little that is darker."""
LARGEST_SHARE_OF_FAT = 0.1
"""Part of an organ that may be as dark as fat or gas. Of the kidneys it was 0 to 3 % in five labeled scans, and 7 to
67 % after their labels had been mirrored or shifted by 30 mm; labels that include the fat of the sinus have more."""
LARGEST_SHARE_SKIPPED = 0.2
"""Part of the slices between the first and the last with an organ that may have none."""
SMALLEST_SHARE_OF_A_SIDE = 0.02
"""Part of a paired organ's voxels; less is a label that reaches over the midline."""


def check_patient(patient: TrainingPatient, body: np.ndarray) -> None:
    """Raise ``InputError`` for a patient from whom nothing can be learned, or something wrong."""
    _check_presence(patient)
    _check_place(patient, body)
    _check_intensities(patient)


def doubts_about(patient: TrainingPatient, body: np.ndarray) -> list[str]:
    """A sentence for each thing that is possible but rare, in a patient who has passed ``check_patient``."""
    doubts: list[str] = []
    for organ in patient.structures.organs:
        found = patient.labels == organ.label
        if found.any():
            doubts += _volume_doubts(organ, milliliters(patient, organ.label))
            doubts += _fat_doubts(organ, patient.image[found])
            doubts += _gap_doubts(organ, found)
            doubts += _side_doubts(organ, found, body)
    return doubts


def milliliters(patient: TrainingPatient, label: int) -> float:
    """Volume of a label."""
    return float(np.count_nonzero(patient.labels == label) * np.prod(patient.spacing) / 1000)


def _check_presence(patient: TrainingPatient) -> None:
    if not patient.labels.any():
        raise InputError(f"No voxel is labeled: label {patient.structures.text}, or remove the patient.")
    for organ in patient.structures.organs:
        if organ.warn_if_absent and not (patient.labels == organ.label).any():
            name = organ.name
            raise InputError(f"No {name} is labeled, so every {name} would be learned as background: label it.")


def _check_place(patient: TrainingPatient, body: np.ndarray) -> None:
    labeled = patient.labels > 0
    outside = np.count_nonzero(labeled & ~body) / np.count_nonzero(labeled)
    if outside > LARGEST_SHARE_OUTSIDE:
        raise InputError(
            f"{100 * outside:.0f} % of the labeled voxels lie outside the body: the labels are shifted, mirrored or "
            "those of another CT; save them again on this CT."
        )


def _check_intensities(patient: TrainingPatient) -> None:
    for structure in patient.structures:
        inside = patient.image[patient.labels == structure.label]
        low, high = structure.plausible_hu or (-np.inf, np.inf)
        if inside.size and not low <= (median := float(np.median(inside))) <= high:
            raise InputError(
                f"The median of the {structure.name} is {median:.0f} HU, which no {structure.name} has ({low:g} to "
                f"{high:g} HU): the labels may be shifted or mirrored, or those of another CT; correct them."
            )


def _volume_doubts(organ: Structure, volume: float) -> list[str]:
    """Of both sides together, or of one where the other was removed."""
    low, high = organ.plausible_ml or (0.0, np.inf)
    high *= 2 if organ.paired else 1
    if low <= volume <= high:
        return []
    relation = f"less than {low:g}" if volume < low else f"more than {high:g}"
    return [f"The {organ.name} has {volume:.1f} ml in all, {relation}: check the labels and the spacing."]


def _fat_doubts(organ: Structure, hu: np.ndarray) -> list[str]:
    share = np.count_nonzero(hu < FAT_HU) / hu.size
    if organ.plausible_hu is None or organ.plausible_hu[0] <= FAT_HU or share <= LARGEST_SHARE_OF_FAT:
        return []
    return [f"{100 * share:.0f} % of the {organ.name} is as dark as fat or gas: check that the labels fit the CT."]


def _gap_doubts(organ: Structure, found: np.ndarray) -> list[str]:
    labeled = np.flatnonzero(found.any(axis=(1, 2)))
    reach = labeled[-1] - labeled[0] + 1
    missing = reach - len(labeled)
    if missing / reach <= LARGEST_SHARE_SKIPPED:
        return []
    name = organ.name
    return [f"{missing} of {reach} slices between the ends of the {name} have no {name}: label them all."]


def _side_doubts(organ: Structure, found: np.ndarray, body: np.ndarray) -> list[str]:
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1] + 1) // 2
    share = np.count_nonzero(found[:, :, middle:]) / np.count_nonzero(found)
    if not organ.paired or SMALLEST_SHARE_OF_A_SIDE <= share <= 1 - SMALLEST_SHARE_OF_A_SIDE:
        return []
    side = "left" if share > 0.5 else "right"
    return [f"The {organ.name} is labeled on the {side} side only: label the other one if there is one."]
