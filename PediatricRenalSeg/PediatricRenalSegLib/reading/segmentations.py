"""Segmentations as 3D Slicer stores them (``.seg.nrrd``), and whose structure a segment's name is."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..structures import Code, Structure, StructureSet
from ..volume import SAME_GRID_TOLERANCE
from . import file_headers

SUFFIX = ".seg.nrrd"
"""What Slicer ends the name of a segmentation with."""

LARGEST_OFFSET = 0.01
"""Voxels between the grid of a cropped segmentation and that of its CT: formats round their headers."""

SPELLINGS = {"kidneys": "kidney", "tumors": "tumor", "tumour": "tumor", "tumours": "tumor"}
"""Plurals and British spelling."""


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
    """Whether the name ends as Slicer names segmentations."""
    return path.name.lower().endswith(SUFFIX)


def read_segmentation(path: Path, structures: StructureSet) -> StoredSegmentation:
    """Read a ``.seg.nrrd`` file ("Segmentation labelmap file format" of Slicer's developer guide).

    structures: those that its segments are looked for among.

    Raises ``InputError`` when the file cannot be read or lists no segments.
    """
    try:
        file_headers.check(path)
        image = sitk.ReadImage(str(path))
    except (OSError, EOFError, RuntimeError) as error:  # RuntimeError: all that SimpleITK raises
        raise InputError(f'"{path.name}" cannot be read because it is damaged or incomplete; save it again.') from error
    segments = _segments(image, structures)
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


def structure_named(name: str, structures: StructureSet) -> Structure | None:
    """The structure that a name in English speaks of; of "kidney tumor" it is the tumor.

    A structure is meant if all words of its own name occur; of several the one with most words, then the last one.
    """
    words = set(_words(name))  # a structure's own name always has some
    meant = [structure for structure in structures if words.issuperset(_words(structure.name))]
    return max(reversed(meant), key=lambda structure: len(_words(structure.name)), default=None)


def _words(name: str) -> list[str]:
    return [SPELLINGS.get(word, word) for word in re.findall("[a-z0-9]+", name.lower())]


def _segments(image: sitk.Image, structures: StructureSet) -> tuple[StoredSegment, ...]:
    segments: list[StoredSegment] = []
    while image.HasMetaDataKey(f"Segment{len(segments)}_ID"):
        number = len(segments)
        fields = {
            name: image.GetMetaData(key)
            for name in ("ID", "Name", "Layer", "LabelValue", "Tags")
            if image.HasMetaDataKey(key := f"Segment{number}_{name}")
        }
        segments.append(_segment(fields, number, structures))
    return tuple(segments)


def _segment(fields: dict[str, str], number: int, structures: StructureSet) -> StoredSegment:
    known = next((segment for segment in structures.segments if segment.id == fields["ID"]), None)
    name = fields.get("Name", fields["ID"])
    words = _words(name) + _words(fields["ID"])
    return StoredSegment(
        id=fields["ID"],
        name=name,
        structure=known.structure if known else _structure_meant(name, fields.get("Tags", ""), structures),
        side=next((side for side in ("right", "left") if side in words), ""),
        layer=int(fields.get("Layer", number)),  # Slicer up to 4.10: a layer a segment, with the value 1
        value=int(fields.get("LabelValue", 1)),
    )


def _structure_meant(name: str, tags: str, structures: StructureSet) -> Structure | None:
    """By the name, or else by type and region in Slicer's terminology entry.

    The entry has context, category, type, modifier, context, region, … with "~" between them. Where it tells another
    region than that of the structure named, as of the tumor of another organ, the name means something else.
    """
    entry = next((tag for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = [part.split("^")[:2] for part in entry.split("~")] + [[]] * 6
    in_region = [s for s in structures if not any(parts[5]) or s.region is None or _code(s.region) == parts[5]]
    named = structure_named(name, structures)
    if named:
        return named if named in in_region else None
    return next((structure for structure in in_region if _code(structure.type) == parts[2]), None)


def _code(code: Code) -> list[str]:
    return [code.scheme, code.value]
