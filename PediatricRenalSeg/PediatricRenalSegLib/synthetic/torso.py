"""The wall of the trunk and what lines it: skin, fat, muscle, and the cavity within.

Lengths are given in vertebrae (``Body.pitch``) or in shares of the trunk's half width and half depth, so that
they grow with the child. Where a constant names no source it is an estimate, chosen by eye so that generated
slices look like a child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .bones import iliac_length, iliac_plate
from .canvas import Canvas, RandomParts
from .shapes import Waves, smooth_intersection, smoothstep

SKIN_MM = 1.0, 1.6
"""Least and most thickness of the skin."""

FAT_PLANES = 0.36, 0.68
"""Depths in the wall, as shares of its thickness, of the fat between external and internal oblique and transversus."""

PSOAS = 0.12, 0.52
"""Radius of psoas at its upper end, and how much it gains on the way down, in vertebrae."""


def paint_wall(canvas: Canvas, body: Body, rng_of: RandomParts) -> None:
    """Skin, fat, muscle with its fat planes, and the cavity (mesenteric fat) inside."""
    rng = rng_of("wall")
    x, y, z = canvas.wall
    depth = body.outline(canvas.wall)
    every = canvas.everywhere
    canvas.paint("skin", every, -depth, clip=False)
    canvas.paint("fat", every, np.float32(rng.uniform(*SKIN_MM)) - depth, clip=False)

    ripple = Waves.draw(rng, 0.8 * body.half_width, 4)(canvas.wall)
    back = np.float32(1.0) / np.sqrt((x / y) ** 2 + 1.0) * np.sign(y)  # 1 behind, -1 in front
    # More fat behind, and most over the buttocks.
    fat = body.fat * (0.95 + 0.35 * back * back * (back > 0) + 0.18 * ripple)
    fat += 0.9 * body.fat * smoothstep(-z, -1.0 * body.pitch, 1.5 * body.pitch) * smoothstep(back, -0.3, 0.7)
    in_muscle = depth - fat
    canvas.paint("muscle", every, -in_muscle, clip=False)

    linea_alba = np.exp(-((x / (0.05 * body.half_width)) ** 2)) * (back < -0.7)
    muscle = body.muscle * (0.95 + 0.12 * Waves.draw(rng, body.half_width, 4)(canvas.wall) - 0.6 * linea_alba)
    _paint_fat_planes(canvas, in_muscle / muscle, back, rng)

    # Above the kidneys the back wall recedes.
    behind = y - (body.posterior_y + 0.6 * body.pitch * smoothstep(z, 5.0 * body.pitch, 7.0 * body.pitch))
    cavity = smooth_intersection(muscle - in_muscle, behind, 0.35 * body.pitch)
    # In the pelvis the cavity ends at the iliacus muscle, inside the wings.
    across, along, top = iliac_plate(body, canvas.fixed)
    outside = np.maximum(np.maximum(-across - 0.3 * body.pitch, 0.8 * top), along - 1.1 * iliac_length(body))
    cavity = smooth_intersection(cavity, -outside, 0.2 * body.pitch)
    canvas.cavity = cavity.astype(np.float32)
    canvas.paint("mesentery", every, cavity, clip=False)
    canvas.in_muscle = in_muscle


def _paint_fat_planes(canvas: Canvas, layer: np.ndarray, back: np.ndarray, rng: np.random.Generator) -> None:
    """Thin fat between the three muscles of the flank."""
    flank = (1.0 - smoothstep(np.abs(back), 0.55, 0.8)) * 0.6
    for position in FAT_PLANES:
        plane = np.abs(layer - position) - 0.05
        canvas.paint("fat", canvas.everywhere, plane * 8.0, opacity=flank * rng.uniform(0.5, 1.0), clip=False)


def paint_back(canvas: Canvas, body: Body, rng_of: RandomParts) -> None:
    """Psoas and quadratus lumborum, and the fat clefts between the back muscles."""
    pitch = body.pitch
    rng = rng_of("back")
    low = (-3.2 * pitch, body.spine_y - 1.2 * pitch, -np.inf)
    high = (3.2 * pitch, np.inf, 4.3 * pitch)
    box = canvas.find_box(low, high, canvas.fixed)
    if box is None:
        return
    x, y, z = canvas.at(box, canvas.fixed)
    side = np.abs(x)
    # Psoas arises at T12 beside the bodies, and thickens and leaves them on its way down.
    down = smoothstep(-z, -4.2 * pitch, 0.5 * pitch)
    least, gain = PSOAS
    radius = pitch * (least + gain * down)
    across = side - (body.vertebra_half_width + 0.75 * radius + 0.10 * pitch * down)
    deep = y - (body.spine_y + 0.25 * pitch - 0.1 * pitch * down)
    psoas = np.sqrt((across / 0.85) ** 2 + (deep / 1.05) ** 2) - radius
    canvas.paint("muscle", box, psoas, clip=False)
    # Quadratus lumborum: a flat band behind the kidney.
    across = (side - (body.vertebra_half_width + 1.25 * pitch)) / 2.2
    deep = y - (body.posterior_y - 0.05 * pitch)
    band = np.sqrt(across * across + deep * deep) - 0.25 * pitch * smoothstep(-z, -3.8 * pitch, -2.0 * pitch)
    canvas.paint("muscle", box, band, clip=False)
    # Erector spinae is set off by fat from the quadratus and at the midline.
    wobble = Waves.draw(rng, 1.5 * pitch, 4)((x, y, z))
    cleft = y - body.posterior_y - 0.42 * pitch - 0.25 * (side - 1.2 * pitch) + 0.08 * pitch * wobble
    cleft = np.abs(cleft) - 0.035 * pitch
    opacity = 0.7 * smoothstep(side, 0.9 * pitch, 1.3 * pitch) * (1.0 - smoothstep(side, 2.0 * pitch, 2.8 * pitch))
    opacity = opacity * (canvas.in_muscle[box] > 0)
    canvas.paint("fat", box, cleft, opacity=opacity, clip=False)
