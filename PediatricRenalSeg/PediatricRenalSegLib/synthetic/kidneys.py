"""Kidneys: cortex, pyramids, sinus and collecting system.

Labels follow KiTS: cortex, medulla and renal cysts are kidney; sinus fat,
collecting system and hilar vessels are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import growth
from .canvas import Box, Canvas
from .shapes import Coordinates, Waves, ellipsoid, local, rotation, smoothstep

RIGHT, LEFT = 1, 2


@dataclass(frozen=True)
class Kidney:
    """One kidney. ``frame`` rows: toward the upper pole, toward the hilum, and across both."""

    label: int
    center: np.ndarray  # x, y, z mm
    frame: np.ndarray  # (3, 3)
    radii: np.ndarray  # half length, half width, half thickness, mm
    bend: float  # how strongly the poles lean toward the hilum, 1/mm
    lobes: int
    lobulation: float  # depth of the furrows between lobes, mm
    pelvis: float  # width of the collecting system; over 1.5 is hydronephrosis
    cysts: int

    @property
    def side(self) -> int:
        """-1 for the right kidney (small x), +1 for the left."""
        return -1 if self.label == RIGHT else 1

    @property
    def hilum(self) -> np.ndarray:
        return self.center + 0.75 * self.radii[1] * self.frame[1]

    def local(self, p: Coordinates) -> Coordinates:
        return local(p, self.center, self.frame)

    def surface(self, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Distance to the bean, from local coordinates."""
        v = v - self.bend * (u * u - 0.25 * self.radii[0] ** 2)
        taper = 1.0 + 0.10 * (u / self.radii[0])  # the upper pole is a little fuller
        return ellipsoid((u, v / taper, w / taper), self.radii)


def draw_kidneys(age_years: float, body, rng: np.random.Generator) -> tuple[Kidney, ...]:
    """Two kidneys, seldom one (which is then larger)."""
    missing = rng.choice([RIGHT, LEFT]) if rng.uniform() < 0.02 else 0
    length = growth.draw_kidney_length_mm(age_years, rng) * (1.12 if missing else 1.0)
    return tuple(
        _draw_kidney(label, age_years, length * np.exp(0.03 * rng.normal()), body, rng)
        for label in (RIGHT, LEFT)
        if label != missing
    )


def _draw_kidney(label: int, age: float, length: float, body, rng: np.random.Generator) -> Kidney:
    side = -1 if label == RIGHT else 1
    # The bend and the rounded poles take 4 % of an ellipsoid's length.
    radii = 0.5 * length * np.array([1.0, 0.52 * rng.uniform(0.93, 1.07), 0.44 * rng.uniform(0.93, 1.07)])
    up = rotation([0, 1, 0], -side * -np.radians(rng.uniform(8, 20))) @ np.array([0.0, 0.0, 1.0])
    up = rotation([1, 0, 0], -np.radians(rng.uniform(3, 15))) @ up
    turn = np.radians(rng.uniform(20, 50))
    inward = np.array([-side * np.cos(turn), -np.sin(turn), 0.0])
    inward -= up * (inward @ up)
    inward /= np.linalg.norm(inward)
    frame = np.stack([up, inward, np.cross(up, inward)])
    half_x = float(np.hypot(radii[1] * np.cos(turn), radii[2] * np.sin(turn)))
    half_y = float(np.hypot(radii[1] * np.sin(turn), radii[2] * np.cos(turn)))
    x = body.vertebra_half_width + (0.42 + 0.1 * rng.uniform()) * body.pitch + half_x
    x = min(x, 0.93 * body.inner_half_width - 0.8 * half_x)
    y = body.posterior_y - half_y * rng.uniform(1.0, 1.15) - 0.08 * body.pitch
    z = body.pitch * (2.75 + 0.35 * (side > 0) + 0.25 * np.clip(rng.normal(), -1.5, 1.5))
    return Kidney(
        label=label,
        center=np.array([side * x, y, z]),
        frame=frame,
        radii=radii,
        bend=float(rng.uniform(0.10, 0.22) * radii[1] / (radii[0] ** 2) * 2.0),
        lobes=int(rng.integers(7, 11)),
        lobulation=float(rng.uniform(0.2, 1.0) * np.interp(age, (0, 1.5, 5), (1.3, 0.7, 0.15))),
        pelvis=float(rng.uniform(1.6, 2.3) if rng.uniform() < 0.10 else rng.uniform(0.5, 1.1)),
        cysts=int(rng.uniform() < 0.05),
    )


def paint_fat(canvas: Canvas, anatomy) -> None:
    """Perirenal fat: a few millimeters in children, thicker behind and at the lower pole."""
    for kidney in anatomy.kidneys:
        rng = anatomy.rng(f"perirenal {kidney.label}")
        box = _find(canvas, kidney, 12.0)
        if box is None:
            continue
        p = canvas.at(box, canvas.soft)
        u, v, w = kidney.local(p)
        thick = np.interp(anatomy.age_years, (0, 3, 16), (1.2, 2.0, 6.0)) * rng.uniform(0.6, 1.5)
        wave = Waves.draw(rng, 25.0, 4)(p)
        distance = kidney.surface(u * 0.97, v, w) - thick * (1.0 + 0.35 * wave)
        canvas.paint("visceral_fat", box, distance)


