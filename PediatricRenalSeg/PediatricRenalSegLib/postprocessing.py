"""From probabilities to the segments a surgeon knows: specks removed, left and right told apart."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .checks import CheckWarning
from .preprocessing import SliceStack, resample_back
from .structures import STRUCTURES, segments_of

NEIGHBORS = 0.014
"""Standard deviation, along the patient, of the mean over neighboring slices, in diameters of the body: what is right
for an adult wipes the poles of the kidney out of an infant. With 2.8 instead of 4 mm two adults (diameters 380 and
300 mm) had 6 liters and 12 ml of false tumor instead of none; with 4 instead of 1.4 mm the kidney Dice of two infants
(125 mm) fell from 0.941 to 0.920 and from 0.845 to 0.832."""

COMPARABLE = 0.3
"""A component of at least this share of the largest one may be the other organ of a pair."""

FUSED_SHARE = 0.2
"""An only component with at least this share on either side of the midline may be a fused pair ..."""

FUSED_WIDTH = 1 / 3
"""... if it is also wider than this share of the body: a single displaced organ is not."""

PIECE_SHARE = 0.05
"""A piece of a divided organ has at least this share of the organ's largest piece ..."""

PIECE_DISTANCE_MM = 10.0
"""... and lies within this distance of it, or of what belongs to it, such as the tumor dividing it."""

RIVAL_SHARE = 0.5
"""A piece beside a tumor with at least this share of its side's largest one may be the organ in place of that: what a
tumor left of a kidney can be smaller than a loop of bowel taken for kidney."""

CONTACT_MM = 3.0
"""What arises from an organ lies within this distance of it, or within one slice if slices are thicker. Every part of
the tumors found in 40 generated children did within 1 mm; the content of two stomachs, called tumor, was 3.75 and 6 mm
away."""

SPLIT_AT_MIDLINE = "split_at_midline"
SIDE_UNCERTAIN = "side_uncertain"
PART_REMOVED = "part_removed"
"""Codes of warnings."""


@dataclass(frozen=True, eq=False)
class _Component:
    """A connected component of one structure; x in voxels of the whole array, toward the patient's Left."""

    mask: np.ndarray
    """``(z, y, x)`` bool, cropped to ``box``."""
    box: tuple[slice, slice, slice]
    midline: float
    """Mean x of the body in the component's slices."""
    body_width: float
    """Mean width of the body in the component's slices, voxels."""

    @cached_property
    def columns(self) -> np.ndarray:
        """``(x,)`` voxels of the component at each x of its box."""
        return self.mask.sum(axis=(0, 1))

    @cached_property
    def count(self) -> int:
        return int(self.columns.sum())

    @cached_property
    def x(self) -> float:
        """Mean x."""
        return self.box[2].start + float(self.columns @ np.arange(len(self.columns))) / self.count

    @cached_property
    def x_range(self) -> tuple[int, int]:
        """First and last x."""
        occupied = np.flatnonzero(self.columns)
        return self.box[2].start + int(occupied[0]), self.box[2].start + int(occupied[-1])

    @property
    def width(self) -> int:
        return self.x_range[1] - self.x_range[0] + 1

    @property
    def right_of_midline(self) -> bool:
        return self.x < self.midline


def axial_labels(probabilities: np.ndarray, stack: SliceStack) -> np.ndarray:
    """Network labels on the axial array of the CT.

    probabilities: ``(N, C, size, size)`` on the canvas, one slice a plane of the array. The network sees each
    slice alone, so neighbors are averaged first. They are then interpolated to the array's pixels and compared,
    so that outlines are smooth where the array is finer than the canvas. Returns ``(z, y, x)`` uint8.
    """
    grid = stack.grid
    probabilities = with_neighbors(probabilities, neighbor_sigma(stack))
    labels = np.zeros(grid.axial_shape, np.uint8)
    for index in np.flatnonzero((probabilities[:, 1:] > probabilities[:, :1]).any(axis=(1, 2, 3))):
        # Elsewhere background wins in every pixel, and so it does after linear interpolation.
        foreground = resample_back(probabilities[index, 1:], grid, outside=0)
        background = 1 - foreground.sum(axis=0, keepdims=True)
        labels[index] = np.concatenate([background, foreground]).argmax(axis=0)
    return labels


