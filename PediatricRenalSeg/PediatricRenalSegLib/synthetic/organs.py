"""Lungs, heart, liver, gallbladder, spleen, pancreas and adrenals."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .shapes import Coordinates, Waves, ellipsoid, local, rotation, smooth_intersection, smooth_union, smoothstep


def dome_height(p: Coordinates, body) -> np.ndarray:
    """Height of the diaphragm in mm over each point: two domes that fall off to the ribs."""
    x, y, _ = p
    right = ((x + 0.45 * body.inner_half_width) / (0.62 * body.inner_half_width)) ** 2
    left = ((x - 0.48 * body.inner_half_width) / (0.60 * body.inner_half_width)) ** 2
    deep = ((y + 0.10 * body.inner_half_depth) / (1.12 * body.inner_half_depth)) ** 2
    slope = 3.6 * body.pitch
    high = body.dome * body.pitch
    domes = np.maximum(high - slope * (right + deep), high - 0.45 * body.pitch - slope * (left + deep))
    return np.maximum(
        domes, (body.dome - 1.3) * body.pitch * (1.0 - 0.55 * smoothstep(y, 0.0, 0.9 * body.inner_half_depth))
    )


def paint_chest(canvas: Canvas, anatomy) -> None:
    """Lung bases with vessels, heart and mediastinum, and the diaphragm itself."""
    body, rng = anatomy.body, anatomy.rng("chest")
    high = np.flatnonzero(canvas.z > 3.2 * body.pitch)
    if not len(high):
        return
    box = (slice(high[0], canvas.shape[0]), *canvas.everywhere[1:])
    p = canvas.at(box, canvas.soft)
    x, y, z = p
    dome = dome_height(p, body)
    over = dome - z  # negative above the diaphragm
    canvas.paint("muscle", box, over)
    wave = Waves.draw(rng, 0.6 * body.half_width, 4)(p)
    lung = np.maximum(
        over + 0.08 * body.pitch + 0.8, (0.11 + 0.05 * wave) * body.half_width - np.abs(x - 0.02 * body.half_width)
    )
    behind = np.maximum(
        over + 0.08 * body.pitch + 0.8, np.maximum(0.55 * body.pitch - np.abs(x), body.spine_y - 0.2 * body.pitch - y)
    )
    canvas.paint("mesentery", box, over + 0.2 * body.pitch)
    canvas.paint("lung", box, np.minimum(lung, behind) + 0.5)
    _paint_lung_vessels(canvas, box, p, np.minimum(lung, behind) + 2.0, rng, body)
    radii = np.array([0.52 * body.half_width, 0.48 * body.half_depth, 1.9 * body.pitch])
    center = (0.14 * body.half_width, -0.32 * body.half_depth, (body.dome + 0.9) * body.pitch)
    heart = ellipsoid(tuple(c - o for c, o in zip(p, center, strict=True)), radii) + 1.5 * wave
    heart = np.maximum(heart, over + 0.1 * body.pitch)
    canvas.paint("heart_wall", box, heart)
    canvas.paint("heart", box, heart + 0.16 * body.pitch + 1.5)


def _paint_lung_vessels(canvas, box, p, lung, rng, body) -> None:
    """Vessels as the crossings of two smooth fields: thin, branching, everywhere."""
    scale = 0.28 * body.half_width
    first, second = Waves.draw(rng, scale, 7)(p), Waves.draw(rng, scale, 7)(p)
    vessel = (np.sqrt(first * first + second * second) * 0.16 * scale) - (0.6 + 0.008 * body.half_width)
    canvas.paint("lung_vessel", box, np.maximum(vessel, lung), opacity=0.85)


def paint_upper_abdomen(canvas: Canvas, anatomy) -> None:
    _paint_spleen(canvas, anatomy)
    _paint_pancreas(canvas, anatomy)
    _paint_liver(canvas, anatomy)
    _paint_adrenals(canvas, anatomy)


def _paint_liver(canvas: Canvas, anatomy) -> None:
    """A wedge under the right dome: cut below by the visceral surface, thin to the left.

    The newborn's liver is relatively large and reaches below the ribs and far
    to the left.
    """
    body, rng = anatomy.body, anatomy.rng("liver")
    baby = 1.0 - smoothstep(np.float32(anatomy.age_years), 0.0, 4.0)
    bottom = body.pitch * (2.0 - 0.6 * baby + 0.45 * np.clip(rng.normal(), -1.5, 1.5))
    reach = body.inner_half_width * (0.25 + 0.30 * baby + rng.uniform(-0.05, 0.35))
    box = canvas.find_box(
        (-9e3, -9e3, bottom - 0.5 * body.pitch), (reach + 12, 9e3, body.dome * body.pitch + 6), canvas.soft
    )
    if box is None:
        return
    p = canvas.at(box, canvas.soft)
    x, y, z = p
    wave = Waves.draw(rng, 0.8 * body.half_width, 5)(p)
    fine = Waves.draw(rng, 0.3 * body.half_width, 5)(p)
    under_dome = z - dome_height(p, body) + 0.3
    inset = canvas.cavity[box] + rng.uniform(0.8, 2.5)
    # Lower edge: low at the right flank, climbing to the left and to the back.
    right = -0.85 * body.inner_half_width
    climb = bottom + (x - right) * rng.uniform(0.95, 1.2) * (2.6 * body.pitch) / body.inner_half_width
    climb = climb + 0.35 * np.maximum(y - 0.15 * body.half_depth, 0.0) + 0.10 * body.pitch * wave
    lower = (climb - z) * 0.75
    medial = x + 0.22 * body.inner_half_width + 0.55 * (y + 0.2 * body.half_depth) - 0.35 * (z - 4.2 * body.pitch)
    lobe = smooth_intersection(lower, medial * 0.75, 0.25 * body.pitch)
    left = np.maximum(x - reach, y + 0.12 * body.half_depth + 0.25 * (x - reach) * 0.5 - 0.2 * (z - 5 * body.pitch))
    left = np.maximum(left, (3.9 * body.pitch - 0.8 * baby * body.pitch + 0.25 * x - z))
    left = np.maximum(left, -0.6 * body.inner_half_width - x)
    liver = smooth_union(lobe, left, 0.4 * body.pitch) + 0.012 * body.half_width * fine
    liver = smooth_intersection(smooth_intersection(liver, under_dome, 0.2 * body.pitch), inset, 0.12 * body.pitch)
    canvas.paint("liver", box, liver)
    _paint_liver_vessels(canvas, box, p, liver, rng, body)
    _paint_gallbladder(canvas, body, bottom, rng)


def _paint_liver_vessels(canvas, box, p, liver, rng, body) -> None:
    deep = liver + 0.14 * body.pitch + 2.0
    for tissue, scale in (("portal_vein", 0.75), ("hepatic_vein", 0.85)):
        first, second = (Waves.draw(rng, scale * body.half_width, 6)(p) for _ in range(2))
        near = smoothstep(-deep, 0.0, 0.5 * body.half_width)
        vessel = np.sqrt(first * first + second * second) * 0.14 * scale * body.half_width - (
            0.6 + 0.05 * body.pitch * (0.5 + near)
        )
        canvas.paint(tissue, box, np.maximum(vessel, deep))


def _paint_gallbladder(canvas, body, bottom, rng) -> None:
    center = np.array([-0.42 * body.inner_half_width, -0.30 * body.half_depth, bottom + 1.25 * body.pitch])
    radii = body.pitch * np.array([0.42, 0.95, 0.48]) * rng.uniform(0.6, 1.15)
    box = canvas.find_box(center - radii.max(), center + radii.max(), canvas.soft)
    if box is None:
        return
    frame = rotation([1, 0, 0], rng.uniform(0.2, 0.7)) @ rotation([0, 0, 1], rng.uniform(-0.5, 0.2))
    distance = ellipsoid(local(canvas.at(box, canvas.soft), center, frame), radii)
    canvas.paint("bowel_wall", box, distance)
    canvas.paint("bile", box, distance + 1.0)


def _paint_spleen(canvas: Canvas, anatomy) -> None:
    """Behind the left flank: a comma around the stomach, mottled in the arterial phase."""
    body, rng = anatomy.body, anatomy.rng("spleen")
    scale = rng.uniform(0.85, 1.15)
    center = np.array([0.74 * body.inner_half_width, 0.28 * body.inner_half_depth, body.pitch * rng.uniform(5.2, 5.8)])
    radii = scale * np.array([0.36 * body.inner_half_width, 0.52 * body.inner_half_depth, 1.65 * body.pitch])
    reach = radii.max() * 1.1
    box = canvas.find_box(center - reach, center + reach, canvas.soft)
    if box is None:
        return
    p = canvas.at(box, canvas.soft)
    frame = rotation([0, 0, 1], rng.uniform(0.2, 0.6)) @ rotation([0, 1, 0], rng.uniform(-0.1, 0.3))
    wave = Waves.draw(rng, 0.5 * body.half_width, 5)(p)
    distance = ellipsoid(local(p, center, frame), radii) + 0.02 * body.half_width * wave
    hollow = ellipsoid(
        tuple(
            c - o
            for c, o in zip(p, center - [0.42 * body.inner_half_width, 0.22 * body.inner_half_depth, 0], strict=True)
        ),
        radii * 0.9,
    )
    distance = smooth_intersection(distance, -hollow, 0.2 * body.pitch)
    under_dome = p[2] - dome_height(p, body) + 0.5
    distance = np.maximum(np.maximum(distance, under_dome), canvas.cavity[box] + 1.5)
    canvas.paint("spleen", box, distance)
    moire = np.sin(2.2 * Waves.draw(rng, 0.35 * body.half_width, 6)(p) - 0.55 * distance / (0.1 * body.pitch))
    canvas.paint("spleen_bright", box, distance + 0.5, opacity=0.5 + 0.5 * moire)


def _paint_pancreas(canvas: Canvas, anatomy) -> None:
    body, rng = anatomy.body, anatomy.rng("pancreas")
    w, d, h = body.inner_half_width, body.inner_half_depth, body.pitch
    front = body.spine_y - 0.47 * h
    points = np.array(
        [
            [-0.30 * w, front - 0.30 * h, 2.6 * h],
            [-0.26 * w, front - 0.55 * h, 3.4 * h],
            [-0.02 * w, front - 1.05 * h, 3.9 * h],
            [0.25 * w, front - 0.75 * h, 4.2 * h],
            [0.48 * w, front - 0.05 * d, 4.7 * h],
        ]
    )
    points += rng.normal(0, 0.08 * h, points.shape)
    tube = canvas.tube(points, np.array([0.42, 0.46, 0.32, 0.32, 0.26]) * h, canvas.soft)
    if tube is None:
        return
    box, distance = tube
    distance = distance + 0.10 * h * Waves.draw(rng, 0.8 * h, 6)(canvas.at(box, canvas.soft))
    canvas.paint("pancreas", box, distance)
    splenic = canvas.tube(points[1:] + [0, 0.30 * h, 0.1 * h], 0.11 * h + 0.6, canvas.soft)
    if splenic is not None:
        canvas.paint("portal_vein", *splenic)


def _paint_adrenals(canvas: Canvas, anatomy) -> None:
    """A small Y on each kidney's upper pole; relatively large in the newborn."""
    size = float(np.interp(anatomy.age_years, (0, 1, 16), (9.0, 6.0, 11.0)))
    for kidney in anatomy.kidneys:
        top = kidney.center + kidney.frame[0] * kidney.radii[0] * 0.98 + kidney.frame[1] * 0.35 * kidney.radii[1]
        for outward in (-0.8, 0.5):
            tip = top + [kidney.side * outward * size * 0.5, size, -0.3 * size]
            limb = canvas.tube(np.stack([top + [0, -0.5 * size, 0], top, tip]), 1.5 + 0.04 * size, canvas.soft)
            if limb is not None:
                canvas.paint("adrenal", *limb)