def paint_kidneys(canvas: Canvas, anatomy) -> None:
    for kidney in anatomy.kidneys:
        _paint_kidney(canvas, kidney, anatomy.rng(f"kidney {kidney.label}"))


def _find(canvas: Canvas, kidney: Kidney, margin: float) -> Box | None:
    reach = np.abs(kidney.frame.T) @ (kidney.radii * np.array([1.05, 1.25, 1.1])) + margin
    return canvas.find_box(kidney.center - reach, kidney.center + reach, canvas.soft)


def _paint_kidney(canvas: Canvas, kidney: Kidney, rng: np.random.Generator) -> None:
    box = _find(canvas, kidney, 3.0)
    if box is None:
        return
    p = canvas.at(box, canvas.soft)
    u, v, w = kidney.local(p)
    length, width, thickness = kidney.radii
    wave = Waves.draw(rng, 0.9 * length, 5)(p)
    fine = Waves.draw(rng, 0.35 * length, 5)(p)
    surface = kidney.surface(u, v, w) + 0.022 * length * wave + 0.006 * length * fine

    # Lobes lie around the sinus like segments of an orange.
    around = np.arctan2(u * (width / length), -(v - 0.3 * width)) + 0.25 * wave
    lobe = np.cos(kidney.lobes * around + rng.uniform(0, 6.28))
    surface = surface + kidney.lobulation * smoothstep(-lobe, 0.3, 1.0) * smoothstep(-v, -0.6 * width, 0.0)

    sinus_shape = (0.46 * length, 0.55 * width, 0.30 * thickness)
    sinus = ellipsoid((u, v - 0.62 * width, w), sinus_shape) + 0.05 * length * fine
    hilum = ellipsoid((u, v - 1.0 * width, w), (0.30 * length, 0.55 * width, 0.36 * thickness))
    sinus = np.minimum(sinus, hilum + 0.02 * length * fine)
    canvas.paint("cortex", box, surface, label=kidney.label)
    _paint_medulla(canvas, box, kidney, surface, sinus, lobe, w, rng)
    _paint_cysts(canvas, kidney, rng)
    canvas.paint("visceral_fat", box, np.maximum(sinus, surface - 1.0))
    _paint_pelvis(canvas, box, kidney, (u, v, w), lobe, fine, surface)


def _paint_medulla(canvas, box, kidney, surface, sinus, lobe, w, rng) -> None:
    cortex = 0.12 * kidney.radii[0] * rng.uniform(0.9, 1.2)
    pyramids = np.maximum(surface + cortex * (1.15 - 0.25 * lobe), 0.3 - sinus)
    pyramids = np.maximum(pyramids, (0.10 - lobe) * 0.10 * kidney.radii[0])
    row = 0.10 * kidney.radii[2] - np.abs(w)  # front and back row of pyramids
    pyramids = np.maximum(pyramids, row)
    canvas.paint("medulla", box, pyramids, label=kidney.label, opacity=0.92)


def _paint_pelvis(canvas, box, kidney, p: Coordinates, lobe, fine, surface) -> None:
    """The collecting system: a flat funnel toward the hilum, and calyces."""
    u, v, w = p
    length, width, thickness = kidney.radii
    size = kidney.pelvis
    funnel = ellipsoid(
        (u, v - 0.95 * width, w + 0.02 * length), (0.24 * length * size, 0.50 * width, 0.13 * thickness * size)
    )
    calyces = ellipsoid((u, v - 0.55 * width, w), (0.42 * length, 0.50 * width, 0.17 * thickness * size))
    calyces = np.maximum(calyces, (0.65 - 0.35 * (size - 0.5) - lobe) * 0.08 * length)
    urine = np.minimum(funnel, calyces) + 0.02 * length * fine
    canvas.paint("urine", box, np.maximum(urine, surface - 0.15 * width))
    vessels = ellipsoid(
        (u - 0.1 * length, v - 0.8 * width, w - 0.14 * thickness), (0.3 * length, 0.4 * width, 0.07 * length)
    )
    canvas.paint("renal_vein", box, np.maximum(vessels, 0.2 * width - v), opacity=0.8)


def _paint_cysts(canvas: Canvas, kidney: Kidney, rng: np.random.Generator) -> None:
    for _ in range(kidney.cysts):
        direction = rng.normal(size=3) * [1.0, 0.6, 1.0]
        direction[1] = -abs(direction[1])
        direction /= np.linalg.norm(direction)
        center = kidney.center + kidney.frame.T @ (direction * kidney.radii * rng.uniform(0.6, 0.95))
        radius = rng.uniform(0.12, 0.4) * kidney.radii[0]
        box = canvas.find_box(center - radius - 1, center + radius + 1, canvas.soft)
        if box is not None:
            p = tuple(c - o for c, o in zip(canvas.at(box, canvas.soft), center, strict=True))
            canvas.paint("cyst", box, ellipsoid(p, (radius,) * 3), label=kidney.label)
