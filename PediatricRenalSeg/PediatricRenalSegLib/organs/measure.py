"""Volumes, diameters, contact areas, and warnings about what does not look right."""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from ..checks import CheckWarning
from ..structures import Segment, Structure, StructureSet
from ..volume import Box, CTVolume, LabelVolume, Spacing

SIDES = (("lower", "upper"), ("front", "back"), ("right", "left"))
"""Names of the first and last side of a canonical axial array along ``(z, y, x)``."""

NORMAL_SIGMA = 1.5
"""Standard deviation, in the largest voxel spacings, of the smoothing from which surface normals are taken."""


@dataclass(frozen=True)
class SegmentMeasurements:
    """What is measured in one segment that has voxels."""

    segment_id: str
    name: str
    volume_ml: float
    """Number of voxels times their volume."""
    longest_diameter_mm: float
    """Longest distance between two points of the surface: of the organ, or of the largest lesion."""
    longest_axial_diameter_mm: float
    """The same within one axial slice, as RECIST 1.1 measures."""
    extent_mm: tuple[float, float, float]
    """Size of the bounding box: right to left, front to back, foot to head."""
    mean_hu: float
    parts: int
    """Connected components (26 neighbors)."""
    touches_border: tuple[str, ...]
    """Sides of the scan that cut the segment: lower, upper, front, back, right, left."""


@dataclass(frozen=True)
class Contact:
    """Surface that a lesion shares with an organ."""

    lesion: str
    organ: str
    area_mm2: float


@dataclass(frozen=True)
class Measurements:
    """All that is measured in one label volume."""

    segments: tuple[SegmentMeasurements, ...]
    """Segments with voxels, in the order of the label volume's structures."""
    contacts: tuple[Contact, ...]
    """Every lesion with every organ of its region, 0 mm² where they do not touch."""
    warnings: tuple[CheckWarning, ...]

    def of(self, segment_id: str) -> SegmentMeasurements | None:
        """The measurements of a segment, ``None`` where it has no voxels."""
        return next((segment for segment in self.segments if segment.segment_id == segment_id), None)

    def to_dict(self) -> dict:
        """Plain lists, dictionaries and numbers for JSON."""
        return asdict(self)


def measure(labels: LabelVolume, ct: CTVolume) -> Measurements:
    """Measure every segment that has voxels; lengths are mm in physical space."""
    array, spacing = labels.axial()
    intensities, _ = ct.axial()
    boxes = labels.boxes
    rows = tuple(
        _measure_segment(segment, array, intensities, boxes[segment.id], spacing)
        for segment in labels.structures.segments
        if segment.id in boxes
    )
    contacts = tuple(
        Contact(lesion.id, organ.id, _contact_area(array, lesion.value, organ.value, spacing, boxes[lesion.id]))
        for lesion, organ in _lesions_and_organs(labels.structures)
        if lesion.id in boxes and organ.id in boxes
    )
    return Measurements(rows, contacts, _warnings(rows, labels.structures))


def _measure_segment(
    segment: Segment, array: np.ndarray, intensities: np.ndarray, box: Box, spacing: Spacing
) -> SegmentMeasurements:
    mask = array[box] == segment.value
    parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
    found = ndimage.find_objects(parts) if segment.structure.is_lesion else []
    measured = [parts[part] == number for number, part in enumerate(found, start=1)] or [mask]
    depth, height, width = (float((s.stop - s.start) * step) for s, step in zip(box, spacing, strict=True))
    return SegmentMeasurements(
        segment_id=segment.id,
        name=segment.display_name,
        volume_ml=float(mask.sum() * np.prod(spacing) / 1000),
        longest_diameter_mm=max(_longest_diameter(part, spacing) for part in measured),
        longest_axial_diameter_mm=max(_longest_axial_diameter(part, spacing) for part in measured),
        extent_mm=(width, height, depth),
        mean_hu=float(intensities[box][mask].mean()),
        parts=count,
        touches_border=_touched_sides(box, array.shape),
    )


def _longest_diameter(mask: np.ndarray, spacing: Spacing) -> float:
    """Longest distance in mm between two points on the surface of a ``(z, y, x)`` mask."""
    return _longest_distance(_row_ends(mask) * spacing)


def _longest_axial_diameter(mask: np.ndarray, spacing: Spacing) -> float:
    slices = (mask[z] for z in np.flatnonzero(mask.any(axis=(1, 2))))
    return max(_longest_distance(_row_ends(plane) * spacing[1:]) for plane in slices)


def _longest_distance(points: np.ndarray) -> float:
    return float(pdist(points[ConvexHull(points).vertices]).max())