def with_neighbors(probabilities: np.ndarray, sigma: float) -> np.ndarray:
    """Mean over neighboring slices of ``(N, ...)``, float32; ``sigma`` as ``neighbor_sigma`` gives it."""
    return ndimage.gaussian_filter1d(probabilities.astype(np.float32, copy=False), sigma, axis=0, mode="nearest")


def neighbor_sigma(stack: SliceStack) -> float:
    """``NEIGHBORS`` in slices. The body's diameter is that of a circle of its mean area."""
    spacing = stack.grid.axial_spacing
    areas = stack.body.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    diameter = 2 * np.sqrt(areas[areas > 0].mean() / np.pi)
    return float(NEIGHBORS * diameter / spacing[0])


def split_segments(
    labels: np.ndarray, body: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, list[str], list[CheckWarning]]:
    """Turn network labels into segments, following the ``STRUCTURES`` table.

    Args:
        labels: ``(z, y, x)`` uint8, values ``Structure.label``, canonical axial order (x toward Left).
        body: ``(z, y, x)`` bool, the patient without table and air.
        spacing: ``(z, y, x)`` in mm.

    Returns:
        ``(z, y, x)`` uint8 with values ``Segment.value``; notes for the report on specks that were removed;
        warnings on what the surgeon should check, most of all on right and left.

    The rules:

    1. Connected components (26 neighbors) below ``Structure.smallest_ml`` are specks and are removed.
    2. All other components of an unpaired structure are kept: a tumor may be multifocal or bilateral. But one
       that arises from a paired structure, as a renal tumor does, must belong to one of its organs if both
       were found and are comparable: then none of them can have been consumed by it. A component belongs to an
       organ if it is near the organ's largest component, or near another component that belongs to it. A component
       hardly smaller than the largest one and near a tumor counts as much as the largest one. Where at least one
       mass touches an organ, a mass that is only near organs does not belong to them.
    3. The side of a component of a paired structure is the side of its center about the body's midline,
       the mean x of the body in the component's slices.
    4. Two comparable components beside each other on one side of the midline, with none on the other, are
       two organs in their order along x, one of them pushed over by a mass; unless both are near the same
       component of another structure: then they are one organ that a tumor divides.
    5. An only component that is wide and has a substantial part on either side of the midline (horseshoe
       kidney, or two organs fused by leakage) is split at the midline.
    6. A side has one organ: its largest component, and those pieces that are large enough and belong to it, or
       to a tumor that is kept. Anything else is removed.
    """
    segments = np.zeros(labels.shape, np.uint8)
    notes: list[str] = []
    warnings: list[CheckWarning] = []
    milliliters = float(np.prod(spacing)) / 1000
    midlines = _BodyMidlines(body)
    boxes = ndimage.find_objects(labels, max(structure.label for structure in STRUCTURES))
    found = {}
    for structure in STRUCTURES:
        box = boxes[structure.label - 1]
        smallest = structure.smallest_ml / milliliters
        found[structure], specks = _components(labels == structure.label, box, midlines, smallest) if box else ([], 0)
        if specks:
            found_specks = _count(specks, "speck")
            notes.append(f"{structure.display_name}: {found_specks} below {structure.smallest_ml:g} ml removed")
    belonging = {}
    for structure, components in found.items():
        if structure.paired:
            others = [c for other, parts in found.items() if other.region is structure.type for c in parts]
            belonging[structure.type], doubts = _split_pair(segments, structure, components, others, spacing)
            warnings += doubts
    for structure, components in found.items():
        if not structure.paired:
            kept = [c for c in components if c in belonging.get(structure.region, components)]
            warnings += _paint_unpaired(segments, structure, components, kept, spacing)
    return segments, notes, warnings


class _BodyMidlines:
    """Midline and width of the body, slice by slice."""

    def __init__(self, body: np.ndarray):
        self._columns = body.any(axis=1)
        self._body = body

    def over(self, slices: slice, weights: np.ndarray) -> tuple[float, float]:
        """Mean x and mean width of the body in voxels, slices weighted by ``weights``."""
        x = np.arange(self._body.shape[2])
        area = self._body[slices].sum(axis=1, dtype=np.int32)
        size = area.sum(axis=1)
        weights = weights * (size > 0)
        if not weights.any():
            return (len(x) - 1) / 2, float(len(x))
        midlines = area @ x / np.maximum(size, 1)
        widths = self._columns[slices].sum(axis=1)
        return float(np.average(midlines, weights=weights)), float(np.average(widths, weights=weights))


