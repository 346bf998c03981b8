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

FAT_MEAN, FAT_BEHIND, FAT_RIPPLE = 0.95, 0.35, 0.18
"""Subcutaneous fat over ``Body.fat``: in front, what is added toward the back, and how much it varies."""

BUTTOCKS, BUTTOCKS_HEIGHT = 0.9, (-1.0, 1.5)
"""What is added behind below the iliac crest, and the vertebrae under it between which that begins and is reached."""

MUSCLE_MEAN, MUSCLE_RIPPLE = 0.95, 0.12
"""Thickness of the muscles over ``Body.muscle``, and how much it varies."""

LINEA_ALBA, LINEA_ALBA_THINNER = 0.05, 0.6
"""Half width of the band in front where the muscles are thin, and by how much of ``Body.muscle``."""

BACK_WALL_RECEDES, RECEDES_BETWEEN = 0.6, (5.0, 7.0)
"""Vertebrae that the cavity gains behind, over the kidneys, and the heights between which it does."""

FAT_PLANES = 0.36, 0.68
"""Depths in the wall, as shares of its thickness, of the fat between external and internal oblique and transversus."""

PSOAS, PSOAS_HEIGHT = (0.12, 0.52), (4.2, -0.5)
"""Vertebrae: radius of psoas at its upper end and how much it gains on the way down, and heights of both ends."""

PSOAS_SHAPE = 0.85, 1.05
"""Its half width and half depth over that radius."""

QUADRATUS, QUADRATUS_FLATNESS, QUADRATUS_HEIGHT = 1.25, 2.2, (3.8, 2.0)
"""Quadratus lumborum: vertebrae from the body's edge, width over depth, and heights where it ends and is full."""

QUADRATUS_HALF_DEPTH = 0.25
"""Half its depth in vertebrae."""

CLEFT, CLEFT_SLOPE, CLEFT_HALF_WIDTH = 0.42, 0.25, 0.035
"""Fat before erector spinae: vertebrae behind the cavity, vertebrae a vertebra outward, and half its thickness."""

CLEFT_INNER, CLEFT_OUTER = (0.9, 1.3), (2.0, 2.8)
"""Vertebrae from the midline between which the cleft appears and ends."""


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
    fat = body.fat * (FAT_MEAN + FAT_BEHIND * back * back * (back > 0) + FAT_RIPPLE * ripple)
    begins, reached = BUTTOCKS_HEIGHT
    below = smoothstep(-z, begins * body.pitch, reached * body.pitch)
    fat += BUTTOCKS * body.fat * below * smoothstep(back, -0.3, 0.7)
    in_muscle = depth - fat
    canvas.paint("muscle", every, -in_muscle, clip=False)

    linea_alba = np.exp(-((x / (LINEA_ALBA * body.half_width)) ** 2)) * (back < -0.7)
    ripple = Waves.draw(rng, body.half_width, 4)(canvas.wall)
    muscle = body.muscle * (MUSCLE_MEAN + MUSCLE_RIPPLE * ripple - LINEA_ALBA_THINNER * linea_alba)
    _paint_fat_planes(canvas, in_muscle / muscle, back, rng)

    begins, reached = RECEDES_BETWEEN
    recedes = BACK_WALL_RECEDES * body.pitch * smoothstep(z, begins * body.pitch, reached * body.pitch)
    behind = y - (body.posterior_y + recedes)
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
    down = smoothstep(-z, -PSOAS_HEIGHT[0] * pitch, -PSOAS_HEIGHT[1] * pitch)
    least, gain = PSOAS
    radius = pitch * (least + gain * down)
    across = side - (body.vertebra_half_width + 0.75 * radius + 0.10 * pitch * down)
    deep = y - (body.spine_y + 0.25 * pitch - 0.1 * pitch * down)
    psoas = np.sqrt((across / PSOAS_SHAPE[0]) ** 2 + (deep / PSOAS_SHAPE[1]) ** 2) - radius
    canvas.paint("muscle", box, psoas, clip=False)
    # Quadratus lumborum: a flat band behind the kidney.
    across = (side - (body.vertebra_half_width + QUADRATUS * pitch)) / QUADRATUS_FLATNESS
    deep = y - (body.posterior_y - 0.05 * pitch)
    ends, full = QUADRATUS_HEIGHT
    band = QUADRATUS_HALF_DEPTH * pitch * smoothstep(-z, -ends * pitch, -full * pitch)
    band = np.sqrt(across * across + deep * deep) - band
    canvas.paint("muscle", box, band, clip=False)
    # Erector spinae is set off by fat from the quadratus and at the midline.
    wobble = Waves.draw(rng, 1.5 * pitch, 4)((x, y, z))
    cleft = y - body.posterior_y - CLEFT * pitch - CLEFT_SLOPE * (side - 1.2 * pitch) + 0.08 * pitch * wobble
    cleft = np.abs(cleft) - CLEFT_HALF_WIDTH * pitch
    inner, outer = (smoothstep(side, low * pitch, high * pitch) for low, high in (CLEFT_INNER, CLEFT_OUTER))
    opacity = 0.7 * inner * (1.0 - outer) * (canvas.in_muscle[box] > 0)
    canvas.paint("fat", box, cleft, opacity=opacity, clip=False)
