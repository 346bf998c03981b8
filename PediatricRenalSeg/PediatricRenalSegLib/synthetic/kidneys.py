"""Kidneys: cortex, pyramids, sinus and collecting system.

Labels follow KiTS: cortex, medulla and renal cysts are kidney; sinus fat, collecting system and hilar vessels are
not. Local coordinates u, v, w run toward the upper pole, toward the hilum, and across both; sizes within a kidney
are shares of its half length, half width and half thickness. Length and ratios come from ``growth``; where a
constant names no source it is an estimate, chosen by eye so that generated slices look like a child's CT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import growth
from .body import Body
from .canvas import Box, Canvas, RandomParts
from .shapes import Coordinates, Waves, ellipsoid, local, relative, rotation, smoothstep

RIGHT, LEFT = 1, 2
"""Labels."""

MISSING, LARGER_ALONE = 0.02, 1.12
"""Share of the children with one kidney, and its length over that of one of two."""

PAIR_SPREAD = 0.03
"""Standard deviation of the logarithm of one kidney's length around that of the pair."""

THICKNESS_SPREAD = 0.93, 1.07
"""Least and most of one kidney's width and thickness over what its length lets expect."""

CORONAL_TILT, SAGITTAL_TILT, AXIAL_TURN = (8, 20), (3, 15), (20, 50)
"""Least and most degrees: of the long axis in the coronal plane, of the upper pole backward, of the hilum forward.

The coronal tilt has the wrong sign: the upper poles lie lateral, in real children and adults they lie medial.
"""

PSOAS_GAP, PSOAS_GAP_SPREAD = 0.42, 0.1
"""Vertebrae between the vertebral body and a kidney, for psoas, and the most that is added."""

LEVEL, LEFT_HIGHER, LEVEL_SPREAD = 2.75, 0.35, 0.25
"""Vertebrae over the iliac crest of a right kidney's middle, of which a left one is higher, and standard deviation."""

BEND = 0.10, 0.22
"""Least and most that the poles lean toward the hilum, as a share of the half width."""

FULLER_UPPER_POLE = 0.10
"""Share by which the upper pole is thicker and the lower one thinner."""

SURFACE_WAVES = 0.022, 0.006
"""How far slow and fine waves move the surface, as shares of the half length."""

LOBES = 7, 11
"""Fewest lobes in a section, and one more than the most."""

LOBULATION_MM = (0, 1.5, 5), (1.3, 0.7, 0.15)
"""Depth of the furrows between lobes by age in years: fetal lobulation fades."""

HYDRONEPHROSIS, WIDE_PELVIS, PELVIS = 0.10, (1.6, 2.3), (0.5, 1.1)
"""Share of kidneys with a dilated collecting system; its least and most width, and that of the others."""

CYSTIC = 0.05
"""Share of kidneys with a cyst."""

PERIRENAL_FAT_MM, PERIRENAL_SPREAD, PERIRENAL_WAVES = ((0, 3, 16), (1.2, 2.0, 6.0)), (0.6, 1.5), 0.35
"""Thickness by age in years, by what it is multiplied at one kidney, and how much it varies around it."""

SINUS, SINUS_DEPTH = (0.46, 0.55, 0.30), 0.62
"""Half size of the sinus, and its center toward the hilum."""

HILUM = 0.30, 0.55, 0.36
"""Half size of the sinus's opening, centered at the hilum's surface."""

CORTEX, CORTEX_SPREAD = 0.12, (0.9, 1.2)
"""Thickness of the cortex, as a share of the half length, and by what it is multiplied in one kidney."""

RENAL_PELVIS, RENAL_PELVIS_DEPTH = (0.24, 0.50, 0.13), 0.95
"""Half size of the flat funnel toward the hilum in a kidney whose ``pelvis`` is 1, and its center."""

CALYCES, CALYCES_DEPTH = (0.42, 0.50, 0.17), 0.55
"""The same for the space that holds the calyces."""