def _components(
    mask: np.ndarray, corner: tuple[slice, slice, slice], midlines: _BodyMidlines, smallest: float
) -> tuple[list[_Component], int]:
    """The components of at least ``smallest`` voxels, largest first, and the number of smaller ones.

    ``corner`` is the bounding box of all of ``mask``, which is ``(z, y, x)``.
    """
    image = sitk.GetImageFromArray(mask[corner].astype(np.uint8))
    numbered = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))
    counts = np.bincount(numbered[numbered > 0])
    kept = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] >= max(smallest, 1)]
    boxes = ndimage.find_objects(numbered.astype(np.int32)) if kept else []
    components = []
    for number in kept:
        box = boxes[number - 1]
        whole = tuple(slice(c.start + b.start, c.start + b.stop) for c, b in zip(corner, box, strict=True))
        component = numbered[box] == number
        midline, width = midlines.over(whole[0], component.sum(axis=(1, 2)))
        components.append(_Component(component, whole, midline, width))
    return components, int(np.count_nonzero(counts)) - len(kept)


def _split_pair(segments, structure, components, others, spacing) -> tuple[set[_Component], list[CheckWarning]]:
    """Paint the right and the left organ of a paired structure into ``segments``.

    Returns what belongs to the organs, of their components and of ``others`` that arise from them, and what to check.
    """
    name = structure.display_name.lower()
    warnings = []
    if _is_fused_pair(components):
        text = f"One {name} segment lay on both sides of the midline and was split there; check both sides."
        warnings.append(CheckWarning(SPLIT_AT_MIDLINE, text))
        components = _cut_at_midline(components[0]) + components[1:]
    divider = None
    pair = _pair_on_one_side(components)
    if pair and _share_a_neighbor(pair, others, segments.shape, spacing):
        text = f"Two {name} parts beside the same mass were taken for one {name}; check whether they are two."
        warnings.append(CheckWarning(SIDE_UNCERTAIN, text))
    elif pair:
        divider = (pair[0].x + pair[1].x) / 2
        text = f"Two {name} segments lie on one side of the midline, right and left by their order; check both sides."
        warnings.append(CheckWarning(SIDE_UNCERTAIN, text))
    is_right = [c.right_of_midline if divider is None else c.x < divider for c in components]
    sides = [[c for c, right in zip(components, is_right, strict=True) if right == side] for side in (True, False)]
    belonging = _belonging(sides, others, segments.shape, spacing)
    for own, segment in zip(sides, segments_of(structure), strict=True):
        _paint(segments, [c for c in own if c in belonging], segment.value)
    removed = [c for c in components if c not in belonging]
    if removed:
        warnings.append(_removal(structure, removed, "away from the organ", spacing))
    return belonging, warnings


def _removal(structure, removed: list[_Component], where: str, spacing) -> CheckWarning:
    name = structure.display_name.lower()
    milliliters = sum(c.count for c in removed) * float(np.prod(spacing)) / 1000
    text = f"{milliliters:.1f} ml of {name} {where} were removed; check that none is missing."
    return CheckWarning(PART_REMOVED, text)


def _paint_unpaired(segments, structure, components, kept, spacing) -> list[CheckWarning]:
    """Paint the components of an unpaired structure that are kept into ``segments``; returns what to check."""
    _paint(segments, kept, segments_of(structure)[0].value)
    removed = [c for c in components if c not in kept]
    if not removed:
        return []
    return [_removal(structure, removed, f"away from both {structure.region.meaning.lower()}s", spacing)]


def _is_fused_pair(components: list[_Component]) -> bool:
    """Rule 5, for components sorted by size."""
    if not components or _comparable(components)[1:]:
        return False
    only = components[0]
    right = _right_part(only).sum() / only.count
    return FUSED_SHARE <= right <= 1 - FUSED_SHARE and only.width > FUSED_WIDTH * only.body_width


def _comparable(components: list[_Component]) -> list[_Component]:
    return [c for c in components if c.count >= COMPARABLE * components[0].count]


def _right_part(component: _Component) -> np.ndarray:
    x = np.arange(component.box[2].start, component.box[2].stop)
    return component.mask & (x < component.midline)


def _cut_at_midline(component: _Component) -> list[_Component]:
    """The parts right and left of the midline, larger first."""
    right = _right_part(component)
    parts = [replace(component, mask=mask) for mask in (right, component.mask & ~right)]
    return sorted(parts, key=lambda part: -part.count)


