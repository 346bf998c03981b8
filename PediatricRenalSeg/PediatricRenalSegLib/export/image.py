"""Images in files, complete or refused."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_image(path: Path, image: sitk.Image) -> None:
    """Write compressed and read back: ITK does not notice that a disk is full. Raises ``OSError``."""
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        written = sitk.ReadImage(str(path))
        complete = np.array_equal(sitk.GetArrayViewFromImage(written), sitk.GetArrayViewFromImage(image))
    except RuntimeError:  # all that SimpleITK raises
        complete = False
    if not complete:
        raise OSError(f'"{path.name}" could not be written completely')
