"""Aorta, inferior vena cava, renal and mesenteric vessels.

A point of a course is x as a share of the cavity's half width, x in vertebrae that are added, y in vertebrae from the
front of the spine, and z in vertebrae. The numbers are estimates, chosen by eye so that generated slices look like a
child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .canvas import Canvas, RandomParts
from .kidneys import Kidney

Course = tuple[tuple[float, float, float, float], ...]

AORTA: Course = (
    (0, 0.0, -0.22, -1.2),
    (0, 0.0, -0.26, 0.6),
    (0, 0.05, -0.28, 3.0),
    (0, 0.18, -0.26, 5.2),
    (0, 0.35, -0.02, 9.5),
)
"""From below; above the diaphragm it runs back and to the left."""

AORTA_LEFT, AORTA_SHIFTED = (0.05, 0.25), 3
"""Least and most vertebrae that are added to x of its lower points, and how many those are."""

AORTA_RADII, AORTA_SPREAD = (0.20, 0.22, 0.24, 0.27, 0.28), (0.9, 1.15)
"""Radii along it in vertebrae, and by what they are multiplied in one child."""

CAVA: Course = (
    (0, -0.20, -0.20, -1.2),
    (0, -0.42, -0.25, 0.3),
    (0, -0.45, -0.32, 2.8),
    (0, -0.50, -0.55, 5.0),
    (0, -0.42, -0.95, 7.2),
)
"""From below, right of the aorta; at the liver it runs forward."""

CAVA_RADII, CAVA_SPREAD = (0.20, 0.26, 0.30, 0.32, 0.30), (0.85, 1.2)
"""Radii along it in vertebrae, and by what they are multiplied in one child."""

CELIAC: Course = ((0, 0.05, -0.3, 4.5), (0, 0.0, -0.9, 4.7), (-0.3, 0, -0.9, 4.8))
"""Celiac trunk and common hepatic artery."""

SUPERIOR_MESENTERIC: Course = ((0, 0.08, -0.3, 3.9), (0, 0.05, -0.9, 3.4), (0, 0.0, -1.1, 2.0), (-0.1, 0, -0.9, 0.3))
"""The artery; the vein begins with its second point."""

VEIN_BESIDE_ARTERY = -0.45, -0.02, 0.0
"""x, y, z in vertebrae from the superior mesenteric artery to its vein, which lies right of it."""

PORTAL: Course = ((-0.2, 0, -0.9, 4.3), (-0.40, 0, -0.7, 5.0))
"""On from the superior mesenteric vein to the liver."""

CELIAC_RADIUS, SUPERIOR_MESENTERIC_RADIUS = (0.09, 0.3), (0.11, 0.3)
"""The arteries: vertebrae, and mm added."""

MESENTERIC_VEIN_RADIUS, PORTAL_RADIUS = (0.15, 0.4), (0.19, 0.4)
"""The veins: vertebrae, and mm added."""

BRANCHES, BRANCH_RADII, BRANCH_ADDED_MM = 22, (0.07, 0.055, 0.03), 0.3
"""Mesenteric branches, by turns of vein and artery; their radii from trunk to bowel: vertebrae, and mm added."""

BRANCH_ENDS, BRANCH_BOW = ((-0.7, -0.75, -1.0), (0.7, 0.0, 2.8)), 0.25
"""Least and most of where a branch ends: x in half widths, y in half depths, z in vertebrae; scatter of its middle."""

RENAL_ARTERY_ORIGIN, RENAL_ARTERY_BOW = (0.10, -0.25, 0.4), (0.0, 0.08, 0.15)
"""In vertebrae: from the front of the spine at the hilum's level, and how far the middle leaves the straight line."""

RENAL_VEIN_END, RENAL_VEIN_FROM_ARTERY, RENAL_VEIN_FROM_HILUM = (-0.42, -0.45, 0.0), (0, -0.28, -0.25), (0, -0.1, 0)
"""The same for its end at the vena cava, its middle from the artery's, and its begin from the hilum's center."""

RENAL_VEIN_RADIUS, RENAL_ARTERY_RADIUS = (0.13, 0.4), (0.075, 0.4)
"""Vertebrae, and mm added."""


