"""Stomach, small bowel and colon, with walls, fluid, stool and gas.

Courses and sizes are shares of the cavity's half width (x) and half depth (y), and vertebrae (z), so that they
grow with the child. Where a constant names no source it is an estimate, chosen by eye so that generated slices
look like a child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .canvas import Canvas, RandomParts
from .organs import dome_height
from .shapes import Waves, ellipsoid, local, rotation

LOOPS = 64
"""Short pieces of small bowel, enough to leave little empty fat."""

LOOP_RADIUS_MM = (0, 2, 8, 16), (5.0, 6.0, 7.5, 9.5)
"""Radius of small bowel by age in years."""

LOOP_TOP, LOOP_TOP_AT_RIGHT, LIVER_UP_TO = 5.6, 4.0, 0.15
"""Height up to which small bowel lies; at the right less, where the liver fills the upper quadrant, up to this x."""

ORAL_CONTRAST = 0.25
"""Share of the children whose small bowel holds contrast medium."""

LOOP_START = (-0.75, 0.8), (-0.9, 0.35), -1.2
"""Where loops begin: least and most x and y, and the least z."""

LOOP_POINTS, LOOP_STEP, LOOP_TURN = (4, 8), 1.5, 0.55
"""Fewest points of a loop and one more than the most, steps between them in radii, and how much each changes course."""

LOOP_WIDTH, LOOP_WIDTH_SPREAD = (0.65, 1.25), 0.12
"""Least and most radius of a loop over the child's, and standard deviation of its logarithm along the loop."""

LOOP_CONTENTS = {"fluid": 0.62, "bowel_gas": 0.13, "collapsed": 0.25}
"""What is in a loop, and how often; fluid is chyme or oral contrast medium, the same in the whole child."""

LOOP_WALL = 1.1, 0.06
"""Thickness of the small bowel's wall: mm, and a share of the radius added."""

WALL_SHARE, BEFORE_VESSELS = 0.85, 1.2
"""Where a loop turns back: share of the cavity's width and depth, and vertebrae from the spine before great vessels."""

COLON_RADIUS_MM = (0, 2, 8, 16), (8.5, 11.0, 14.0, 18.0)
"""Radius of the colon by age in years."""

COLON_WALL = 1.3, 0.05
"""Thickness of the colon's wall: mm, and a share of the radius added."""

COLON_FROM_WALL = 1.15
"""Distance of the ascending and descending colon's middle from the wall, in radii."""

ASCENDING = (-1.0, 0.20, -1.3), (-1.0, 0.22, 0.3), (-0.97, 0.18, 1.5), (-0.85, -0.1, 2.3)
"""Course from the cecum to the right flexure; x as a share of how far out the colon lies."""

TRANSVERSE = (-0.78, -0.35, 2.3), (-0.45, -0.68, 2.2), (0.0, -0.76, 1.9), (0.45, -0.68, 2.8), (0.75, -0.25, 4.3)
"""On to the left flexure, before all else; the left flexure lies higher than the right one."""

TRANSVERSE_SAGS, COLON_SAG = (0, 1, 1, 1, 0), (0.0, 1.3)
"""Which points of it hang down, and by how many vertebrae at least and at most."""

DESCENDING = (0.92, -0.05, 4.6), (0.98, 0.22, 3.2), (1.0, 0.26, 1.2), (0.97, 0.2, -1.3)
"""On to the pelvis; x as for the ascending colon."""

COLON_WIDTH, DESCENDING_WIDTH = {"ascending": 1.0, "transverse": 0.9}, (0.5, 0.85)
"""Radius of each part over the colon's; the descending colon's is drawn between the two."""

SEGMENTS_A_STRETCH, HAUSTRA = 5, (0.9, 0.16, 2.3)
"""Points a stretch of the course, and from point to point: mean radius, its change, and radians of that wave."""

STOMACH_CENTER, STOMACH_RADII = (0.40, -0.18, 5.5), (0.36, 0.46, 1.55)
"""The stomach's body, under the left dome."""

STOMACH_TILT, STOMACH_ROLL = (0.2, 0.6), (-0.4, 0.1)
"""Least and most radians that it is turned about y, and about x.

The tilt has the wrong sign: the upper end leans to the right, in the body the fundus lies left and behind.
"""

STOMACH_FILLING = 0.75, 1.25
"""Least and most size of a stomach over that."""

ANTRUM_START = 0.1, 0.1, 0.8
"""How far right, in front and below of its center the antrum begins."""

ANTRUM = ((0.12, -0.55, 3.6), (-0.15, -0.45, 3.4), (-0.28, -0.2, 3.3))
"""Course from the stomach's body across the midline to the pylorus."""

