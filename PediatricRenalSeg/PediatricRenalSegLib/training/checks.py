"""What is wrong with a labeled patient, or may be.

``body`` is the mask of ``preprocessing.body_mask`` on the patient's own grid, ``(z, y, x)``.
"""

import numpy as np

from ..measurements import PLAUSIBLE_ML
from ..structures import STRUCTURES
from ..volume import InputError
from .real_data import KIDNEY_LABEL, TrainingPatient

LARGEST_SHARE_OUTSIDE = 0.02
"""Part of the labeled voxels that may lie outside the body: here and there an outline reaches over the skin."""
PLAUSIBLE_HU = {"kidney": (0.0, 400.0), "tumor": (-100.0, 300.0)}
"""Median of a structure, by name: kidneys have 30 HU without contrast and up to 250 HU in the arterial phase, a fatty
tumor is dark; with room on both sides."""
FAT_HU = -30
LARGEST_SHARE_OF_FAT = 0.1
"""Part of the kidney that may be as dark as fat or gas. It was 0 to 3 % in five labeled scans, and 7 to 67 % after
their labels had been mirrored or shifted by 30 mm; labels that include the fat of the sinus have more."""
LARGEST_SHARE_SKIPPED = 0.2
"""Part of the slices between the first and the last with kidney that may have none."""
SMALLEST_SHARE_OF_A_SIDE = 0.02
"""Part of the kidney voxels; less is a label that reaches over the midline."""
KIDNEYS = 2


def check_patient(patient: TrainingPatient, body: np.ndarray) -> None:
    """Raise ``InputError`` for a patient from whom nothing can be learned, or something wrong."""
    _check_presence(patient)
    _check_place(patient, body)
    _check_intensities(patient)


def doubts_about(patient: TrainingPatient, body: np.ndarray) -> list[str]:
    """A sentence for each thing that is possible but rare, in a patient who has passed ``check_patient``."""
    kidney = patient.labels == KIDNEY_LABEL
    volume = milliliters(patient, KIDNEY_LABEL)
    return [
        *_volume_doubts(volume),
        *_fat_doubts(patient.image[kidney]),
        *_gap_doubts(kidney),
        *_side_doubts(kidney, body),
    ]


def milliliters(patient: TrainingPatient, label: int) -> float:
    """Volume of a label."""
    return float(np.count_nonzero(patient.labels == label) * np.prod(patient.spacing) / 1000)


def _check_presence(patient: TrainingPatient) -> None:
    if not patient.labels.any():
        raise InputError("No voxel is labeled: label the kidneys and the tumor, or remove the patient.")
    if not (patient.labels == KIDNEY_LABEL).any():
        raise InputError("No kidney is labeled, so kidneys would be learned as background: label them.")


def _check_place(patient: TrainingPatient, body: np.ndarray) -> None:
    labeled = patient.labels > 0
    outside = np.count_nonzero(labeled & ~body) / np.count_nonzero(labeled)
    if outside > LARGEST_SHARE_OUTSIDE:
        raise InputError(
            f"{100 * outside:.0f} % of the labeled voxels lie outside the body: the labels are shifted, mirrored or "
            "those of another CT; save them again on this CT."
        )


def _check_intensities(patient: TrainingPatient) -> None:
    for structure in STRUCTURES:
        inside = patient.image[patient.labels == structure.label]
        low, high = PLAUSIBLE_HU.get(structure.name, (-np.inf, np.inf))
        if inside.size and not low <= (median := float(np.median(inside))) <= high:
            raise InputError(
                f"The median of the {structure.name} is {median:.0f} HU, which no {structure.name} has ({low:g} to "
                f"{high:g} HU): the labels may be shifted or mirrored, or those of another CT; correct them."
            )


def _volume_doubts(volume: float) -> list[str]:
    low, high = PLAUSIBLE_ML["kidney"]
    if low <= volume <= KIDNEYS * high:
        return []
    relation = f"less than {low:g}" if volume < low else f"more than {KIDNEYS * high:g}"
    return [f"The kidneys have {volume:.1f} ml, {relation}: check the labels and the spacing."]


def _fat_doubts(kidney_hu: np.ndarray) -> list[str]:
    share = np.count_nonzero(kidney_hu < FAT_HU) / kidney_hu.size
    if share <= LARGEST_SHARE_OF_FAT:
        return []
    return [f"{100 * share:.0f} % of the kidney is as dark as fat or gas: check that the labels fit the CT."]


def _gap_doubts(kidney: np.ndarray) -> list[str]:
    labeled = np.flatnonzero(kidney.any(axis=(1, 2)))
    reach = labeled[-1] - labeled[0] + 1
    missing = reach - len(labeled)
    if missing / reach <= LARGEST_SHARE_SKIPPED:
        return []
    return [f"{missing} of {reach} slices between the ends of the kidneys have no kidney: label them all."]


def _side_doubts(kidney: np.ndarray, body: np.ndarray) -> list[str]:
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1] + 1) // 2
    share = np.count_nonzero(kidney[:, :, middle:]) / np.count_nonzero(kidney)
    if SMALLEST_SHARE_OF_A_SIDE <= share <= 1 - SMALLEST_SHARE_OF_A_SIDE:
        return []
    side = "left" if share > 0.5 else "right"
    return [f"Kidney is labeled on the {side} side only: label the other one if there is one."]
