"""``labelmap.nii.gz``: structures on the grid of the CT."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..volume import LabelVolume
from .image import write_image
from .result import Result


def write_labelmap(path: Path, result: Result) -> None:
    """Write ``Structure.label`` values: both segments of a paired structure have the same one."""
    write_image(path, structure_labels(result.labels))


def structure_labels(labels: LabelVolume) -> sitk.Image:
    """The image with ``Structure.label`` instead of ``Segment.value``."""
    to_label = np.zeros(256, np.uint8)
    for segment in labels.structures.segments:
        to_label[segment.value] = segment.structure.label
    image = sitk.GetImageFromArray(to_label[sitk.GetArrayViewFromImage(labels.image)])
    image.CopyInformation(labels.image)
    return image
