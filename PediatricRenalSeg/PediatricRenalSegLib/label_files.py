"""Label maps in files, with the values of ``SEGMENTS`` and on the grid of their CT.

Torch is not needed: Slicer measures each correction, and shall not wait for its import.
"""

from pathlib import Path

from .measurements import Measurements, measure
from .reading import read_labels
from .reading.files import read_image
from .structures import SEGMENTS
from .volume import CTVolume, InputError, LabelVolume, same_grid


def read_labels_on(ct: CTVolume, path: Path) -> LabelVolume:
    """Read a label map. Raises ``InputError`` when it holds other values or does not lie on the grid of the CT."""
    labels = read_labels(path, range(len(SEGMENTS) + 1))
    if not same_grid(labels.image, ct.image):
        raise InputError(f"{path} does not lie on the grid of the CT: choose the label map of this CT.")
    return labels


def measure_files(ct: Path, labels: Path) -> Measurements:
    """Measure a label map on a CT file, of which it may be a part without any air."""
    volume = CTVolume(*read_image(ct))
    return measure(read_labels_on(volume, labels), volume)
