"""Wilms tumors: where they arise, how they push the child's organs aside, what is in them.

Volumes come from ``growth``. Where a constant names no source it is an estimate, chosen by eye so that generated
slices look like the CT of a child with a Wilms tumor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import growth
from .body import Body
from .canvas import FAR_MM, Box, Canvas, RandomParts
from .kidneys import Kidney
from .shapes import Coordinates, Waves, relative, smooth_intersection, smoothstep

TUMOR = 3
"""Label."""

WALL_GIVE = 0.45
"""Share of the growth that the body wall follows."""

RIM_MM = 0.8, 1.8
"""Least and most thickness of the rim (the pseudocapsule)."""

KEEP_OFF = 1.0
"""Vertebrae: how close a tumor comes to the spine."""

LARGEST_SHARE, TRUNK_HEIGHT = 0.33, 7.5
"""Largest tumor as a share of the trunk's volume, more does not fit a child; the trunk's height in vertebrae."""

SMALLEST_ML = 0.3
"""The smallest lesion that ``growth.WILMS_VOLUME_QUANTILES`` knows."""

SECOND_TUMOR, LARGEST_SECOND_ML = 0.06, 60.0
"""Share of the children with a tumor in the other kidney too, and the most volume of that one."""

AXES = (0.85, 0.80, 0.95), (1.05, 1.0, 1.35)
"""Least and most stretch along x, y and z: tumors are longest along the body."""

BUMPS, BUMP_HEIGHT, BUMP_SHARPNESS = (4, 9), (-0.12, 0.22), (2.0, 9.0)
"""Fewest lobules and one more than the most; height as a share of the radius; the sharper, the narrower."""

REPLACED = 0.40, 0.62
"""Radius of the tissue that the tumor consumed over its own: least and most, at most the kidney's half width."""

BITE = 0.25, 0.9
"""How deep a tumor sits in the kidney, as a share of its half thickness: least and most."""

DISTANCE = 0.75, 0.95
"""How far a tumor's center lies from the kidney's surface, less that depth, over its radius: least and most."""

TOWARD_FLANK, TOWARD_FRONT, TOWARD_POLE = (-0.1, 0.9), (0.3, 1.0), (0.6, 1.6)
"""Least and most of the parts of the direction in which a tumor leaves the kidney."""

POLES = {-1.0: 0.38, 0.0: 0.24, 1.0: 0.38}
"""Lower pole, middle and upper pole, and how often a tumor arises there."""

FIT_STEPS, FIT_RATE, FIT_ENOUGH_MM = 40, 0.35, 0.5
"""Most steps by which a tumor is moved to where it fits, the part of a push that is followed, and the last push."""

FREE_FROM_SPINE, FREE_FROM_BACK = (0.7, 1.5), 0.5
"""Vertebrae from the spine between which tissue begins to yield to growth and yields wholly; from the back wall."""

SPINE_FRONT, SPINE_HALF_WIDTH, SPINE_END = 0.35, 0.2, 2.0
"""Vertebrae: what does not yield begins before the center of the vertebral bodies, its half width, its back end."""

SURFACE_SAMPLES, FIT_SAMPLES = 600, 300
"""Directions in which a tumor's surface is looked at, for its volume and extent, and for the place where it fits."""

NECROSIS, HEMORRHAGE, CYSTS, SEPTA, CALCIFICATION, FAT = 0.8, 0.35, 0.30, 0.5, 0.10, 0.05
"""How often a tumor holds each."""

NECROSIS_FROM_MM, HEMORRHAGE_FROM_MM, CYSTS_FROM_MM = 12, 15, 12
"""Radius from which on a tumor may hold each."""

BRIGHT_FROM, NECROSIS_FROM, HEMORRHAGE_FROM, CALCIFICATION_FROM, FAT_FROM = 0.5, (0.2, 1.2), (0.9, 1.4), 1.75, 1.6
"""Above which value of a smooth field of about unit variance each is seen: the higher, the less of it."""

CYST_COUNT, CYST_PLACE, CYST_RADIUS = (2, 8), (0.1, 0.75), (0.07, 0.28)
"""Fewest cysts and one more than the most; least and most distance from the center and radius over the tumor's."""


