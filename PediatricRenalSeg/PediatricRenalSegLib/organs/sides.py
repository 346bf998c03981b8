"""From the labels of a model to the segments a surgeon knows: specks removed, left and right told apart."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..checks import PART_REMOVED, SIDE_UNCERTAIN, SPLIT_AT_MIDLINE, CheckWarning
from ..structures import Code, Structure, StructureSet
from ..volume import Spacing
from .components import BodyMidlines, Component, Neighborhood, find_components

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


def split_segments(
    labels: np.ndarray, body: np.ndarray, spacing: Spacing, structures: StructureSet
) -> tuple[np.ndarray, list[str], list[CheckWarning]]:
    """Turn the labels of a model into segments, following the rows of its structures.

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
    found, notes = _find_all(labels, body, spacing, structures)
    near = Neighborhood(labels.shape, spacing)
    segments = np.zeros(labels.shape, np.uint8)
    warnings: list[CheckWarning] = []
    belonging: dict[Code | None, set[Component]] = {}
    for structure in (row for row in structures if row.paired):
        arising = (other for other in structures if other.is_lesion and other.region == structure.type)
        lesions = [c for other in arising for c in found[other]]
        sides, doubts = _sides(structure, found[structure], lesions, near)
        belonging[structure.type] = kept = _belonging(sides, lesions, near)
        for side, segment in zip(sides, structures.segments_of(structure), strict=True):
            _paint(segments, [c for c in side if c in kept], segment.value)
        removed = [c for side in sides for c in side if c not in kept]
        warnings += doubts + _removals(structure, removed, "away from the organ", spacing)
    for structure in (row for row in structures if not row.paired):
        (segment,) = structures.segments_of(structure)
        among = belonging.get(structure.region) if structure.is_lesion else None
        removed = [c for c in found[structure] if among is not None and c not in among]
        _paint(segments, [c for c in found[structure] if c not in removed], segment.value)
        organ = structure.region.meaning.lower() if structure.region else ""
        warnings += _removals(structure, removed, f"away from both {organ}s", spacing)
    return segments, notes, warnings


def _find_all(
    labels: np.ndarray, body: np.ndarray, spacing: Spacing, structures: StructureSet
) -> tuple[dict[Structure, list[Component]], list[str]]:
    """Components by structure, and a note on the specks that rule 1 removes."""
    milliliters = float(np.prod(spacing)) / 1000
    midlines = BodyMidlines(body)
    boxes = ndimage.find_objects(labels, max(structure.label for structure in structures))
    found: dict[Structure, list[Component]] = {structure: [] for structure in structures}
    notes = []
    for structure in structures:
        box = boxes[structure.label - 1]
        if box is None:
            continue
        smallest = structure.smallest_ml / milliliters
        found[structure], specks = find_components(labels, structure.label, box, midlines, smallest)
        if specks:
            count = f"{specks} speck{'s' * (specks > 1)}"
            notes.append(f"{structure.display_name}: {count} below {structure.smallest_ml:g} ml removed")
    return found, notes


def _sides(
    structure: Structure, components: list[Component], lesions: list[Component], near: Neighborhood
) -> tuple[list[list[Component]], list[CheckWarning]]:
    """Rules 3 to 5: the components on the right and on the left, largest first, and what to check."""
    name = structure.display_name.lower()
    warnings = []
    if _is_fused_pair(components):
        text = f"One {name} segment lay on both sides of the midline and was split there; check both sides."
        warnings.append(CheckWarning(SPLIT_AT_MIDLINE, text))
        components = _cut_at_midline(components[0]) + components[1:]
    divider = None
    pair = _pair_on_one_side(components)
    if pair and _share_a_neighbor(pair, lesions, near):
        text = f"Two {name} parts beside the same mass were taken for one {name}; check whether they are two."
        warnings.append(CheckWarning(SIDE_UNCERTAIN, text))
    elif pair:
        divider = (pair[0].x + pair[1].x) / 2
        text = f"Two {name} segments lie on one side of the midline, right and left by their order; check both sides."
        warnings.append(CheckWarning(SIDE_UNCERTAIN, text))
    is_right = [c.right_of_midline if divider is None else c.x < divider for c in components]
    sides = [[c for c, right in zip(components, is_right, strict=True) if right == side] for side in (True, False)]
    return sides, warnings


