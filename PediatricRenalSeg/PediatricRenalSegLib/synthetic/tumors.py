"""Wilms tumors: where they arise, how they push the child's organs aside, what is in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import growth
from .canvas import Box, Canvas
from .kidneys import Kidney
from .shapes import Coordinates, Waves, smooth_intersection, smoothstep

TUMOR = 3
WALL_GIVE = 0.45  # share of the growth that the body wall follows
KEEP_OFF = 1.0  # vertebrae: how close a tumor comes to the spine
LARGEST_SHARE = 0.33  # of the trunk's volume: more than this does not fit a child


@dataclass(frozen=True)
class Tumor:
    """A mass that grew from ``seed_point`` of the healthy child into a ball around ``center``.

    The ball is an ellipsoid with lobules: along direction d its radius is
    ``radius * ellipsoid(d) * (1 + sum of bumps)``. ``replaced`` is the radius of the healthy
    tissue around the seed point that the tumor consumed, everything else was
    pushed aside.
    """

    side: int
    seed_point: np.ndarray
    center: np.ndarray
    radius: float
    replaced: float
    axes: np.ndarray  # (3,): stretch along x, y, z
    bumps: np.ndarray  # (n, 5): direction (3), height, sharpness
    volume_ml: float  # what was drawn, after the limit of what fits

    def extent(self, direction: Coordinates) -> np.ndarray:
        """Radius in mm along unit directions."""
        scale = np.float32(1.0)
        for bx, by, bz, height, sharpness in self.bumps.astype(np.float32):
            cosine = direction[0] * bx + direction[1] * by + direction[2] * bz
            scale = scale + height * np.exp(sharpness * (cosine - 1.0))
        ax, ay, az = self.axes.astype(np.float32)
        oval = (direction[0] / ax) ** 2 + (direction[1] / ay) ** 2 + (direction[2] / az) ** 2
        return np.float32(self.radius) * scale / np.sqrt(oval)

    @property
    def reach(self) -> float:
        return float(self.extent(tuple(_sphere().T)).max()) + 2.0


def draw_tumors(
    body, kidneys: tuple[Kidney, ...], rng: np.random.Generator, smallest: float = 1.0
) -> tuple[Tumor, ...]:
    """One tumor; in 6 % a second, smaller one in the other kidney. ``smallest`` as in ``draw_tumor_volume_ml``."""
    order = rng.permutation(len(kidneys))
    tumors = [_draw_tumor(body, kidneys[order[0]], growth.draw_tumor_volume_ml(rng, smallest), rng)]
    if len(kidneys) == 2 and rng.uniform() < 0.06:
        volume = min(growth.draw_tumor_volume_ml(rng, smallest), 60.0)
        tumors.append(_draw_tumor(body, kidneys[order[1]], volume, rng))
    return tuple(tumors)


def _draw_tumor(body, kidney: Kidney, volume_ml: float, rng: np.random.Generator) -> Tumor:
    trunk_ml = np.pi * body.inner_half_width * body.inner_half_depth * 7.5 * body.pitch / 1000.0
    volume_ml = float(np.clip(volume_ml, 0.3, LARGEST_SHARE * trunk_ml))
    bumps, axes = _draw_bumps(rng), rng.uniform((0.85, 0.80, 0.95), (1.05, 1.0, 1.35))
    radius = 10.0 * (3.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    radius /= _mean_cubed_scale(axes, bumps) ** (1.0 / 3.0)

    out, surface = _draw_attachment(kidney, rng)
    replaced = min(radius * rng.uniform(0.40, 0.62), 1.0 * kidney.radii[1])
    bite = min(rng.uniform(0.25, 0.9) * kidney.radii[2], 0.9 * replaced + 0.2 * kidney.radii[2])
    seed_point = surface + out * (replaced - bite)
    center = surface + out * (radius * rng.uniform(0.75, 0.95) - min(bite, 0.6 * radius))
    tumor = Tumor(kidney.side, seed_point, center, radius, replaced, axes, bumps, volume_ml)
    return replace(tumor, center=_fit(tumor, body))


def _draw_bumps(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(4, 9))
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    heights = rng.uniform(-0.12, 0.22, size=(count, 1))
    return np.hstack([directions, heights, rng.uniform(2.0, 9.0, size=(count, 1))])


def _sphere(count: int = 600) -> np.ndarray:
    """Evenly spread unit vectors (n, 3)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    angle = np.pi * (1.0 + 5.0**0.5) * k
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def _mean_cubed_scale(axes: np.ndarray, bumps: np.ndarray) -> float:
    probe = Tumor(0, np.zeros(3), np.zeros(3), 1.0, 0.0, axes, bumps, 0.0)
    return float(np.mean(probe.extent(tuple(_sphere().T)) ** 3))


