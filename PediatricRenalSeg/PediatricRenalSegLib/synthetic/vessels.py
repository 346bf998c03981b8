"""Aorta, inferior vena cava, renal and mesenteric vessels."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas


def paint_great_vessels(canvas: Canvas, anatomy) -> None:
    body, rng = anatomy.body, anatomy.rng("vessels")
    h = body.pitch
    front = body.spine_y - 0.47 * h
    aorta = _aorta(body, rng)
    aorta_radius = h * np.array([0.20, 0.22, 0.24, 0.27, 0.28]) * rng.uniform(0.9, 1.15)
    cava = (
        np.array(
            [[-0.20, -0.20, -1.2], [-0.42, -0.25, 0.3], [-0.45, -0.32, 2.8], [-0.50, -0.55, 5.0], [-0.42, -0.95, 7.2]]
        )
        * h
    )
    cava[:, 1] += front
    cava_radius = h * np.array([0.20, 0.26, 0.30, 0.32, 0.30]) * rng.uniform(0.85, 1.2)

    _paint_mesenteric(canvas, body, front, rng)
    for kidney in anatomy.kidneys:
        level = kidney.hilum[2]
        origin = np.array([0.10 * h, front - 0.25 * h, level + 0.4 * h])
        middle = 0.5 * (origin + kidney.hilum) + [0.0, 0.08 * h, 0.15 * h]
        _paint(
            canvas,
            "renal_vein",
            [[-0.42 * h, front - 0.45 * h, level], middle + [0, -0.28 * h, -0.25 * h], kidney.hilum + [0, -0.1 * h, 0]],
            0.13 * h + 0.4,
        )
        _paint(canvas, "artery", [origin, middle, kidney.hilum], 0.075 * h + 0.4)
    _paint(canvas, "ivc", cava, cava_radius)
    _paint(canvas, "aorta", aorta, aorta_radius)


def _aorta(body, rng: np.random.Generator) -> np.ndarray:
    h = body.pitch
    lateral = rng.uniform(0.05, 0.25)
    course = [
        (lateral, -0.22, -1.2),
        (lateral, -0.26, 0.6),
        (lateral + 0.05, -0.28, 3.0),
        (0.18, -0.26, 5.2),
        (0.35, -0.02, 9.5),
    ]
    points = np.array(course) * h
    points[:, 1] += body.spine_y - 0.47 * h
    return points


def _paint(canvas: Canvas, tissue: str, points, radii) -> None:
    tube = canvas.tube(np.asarray(points, float), radii, canvas.soft)
    if tube is not None:
        canvas.paint(tissue, *tube, clip=False)


def _paint_mesenteric(canvas: Canvas, body, front: float, rng: np.random.Generator) -> None:
    """Celiac trunk, superior mesenteric artery and vein, portal vein, and small branches."""
    h, w, d = body.pitch, body.inner_half_width, body.inner_half_depth
    artery = np.array(
        [
            [0.08 * h, front - 0.3 * h, 3.9 * h],
            [0.05 * h, front - 0.9 * h, 3.4 * h],
            [0.0, front - 1.1 * h, 2.0 * h],
            [-0.1 * w, front - 0.9 * h, 0.3 * h],
        ]
    )
    vein = artery[1:] + [-0.45 * h, -0.02 * h, 0.0]
    portal = np.array([vein[0], [-0.2 * w, front - 0.9 * h, 4.3 * h], [-0.40 * w, front - 0.7 * h, 5.0 * h]])
    _paint(canvas, "portal_vein", vein, 0.15 * h + 0.4)
    _paint(canvas, "portal_vein", portal, 0.19 * h + 0.4)
    _paint(canvas, "artery", artery, 0.11 * h + 0.3)
    _paint(
        canvas,
        "artery",
        [[0.05 * h, front - 0.3 * h, 4.5 * h], [0.0, front - 0.9 * h, 4.7 * h], [-0.3 * w, front - 0.9 * h, 4.8 * h]],
        0.09 * h + 0.3,
    )
    for number in range(22):
        trunk, tissue = (artery, "artery") if number % 2 else (vein, "portal_vein")
        start = trunk[-2] + rng.uniform(0, 1) * (trunk[-1] - trunk[-2])
        end = np.array([rng.uniform(-0.7, 0.7) * w, rng.uniform(-0.75, 0.0) * d, rng.uniform(-1.0, 2.8) * h])
        middle = 0.5 * (start + end) + rng.normal(0, 0.25 * h, 3)
        _paint(canvas, tissue, [start, middle, end], np.array([0.07, 0.055, 0.03]) * h + 0.3)
