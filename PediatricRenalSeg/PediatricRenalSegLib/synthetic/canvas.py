"""The canvas organs are painted on, in order, each with its share of every voxel.

A layer keeps which tissue covers how much of each voxel in a small box; the
Hounsfield values come later (``Canvas.render``), so one patient can be shown
in any contrast phase, and the labels come from the very same shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .shapes import Coordinates, capsule, coverage

EDGE = 1.3  # voxels over which a painted edge fades: no staircase after resampling

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Layer:
    tissue: str
    box: Box
    share: np.ndarray  # 0-1, shape of the box
    label: int


class Canvas:
    """A grid of points (z, y, x) and the layers painted on it so far.

    ``fixed`` are the coordinates of the tissue that was at each point before
    any tumor grew, for what does not yield (spine, back muscles); ``wall``
    those for the body wall, which yields a little, and ``soft`` those for the
    organs, which are pushed aside. Without a tumor all three agree.
    """

    def __init__(self, z: np.ndarray, y: np.ndarray, x: np.ndarray, rng: np.random.Generator):
        self.z, self.y, self.x = (np.asarray(v, np.float32) for v in (z, y, x))
        self.pixel = float(self.x[1] - self.x[0])
        self.layers: list[Layer] = []
        self.cavity: np.ndarray | None = None  # distance to the inner body wall
        self.in_muscle: np.ndarray | None = None  # depth under the subcutaneous fat
        self.texture = self._draw_texture(rng)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.z), len(self.y), len(self.x)

    @property
    def everywhere(self) -> Box:
        return tuple(slice(0, n) for n in self.shape)

    def set_coordinates(self, fixed: Coordinates, wall: Coordinates, soft: Coordinates) -> None:
        self.fixed, self.wall, self.soft = fixed, wall, soft
        self._stride = (3 if self.shape[0] > 60 else 1, 3, 3)
        every = tuple(slice(None, None, s) for s in self._stride)
        self._coarse = {id(f): tuple(np.ascontiguousarray(c[every]) for c in f) for f in (fixed, wall, soft)}

    def find_box(self, low, high, frame: Coordinates) -> Box | None:
        """The smallest box of voxels whose tissue lies between ``low`` and ``high`` (x, y, z in mm)."""
        margin = 2.0 * self.pixel
        inside = np.ones((), bool)
        for c, a, b in zip(self._coarse[id(frame)], low, high, strict=True):
            inside = inside & (c > a - margin) & (c < b + margin)
        if not inside.any():
            return None
        box = []
        for axis, (stride, size) in enumerate(zip(self._stride, self.shape, strict=True)):
            hit = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
            box.append(slice(max(hit[0] * stride - stride, 0), min(hit[-1] * stride + stride + 1, size)))
        return tuple(box)

    def at(self, box: Box, frame: Coordinates) -> Coordinates:
        return tuple(c[box] for c in frame)

    def tube(self, points: np.ndarray, radii, frame: Coordinates) -> tuple[Box, np.ndarray] | None:
        """Distance to a bent tube through ``points`` (n, 3), in the box that holds it."""
        points = np.asarray(points, float)
        radii = np.broadcast_to(np.asarray(radii, float), len(points))
        reach = float(radii.max()) + 2.0 * self.pixel
        outer = self.find_box(points.min(0) - reach, points.max(0) + reach, frame)
        if outer is None:
            return None
        distance = np.full(tuple(s.stop - s.start for s in outer), 99.0, np.float32)
        for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            box = self.find_box(np.minimum(a, b) - reach, np.maximum(a, b) + reach, frame)
            if box is None:
                continue
            box = tuple(slice(max(i.start, o.start), min(i.stop, o.stop)) for i, o in zip(box, outer, strict=True))
            if any(s.stop <= s.start for s in box):
                continue
            inner = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(box, outer, strict=True))
            near = capsule(self.at(box, frame), a, b, ra, rb)
            distance[inner] = np.minimum(distance[inner], near)
        return outer, distance

    def paint(
        self, tissue: str, box: Box, distance: np.ndarray, *, label: int = 0, opacity=1.0, clip: bool = True
    ) -> None:
        """Cover the inside of a shape; with ``clip``, only within the body cavity."""
        if clip:
            distance = np.maximum(distance, self.cavity[box])
        share = coverage(distance, EDGE * self.pixel) * opacity
        self.layers.append(Layer(tissue, box, share.astype(np.float32), label))

    def render(self, hounsfield: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """The image in HU; ``hounsfield`` gives the mean and the texture of each tissue."""
        image = np.full(self.shape, -1000.0, np.float32)
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
        coarse = tuple(max(int(np.ceil(n / 2)), 4) for n in self.shape)
        noise = rng.standard_normal(coarse, dtype=np.float32)
        noise = ndimage.gaussian_filter(noise, 1.0, mode="wrap", truncate=2.5)
        noise /= noise.std()
        fine = np.repeat(np.repeat(np.repeat(noise, 2, 0), 2, 1), 2, 2)
        fine = ndimage.uniform_filter(fine, 2, mode="wrap")
        return fine[: self.shape[0], : self.shape[1], : self.shape[2]]