@dataclass(frozen=True)
class Tumor:
    """A mass that grew from ``seed_point`` of the healthy child into a ball around ``center``.

    The ball is an ellipsoid with lobules: along direction d its radius is
    ``radius * ellipsoid(d) * (1 + sum of bumps)``. ``replaced`` is the radius of the healthy
    tissue around the seed point that the tumor consumed, everything else was
    pushed aside.
    """

    side: int
    """-1 for the right kidney, +1 for the left."""
    seed_point: np.ndarray
    center: np.ndarray
    radius: float
    replaced: float
    axes: np.ndarray
    """(3,): stretch along x, y, z."""
    bumps: np.ndarray
    """(n, 5): direction (3), height, sharpness."""
    volume_ml: float
    """What was drawn, after the limit of what fits."""

    def extent(self, direction: Coordinates) -> np.ndarray:
        """Radius in mm along unit directions."""
        x, y, z = direction
        scale = np.ones((), np.float32)
        for bump_x, bump_y, bump_z, height, sharpness in self.bumps.astype(np.float32):
            cosine = x * bump_x + y * bump_y + z * bump_z
            scale = scale + height * np.exp(sharpness * (cosine - 1.0))
        stretch_x, stretch_y, stretch_z = self.axes.astype(np.float32)
        oval = (x / stretch_x) ** 2 + (y / stretch_y) ** 2 + (z / stretch_z) ** 2
        return np.float32(self.radius) * scale / np.sqrt(oval)

    @property
    def reach(self) -> float:
        """The largest radius in mm, and a little more."""
        return float(self.extent(_sphere(SURFACE_SAMPLES)).max()) + 2.0


def draw_tumors(
    body: Body, kidneys: tuple[Kidney, ...], rng: np.random.Generator, smallest: float = 1.0
) -> tuple[Tumor, ...]:
    """One tumor; in 6 % a second, smaller one in the other kidney. ``smallest`` as in ``draw_tumor_volume_ml``."""
    order = rng.permutation(len(kidneys))
    tumors = [_draw_tumor(body, kidneys[order[0]], growth.draw_tumor_volume_ml(rng, smallest), rng)]
    if len(kidneys) == 2 and rng.uniform() < SECOND_TUMOR:
        volume = min(growth.draw_tumor_volume_ml(rng, smallest), LARGEST_SECOND_ML)
        tumors.append(_draw_tumor(body, kidneys[order[1]], volume, rng))
    return tuple(tumors)


