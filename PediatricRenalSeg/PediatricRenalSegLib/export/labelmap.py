"""``labelmap.nii.gz``: structures on the grid of the CT."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..structures import SEGMENTS
from ..volume import LabelVolume
from .image import write_image


def write_labelmap(path: Path, labels: LabelVolume) -> None:
    """Write ``Structure.label`` values: both segments of a paired structure have the same one."""
    to_label = np.zeros(256, np.uint8)
    for segment in SEGMENTS:
        to_label[segment.value] = segment.structure.label
    image = sitk.GetImageFromArray(to_label[sitk.GetArrayViewFromImage(labels.image)])
    image.CopyInformation(labels.image)
    write_image(path, image)
