"""Stomach, small bowel and colon, with walls, fluid, stool and gas."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .organs import dome_height
from .shapes import Waves, ellipsoid, local, rotation

LOOPS = 64  # of small bowel, enough to leave little empty fat


def paint_bowel(canvas: Canvas, anatomy) -> None:
    _paint_small_bowel(canvas, anatomy)
    _paint_colon(canvas, anatomy)
    _paint_stomach(canvas, anatomy)


def _paint_small_bowel(canvas: Canvas, anatomy) -> None:
    """Short loops, each with its own wall, packed in the middle and lower belly."""
    body, rng = anatomy.body, anatomy.rng("small bowel")
    w, d, h = body.inner_half_width, body.inner_half_depth, body.pitch
    caliber = float(np.interp(anatomy.age_years, (0, 2, 8, 16), (5.0, 6.0, 7.5, 9.5)))
    contrast = "oral_contrast" if rng.uniform() < 0.25 else "chyme"
    for _ in range(LOOPS):
        across = rng.uniform(-0.75, 0.8)
        top = 5.6 if across > 0.15 else 4.0  # the liver fills the right upper quadrant
        point = np.array([across * w, rng.uniform(-0.9, 0.35) * d, rng.uniform(-1.2, top) * h])
        points = _wander(point, caliber * 1.5, int(rng.integers(4, 8)), rng, body)
        radii = caliber * rng.uniform(0.65, 1.25) * np.exp(0.12 * rng.normal(size=len(points)))
        loop = canvas.tube(points, radii, canvas.soft)
        if loop is None:
            continue
        box, distance = loop
        p = canvas.at(box, canvas.soft)
        folds = Waves.draw(rng, 1.1 * caliber, 5)(p)
        distance = distance + 0.07 * caliber * folds
        canvas.paint("bowel_wall", box, distance)
        content = rng.choice([contrast, "bowel_gas", "collapsed"], p=[0.62, 0.13, 0.25])
        if content == "collapsed":
            canvas.paint("chyme", box, distance + 0.55 * caliber + 0.25 * caliber * folds, opacity=0.7)
            continue
        lumen = distance + 1.1 + 0.06 * caliber + 0.12 * caliber * np.maximum(folds, 0)
        canvas.paint("chyme" if content == "bowel_gas" else content, box, lumen)
        if content == "bowel_gas":
            level = p[1] - (points[:, 1].mean() + rng.uniform(-0.5, 0.5) * caliber)
            canvas.paint("gas", box, np.maximum(lumen + 0.3, level))


def _wander(point: np.ndarray, step: float, count: int, rng: np.random.Generator, body) -> np.ndarray:
    """A smooth random path that turns back at the walls."""
    heading = rng.normal(size=3)
    points = [point]
    for _ in range(count):
        heading = heading / np.linalg.norm(heading) + 0.55 * rng.normal(size=3)
        ahead = points[-1] + step * heading / np.linalg.norm(heading)
        rho = np.hypot(ahead[0] / body.inner_half_width, ahead[1] / body.inner_half_depth)
        if rho > 0.85:
            heading[:2] = -heading[:2]
            ahead = points[-1] + step * heading / np.linalg.norm(heading)
        if abs(ahead[0]) < 1.2 * body.pitch:  # the great vessels lie before the spine
            ahead[1] = min(ahead[1], body.spine_y - 1.2 * body.pitch)
        points.append(ahead)
    return np.array(points)


def _paint_colon(canvas: Canvas, anatomy) -> None:
    """Ascending, transverse and descending colon with haustra."""
    body, rng = anatomy.body, anatomy.rng("colon")
    w, d, h = body.inner_half_width, body.inner_half_depth, body.pitch
    caliber = float(np.interp(anatomy.age_years, (0, 2, 8, 16), (8.5, 11.0, 14.0, 18.0)))
    edge = 1.0 - 1.15 * caliber / w
    sag = rng.uniform(0.0, 1.3)
    courses = {
        "right": [(-edge, 0.20, -1.3), (-edge, 0.22, 0.3), (-edge * 0.97, 0.18, 1.5), (-edge * 0.85, -0.1, 2.3)],
        "across": [
            (-0.78, -0.35, 2.3),
            (-0.45, -0.68, 2.2 - sag),
            (0.0, -0.76, 1.9 - sag),
            (0.45, -0.68, 2.8 - sag),
            (0.75, -0.25, 4.3),
        ],
        "left": [(edge * 0.92, -0.05, 4.6), (edge * 0.98, 0.22, 3.2), (edge, 0.26, 1.2), (edge * 0.97, 0.2, -1.3)],
    }
    for name, course in courses.items():
        points = _refine(np.array(course) * [w, d, h] + rng.normal(0, 0.15 * caliber, (len(course), 3)), 5)
        slack = {"right": 1.0, "across": 0.9, "left": rng.uniform(0.5, 0.85)}[name]
        radii = caliber * slack * (0.9 + 0.16 * np.cos(np.arange(len(points)) * 2.3 + rng.uniform(0, 6)))
        _paint_colon_part(canvas, points, radii, rng)


def _paint_colon_part(canvas: Canvas, points: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> None:
    tube = canvas.tube(points, radii, canvas.soft)
    if tube is None:
        return
    box, distance = tube
    p = canvas.at(box, canvas.soft)
    caliber = float(radii.mean())
    distance = distance + 0.10 * caliber * Waves.draw(rng, 1.6 * caliber, 5)(p)
    lumen = distance + 1.3 + 0.05 * caliber
    canvas.paint("bowel_wall", box, distance)
    canvas.paint("stool", box, lumen)
    speckle = Waves.draw(rng, 0.55 * caliber, 9)(p)
    canvas.paint("gas", box, np.maximum(lumen + 0.5, (rng.uniform(1.0, 1.9) - speckle) * 2.0), opacity=0.75)
    # Gas collects in front, in some stretches.
    stretch = Waves.draw(rng, 9.0 * caliber, 4)(p)
    nearest = (
        np.interp(p[2].ravel(), *_sorted_by_height(points)).reshape(p[2].shape)
        if np.ptp(points[:, 2]) > np.ptp(points[:, 0])
        else points[:, 1].mean()
    )
    level = p[1] - nearest + 0.25 * caliber - 0.9 * caliber * stretch
    canvas.paint("gas", box, np.maximum(lumen + 0.3, level))


def _sorted_by_height(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(points[:, 2])
    return points[order, 2], points[order, 1]


def _refine(points: np.ndarray, parts: int) -> np.ndarray:
    """Cut every segment in ``parts`` and round the corners."""
    t = np.linspace(0, len(points) - 1, (len(points) - 1) * parts + 1)
    fine = np.stack([np.interp(t, np.arange(len(points)), points[:, k]) for k in range(3)], axis=1)
    for _ in range(3):
        fine[1:-1] = 0.25 * fine[:-2] + 0.5 * fine[1:-1] + 0.25 * fine[2:]
    return fine


def _paint_stomach(canvas: Canvas, anatomy) -> None:
    """Under the left dome; fluid and food behind, gas in front."""
    body, rng = anatomy.body, anatomy.rng("stomach")
    w, d, h = body.inner_half_width, body.inner_half_depth, body.pitch
    fill = rng.uniform(0.75, 1.25)
    center = np.array([0.40 * w, -0.18 * d, 5.5 * h])
    radii = np.array([0.36 * w, 0.46 * d, 1.55 * h]) * fill
    frame = rotation([0, 1, 0], rng.uniform(0.2, 0.6)) @ rotation([1, 0, 0], rng.uniform(-0.4, 0.1))
    antrum = np.array(
        [
            center - [0.1 * w, 0.1 * d, 0.8 * h],
            [0.12 * w, -0.55 * d, 3.6 * h],
            [-0.15 * w, -0.45 * d, 3.4 * h],
            [-0.28 * w, -0.2 * d, 3.3 * h],
        ]
    )
    tube = canvas.tube(antrum, np.array([0.75, 0.65, 0.45, 0.3]) * h * (0.5 + 0.5 * fill), canvas.soft)
    reach = np.full(3, radii.max() * 1.15)
    box = canvas.find_box(center - reach, center + reach, canvas.soft)
    parts = [tube] if tube is not None else []
    if box is not None:
        p = canvas.at(box, canvas.soft)
        body_part = ellipsoid(local(p, center, frame), radii) + 0.03 * w * Waves.draw(rng, 0.6 * w, 5)(p)
        parts.append((box, np.maximum(body_part, p[2] - dome_height(p, body) + 0.5)))
    level = center[1] + rng.uniform(-0.75, 0.35) * radii[1]
    content = rng.choice(["chyme", "food", "oral_contrast"], p=[0.5, 0.35, 0.15])
    for part, distance in parts:
        canvas.paint("stomach_wall", part, distance)
    for part, distance in parts:
        lumen = distance + 2.2 + 0.06 * h
        canvas.paint(content, part, lumen)
        canvas.paint("gas", part, np.maximum(lumen, canvas.soft[1][part] - level))
