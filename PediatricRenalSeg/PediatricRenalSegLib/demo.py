"""The demonstration: a generated child as a CT file, so that the main job runs on real input."""

from pathlib import Path

import SimpleITK as sitk

from .export.labelmap import write_labelmap
from .synthetic import generate_child
from .volume import InputError, LabelVolume

CT = "ct.nii.gz"
REFERENCE = "reference.nii.gz"
OLDEST = 16


def make_demo_child(folder: Path, age_years: float, seed: int, overwrite: bool) -> Path:
    """Write ``ct.nii.gz`` and ``reference.nii.gz`` (a label map) of a generated child; returns the CT's path.

    Raises ``InputError`` for an age out of range, or when there is a CT already.
    """
    if not 0 <= age_years <= OLDEST:
        raise InputError(f"Children of {age_years:g} years cannot be generated: choose an age from 0 to {OLDEST}.")
    ct, reference = folder / CT, folder / REFERENCE
    if ct.exists() and not overwrite:
        raise InputError(f"{ct} exists already: choose another folder or add --overwrite.")
    image, labels = generate_child(age_years, seed, tumor=True).to_sitk()
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, ct)
    write_labelmap(reference, LabelVolume(labels))
    return ct