def _row_ends(mask: np.ndarray) -> np.ndarray:
    """Outer face centers of the first and last voxel of each row along each axis, in voxels.

    They span the convex hull of all surface face centers: halfway between the centers of the outermost
    voxels, which fall short of the surface, and their corners, which lie beyond it.
    """
    ends = []
    for axis in range(mask.ndim):
        rows = np.argwhere(mask.any(axis=axis))
        first = mask.argmax(axis=axis)[tuple(rows.T)]
        last = mask.shape[axis] - 1 - np.flip(mask, axis).argmax(axis=axis)[tuple(rows.T)]
        ends += [np.insert(rows.astype(float), axis, first - 0.5, axis=1)]
        ends += [np.insert(rows.astype(float), axis, last + 0.5, axis=1)]
    return np.concatenate(ends)


def _touched_sides(box: Box, shape: tuple[int, ...]) -> tuple[str, ...]:
    sides: list[str] = []
    for (first, last), extent, size in zip(SIDES, box, shape, strict=True):
        sides += [first] * (extent.start == 0) + [last] * (extent.stop == size)
    return tuple(sides)


def _lesions_and_organs(structures: StructureSet) -> list[tuple[Segment, Segment]]:
    """Each lesion with each segment of the organ that its structure lies in."""
    return [
        (lesion, organ)
        for lesion in structures.segments
        for organ in structures.segments
        if lesion.structure.is_lesion and organ.structure.type == lesion.structure.region
    ]


def _contact_area(array: np.ndarray, lesion: int, organ: int, spacing: Spacing, box: Box) -> float:
    """Area in mm² of the surface between two segments; ``box`` is the bounding box of the lesion.

    Voxel faces between the two, each counted with the component of the surface normal along it: the sum
    of faces alone is 1.5 times the area of a sphere. The normal is the gradient of the smoothed lesion.
    """
    sigma = NORMAL_SIGMA * max(spacing) / np.array(spacing)
    margin = np.ceil(3 * sigma).astype(int) + 1
    around = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(box, margin, strict=True))
    crop = array[around]
    if not (crop == organ).any():
        return 0.0
    smooth = ndimage.gaussian_filter((crop == lesion).astype(np.float32), sigma, mode="nearest", truncate=3)
    normal = np.stack(np.gradient(smooth, *spacing))
    normal = np.abs(normal) / np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
    area = 0.0
    for axis in range(3):
        faces, before, after = _faces(crop, lesion, organ, axis)
        along = (normal[axis][before][faces] + normal[axis][after][faces]) / 2
        area += float(along.sum()) * float(np.prod(spacing)) / spacing[axis]
    return area


def _faces(
    crop: np.ndarray, lesion: int, organ: int, axis: int
) -> tuple[np.ndarray, tuple[slice, ...], tuple[slice, ...]]:
    """Where neighbors along an axis are lesion and organ, and the slices of the first and second of them."""
    before = tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))
    after = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
    first, second = crop[before], crop[after]
    return ((first == lesion) & (second == organ)) | ((first == organ) & (second == lesion)), before, after


def _warnings(rows: tuple[SegmentMeasurements, ...], structures: StructureSet) -> tuple[CheckWarning, ...]:
    measured = {row.segment_id: row for row in rows}
    warnings = []
    for structure in structures:
        present = [measured[segment.id] for segment in structures.segments_of(structure) if segment.id in measured]
        warnings += _presence_warnings(structure, present)
        for row in present:
            warnings += _border_warnings(row) + _volume_warnings(structure, row)
    return tuple(warnings)


def _presence_warnings(structure: Structure, present: list[SegmentMeasurements]) -> list[CheckWarning]:
    name = structure.display_name.lower()
    if not structure.warn_if_absent:
        return []
    if not present:
        return [CheckWarning("none_found", f"No {name} was found.")]
    if structure.paired and len(present) == 1:
        return [CheckWarning("one_found", f"Only one {name} was found: {present[0].name.lower()}.")]
    return []


def _border_warnings(row: SegmentMeasurements) -> list[CheckWarning]:
    if not row.touches_border:
        return []
    sides = " and ".join(row.touches_border)
    return [CheckWarning("touches_border", f"{row.name} touches the {sides} border of the scan and may be incomplete.")]


def _volume_warnings(structure: Structure, row: SegmentMeasurements) -> list[CheckWarning]:
    low, high = structure.plausible_ml or (0.0, float("inf"))
    if low <= row.volume_ml <= high:
        return []
    relation = f"less than {low:g} ml" if row.volume_ml < low else f"more than {high:g} ml"
    text = f"{row.name} has {row.volume_ml:.1f} ml, {relation}: implausible for a child, check the segmentation."
    return [CheckWarning("implausible_volume", text)]