def _draw_attachment(kidney: Kidney, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outward direction and the point of the kidney's surface where the tumor sits.

    Any pole; toward the front and the flank, because the back wall does not yield.
    """
    pole = rng.choice([-1.0, 0.0, 1.0], p=[0.38, 0.24, 0.38])
    out = np.array([kidney.side * rng.uniform(-0.1, 0.9), -rng.uniform(0.3, 1.0), pole * rng.uniform(0.6, 1.6)])
    out /= np.linalg.norm(out)
    inner = kidney.frame @ out
    surface = kidney.center + out / np.linalg.norm(inner / kidney.radii)
    return out, surface


def _fit(tumor: Tumor, body) -> np.ndarray:
    """Shift the ball until the spine and the walls no longer hold much of it."""
    directions = _sphere(300)
    radii = tumor.extent(tuple(directions.T))[:, None]
    center = tumor.center.copy()
    for _ in range(40):
        x, y, z = (center + directions * radii).T
        push = np.zeros_like(directions)
        back = np.maximum(y - (body.posterior_y - 0.05 * body.pitch), 0.0)
        column = np.maximum(KEEP_OFF * body.pitch - _from_spine(x, y, body), 0.0)
        push[:, 0] += tumor.side * column
        push[:, 1] -= np.maximum(back, 0.6 * column)
        rho = np.hypot(x / body.inner_half_width, y / body.inner_half_depth)
        over = np.maximum(rho - (1.0 + 0.25 * WALL_GIVE), 0.0)
        push[:, 0] -= over * x
        push[:, 1] -= over * y
        push[:, 2] -= np.maximum(z - 0.92 * body.dome * body.pitch, 0.0) + np.minimum(z + 0.2 * body.pitch, 0.0)
        step = np.abs(push).max(0) * np.sign(push.sum(0))
        if np.abs(step).max() < 0.5:
            break
        center = center + 0.35 * step
    return center


def undo_growth(tumor: Tumor, body, soft: Coordinates, fixed: Coordinates) -> Coordinates:
    """Where the tissue at each point was before the tumor grew (all coordinates in mm).

    Growth keeps volume: along each direction a point at distance d from the
    center came from distance (d^3 - r^3 + replaced^3)^(1/3), r the tumor's
    radius there. The spine and the back wall stay put.
    """
    offset = tuple(c - np.float32(o) for c, o in zip(soft, tumor.center, strict=True))
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2) + np.float32(1e-3)
    direction = tuple(o / distance for o in offset)
    extent = tumor.extent(direction)
    inner = np.float32(tumor.replaced) * extent / np.float32(tumor.radius)
    before = np.cbrt(np.maximum(distance**3 - extent**3, 0.0) + np.minimum(distance / extent, 1.0) ** 3 * inner**3)
    near = np.minimum(extent / distance, 1.0) ** 3
    shift = (tumor.seed_point - tumor.center).astype(np.float32)
    free = _freedom(body, fixed)
    return tuple(
        s + free * (c + d * before + near * m - s)
        for s, c, d, m in zip(soft, tumor.center.astype(np.float32), direction, shift, strict=True)
    )


def _freedom(body, fixed: Coordinates) -> np.ndarray:
    """0 at the spine and the back wall, 1 where organs can move."""
    x, y, _ = fixed
    from_spine = _from_spine(x, y, body)
    from_back = np.maximum(body.posterior_y + 0.1 * body.pitch - y, 0.0)
    return smoothstep(from_spine, 0.7 * body.pitch, 1.5 * body.pitch) * smoothstep(from_back, 0.0, 0.5 * body.pitch)


def _from_spine(x: np.ndarray, y: np.ndarray, body) -> np.ndarray:
    """Distance from the front of the vertebral bodies, where the great vessels run."""
    dx = np.maximum(np.abs(x) - 0.2 * body.pitch, 0.0)
    dy = y - np.minimum(np.maximum(y, body.spine_y - 0.35 * body.pitch), body.spine_y + 2.0 * body.pitch)
    return np.sqrt(dx * dx + dy * dy)


def paint_tumors(canvas: Canvas, anatomy) -> None:
    frame = canvas.fixed
    for number, tumor in enumerate(anatomy.tumors):
        _paint_tumor(canvas, tumor, anatomy.body, frame, anatomy.rng(f"tumor {number}"))
        if number + 1 < len(anatomy.tumors):  # the next one was pushed by this one
            frame = undo_growth(tumor, anatomy.body, frame, canvas.fixed)


def _paint_tumor(canvas: Canvas, tumor: Tumor, body, frame: Coordinates, rng: np.random.Generator) -> None:
    box = _find(canvas, tumor, frame)
    if box is None:
        return
    p = tuple(c[box] - np.float32(o) for c, o in zip(frame, tumor.center, strict=True))
    distance = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2) + np.float32(1e-3)
    surface = distance - tumor.extent(tuple(c / distance for c in p))
    size = tumor.radius
    surface = surface + 0.012 * size * Waves.draw(rng, 0.5 * size, 5)(p)
    x, y, _ = canvas.at(box, canvas.fixed)
    surface = smooth_intersection(surface, KEEP_OFF * body.pitch - _from_spine(x, y, body), 0.3 * body.pitch)
    canvas.paint("tumor_rim", box, surface, label=TUMOR)
    canvas.paint("tumor", box, surface + rng.uniform(0.8, 1.8), label=TUMOR)
    _paint_inside(canvas, box, p, surface, size, rng)


def _find(canvas: Canvas, tumor: Tumor, frame: Coordinates) -> Box | None:
    if frame is canvas.fixed:
        reach = tumor.reach + 3.0
        return canvas.find_box(tumor.center - reach, tumor.center + reach, frame)
    return canvas.everywhere


def _paint_inside(canvas: Canvas, box: Box, p: Coordinates, surface, size: float, rng: np.random.Generator) -> None:
    """Necrosis, hemorrhage, cysts, septa; seldom calcification or fat."""
    coarse = Waves.draw(rng, 0.9 * size, 7)(p)
    fine = Waves.draw(rng, 0.35 * size, 7)(p)
    mix = 0.75 * coarse + 0.45 * fine
    inside = surface + 0.06 * size

    def region(threshold: float, field: np.ndarray) -> np.ndarray:
        return np.maximum((threshold - field) * 0.18 * size, inside)

    canvas.paint("tumor_bright", box, region(0.5, -mix), label=TUMOR, opacity=rng.uniform(0.2, 0.9))
    if rng.uniform() < 0.8 and size > 12:
        canvas.paint("necrosis", box, region(rng.uniform(0.2, 1.2), mix), label=TUMOR, opacity=rng.uniform(0.6, 1.0))
    if rng.uniform() < 0.35 and size > 15:
        canvas.paint("hemorrhage", box, region(rng.uniform(0.9, 1.4), 0.6 * coarse - 0.8 * fine), label=TUMOR)
    if rng.uniform() < 0.30 and size > 12:
        _paint_cysts(canvas, box, p, inside, size, rng)
    if rng.uniform() < 0.5:
        septa = np.maximum(np.abs(mix - rng.uniform(-0.4, 0.4)) * 0.25 * size - 0.7, inside)
        canvas.paint("tumor_bright", box, septa, label=TUMOR, opacity=rng.uniform(0.4, 0.9))
    if rng.uniform() < 0.10:
        canvas.paint("calcification", box, region(1.75, coarse * 0.5 + fine), label=TUMOR)
    if rng.uniform() < 0.05:
        canvas.paint("fat", box, region(1.6, 0.5 * coarse - fine), label=TUMOR)


def _paint_cysts(canvas, box, p, inside, size, rng) -> None:
    cysts = np.full(inside.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(2, 8))):
        center = rng.normal(size=3)
        center *= size * rng.uniform(0.1, 0.75) / np.linalg.norm(center)
        radius = size * rng.uniform(0.07, 0.28)
        d = np.sqrt(sum((c - o) ** 2 for c, o in zip(p, center.astype(np.float32), strict=True)))
        cysts = np.minimum(cysts, d - radius)
    canvas.paint("tumor_cyst", box, np.maximum(cysts, inside), label=TUMOR)