def _removals(structure: Structure, removed: list[Component], where: str, spacing: Spacing) -> list[CheckWarning]:
    """The warning that names what rules 2 and 6 remove; none if that is nothing."""
    if not removed:
        return []
    name = structure.display_name.lower()
    milliliters = sum(c.count for c in removed) * float(np.prod(spacing)) / 1000
    text = f"{milliliters:.1f} ml of {name} {where} were removed; check that none is missing."
    return [CheckWarning(PART_REMOVED, text)]


def _is_fused_pair(components: list[Component]) -> bool:
    """Rule 5, for components sorted by size."""
    if not components or _comparable(components)[1:]:
        return False
    only = components[0]
    right = _right_part(only).sum() / only.count
    return FUSED_SHARE <= right <= 1 - FUSED_SHARE and only.width > FUSED_WIDTH * only.body_width


def _comparable(components: list[Component]) -> list[Component]:
    return [c for c in components if c.count >= COMPARABLE * components[0].count]


def _right_part(component: Component) -> np.ndarray:
    x = np.arange(component.box[2].start, component.box[2].stop)
    return component.mask & (x < component.midline)


def _cut_at_midline(component: Component) -> list[Component]:
    """The parts right and left of the midline, larger first."""
    right = _right_part(component)
    parts = [replace(component, mask=mask) for mask in (right, component.mask & ~right)]
    return sorted(parts, key=lambda part: -part.count)


def _pair_on_one_side(components: list[Component]) -> list[Component]:
    """Rule 4: the two largest of the comparable components, if these lie beside each other on one side; or none."""
    comparable = _comparable(components) if components else []
    if len(comparable) < 2 or len({c.right_of_midline for c in comparable}) == 2:
        return []
    right, left = sorted(comparable[:2], key=lambda c: c.x)
    overlap = right.x_range[1] - left.x_range[0] + 1
    return [right, left] if overlap < min(right.width, left.width) / 2 else []


def _share_a_neighbor(pair: list[Component], others: list[Component], near: Neighborhood) -> bool:
    """Whether both are near the same one of ``others``."""
    return any(all(near.are_near(c, other, PIECE_DISTANCE_MM) for c in pair) for other in others)


def _belonging(sides: list[list[Component]], others: list[Component], near: Neighborhood) -> set[Component]:
    """Rules 2 and 6: what can be reached from the largest component of a side, from one near component to the next.

    Near one another is not enough: false pieces of kidney beside a mass elsewhere would keep it, and it them.
    """
    largest = [own[0] for own in sides if own]
    sizes = [c.count for c in largest]
    both_sound = len(largest) == 2 and min(sizes) > COMPARABLE * max(sizes)
    pieces = _pieces(sides, PIECE_SHARE)
    loose: set[Component] = set()
    if both_sound:
        front = largest + [c for c in _pieces(sides, RIVAL_SHARE) if near.is_near_any(c, others, PIECE_DISTANCE_MM)]
        loose = _loose(others, front, pieces, near)
    else:
        front = largest + others
    rest, belonging = others + pieces, set()
    while front:
        belonging.update(front)
        rest = [c for c in rest if c not in belonging]
        masses = [c for c in front if c in others]
        front = [c for c in rest if near.is_near_any(c, masses if c in loose else front, PIECE_DISTANCE_MM)]
    return belonging


def _pieces(sides: list[list[Component]], share: float) -> list[Component]:
    """All but the largest component of each side, of at least this share of it."""
    return [piece for own in sides for piece in own[1:] if piece.count >= share * own[0].count]


def _loose(
    masses: list[Component], organs: list[Component], pieces: list[Component], near: Neighborhood
) -> set[Component]:
    """The masses that touch neither an organ nor a piece that may be of one.

    None if no mass touches an organ: then the network may have missed what is between.
    """
    if len(masses) < 2:  # the usual case, without measuring distances
        return set()
    contact = max(CONTACT_MM, *near.spacing)
    apart = [mass for mass in masses if not near.is_near_any(mass, organs, contact)]
    if len(apart) == len(masses):
        return set()
    return {mass for mass in apart if not near.is_near_any(mass, pieces, contact)}


def _paint(segments: np.ndarray, components: list[Component], value: int) -> None:
    for component in components:
        segments[component.box][component.mask] = value
