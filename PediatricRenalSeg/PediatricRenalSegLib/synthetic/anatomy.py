"""One child's anatomy: drawn from age and seed, painted on any grid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from . import bowel, kidneys, organs, torso, tumors, vessels
from .canvas import Canvas
from .shapes import Coordinates, Waves


@dataclass(frozen=True)
class Anatomy:
    """What was drawn for one child. Nothing is painted yet.

    The frame is in mm: x to the patient's left, y to the back, z to the head;
    x = 0 is the midline and z = 0 the iliac crest.
    """

    age_years: float
    seed: int
    body: torso.Body
    kidneys: tuple[kidneys.Kidney, ...]
    tumors: tuple[tumors.Tumor, ...]

    @property
    def z_range(self) -> tuple[float, float]:
        """From the upper pelvis to the lung bases, mm."""
        return -1.1 * self.body.pitch, 9.2 * self.body.pitch

    @property
    def renal_z_range(self) -> tuple[float, float]:
        """Around kidneys and tumors, mm; wide enough for the little that the child's bend moves them."""
        ends = [(k.center[2], k.radii[0]) for k in self.kidneys] + [(t.center[2], t.reach) for t in self.tumors]
        margin = 0.5 * self.body.pitch
        return float(min(z - half for z, half in ends) - margin), float(max(z + half for z, half in ends) + margin)

    @property
    def working_mm(self) -> float:
        """Spacing of the isotropic grid that shows everything the scan can show."""
        return float(np.interp(self.age_years, (0.0, 2.0, 16.0), (0.95, 1.05, 1.5)))

    def rng(self, part: str) -> np.random.Generator:
        """Random numbers for one part of the body, the same on every grid."""
        return np.random.default_rng([self.seed, zlib.crc32(part.encode())])

    def paint(self, z: np.ndarray, pixel: float) -> Canvas:
        """Paint the child at heights ``z`` (mm) with in-plane spacing ``pixel`` (mm)."""
        half_x, half_y = self.body.reach()
        x = np.arange(-half_x, half_x + pixel, pixel)
        y = np.arange(-half_y, half_y + pixel, pixel)
        canvas = Canvas(z, y, x, self.rng("texture"))
        self._set_coordinates(canvas)
        torso.paint_wall(canvas, self)
        organs.paint_chest(canvas, self)
        bowel.paint_bowel(canvas, self)
        organs.paint_upper_abdomen(canvas, self)
        torso.paint_back(canvas, self)
        kidneys.paint_fat(canvas, self)
        vessels.paint_great_vessels(canvas, self)
        kidneys.paint_kidneys(canvas, self)
        tumors.paint_tumors(canvas, self)
        torso.paint_bones(canvas, self)
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
        wall = tuple(f + give * (s - f) for f, s in zip(fixed, soft, strict=True))
        canvas.set_coordinates(fixed, wall, soft)

    def _bend(self, canvas: Canvas) -> Coordinates:
        """Smooth low-frequency deformation, so that nothing is a perfect ellipse."""
        rng = self.rng("bend")
        width = self.body.half_width
        coarse = _coarse_axes(canvas, 8.0)
        z, y, x = np.meshgrid(*coarse, indexing="ij")
        shifts = []
        for amplitude in (0.030, 0.024, 0.020):
            waves = Waves.draw(rng, 1.3 * width)
            shifts.append(amplitude * width * waves((x, y, z)))
        span = self.z_range[1]
        shifts[0] = shifts[0] + rng.normal(0, 0.03) * width * np.sin(np.pi * z / span + rng.uniform(0, 6))
        shifts[1] = shifts[1] + 0.04 * width * np.cos(2 * np.pi * (z / span - 0.2))
        fine = (canvas.z, canvas.y, canvas.x)
        shifts = [_interpolate(s, coarse, fine) for s in shifts]
        return (
            canvas.x[None, None, :] + shifts[0],
            canvas.y[None, :, None] + shifts[1],
            canvas.z[:, None, None] + shifts[2],
        )


def draw_anatomy(age_years: float, seed: int, tumor: bool = True, smallest: float = 1.0) -> Anatomy:
    """Draw one child of ``age_years`` (0-16); the same seed always gives the same child.

    ``smallest``: the part of the tumors, from the smallest one up, that may be drawn.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"anatomy")])
    body = torso.draw_body(age_years, rng)
    pair = kidneys.draw_kidneys(age_years, body, rng)
    grown = tumors.draw_tumors(body, pair, rng, smallest) if tumor else ()
    return Anatomy(float(age_years), int(seed), body, pair, grown)


def _coarse_axes(canvas: Canvas, step: float) -> list[np.ndarray]:
    axes = []
    for fine in (canvas.z, canvas.y, canvas.x):
        count = max(int(np.ceil((fine[-1] - fine[0]) / step)) + 1, 2)
        axes.append(np.linspace(fine[0], fine[-1], count, dtype=np.float32))
    return axes


def _interpolate(values: np.ndarray, coarse, fine) -> np.ndarray:
    """Linear interpolation from one rectilinear grid to another, axis by axis."""
    for axis in range(3):
        weights = _linear_weights(coarse[axis], fine[axis])
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _linear_weights(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    distance = np.abs(fine[:, None] - coarse[None, :]) / (coarse[1] - coarse[0])
    return np.clip(1.0 - distance, 0.0, 1.0).astype(np.float32)
