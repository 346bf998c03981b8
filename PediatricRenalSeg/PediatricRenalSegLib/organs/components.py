"""Connected components of a structure: where they lie in the body, and what is near what."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..volume import Box, Spacing


@dataclass(frozen=True, eq=False)
class Component:
    """A connected component of one structure; x in voxels of the whole array, toward the patient's Left."""

    mask: np.ndarray
    """``(z, y, x)`` bool, cropped to ``box``."""
    box: Box
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
        """Number of voxels."""
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
        """From the first to the last x."""
        return self.x_range[1] - self.x_range[0] + 1

    @property
    def right_of_midline(self) -> bool:
        """Whether its mean x lies on the patient's right."""
        return self.x < self.midline


class BodyMidlines:
    """Midline and width of the body, slice by slice."""

    def __init__(self, body: np.ndarray) -> None:
        self._columns = np.any(body, axis=1)
        self._body = body

    def over(self, slices: slice, weights: np.ndarray) -> tuple[float, float]:
        """Mean x and mean width of the body in voxels, slices weighted by ``weights``."""
        x = np.arange(self._body.shape[2])
        area = self._body[slices].sum(axis=1, dtype=np.int32)
        size = np.sum(area, axis=1)
        weights = weights * (size > 0)
        if not weights.any():
            return (len(x) - 1) / 2, float(len(x))
        midlines = area @ x / np.maximum(size, 1)
        widths = self._columns[slices].sum(axis=1)
        return float(np.average(midlines, weights=weights)), float(np.average(widths, weights=weights))


def find_components(
    labels: np.ndarray, label: int, box: Box, midlines: BodyMidlines, smallest: float
) -> tuple[list[Component], int]:
    """The components of at least ``smallest`` voxels, largest first, and the number of smaller ones.

    labels: ``(z, y, x)``; ``box`` holds all voxels of ``label``. Voxels are neighbors across corners too (26).
    """
    image = sitk.GetImageFromArray((labels[box] == label).astype(np.uint8))
    numbered = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))
    counts = np.bincount(numbered[numbered > 0])
    kept = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] >= max(smallest, 1)]
    boxes = ndimage.find_objects(numbered.astype(np.int32)) if kept else []
    components = []
    for number in kept:
        part = boxes[number - 1]
        component = numbered[part] == number
        z, y, x = (slice(c.start + p.start, c.start + p.stop) for c, p in zip(box, part, strict=True))
        midline, width = midlines.over(z, component.sum(axis=(1, 2)))
        components.append(Component(component, (z, y, x), midline, width))
    return components, int(np.count_nonzero(counts)) - len(kept)


@dataclass(frozen=True)
class Neighborhood:
    """What is near what, in mm, on the grid of an array."""

    shape: tuple[int, ...]
    """Of the array ``(z, y, x)``."""
    spacing: Spacing

    def are_near(self, first: Component, second: Component, distance: float) -> bool:
        """Whether a voxel of one lies within a distance in mm of a voxel of the other."""
        smaller, larger = sorted((first, second), key=lambda c: c.count)
        margins = [int(np.ceil(distance / step)) for step in self.spacing]
        sides = zip(smaller.box, margins, self.shape, strict=True)
        z, y, x = (slice(max(s.start - margin, 0), min(s.stop + margin, size)) for s, margin, size in sides)
        near = _mask_in((z, y, x), larger)
        if not near.any():
            return False
        own = _mask_in((z, y, x), smaller)
        return bool(ndimage.distance_transform_edt(~near, sampling=self.spacing)[own].min() <= distance)

    def is_near_any(self, component: Component, parts: list[Component], distance: float) -> bool:
        """Whether it is near at least one of ``parts``."""
        return any(self.are_near(component, part, distance) for part in parts)


def _mask_in(box: Box, component: Component) -> np.ndarray:
    """The voxels of a component that lie in a box of the whole array; bool, as large as the box."""
    mask = np.zeros([side.stop - side.start for side in box], bool)
    z, y, x = (slice(max(b.start, c.start), min(b.stop, c.stop)) for b, c in zip(box, component.box, strict=True))
    if all(side.start < side.stop for side in (z, y, x)):
        mask[_within((z, y, x), box)] = component.mask[_within((z, y, x), component.box)]
    return mask


def _within(inner: Box, outer: Box) -> Box:
    """A box of the whole array in the indices of the box that holds it."""
    z, y, x = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
    return z, y, x