HILAR_VESSELS, HILAR_VESSELS_CENTER = (0.3, 0.4, 0.07), (0.1, 0.8, 0.14)
"""Half size (the last one a share of the half length, too) and center of the vessels in the sinus."""

CYST_RADIUS = 0.12, 0.4
"""Least and most radius of a cyst, as a share of the half length."""


@dataclass(frozen=True)
class Kidney:
    """One kidney."""

    label: int
    center: np.ndarray
    """x, y, z mm."""
    frame: np.ndarray
    """(3, 3); rows: toward the upper pole, toward the hilum, and across both."""
    radii: np.ndarray
    """Half length, half width, half thickness, mm."""
    bend: float
    """How strongly the poles lean toward the hilum, 1/mm."""
    lobes: int
    lobulation: float
    """Depth of the furrows between lobes, mm."""
    pelvis: float
    """Width of the collecting system; over 1.5 is hydronephrosis."""
    cysts: int

    @property
    def side(self) -> int:
        """-1 for the right kidney (small x), +1 for the left."""
        return -1 if self.label == RIGHT else 1

    @property
    def hilum(self) -> np.ndarray:
        """Where vessels and pelvis enter, mm."""
        return self.center + 0.75 * self.radii[1] * self.frame[1]

    def local(self, position: Coordinates) -> Coordinates:
        """u, v, w."""
        return local(position, self.center, self.frame)

    def surface(self, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Distance to the bean, from local coordinates."""
        v = v - self.bend * (u * u - 0.25 * self.radii[0] ** 2)
        taper = 1.0 + FULLER_UPPER_POLE * (u / self.radii[0])
        return ellipsoid((u, v / taper, w / taper), self.radii)


def draw_kidneys(age_years: float, body: Body, rng: np.random.Generator) -> tuple[Kidney, ...]:
    """Two kidneys, seldom one (which is then larger)."""
    missing = rng.choice([RIGHT, LEFT]) if rng.uniform() < MISSING else 0
    length = growth.draw_kidney_length_mm(age_years, rng) * (LARGER_ALONE if missing else 1.0)
    return tuple(
        _draw_kidney(label, age_years, length * np.exp(PAIR_SPREAD * rng.normal()), body, rng)
        for label in (RIGHT, LEFT)
        if label != missing
    )


def _draw_kidney(label: int, age_years: float, length: float, body: Body, rng: np.random.Generator) -> Kidney:
    side = -1 if label == RIGHT else 1
    # The bend and the rounded poles take 4 % of an ellipsoid's length.
    width = growth.KIDNEY_WIDTH * rng.uniform(*THICKNESS_SPREAD)
    radii = 0.5 * length * np.array([1.0, width, growth.KIDNEY_THICKNESS * rng.uniform(*THICKNESS_SPREAD)])
    up = rotation([0, 1, 0], side * np.radians(rng.uniform(*CORONAL_TILT))) @ np.array([0.0, 0.0, 1.0])
    up = rotation([1, 0, 0], -np.radians(rng.uniform(*SAGITTAL_TILT))) @ up
    turn = np.radians(rng.uniform(*AXIAL_TURN))
    inward = np.array([-side * np.cos(turn), -np.sin(turn), 0.0])
    inward -= up * (inward @ up)
    inward /= np.linalg.norm(inward)
    frame = np.stack([up, inward, np.cross(up, inward)])
    return Kidney(
        label=label,
        center=_draw_center(side, radii, turn, body, rng),
        frame=frame,
        radii=radii,
        bend=float(rng.uniform(*BEND) * radii[1] / (radii[0] ** 2) * 2.0),
        lobes=int(rng.integers(*LOBES)),
        lobulation=float(rng.uniform(0.2, 1.0) * np.interp(age_years, *LOBULATION_MM)),
        pelvis=float(rng.uniform(*WIDE_PELVIS) if rng.uniform() < HYDRONEPHROSIS else rng.uniform(*PELVIS)),
        cysts=int(rng.uniform() < CYSTIC),
    )


def _draw_center(side: int, radii: np.ndarray, turn: float, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Beside the spine, behind psoas' edge, on the back wall; within the trunk's wall."""
    half_x = float(np.hypot(radii[1] * np.cos(turn), radii[2] * np.sin(turn)))
    half_y = float(np.hypot(radii[1] * np.sin(turn), radii[2] * np.cos(turn)))
    x = body.vertebra_half_width + (PSOAS_GAP + PSOAS_GAP_SPREAD * rng.uniform()) * body.pitch + half_x
    x = min(x, 0.93 * body.inner_half_width - 0.8 * half_x)
    y = body.posterior_y - half_y * rng.uniform(1.0, 1.15) - 0.08 * body.pitch
    scatter = LEVEL_SPREAD * np.clip(rng.normal(), -1.5, 1.5)
    z = body.pitch * (LEVEL + LEFT_HIGHER * (side > 0) + scatter)
    return np.array([side * x, y, z])


def paint_fat(canvas: Canvas, kidneys: tuple[Kidney, ...], age_years: float, rng_of: RandomParts) -> None:
    """Perirenal fat: a few millimeters in children, thicker behind and at the lower pole."""
    for kidney in kidneys:
        rng = rng_of(f"perirenal {kidney.label}")
        box = _find(canvas, kidney, 12.0)
        if box is None:
            continue
        position = canvas.at(box, canvas.soft)
        u, v, w = kidney.local(position)
        thick = np.interp(age_years, *PERIRENAL_FAT_MM) * rng.uniform(*PERIRENAL_SPREAD)
        wave = Waves.draw(rng, 25.0, 4)(position)
        distance = kidney.surface(u * 0.97, v, w) - thick * (1.0 + PERIRENAL_WAVES * wave)
        canvas.paint("visceral_fat", box, distance)


def paint_kidneys(canvas: Canvas, kidneys: tuple[Kidney, ...], rng_of: RandomParts) -> None:
    """Each kidney with what lies in its sinus."""
    for kidney in kidneys:
        _paint_kidney(canvas, kidney, rng_of(f"kidney {kidney.label}"))


def _find(canvas: Canvas, kidney: Kidney, margin: float) -> Box | None:
    reach = np.abs(kidney.frame.T) @ (kidney.radii * np.array([1.05, 1.25, 1.1])) + margin
    return canvas.find_box(kidney.center - reach, kidney.center + reach, canvas.soft)


def _paint_kidney(canvas: Canvas, kidney: Kidney, rng: np.random.Generator) -> None:
    box = _find(canvas, kidney, 3.0)
    if box is None:
        return
    position = canvas.at(box, canvas.soft)
    u, v, w = kidney.local(position)
    length, width, _ = kidney.radii
    wave = Waves.draw(rng, 0.9 * length, 5)(position)
    fine = Waves.draw(rng, 0.35 * length, 5)(position)
    surface = kidney.surface(u, v, w) + SURFACE_WAVES[0] * length * wave + SURFACE_WAVES[1] * length * fine

    # Lobes lie around the sinus like segments of an orange.
    around = np.arctan2(u * (width / length), -(v - 0.3 * width)) + 0.25 * wave
    lobe = np.cos(kidney.lobes * around + rng.uniform(0, 6.28))
    surface = surface + kidney.lobulation * smoothstep(-lobe, 0.3, 1.0) * smoothstep(-v, -0.6 * width, 0.0)

    sinus = ellipsoid((u, v - SINUS_DEPTH * width, w), _scaled(SINUS, kidney)) + 0.05 * length * fine
    hilum = ellipsoid((u, v - 1.0 * width, w), _scaled(HILUM, kidney))
    sinus = np.minimum(sinus, hilum + 0.02 * length * fine)
    canvas.paint("cortex", box, surface, label=kidney.label)
    _paint_medulla(canvas, box, kidney, surface, sinus, lobe, w, rng)
    _paint_cysts(canvas, kidney, rng)
    canvas.paint("visceral_fat", box, np.maximum(sinus, surface - 1.0))
    _paint_pelvis(canvas, box, kidney, (u, v, w), lobe, fine, surface)


def _scaled(shares: tuple[float, float, float], kidney: Kidney) -> tuple[float, float, float]:
    """Shares of a kidney's half length, width and thickness in mm."""
    length, width, thickness = (share * radius for share, radius in zip(shares, kidney.radii, strict=True))
    return length, width, thickness


def _paint_medulla(
    canvas: Canvas,
    box: Box,
    kidney: Kidney,
    surface: np.ndarray,
    sinus: np.ndarray,
    lobe: np.ndarray,
    w: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Pyramids in a front and a back row, one in each lobe, between cortex and sinus."""
    cortex = CORTEX * kidney.radii[0] * rng.uniform(*CORTEX_SPREAD)
    pyramids = np.maximum(surface + cortex * (1.15 - 0.25 * lobe), 0.3 - sinus)
    pyramids = np.maximum(pyramids, (0.10 - lobe) * 0.10 * kidney.radii[0])
    between_rows = 0.10 * kidney.radii[2] - np.abs(w)
    pyramids = np.maximum(pyramids, between_rows)
    canvas.paint("medulla", box, pyramids, label=kidney.label, opacity=0.92)


def _paint_pelvis(
    canvas: Canvas,
    box: Box,
    kidney: Kidney,
    place: Coordinates,
    lobe: np.ndarray,
    fine: np.ndarray,
    surface: np.ndarray,
) -> None:
    """The collecting system: a flat funnel toward the hilum, and calyces. ``place``: local coordinates."""
    u, v, w = place
    length, width, _ = kidney.radii
    size = kidney.pelvis
    long, wide, thick = _scaled(RENAL_PELVIS, kidney)
    center = (u, v - RENAL_PELVIS_DEPTH * width, w + 0.02 * length)
    funnel = ellipsoid(center, (long * size, wide, thick * size))
    long, wide, thick = _scaled(CALYCES, kidney)
    calyces = ellipsoid((u, v - CALYCES_DEPTH * width, w), (long, wide, thick * size))
    calyces = np.maximum(calyces, (0.65 - 0.35 * (size - 0.5) - lobe) * 0.08 * length)
    urine = np.minimum(funnel, calyces) + 0.02 * length * fine
    canvas.paint("urine", box, np.maximum(urine, surface - 0.15 * width))
    vessels_at = relative((u, v, w), _scaled(HILAR_VESSELS_CENTER, kidney))
    long, wide, thick = HILAR_VESSELS
    vessels = ellipsoid(vessels_at, (long * length, wide * width, thick * length))
    canvas.paint("renal_vein", box, np.maximum(vessels, 0.2 * width - v), opacity=0.8)


def _paint_cysts(canvas: Canvas, kidney: Kidney, rng: np.random.Generator) -> None:
    """Cysts away from the hilum, partly beyond the surface."""
    for _ in range(kidney.cysts):
        direction = rng.normal(size=3) * [1.0, 0.6, 1.0]
        direction[1] = -abs(direction[1])
        direction /= np.linalg.norm(direction)
        center = kidney.center + kidney.frame.T @ (direction * kidney.radii * rng.uniform(0.6, 0.95))
        radius = rng.uniform(*CYST_RADIUS) * kidney.radii[0]
        box = canvas.find_box(center - radius - 1, center + radius + 1, canvas.soft)
        if box is not None:
            cyst = ellipsoid(relative(canvas.at(box, canvas.soft), center), (radius,) * 3)
            canvas.paint("cyst", box, cyst, label=kidney.label)