def _draw_tumor(body: Body, kidney: Kidney, volume_ml: float, rng: np.random.Generator) -> Tumor:
    trunk_ml = np.pi * body.inner_half_width * body.inner_half_depth * TRUNK_HEIGHT * body.pitch / 1000.0
    volume_ml = float(np.clip(volume_ml, SMALLEST_ML, LARGEST_SHARE * trunk_ml))
    bumps, axes = _draw_bumps(rng), rng.uniform(*AXES)
    radius = 10.0 * (3.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    radius /= _mean_cubed_scale(axes, bumps) ** (1.0 / 3.0)

    out, surface = _draw_attachment(kidney, rng)
    _, half_width, half_thickness = kidney.radii
    replaced = min(radius * rng.uniform(*REPLACED), half_width)
    bite = min(rng.uniform(*BITE) * half_thickness, 0.9 * replaced + 0.2 * half_thickness)
    seed_point = surface + out * (replaced - bite)
    center = surface + out * (radius * rng.uniform(*DISTANCE) - min(bite, 0.6 * radius))
    tumor = Tumor(kidney.side, seed_point, center, radius, replaced, axes, bumps, volume_ml)
    return replace(tumor, center=_fit(tumor, body))


def _draw_bumps(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(*BUMPS))
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    heights = rng.uniform(*BUMP_HEIGHT, size=(count, 1))
    return np.hstack([directions, heights, rng.uniform(*BUMP_SHARPNESS, size=(count, 1))])


def _sphere(count: int) -> Coordinates:
    """Evenly spread unit vectors."""
    number = np.arange(count) + 0.5
    z = 1.0 - 2.0 * number / count
    angle = np.pi * (1.0 + 5.0**0.5) * number
    ring = np.sqrt(1.0 - z * z)
    return ring * np.cos(angle), ring * np.sin(angle), z


def _mean_cubed_scale(axes: np.ndarray, bumps: np.ndarray) -> float:
    """Volume over that of a ball of the same ``radius``."""
    probe = Tumor(0, np.zeros(3), np.zeros(3), 1.0, 0.0, axes, bumps, 0.0)
    return float(np.mean(probe.extent(_sphere(SURFACE_SAMPLES)) ** 3))


def _draw_attachment(kidney: Kidney, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outward direction and the point of the kidney's surface where the tumor sits.

    Any pole; toward the front and the flank, because the back wall does not yield.
    """
    pole = rng.choice(list(POLES), p=list(POLES.values()))
    flank, front, up = rng.uniform(*TOWARD_FLANK), rng.uniform(*TOWARD_FRONT), pole * rng.uniform(*TOWARD_POLE)
    out = np.array([kidney.side * flank, -front, up])
    out /= np.linalg.norm(out)
    inner = kidney.frame @ out
    surface = kidney.center + out / np.linalg.norm(inner / kidney.radii)
    return out, surface


def _fit(tumor: Tumor, body: Body) -> np.ndarray:
    """Shift the ball until the spine and the walls no longer hold much of it."""
    directions = _sphere(FIT_SAMPLES)
    surface = np.stack(directions, axis=1) * tumor.extent(directions)[:, None]
    center = tumor.center.copy()
    for _ in range(FIT_STEPS):
        push = _push(tumor.side, center + surface, body)
        step = np.abs(push).max(0) * np.sign(push.sum(0))
        if np.abs(step).max() < FIT_ENOUGH_MM:
            break
        center = center + FIT_RATE * step
    return center


def _push(side: int, points: np.ndarray, body: Body) -> np.ndarray:
    """How far spine, walls, diaphragm and pelvis push each point (n, 3) of a tumor's surface, mm."""
    x, y, z = points.T
    push = np.zeros_like(points)
    back = np.maximum(y - (body.posterior_y - 0.05 * body.pitch), 0.0)
    column = np.maximum(KEEP_OFF * body.pitch - _from_spine(x, y, body), 0.0)
    push[:, 0] += side * column
    push[:, 1] -= np.maximum(back, 0.6 * column)
    rho = np.hypot(x / body.inner_half_width, y / body.inner_half_depth)
    over = np.maximum(rho - (1.0 + 0.25 * WALL_GIVE), 0.0)
    push[:, 0] -= over * x
    push[:, 1] -= over * y
    push[:, 2] -= np.maximum(z - 0.92 * body.dome * body.pitch, 0.0) + np.minimum(z + 0.2 * body.pitch, 0.0)
    return push


def undo_growth(tumor: Tumor, body: Body, soft: Coordinates, fixed: Coordinates) -> Coordinates:
    """Where the tissue at each point was before the tumor grew (all coordinates in mm).

    Growth keeps volume: along each direction a point at distance d from the
    center came from distance (d^3 - r^3 + replaced^3)^(1/3), r the tumor's
    radius there. The spine and the back wall stay put.
    """
    center = tumor.center.astype(np.float32)
    distance, direction = _polar(relative(soft, center))
    extent = tumor.extent(direction)
    inner = np.float32(tumor.replaced) * extent / np.float32(tumor.radius)
    before = np.cbrt(np.maximum(distance**3 - extent**3, 0.0) + np.minimum(distance / extent, 1.0) ** 3 * inner**3)
    near = np.minimum(extent / distance, 1.0) ** 3
    shift = (tumor.seed_point - tumor.center).astype(np.float32)
    free = _freedom(body, fixed)
    x, y, z = (
        now + free * (middle + ahead * before + near * moved - now)
        for now, middle, ahead, moved in zip(soft, center, direction, shift, strict=True)
    )
    return x, y, z


def _polar(offset: Coordinates) -> tuple[np.ndarray, Coordinates]:
    """Distance from the origin, and unit directions."""
    x, y, z = offset
    distance = np.sqrt(x**2 + y**2 + z**2) + np.float32(1e-3)
    return distance, (x / distance, y / distance, z / distance)


def _freedom(body: Body, fixed: Coordinates) -> np.ndarray:
    """0 at the spine and the back wall, 1 where organs can move."""
    x, y, _ = fixed
    from_spine = _from_spine(x, y, body)
    from_back = np.maximum(body.posterior_y + 0.1 * body.pitch - y, 0.0)
    begins, ends = FREE_FROM_SPINE
    beside = smoothstep(from_spine, begins * body.pitch, ends * body.pitch)
    return beside * smoothstep(from_back, 0.0, FREE_FROM_BACK * body.pitch)


def _from_spine(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Distance from the front of the vertebral bodies, where the great vessels run."""
    across = np.maximum(np.abs(x) - SPINE_HALF_WIDTH * body.pitch, 0.0)
    front, back = body.spine_y - SPINE_FRONT * body.pitch, body.spine_y + SPINE_END * body.pitch
    deep = y - np.minimum(np.maximum(y, front), back)
    return np.sqrt(across * across + deep * deep)


def paint_tumors(canvas: Canvas, body: Body, tumors: tuple[Tumor, ...], rng_of: RandomParts) -> None:
    """Each tumor in the tissue as it was before the next one grew."""
    frame = canvas.fixed
    for number, tumor in enumerate(tumors):
        _paint_tumor(canvas, tumor, body, frame, rng_of(f"tumor {number}"))
        if number + 1 < len(tumors):  # the next one was pushed by this one
            frame = undo_growth(tumor, body, frame, canvas.fixed)


def _paint_tumor(canvas: Canvas, tumor: Tumor, body: Body, frame: Coordinates, rng: np.random.Generator) -> None:
    """A rim, the tumor in it, and what that holds."""
    box = _find(canvas, tumor, frame)
    if box is None:
        return
    offset = relative(canvas.at(box, frame), tumor.center.astype(np.float32))
    distance, direction = _polar(offset)
    surface = distance - tumor.extent(direction)
    size = tumor.radius
    surface = surface + 0.012 * size * Waves.draw(rng, 0.5 * size, 5)(offset)
    x, y, _ = canvas.at(box, canvas.fixed)
    surface = smooth_intersection(surface, KEEP_OFF * body.pitch - _from_spine(x, y, body), 0.3 * body.pitch)
    canvas.paint("tumor_rim", box, surface, label=TUMOR)
    canvas.paint("tumor", box, surface + rng.uniform(*RIM_MM), label=TUMOR)
    _paint_inside(canvas, box, offset, surface, size, rng)


def _find(canvas: Canvas, tumor: Tumor, frame: Coordinates) -> Box | None:
    """The canvas finds boxes in its own frames alone."""
    if frame is canvas.fixed:
        reach = tumor.reach + 3.0
        return canvas.find_box(tumor.center - reach, tumor.center + reach, frame)
    return canvas.everywhere


def _paint_inside(
    canvas: Canvas, box: Box, offset: Coordinates, surface: np.ndarray, size: float, rng: np.random.Generator
) -> None:
    """Necrosis, hemorrhage, cysts, septa; seldom calcification or fat. ``offset``: coordinates from the center."""
    coarse = Waves.draw(rng, 0.9 * size, 7)(offset)
    fine = Waves.draw(rng, 0.35 * size, 7)(offset)
    mix = 0.75 * coarse + 0.45 * fine
    inside = surface + 0.06 * size

    def region(threshold: float, field: np.ndarray) -> np.ndarray:
        """Where a field of about unit variance is over a threshold."""
        return np.maximum((threshold - field) * 0.18 * size, inside)

    canvas.paint("tumor_bright", box, region(BRIGHT_FROM, -mix), label=TUMOR, opacity=rng.uniform(0.2, 0.9))
    if rng.uniform() < NECROSIS and size > NECROSIS_FROM_MM:
        necrosis = region(rng.uniform(*NECROSIS_FROM), mix)
        canvas.paint("necrosis", box, necrosis, label=TUMOR, opacity=rng.uniform(0.6, 1.0))
    if rng.uniform() < HEMORRHAGE and size > HEMORRHAGE_FROM_MM:
        canvas.paint("hemorrhage", box, region(rng.uniform(*HEMORRHAGE_FROM), 0.6 * coarse - 0.8 * fine), label=TUMOR)
    if rng.uniform() < CYSTS and size > CYSTS_FROM_MM:
        _paint_cysts(canvas, box, offset, inside, size, rng)
    if rng.uniform() < SEPTA:
        septa = np.maximum(np.abs(mix - rng.uniform(-0.4, 0.4)) * 0.25 * size - 0.7, inside)
        canvas.paint("tumor_bright", box, septa, label=TUMOR, opacity=rng.uniform(0.4, 0.9))
    if rng.uniform() < CALCIFICATION:
        canvas.paint("calcification", box, region(CALCIFICATION_FROM, coarse * 0.5 + fine), label=TUMOR)
    if rng.uniform() < FAT:
        canvas.paint("fat", box, region(FAT_FROM, 0.5 * coarse - fine), label=TUMOR)


def _paint_cysts(
    canvas: Canvas, box: Box, offset: Coordinates, inside: np.ndarray, size: float, rng: np.random.Generator
) -> None:
    cysts = np.full(inside.shape, FAR_MM, np.float32)
    for _ in range(int(rng.integers(*CYST_COUNT))):
        center = rng.normal(size=3)
        center *= size * rng.uniform(*CYST_PLACE) / np.linalg.norm(center)
        radius = size * rng.uniform(*CYST_RADIUS)
        x, y, z = relative(offset, center.astype(np.float32))
        cysts = np.minimum(cysts, np.sqrt(x**2 + y**2 + z**2) - radius)
    canvas.paint("tumor_cyst", box, np.maximum(cysts, inside), label=TUMOR)
