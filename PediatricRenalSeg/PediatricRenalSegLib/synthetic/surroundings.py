"""What lies around a child in the scanner: table, blanket and arms. All numbers are estimates, chosen by eye."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .body import Body
from .settings import ScanSettings
from .shapes import coverage

EDGE = 1.2
"""Pixels over which the edge of a thing fades."""

CHILD_HU, FADE_HU = -700.0, 250.0
"""Things lie where the child is not: nowhere above the first value, wholly from so much below it."""

BLANKET_SIZE, BLANKET_FOLDS_MM = (1.10, 1.13), (1.8, 1.2)
"""The blanket's distance from the middle over the trunk's half width and half depth; height of its folds in x and y."""

BLANKET_HU, BLANKET_HALF_MM = (-700, -350), 0.5
"""Least and most value, and half the thickness."""

TABLE_GAP_MM, TABLE_RADIUS_MM, TABLE_HALF_WIDTH_MM, TABLE_DEPTH_MM = (2, 10), (350, 900), (190, 240), (25, 60)
"""Least and most: from the back to the table, radius of its hollow, half its width, and height of its shell."""

TABLE_HU, PAD_HU, PAD_MM = (-550, -50), -965.0, 12.0
"""Least and most value of the shell; value and thickness of the pad on it."""

ARM_RADIUS, ARM_GAP_MM = 0.27, (6, 15)
"""Radius of an arm over the trunk's half width; least and most distance from the trunk."""

ARM_LAYERS_HU = {"fat": -100.0, "muscle": 55.0, "bone": 700.0, "marrow": 250.0}
"""Values of an arm's layers."""

Thing = tuple[np.ndarray, float]
"""Its share of each pixel, and its value in HU."""


def draw_surroundings(
    body: Body, settings: ScanSettings, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """A function that adds to a slice of the child what lies around it; the same in every slice."""
    y, x = settings.grid()
    offset_x, offset_y = settings.offset_mm
    things: list[Thing] = []
    if settings.arms:
        things += _draw_arms(x - offset_x, y - offset_y, body, settings, rng)
    if settings.blanket:
        things.append(_draw_blanket(body, settings, rng))
    if settings.table:
        things += _draw_table(body, settings, rng)

    def surround(plane: np.ndarray) -> np.ndarray:
        air = np.clip((CHILD_HU - plane) / FADE_HU, 0.0, 1.0)
        for share, value in things:
            plane = plane + air * share * (value - plane)
        return plane

    return surround


def _draw_blanket(body: Body, settings: ScanSettings, rng: np.random.Generator) -> Thing:
    """A thin fold over the front and the flanks."""
    y, x = settings.grid()
    offset_x, offset_y = settings.offset_mm
    wide, deep = BLANKET_SIZE
    fold_x, fold_y = BLANKET_FOLDS_MM
    drape = np.hypot((x - offset_x) / (wide * body.half_width), (y - offset_y) / (deep * body.half_depth)) - 1.0
    drape = drape * body.half_width
    drape = drape + fold_x * np.sin(x / rng.uniform(9, 20)) + fold_y * np.sin(y / rng.uniform(5, 15))
    blanket = np.maximum(np.abs(drape) - BLANKET_HALF_MM, y - offset_y - 0.3 * body.half_depth)
    return coverage(blanket, EDGE * settings.pixel_mm), rng.uniform(*BLANKET_HU)


def _draw_table(body: Body, settings: ScanSettings, rng: np.random.Generator) -> list[Thing]:
    """A hollow shell under the child, and a pad on it."""
    y, x = settings.grid()
    top = settings.offset_mm[1] + 1.05 * body.half_depth + rng.uniform(*TABLE_GAP_MM)
    top = top + 0.10 * abs(settings.rotation_deg)
    radius, half = rng.uniform(*TABLE_RADIUS_MM), rng.uniform(*TABLE_HALF_WIDTH_MM)
    surface = y - (top - x * x / (2 * radius))
    lower = y - (top + rng.uniform(*TABLE_DEPTH_MM) - np.maximum(np.abs(x) - 0.6 * half, 0.0) * 0.9)
    shell = np.minimum(np.abs(surface - 1.0) - 1.0, np.abs(lower) - 1.0)
    shell = np.maximum(np.maximum(shell, np.abs(x) - half), np.maximum(-surface, lower - 1.5))
    pad = np.maximum(np.maximum(surface, -PAD_MM - surface), np.abs(x) - 0.8 * half)
    width = EDGE * settings.pixel_mm
    return [(coverage(pad, width), PAD_HU), (coverage(shell, width), rng.uniform(*TABLE_HU))]


def _draw_arms(
    x: np.ndarray, y: np.ndarray, body: Body, settings: ScanSettings, rng: np.random.Generator
) -> list[Thing]:
    """Forearms beside the trunk, each with two bones; ``x`` and ``y`` are counted from the child's middle."""
    radius = ARM_RADIUS * body.half_width
    things = []
    for side in (-1, 1):
        across = x - side * (body.half_width + radius + rng.uniform(*ARM_GAP_MM))
        deep = y - rng.uniform(-0.2, 0.5) * body.half_depth
        limb = np.hypot(across, deep * rng.uniform(0.9, 1.1)) - radius
        first, second = np.hypot(across + 0.3 * radius, deep), np.hypot(across - 0.3 * radius, deep - 0.1 * radius)
        bones = np.minimum(first, second) - 0.17 * radius
        layers = {"fat": limb, "muscle": limb + 0.2 * radius, "bone": bones, "marrow": bones + 0.09 * radius}
        for tissue, distance in layers.items():
            things.append((coverage(distance, EDGE * settings.pixel_mm), ARM_LAYERS_HU[tissue]))
    return things
