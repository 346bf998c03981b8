"""Images in files, complete or refused."""

from pathlib import Path

import SimpleITK as sitk


def write_image(path: Path, image: sitk.Image) -> None:
    """Write compressed and read back: ITK does not notice that a disk is full. Raises ``OSError``."""
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        complete = sitk.Hash(sitk.ReadImage(str(path))) == sitk.Hash(image)
    except RuntimeError:  # all that SimpleITK raises
        complete = False
    if not complete:
        raise OSError(f'"{path.name}" could not be written completely')