def paint_great_vessels(canvas: Canvas, body: Body, kidneys: tuple[Kidney, ...], rng_of: RandomParts) -> None:
    """Vessels in front of the spine: each covers those that were painted before it."""
    rng = rng_of("vessels")
    lateral = rng.uniform(*AORTA_LEFT)
    aorta_radii = body.pitch * np.array(AORTA_RADII) * rng.uniform(*AORTA_SPREAD)
    cava_radii = body.pitch * np.array(CAVA_RADII) * rng.uniform(*CAVA_SPREAD)
    _paint_mesenteric(canvas, body, rng)
    for kidney in kidneys:
        _paint_renal(canvas, body, kidney)
    _paint(canvas, "ivc", _points(body, CAVA), cava_radii)
    _paint(canvas, "aorta", _points(body, AORTA, np.arange(len(AORTA)) < AORTA_SHIFTED, lateral), aorta_radii)


def _points(body: Body, course: Course, shifted: np.ndarray | bool = False, lateral: float = 0.0) -> np.ndarray:
    """A course in mm (n, 3); ``lateral`` vertebrae are added to x of the points that are ``shifted``."""
    share, across, deep, up = np.array(course).T
    x = share * body.inner_half_width + (across + shifted * lateral) * body.pitch
    return np.stack([x, deep * body.pitch + body.spine_front_y, up * body.pitch], axis=1)


def _paint(canvas: Canvas, tissue: str, points: np.ndarray, radii: np.ndarray | float) -> None:
    tube = canvas.tube(points, radii, canvas.soft)
    if tube is not None:
        canvas.paint(tissue, *tube, clip=False)


def _radius(body: Body, size: tuple[float, float]) -> float:
    """Vertebrae, and mm added, in mm."""
    vertebrae, added = size
    return vertebrae * body.pitch + added


def _paint_renal(canvas: Canvas, body: Body, kidney: Kidney) -> None:
    """Vein and artery from a kidney's hilum to the great vessels at its level."""
    pitch = body.pitch
    spine = np.array([0.0, body.spine_front_y, kidney.hilum[2]])
    origin = np.array(RENAL_ARTERY_ORIGIN) * pitch + spine
    middle = 0.5 * (origin + kidney.hilum) + np.array(RENAL_ARTERY_BOW) * pitch
    end = np.array(RENAL_VEIN_END) * pitch + spine
    beside, begin = np.array(RENAL_VEIN_FROM_ARTERY) * pitch, np.array(RENAL_VEIN_FROM_HILUM) * pitch
    vein = np.stack([end, middle + beside, kidney.hilum + begin])
    _paint(canvas, "renal_vein", vein, _radius(body, RENAL_VEIN_RADIUS))
    _paint(canvas, "artery", np.stack([origin, middle, kidney.hilum]), _radius(body, RENAL_ARTERY_RADIUS))


def _paint_mesenteric(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Celiac trunk, superior mesenteric artery and vein, portal vein, and small branches."""
    artery = _points(body, SUPERIOR_MESENTERIC)
    vein = artery[1:] + np.array(VEIN_BESIDE_ARTERY) * body.pitch
    portal = np.stack([vein[0], *_points(body, PORTAL)])
    _paint(canvas, "portal_vein", vein, _radius(body, MESENTERIC_VEIN_RADIUS))
    _paint(canvas, "portal_vein", portal, _radius(body, PORTAL_RADIUS))
    _paint(canvas, "artery", artery, _radius(body, SUPERIOR_MESENTERIC_RADIUS))
    _paint(canvas, "artery", _points(body, CELIAC), _radius(body, CELIAC_RADIUS))
    sizes = np.array([body.inner_half_width, body.inner_half_depth, body.pitch])
    radii = np.array(BRANCH_RADII) * body.pitch + BRANCH_ADDED_MM
    for number in range(BRANCHES):
        trunk, tissue = (artery, "artery") if number % 2 else (vein, "portal_vein")
        start = trunk[-2] + rng.uniform(0, 1) * (trunk[-1] - trunk[-2])
        end = rng.uniform(*BRANCH_ENDS) * sizes
        middle = 0.5 * (start + end) + rng.normal(0, BRANCH_BOW * body.pitch, 3)
        _paint(canvas, tissue, np.stack([start, middle, end]), radii)
