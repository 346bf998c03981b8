"""Aorta, inferior vena cava, renal and mesenteric vessels.

Courses are given in vertebrae from the front of the spine (y), or in shares of the cavity's half width and half
depth where that is said. They are estimates, chosen by eye so that generated slices look like a child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .canvas import Canvas, RandomParts
from .kidneys import Kidney
from .shapes import Point

AORTA_LEFT = 0.05, 0.25
"""Least and most that the lower aorta lies left of the midline, in vertebrae."""

AORTA_RADII, AORTA_SPREAD = (0.20, 0.22, 0.24, 0.27, 0.28), (0.9, 1.15)
"""Radii along the aorta, from below, in vertebrae, and by what they are multiplied in one child."""

CAVA = ((-0.20, -0.20, -1.2), (-0.42, -0.25, 0.3), (-0.45, -0.32, 2.8), (-0.50, -0.55, 5.0), (-0.42, -0.95, 7.2))
"""Course of the vena cava from below, right of the aorta; at the liver it runs forward."""

CAVA_RADII, CAVA_SPREAD = (0.20, 0.26, 0.30, 0.32, 0.30), (0.85, 1.2)
"""Radii along it, and by what they are multiplied in one child."""

RENAL_VEIN_RADIUS, RENAL_ARTERY_RADIUS = (0.13, 0.4), (0.075, 0.4)
"""Vertebrae, and mm added."""

SUPERIOR_MESENTERIC_RADIUS, CELIAC_RADIUS = (0.11, 0.3), (0.09, 0.3)
"""The arteries: vertebrae, and mm added."""

MESENTERIC_VEIN_RADIUS, PORTAL_RADIUS = (0.15, 0.4), (0.19, 0.4)
"""The veins: vertebrae, and mm added."""

BRANCHES, BRANCH_RADII = 22, (0.07, 0.055, 0.03)
"""Mesenteric branches, by turns of vein and artery, and their radii from trunk to bowel in vertebrae."""

BRANCH_ENDS = (-0.7, -0.75, -1.0), (0.7, 0.0, 2.8)
"""Least and most of where a branch ends: x in half widths, y in half depths, z in vertebrae."""


def paint_great_vessels(canvas: Canvas, body: Body, kidneys: tuple[Kidney, ...], rng_of: RandomParts) -> None:
    """Vessels in front of the spine: each covers those that were painted before it."""
    rng = rng_of("vessels")
    pitch = body.pitch
    aorta = _draw_aorta(body, rng)
    aorta_radii = pitch * np.array(AORTA_RADII) * rng.uniform(*AORTA_SPREAD)
    cava = np.array(CAVA) * pitch
    cava[:, 1] += body.spine_front_y
    cava_radii = pitch * np.array(CAVA_RADII) * rng.uniform(*CAVA_SPREAD)

    _paint_mesenteric(canvas, body, rng)
    for kidney in kidneys:
        _paint_renal(canvas, body, kidney)
    _paint(canvas, "ivc", cava, cava_radii)
    _paint(canvas, "aorta", aorta, aorta_radii)


def _draw_aorta(body: Body, rng: np.random.Generator) -> np.ndarray:
    """Course (n, 3) from below: left of the midline, back and left again above the diaphragm."""
    lateral = rng.uniform(*AORTA_LEFT)
    course = [
        (lateral, -0.22, -1.2),
        (lateral, -0.26, 0.6),
        (lateral + 0.05, -0.28, 3.0),
        (0.18, -0.26, 5.2),
        (0.35, -0.02, 9.5),
    ]
    points = np.array(course) * body.pitch
    points[:, 1] += body.spine_front_y
    return points


def _paint(canvas: Canvas, tissue: str, points: np.ndarray | list[Point], radii: np.ndarray | float) -> None:
    tube = canvas.tube(np.asarray(points, float), radii, canvas.soft)
    if tube is not None:
        canvas.paint(tissue, *tube, clip=False)


def _radius(body: Body, size: tuple[float, float]) -> float:
    """Vertebrae, and mm added, in mm."""
    vertebrae, added = size
    return vertebrae * body.pitch + added


def _paint_renal(canvas: Canvas, body: Body, kidney: Kidney) -> None:
    """Vein and artery from a kidney's hilum to the great vessels at its level."""
    pitch, front = body.pitch, body.spine_front_y
    level = kidney.hilum[2]
    origin = np.array([0.10 * pitch, front - 0.25 * pitch, level + 0.4 * pitch])
    middle = 0.5 * (origin + kidney.hilum) + [0.0, 0.08 * pitch, 0.15 * pitch]
    vein = [
        [-0.42 * pitch, front - 0.45 * pitch, level],
        middle + [0, -0.28 * pitch, -0.25 * pitch],
        kidney.hilum + [0, -0.1 * pitch, 0],
    ]
    _paint(canvas, "renal_vein", vein, _radius(body, RENAL_VEIN_RADIUS))
    _paint(canvas, "artery", [origin, middle, kidney.hilum], _radius(body, RENAL_ARTERY_RADIUS))


def _paint_mesenteric(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Celiac trunk, superior mesenteric artery and vein, portal vein, and small branches."""
    half_width, half_depth, pitch, front = body.inner_half_width, body.inner_half_depth, body.pitch, body.spine_front_y
    artery = np.array(
        [
            [0.08 * pitch, front - 0.3 * pitch, 3.9 * pitch],
            [0.05 * pitch, front - 0.9 * pitch, 3.4 * pitch],
            [0.0, front - 1.1 * pitch, 2.0 * pitch],
            [-0.1 * half_width, front - 0.9 * pitch, 0.3 * pitch],
        ]
    )
    vein = artery[1:] + [-0.45 * pitch, -0.02 * pitch, 0.0]
    portal = np.array(
        [
            vein[0],
            [-0.2 * half_width, front - 0.9 * pitch, 4.3 * pitch],
            [-0.40 * half_width, front - 0.7 * pitch, 5.0 * pitch],
        ]
    )
    celiac = np.array(
        [
            [0.05 * pitch, front - 0.3 * pitch, 4.5 * pitch],
            [0.0, front - 0.9 * pitch, 4.7 * pitch],
            [-0.3 * half_width, front - 0.9 * pitch, 4.8 * pitch],
        ]
    )
    _paint(canvas, "portal_vein", vein, _radius(body, MESENTERIC_VEIN_RADIUS))
    _paint(canvas, "portal_vein", portal, _radius(body, PORTAL_RADIUS))
    _paint(canvas, "artery", artery, _radius(body, SUPERIOR_MESENTERIC_RADIUS))
    _paint(canvas, "artery", celiac, _radius(body, CELIAC_RADIUS))
    for number in range(BRANCHES):
        trunk, tissue = (artery, "artery") if number % 2 else (vein, "portal_vein")
        start = trunk[-2] + rng.uniform(0, 1) * (trunk[-1] - trunk[-2])
        end = rng.uniform(*BRANCH_ENDS) * [half_width, half_depth, pitch]
        middle = 0.5 * (start + end) + rng.normal(0, 0.25 * pitch, 3)
        _paint(canvas, tissue, [start, middle, end], np.array(BRANCH_RADII) * pitch + 0.3)