ANTRUM_RADII = 0.75, 0.65, 0.45, 0.3
"""Radius at the body and along that course, in vertebrae."""

STOMACH_LEVEL = -0.75, 0.35
"""Least and most y of the level between fluid and gas from its center, in radii."""

STOMACH_CONTENTS = {"chyme": 0.5, "food": 0.35, "oral_contrast": 0.15}
"""What is in the stomach, and how often."""

STOMACH_WALL = 2.2, 0.06
"""Thickness of the stomach's wall: mm, and vertebrae added."""


def paint_bowel(canvas: Canvas, body: Body, rng_of: RandomParts) -> None:
    """Small bowel, then the colon that frames it, then the stomach."""
    _paint_small_bowel(canvas, body, rng_of("small bowel"))
    _paint_colon(canvas, body, rng_of("colon"))
    _paint_stomach(canvas, body, rng_of("stomach"))


def _inner_sizes(body: Body) -> tuple[float, float, float]:
    """What courses are given in: half width and half depth of the cavity, and height of a vertebra, mm."""
    return body.inner_half_width, body.inner_half_depth, body.pitch


def _paint_small_bowel(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Short loops, each with its own wall, packed in the middle and lower belly."""
    half_width, half_depth, pitch = _inner_sizes(body)
    caliber = float(np.interp(body.age_years, *LOOP_RADIUS_MM))
    fluid = "oral_contrast" if rng.uniform() < ORAL_CONTRAST else "chyme"
    for _ in range(LOOPS):
        across = rng.uniform(*LOOP_START[0])
        top = LOOP_TOP if across > LIVER_UP_TO else LOOP_TOP_AT_RIGHT
        deep, up = rng.uniform(*LOOP_START[1]), rng.uniform(LOOP_START[2], top)
        start = np.array([across * half_width, deep * half_depth, up * pitch])
        points = _wander(start, caliber * LOOP_STEP, int(rng.integers(*LOOP_POINTS)), rng, body)
        radii = caliber * rng.uniform(*LOOP_WIDTH) * np.exp(LOOP_WIDTH_SPREAD * rng.normal(size=len(points)))
        _paint_loop(canvas, points, radii, caliber, fluid, rng)


def _paint_loop(
    canvas: Canvas, points: np.ndarray, radii: np.ndarray, caliber: float, fluid: str, rng: np.random.Generator
) -> None:
    """One loop with what is in it; gas lies in front of the fluid."""
    loop = canvas.tube(points, radii, canvas.soft)
    if loop is None:
        return
    box, distance = loop
    position = canvas.at(box, canvas.soft)
    folds = Waves.draw(rng, 1.1 * caliber, 5)(position)
    distance = distance + 0.07 * caliber * folds
    canvas.paint("bowel_wall", box, distance)
    content = rng.choice(list(LOOP_CONTENTS), p=list(LOOP_CONTENTS.values()))
    if content == "collapsed":
        canvas.paint("chyme", box, distance + 0.55 * caliber + 0.25 * caliber * folds, opacity=0.7)
        return
    lumen = distance + LOOP_WALL[0] + LOOP_WALL[1] * caliber + 0.12 * caliber * np.maximum(folds, 0)
    canvas.paint("chyme" if content == "bowel_gas" else fluid, box, lumen)
    if content == "bowel_gas":
        level = position[1] - (points[:, 1].mean() + rng.uniform(-0.5, 0.5) * caliber)
        canvas.paint("gas", box, np.maximum(lumen + 0.3, level))


def _wander(start: np.ndarray, step: float, count: int, rng: np.random.Generator, body: Body) -> np.ndarray:
    """A smooth random path (n, 3) that turns back at the walls."""
    heading = rng.normal(size=3)
    points = [start]
    for _ in range(count):
        heading = heading / np.linalg.norm(heading) + LOOP_TURN * rng.normal(size=3)
        ahead = points[-1] + step * heading / np.linalg.norm(heading)
        rho = np.hypot(ahead[0] / body.inner_half_width, ahead[1] / body.inner_half_depth)
        if rho > WALL_SHARE:
            heading[:2] = -heading[:2]
            ahead = points[-1] + step * heading / np.linalg.norm(heading)
        if abs(ahead[0]) < BEFORE_VESSELS * body.pitch:
            ahead[1] = min(ahead[1], body.spine_y - BEFORE_VESSELS * body.pitch)
        points.append(ahead)
    return np.array(points)


def _paint_colon(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Ascending, transverse and descending colon with haustra."""
    caliber = float(np.interp(body.age_years, *COLON_RADIUS_MM))
    edge = 1.0 - COLON_FROM_WALL * caliber / body.inner_half_width
    sag = rng.uniform(*COLON_SAG)
    courses = {
        "ascending": np.array(ASCENDING) * (edge, 1.0, 1.0),
        "transverse": np.array(TRANSVERSE) - np.outer(TRANSVERSE_SAGS, (0.0, 0.0, sag)),
        "descending": np.array(DESCENDING) * (edge, 1.0, 1.0),
    }
    for name, course in courses.items():
        scatter = rng.normal(0, 0.15 * caliber, (len(course), 3))
        points = _refine(course * _inner_sizes(body) + scatter, SEGMENTS_A_STRETCH)
        slack = COLON_WIDTH.get(name, rng.uniform(*DESCENDING_WIDTH))
        mean, change, wave = HAUSTRA
        radii = caliber * slack * (mean + change * np.cos(np.arange(len(points)) * wave + rng.uniform(0, 6)))
        _paint_colon_part(canvas, points, radii, rng)


def _paint_colon_part(canvas: Canvas, points: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> None:
    """Stool with bubbles of gas; in front, in some stretches, gas alone."""
    tube = canvas.tube(points, radii, canvas.soft)
    if tube is None:
        return
    box, distance = tube
    position = canvas.at(box, canvas.soft)
    _, y, z = position
    caliber = float(radii.mean())
    distance = distance + 0.10 * caliber * Waves.draw(rng, 1.6 * caliber, 5)(position)
    lumen = distance + COLON_WALL[0] + COLON_WALL[1] * caliber
    canvas.paint("bowel_wall", box, distance)
    canvas.paint("stool", box, lumen)
    speckle = Waves.draw(rng, 0.55 * caliber, 9)(position)
    bubbles = (rng.uniform(1.0, 1.9) - speckle) * 2.0
    canvas.paint("gas", box, np.maximum(lumen + 0.5, bubbles), opacity=0.75)
    stretch = Waves.draw(rng, 9.0 * caliber, 4)(position)
    level = y - _middle_y(points, z) + 0.25 * caliber - 0.9 * caliber * stretch
    canvas.paint("gas", box, np.maximum(lumen + 0.3, level))


def _middle_y(points: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Y of a part's middle line: at each height for a part that runs upright, else one for all of it."""
    if np.ptp(points[:, 2]) <= np.ptp(points[:, 0]):
        return points[:, 1].mean()
    upward = points[np.argsort(points[:, 2])]
    return np.interp(z.ravel(), upward[:, 2], upward[:, 1]).reshape(z.shape)


def _refine(points: np.ndarray, parts: int) -> np.ndarray:
    """Cut every segment in ``parts`` and round the corners."""
    known = np.arange(len(points))
    wanted = np.linspace(0, len(points) - 1, (len(points) - 1) * parts + 1)
    fine = np.stack([np.interp(wanted, known, along) for along in points.T], axis=1)
    for _ in range(3):
        fine[1:-1] = 0.25 * fine[:-2] + 0.5 * fine[1:-1] + 0.25 * fine[2:]
    return fine


def _paint_stomach(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Under the left dome; fluid and food behind, gas in front."""
    sizes = _inner_sizes(body)
    half_width, _, pitch = sizes
    filling = rng.uniform(*STOMACH_FILLING)
    center = np.array(STOMACH_CENTER) * sizes
    radii = np.array(STOMACH_RADII) * sizes * filling
    frame = rotation([0, 1, 0], rng.uniform(*STOMACH_TILT)) @ rotation([1, 0, 0], rng.uniform(*STOMACH_ROLL))
    start = center - np.array(ANTRUM_START) * sizes
    antrum = np.stack([start, *(np.array(ANTRUM) * sizes)])
    tube = canvas.tube(antrum, np.array(ANTRUM_RADII) * pitch * (0.5 + 0.5 * filling), canvas.soft)
    reach = np.full(3, radii.max() * 1.15)
    box = canvas.find_box(center - reach, center + reach, canvas.soft)
    parts = [tube] if tube is not None else []
    if box is not None:
        position = canvas.at(box, canvas.soft)
        sac = ellipsoid(local(position, center, frame), radii)
        sac = sac + 0.03 * half_width * Waves.draw(rng, 0.6 * half_width, 5)(position)
        parts.append((box, np.maximum(sac, position[2] - dome_height(position, body) + 0.5)))
    level = center[1] + rng.uniform(*STOMACH_LEVEL) * radii[1]
    content = rng.choice(list(STOMACH_CONTENTS), p=list(STOMACH_CONTENTS.values()))
    for part, distance in parts:
        canvas.paint("stomach_wall", part, distance)
    for part, distance in parts:
        lumen = distance + STOMACH_WALL[0] + STOMACH_WALL[1] * pitch
        canvas.paint(content, part, lumen)
        canvas.paint("gas", part, np.maximum(lumen, canvas.soft[1][part] - level))