def _pair_on_one_side(components: list[_Component]) -> list[_Component]:
    """Rule 4: the two largest of the comparable components, if these lie beside each other on one side; or none."""
    comparable = _comparable(components) if components else []
    if len(comparable) < 2 or len({c.right_of_midline for c in comparable}) == 2:
        return []
    right, left = sorted(comparable[:2], key=lambda c: c.x)
    overlap = right.x_range[1] - left.x_range[0] + 1
    return [right, left] if overlap < min(right.width, left.width) / 2 else []


def _share_a_neighbor(pair: list[_Component], others: list[_Component], shape, spacing) -> bool:
    """Whether both are near the same one of ``others``."""
    return any(all(_are_near(c, other, shape, spacing) for c in pair) for other in others)


def _belonging(sides: list[list[_Component]], others: list[_Component], shape, spacing) -> set[_Component]:
    """Rules 2 and 6: what can be reached from the largest component of a side, from one near component to the next.

    Near one another is not enough: false pieces of kidney beside a mass elsewhere would keep it, and it them.
    """
    largest = [own[0] for own in sides if own]
    sizes = [c.count for c in largest]
    both_sound = len(largest) == 2 and min(sizes) > COMPARABLE * max(sizes)
    pieces, loose = _pieces(sides, PIECE_SHARE), set()
    if both_sound:
        front = largest + [c for c in _pieces(sides, RIVAL_SHARE) if _is_near_any(c, others, shape, spacing)]
        loose = _loose(others, front, pieces, shape, spacing)
    else:
        front = largest + others
    rest, belonging = others + pieces, set()
    while front:
        belonging.update(front)
        rest = [c for c in rest if c not in belonging]
        masses = [c for c in front if c in others]
        front = [c for c in rest if _is_near_any(c, masses if c in loose else front, shape, spacing)]
    return belonging


def _pieces(sides: list[list[_Component]], share: float) -> list[_Component]:
    """All but the largest component of each side, of at least this share of it."""
    return [piece for own in sides for piece in own[1:] if piece.count >= share * own[0].count]


def _loose(masses, organs, pieces, shape, spacing) -> set[_Component]:
    """The masses that touch neither an organ nor a piece that may be of one. None if no mass touches an organ: then
    the network may have missed what is between."""
    if len(masses) < 2:  # the usual case, without measuring distances
        return set()
    contact = max(CONTACT_MM, *spacing)
    apart = [mass for mass in masses if not _is_near_any(mass, organs, shape, spacing, contact)]
    if len(apart) == len(masses):
        return set()
    return {mass for mass in apart if not _is_near_any(mass, pieces, shape, spacing, contact)}


def _is_near_any(
    component: _Component, parts: list[_Component], shape, spacing, distance: float = PIECE_DISTANCE_MM
) -> bool:
    """Whether it is near at least one of ``parts``."""
    return any(_are_near(component, part, shape, spacing, distance) for part in parts)


def _are_near(first: _Component, second: _Component, shape, spacing, distance: float = PIECE_DISTANCE_MM) -> bool:
    """Whether a voxel of one lies within a distance in mm of a voxel of the other."""
    smaller, larger = sorted((first, second), key=lambda c: c.count)
    margins = [int(np.ceil(distance / step)) for step in spacing]
    sides = zip(smaller.box, margins, shape, strict=True)
    box = tuple(slice(max(s.start - margin, 0), min(s.stop + margin, size)) for s, margin, size in sides)
    near = np.zeros([s.stop - s.start for s in box], bool)
    _mark(near, box, larger)
    if not near.any():
        return False
    own = np.zeros_like(near)
    _mark(own, box, smaller)
    return ndimage.distance_transform_edt(~near, sampling=spacing)[own].min() <= distance


def _mark(target: np.ndarray, box: tuple[slice, ...], component: _Component) -> None:
    """Set in ``target``, which covers ``box`` of the whole array, the voxels of a component."""
    common = [slice(max(b.start, c.start), min(b.stop, c.stop)) for b, c in zip(box, component.box, strict=True)]
    if all(side.start < side.stop for side in common):
        target[_within(common, box)] |= component.mask[_within(common, component.box)]


def _within(inner, outer) -> tuple[slice, ...]:
    """A box of the whole array in the indices of the box that holds it."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))


def _paint(segments: np.ndarray, components: list[_Component], value: int) -> None:
    for component in components:
        segments[component.box][component.mask] = value


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
