"""Label maps in files, with the values of the segments and on the grid of their CT."""

from pathlib import Path

from ..errors import InputError
from ..structures import StructureSet
from ..volume import CTVolume, LabelVolume, same_grid
from . import read_labels


def read_labels_on(ct: CTVolume, path: Path, structures: StructureSet) -> LabelVolume:
    """Read a label map with the values of ``structures.segments``.

    Raises ``InputError`` when it holds other values or does not lie on the grid of the CT.
    """
    image = read_labels(path, range(len(structures.segments) + 1))
    if not same_grid(image, ct.image):
        raise InputError(f"{path} does not lie on the grid of the CT: choose the label map of this CT.")
    return LabelVolume(image, structures)
