"""One child's anatomy: drawn from age and seed, painted on any grid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from . import bones, bowel, kidneys, organs, torso, tumors, vessels
from .body import Body, draw_body
from .canvas import Canvas
from .shapes import Coordinates, Waves

LOWEST, HIGHEST = -1.1, 9.2
"""Vertebrae from the iliac crest: the upper pelvis and the lung bases, where painting begins and ends."""

WORKING_MM = (0.0, 2.0, 16.0), (0.95, 1.05, 1.5)
"""Spacing in mm of the grid by age in years: the larger the child, the coarser."""

BEND = 0.030, 0.024, 0.020
"""How far a child is bent along x, y and z, as shares of the half width: enough that nothing is a perfect ellipse."""

SCOLIOSIS, LORDOSIS = 0.03, 0.04
"""Standard deviation of the sideward and size of the forward curve over the height, as shares of the half width."""

BEND_GRID_MM = 8.0
"""Spacing of the grid on which the bend is computed: it varies slowly, and is interpolated."""

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The z, y and x of a rectilinear grid, mm."""


@dataclass(frozen=True)
class Anatomy:
    """What was drawn for one child. Nothing is painted yet.

    The frame is in mm: x to the patient's left, y to the back, z to the head;
    x = 0 is the midline and z = 0 the iliac crest.
    """

    age_years: float
    seed: int
    body: Body
    kidneys: tuple[kidneys.Kidney, ...]
    tumors: tuple[tumors.Tumor, ...]

    @property
    def z_range(self) -> tuple[float, float]:
        """From the upper pelvis to the lung bases, mm."""
        return LOWEST * self.body.pitch, HIGHEST * self.body.pitch

    @property
    def renal_z_range(self) -> tuple[float, float]:
        """Around kidneys and tumors, mm; wide enough for the little that the child's bend moves them."""
        ends = [(kidney.center[2], kidney.radii[0]) for kidney in self.kidneys]
        ends += [(tumor.center[2], tumor.reach) for tumor in self.tumors]
        margin = 0.5 * self.body.pitch
        return float(min(z - half for z, half in ends) - margin), float(max(z + half for z, half in ends) + margin)

    @property
    def working_mm(self) -> float:
        """Spacing of the isotropic grid that shows everything the scan can show."""
        return float(np.interp(self.age_years, *WORKING_MM))

    def rng(self, part: str) -> np.random.Generator:
        """Random numbers for one part of the body, the same on every grid."""
        return np.random.default_rng([self.seed, zlib.crc32(part.encode())])

    def paint(self, z: np.ndarray, pixel: float) -> Canvas:
        """Paint the child at heights ``z`` (mm) with in-plane spacing ``pixel`` (mm)."""
        body = self.body
        half_x, half_y = body.reach()
        x = np.arange(-half_x, half_x + pixel, pixel)
        y = np.arange(-half_y, half_y + pixel, pixel)
        canvas = Canvas(z, y, x, self.rng("texture"))
        self._set_coordinates(canvas)
        torso.paint_wall(canvas, body, self.rng)
        organs.paint_chest(canvas, body, self.rng)
        bowel.paint_bowel(canvas, body, self.rng)
        organs.paint_upper_abdomen(canvas, body, self.kidneys, self.rng)
        torso.paint_back(canvas, body, self.rng)
        kidneys.paint_fat(canvas, self.kidneys, self.age_years, self.rng)
        vessels.paint_great_vessels(canvas, body, self.kidneys, self.rng)
        kidneys.paint_kidneys(canvas, self.kidneys, self.rng)
        tumors.paint_tumors(canvas, body, self.tumors, self.rng)
        bones.paint_bones(canvas, body, self.rng)
        return canvas

    def _set_coordinates(self, canvas: Canvas) -> None:
        """Bend the child a little, then undo the growth of each tumor."""
        fixed = self._bend(canvas)
        soft = fixed
        for tumor in self.tumors:
            soft = tumors.undo_growth(tumor, self.body, soft, fixed)
        if not self.tumors:
            canvas.set_coordinates(fixed, fixed, fixed)
            return
        give = np.float32(tumors.WALL_GIVE)
        x, y, z = (stays + give * (yields - stays) for stays, yields in zip(fixed, soft, strict=True))
        canvas.set_coordinates(fixed, (x, y, z), soft)

    def _bend(self, canvas: Canvas) -> Coordinates:
        """Smooth low-frequency deformation, so that nothing is a perfect ellipse."""
        rng = self.rng("bend")
        width = self.body.half_width
        fine = (canvas.z, canvas.y, canvas.x)
        coarse = _coarse_axes(fine, BEND_GRID_MM)
        z, y, x = np.meshgrid(*coarse, indexing="ij")
        shifts = []
        for share in BEND:
            waves = Waves.draw(rng, 1.3 * width)
            shifts.append(share * width * waves((x, y, z)))
        span = self.z_range[1]
        shifts[0] = shifts[0] + rng.normal(0, SCOLIOSIS) * width * np.sin(np.pi * z / span + rng.uniform(0, 6))
        shifts[1] = shifts[1] + LORDOSIS * width * np.cos(2 * np.pi * (z / span - 0.2))
        shift_x, shift_y, shift_z = (_interpolate(shift, coarse, fine) for shift in shifts)
        return (
            canvas.x[None, None, :] + shift_x,
            canvas.y[None, :, None] + shift_y,
            canvas.z[:, None, None] + shift_z,
        )


def draw_anatomy(age_years: float, seed: int, tumor: bool = True, smallest: float = 1.0) -> Anatomy:
    """Draw one child of ``age_years`` (0-16); the same seed always gives the same child.

    ``smallest``: the part of the tumors, from the smallest one up, that may be drawn.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"anatomy")])
    body = draw_body(age_years, rng)
    pair = kidneys.draw_kidneys(age_years, body, rng)
    grown = tumors.draw_tumors(body, pair, rng, smallest) if tumor else ()
    return Anatomy(float(age_years), int(seed), body, pair, grown)


def _coarse_axes(fine: Axes, step: float) -> Axes:
    z, y, x = (
        np.linspace(axis[0], axis[-1], max(int(np.ceil((axis[-1] - axis[0]) / step)) + 1, 2), dtype=np.float32)
        for axis in fine
    )
    return z, y, x


def _interpolate(values: np.ndarray, coarse: Axes, fine: Axes) -> np.ndarray:
    """Linear interpolation from one rectilinear grid to another, axis by axis."""
    for axis in range(3):
        weights = _linear_weights(coarse[axis], fine[axis])
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _linear_weights(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    distance = np.abs(fine[:, None] - coarse[None, :]) / (coarse[1] - coarse[0])
    return np.clip(1.0 - distance, 0.0, 1.0).astype(np.float32)
