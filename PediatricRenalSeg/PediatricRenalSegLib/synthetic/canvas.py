"""The canvas organs are painted on, in order, each with its share of every voxel.

A layer keeps which tissue covers how much of each voxel in a small box; the
Hounsfield values come later (``Canvas.render``), so one patient can be shown
in any contrast phase, and the labels come from the very same shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .shapes import Coordinates, Point, capsule, coverage

EDGE = 1.3
"""Voxels over which a painted edge fades: no staircase after resampling."""

AIR_HU = -1000.0
"""Value of what nothing was painted on."""

FAR_MM = 99.0
"""Distance that a shape is given where it was not computed: outside, whatever is added to it."""

STRIDE, STRIDE_ALONG_Z_FROM = 3, 60
"""``find_box`` looks at every third voxel; at every slice where there are not more than these."""

Box = tuple[slice, slice, slice]
"""A part of the grid: z, y, x."""

RandomParts = Callable[[str], np.random.Generator]
"""The random numbers of a part of the body, by its name: ``Anatomy.rng``."""


@dataclass(frozen=True)
class Layer:
    """One tissue on a part of the canvas."""

    tissue: str
    box: Box
    share: np.ndarray
    """0 to 1, in the shape of the box."""
    label: int


class Canvas:
    """A grid of points (z, y, x) and the layers painted on it so far.

    ``set_coordinates`` gives it the body that is painted, ``torso.paint_wall`` what lies within the body wall.
    """

    fixed: Coordinates
    """Where the tissue at each point was before any tumor grew, for what does not yield: spine and back muscles."""
    wall: Coordinates
    """The same for the body wall, which yields a little."""
    soft: Coordinates
    """The same for the organs, which are pushed aside. Without a tumor all three are one object."""
    cavity: np.ndarray
    """Distance in mm to the inner body wall, negative inside."""
    in_muscle: np.ndarray
    """Depth in mm under the subcutaneous fat."""

    def __init__(self, z: np.ndarray, y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> None:
        self.z, self.y, self.x = (np.asarray(axis, np.float32) for axis in (z, y, x))
        self.pixel = float(self.x[1] - self.x[0])
        self.layers: list[Layer] = []
        self.texture = self._draw_texture(rng)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along z, y and x."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def everywhere(self) -> Box:
        """The box of the whole canvas."""
        depth, height, width = self.shape
        return slice(0, depth), slice(0, height), slice(0, width)

    def set_coordinates(self, fixed: Coordinates, wall: Coordinates, soft: Coordinates) -> None:
        """Where the tissue at each point was before any tumor grew, see the attributes."""
        self.fixed, self.wall, self.soft = fixed, wall, soft
        self._stride = (STRIDE if self.shape[0] > STRIDE_ALONG_Z_FROM else 1, STRIDE, STRIDE)
        every = tuple(slice(None, None, step) for step in self._stride)
        self._coarse = {
            id(frame): tuple(np.ascontiguousarray(along[every]) for along in frame) for frame in (fixed, wall, soft)
        }

    def find_box(self, low: Point, high: Point, frame: Coordinates) -> Box | None:
        """The smallest box of voxels whose tissue lies between ``low`` and ``high``; ``None`` if there is none."""
        margin = 2.0 * self.pixel
        inside = np.ones((), bool)
        for along, least, most in zip(self._coarse[id(frame)], low, high, strict=True):
            inside = inside & (along > least - margin) & (along < most + margin)
        if not inside.any():
            return None
        z, y, x = (self._extent(inside, axis) for axis in range(3))
        return z, y, x

    def _extent(self, inside: np.ndarray, axis: int) -> slice:
        """From the first to the last voxel of a coarse mask along an axis, and what lies between the coarse ones."""
        stride, size = self._stride[axis], self.shape[axis]
        hit = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        return slice(max(hit[0] * stride - stride, 0), min(hit[-1] * stride + stride + 1, size))

    def at(self, box: Box, frame: Coordinates) -> Coordinates:
        """The part of ``fixed``, ``wall`` or ``soft`` in a box."""
        x, y, z = frame
        return x[box], y[box], z[box]

    def tube(self, points: np.ndarray, radii: np.ndarray | float, frame: Coordinates) -> tuple[Box, np.ndarray] | None:
        """Distance to a bent tube through ``points`` (n, 3), in the box that holds it."""
        radii = np.broadcast_to(np.asarray(radii, float), len(points))
        reach = float(radii.max()) + 2.0 * self.pixel
        outer = self.find_box(points.min(0) - reach, points.max(0) + reach, frame)
        if outer is None:
            return None
        distance = np.full(tuple(extent.stop - extent.start for extent in outer), FAR_MM, np.float32)
        for start, end, start_radius, end_radius in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            found = self.find_box(np.minimum(start, end) - reach, np.maximum(start, end) + reach, frame)
            box = found and _common(found, outer)
            if box is None:
                continue
            inner = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(box, outer, strict=True))
            near = capsule(self.at(box, frame), start, end, start_radius, end_radius)
            distance[inner] = np.minimum(distance[inner], near)
        return outer, distance

    def paint(
        self,
        tissue: str,
        box: Box,
        distance: np.ndarray,
        *,
        label: int = 0,
        opacity: np.ndarray | float = 1.0,
        clip: bool = True,
    ) -> None:
        """Cover the inside of a shape; with ``clip``, only within the body cavity."""
        if clip:
            distance = np.maximum(distance, self.cavity[box])
        share = coverage(distance, EDGE * self.pixel) * opacity
        self.layers.append(Layer(tissue, box, share.astype(np.float32), label))

    def render(self, hounsfield: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """The image in HU; ``hounsfield`` gives the mean and the texture of each tissue."""
        image = np.full(self.shape, AIR_HU, np.float32)
        for layer in self.layers:
            mean, spread = hounsfield[layer.tissue]
            target = image[layer.box]
            target += layer.share * (np.float32(mean) + np.float32(spread) * self.texture[layer.box] - target)
        return image

    def memberships(self, labels: int = 3) -> np.ndarray:
        """Share of every voxel that belongs to labels 1..n: (n, z, y, x)."""
        shares = np.zeros((labels, *self.shape), np.float32)
        started = False
        for layer in self.layers:
            started = started or layer.label > 0
            if not started:
                continue
            for label in range(1, labels + 1):
                target = shares[(label - 1, *layer.box)]
                target += layer.share * ((layer.label == label) - target)
        return shares

    def _draw_texture(self, rng: np.random.Generator) -> np.ndarray:
        """Unit-variance mottle of about 5 mm, made on a coarser grid."""
        coarse = tuple(max(int(np.ceil(size / 2)), 4) for size in self.shape)
        noise = rng.standard_normal(coarse, dtype=np.float32)
        noise = ndimage.gaussian_filter(noise, 1.0, mode="wrap", truncate=2.5)
        noise /= noise.std()
        fine = np.repeat(np.repeat(np.repeat(noise, 2, 0), 2, 1), 2, 2)
        fine = ndimage.uniform_filter(fine, 2, mode="wrap")
        return fine[: self.shape[0], : self.shape[1], : self.shape[2]]


def _common(first: Box, second: Box) -> Box | None:
    """What two boxes share."""
    z, y, x = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
    return None if any(extent.stop <= extent.start for extent in (z, y, x)) else (z, y, x)
