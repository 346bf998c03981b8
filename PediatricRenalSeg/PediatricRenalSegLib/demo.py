"""The demonstration: a generated child as a CT file, so that the main job runs on real input."""

from pathlib import Path

from .errors import InputError
from .export.image import write_image
from .export.labelmap import structure_labels
from .export.patient_folder import check_patient_folder
from .output_files import check_outputs
from .structures import RENAL
from .synthetic import generate_child
from .volume import LabelVolume

CT = "ct.nii.gz"
REFERENCE = "reference.nii.gz"
RESULT = "result"
"""Patient folder of the segmentation, which is made later."""

OLDEST = 16
"""Years: the generator knows no adults."""


def make_demo_child(folder: Path, age_years: float, seed: int, overwrite: bool) -> Path:
    """Write ``ct.nii.gz`` and ``reference.nii.gz`` (a label map) of a generated child; returns the CT's path.

    Raises ``InputError`` for an age out of range, or when one of the files or ``result`` may not be written.
    """
    if not 0 <= age_years <= OLDEST:
        raise InputError(f"Children of {age_years:g} years cannot be generated: choose an age from 0 to {OLDEST}.")
    ct, reference = folder / CT, folder / REFERENCE
    check_outputs((ct, reference), overwrite)
    check_patient_folder(folder / RESULT, overwrite)
    image, labels = generate_child(age_years, seed, tumor=True).to_sitk()
    folder.mkdir(parents=True, exist_ok=True)
    write_image(ct, image)
    write_image(reference, structure_labels(LabelVolume(labels, RENAL)))
    return ct
