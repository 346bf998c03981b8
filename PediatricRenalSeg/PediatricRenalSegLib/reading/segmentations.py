"""Segmentations as 3D Slicer stores them (``.seg.nrrd``), and whose structure a segment's name is."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..structures import SEGMENTS, STRUCTURES, Structure
from ..volume import SAME_GRID_TOLERANCE, InputError
from . import file_headers

SUFFIX = ".seg.nrrd"

LARGEST_OFFSET = 0.01
"""Voxels between the grid of a cropped segmentation and that of its CT: formats round their headers."""

SPELLINGS = {"kidneys": "kidney", "tumors": "tumor", "tumour": "tumor", "tumours": "tumor"}


@dataclass(frozen=True)
class StoredSegment:
    """One segment of a file."""

    id: str
    name: str
    structure: Structure | None
    """Told by id, name or terminology, in this order; ``None`` where none of them tells."""
    side: str
    """"right", "left", or empty where id and name do not say."""
    layer: int
    value: int
    """Its voxels have this value in this layer."""


@dataclass(frozen=True)
class StoredSegmentation:
    """The segments of a file on their own grid, which Slicer may have cropped to them."""

    grid: sitk.Image
    """An image with the geometry of the layers."""
    layers: np.ndarray
    """``(layers, z, y, x)``: segments that overlap are in different layers."""
    segments: tuple[StoredSegment, ...]

    def mask(self, segment: StoredSegment) -> np.ndarray:
        """``(z, y, x)`` bool."""
        return self.layers[segment.layer] == segment.value

    def image(self, array: np.ndarray) -> sitk.Image:
        """Values ``(z, y, x)`` on the grid."""
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(self.grid)
        return image


def is_segmentation_file(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIX)


def read_segmentation(path: Path) -> StoredSegmentation:
    """Read a ``.seg.nrrd`` file ("Segmentation labelmap file format" of Slicer's developer guide).

    Raises ``InputError`` when the file cannot be read or lists no segments.
    """
    try:
        file_headers.check(path)
        image = sitk.ReadImage(str(path))
    except (OSError, EOFError, RuntimeError) as error:  # RuntimeError: all that SimpleITK raises
        raise InputError(f'"{path.name}" cannot be read because it is damaged or incomplete; save it again.') from error
    segments = _segments(image)
    if not segments:
        raise InputError(f'"{path.name}" lists no segments; save the segmentation in Slicer as {SUFFIX}.')
    array = sitk.GetArrayFromImage(image)
    layers = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[np.newaxis]
    grid = sitk.GetImageFromArray(np.zeros(layers.shape[1:], np.uint8))
    grid.CopyInformation(image)
    return StoredSegmentation(grid, layers, segments)


def extended(labels: sitk.Image, other: sitk.Image) -> sitk.Image:
    """Undo a crop: labels with background around them as far as ``other`` reaches, 3D images both.

    Labels whose voxels do not lie at those of ``other`` are returned as they are; ``same_grid`` tells.
    """
    start = np.array(other.TransformPhysicalPointToContinuousIndex(labels.GetOrigin()))
    first = np.round(start).astype(int)
    same_axes = all(
        np.allclose(getattr(labels, name)(), getattr(other, name)(), atol=SAME_GRID_TOLERANCE)
        for name in ("GetSpacing", "GetDirection")
    )
    if not same_axes or np.abs(start - first).max() > LARGEST_OFFSET:
        return labels
    before = np.maximum(first, 0)
    after = np.maximum(np.subtract(other.GetSize(), first + labels.GetSize()), 0)
    padded = sitk.ConstantPad(labels, before.tolist(), after.tolist(), 0)
    padded.SetOrigin(other.TransformIndexToPhysicalPoint((first - before).tolist()))
    return padded


def structure_named(name: str) -> Structure | None:
    """The structure that a name in English speaks of; of "kidney tumor" it is the tumor."""
    words = _words(name)
    return next((structure for structure in reversed(STRUCTURES) if structure.name in words), None)


def _words(name: str) -> list[str]:
    return [SPELLINGS.get(word, word) for word in re.findall("[a-z]+", name.lower())]


def _segments(image: sitk.Image) -> tuple[StoredSegment, ...]:
    segments = []
    while image.HasMetaDataKey(f"Segment{len(segments)}_ID"):
        number = len(segments)
        fields = {
            name: image.GetMetaData(key)
            for name in ("ID", "Name", "Layer", "LabelValue", "Tags")
            if image.HasMetaDataKey(key := f"Segment{number}_{name}")
        }
        segments.append(_segment(fields, number))
    return tuple(segments)


def _segment(fields: dict[str, str], number: int) -> StoredSegment:
    known = next((segment for segment in SEGMENTS if segment.id == fields["ID"]), None)
    name = fields.get("Name", fields["ID"])
    words = _words(name) + _words(fields["ID"])
    return StoredSegment(
        id=fields["ID"],
        name=name,
        structure=known.structure if known else structure_named(name) or _structure_coded(fields.get("Tags", "")),
        side=next((side for side in ("right", "left") if side in words), ""),
        layer=int(fields.get("Layer", number)),  # Slicer up to 4.10: a layer a segment, with the value 1
        value=int(fields.get("LabelValue", 1)),
    )


def _structure_coded(tags: str) -> Structure | None:
    """By the type in Slicer's terminology entry: context, category, type, … with "~" between them."""
    entry = next((tag for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = entry.split("~")
    code = parts[2].split("^")[:2] if len(parts) > 2 else []
    return next((structure for structure in STRUCTURES if [structure.type.scheme, structure.type.value] == code), None)
