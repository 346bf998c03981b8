"""How one CT volume is made: what a scanner and its operator choose, and the contrast phase.

Where a constant names no source it is an estimate of what pediatric scans have, not a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .contrast import draw_hounsfield

MATRIX = 512
"""Rows and columns of a clinical image."""

PHASE_SHARES = {"early_arterial": 0.4, "non_contrast": 0.1, "nephrographic": 0.15, "portal": 0.15, "random": 0.2}
"""How often each phase is drawn when any may be."""

VIEW, WIDEST_VIEW = (1.12, 1.45), 1.7
"""Least and most field of view over the child's width, and the most when any phase is drawn."""

PIXEL_MM = 0.35, 0.95
"""Smallest and largest pixel."""

SLICE_MM = {1.0: 0.08, 1.25: 0.1, 1.5: 0.14, 2.0: 0.2, 2.5: 0.2, 3.0: 0.2, 5.0: 0.08}
"""How often slices have each thickness; real children of one hospital have 2 mm (83 %) and 0.625 mm (17 %)."""

THINNEST_OF_GRID = 0.8
"""Thinnest slice over the spacing of the grid that the child is painted on: thinner ones would show its steps."""

CUT_BELOW, CUT_ABOVE = 0.8, 0.6
"""Most vertebrae that a scan lacks of what is painted, below and above."""

TURN_SD_DEG = 5.0
"""Standard deviation of how far a child lies turned on the table."""

TURNED, TURN_DEG, WIDE_TURN_DEG = 0.2, (-15, 15), (-30, 30)
"""When any phase is drawn: share of children who lie turned widely, least and most turn of the others, and of these."""

BLUR_MM = 0.3, 0.75
"""Least and most standard deviation of the reconstruction kernel."""

SHARP, OVERSHOOT = 0.4, (0.0, 0.5)
"""Share of scans with a sharpening kernel, and its least and most overshoot at edges."""

NOISE_HU, NOISE_SPREAD, NOISE_LIMITS_HU = 11.0, 0.35, (4, 32)
"""Median noise of 2.5 mm slices of a child 20 cm wide, standard deviation of its logarithm, least and most noise."""

NOISE_SLICE_MM, NOISE_HALF_WIDTH_MM = 2.5, 100.0
"""The slice thickness and the half width that ``NOISE_HU`` is for."""

NOISE_BY_SIZE, NOISE_BY_SLICE = 0.5, 0.35
"""Powers with which noise rises with the child's size and falls with the slice's thickness: doses follow size."""

GRAIN_MM = 0.45, 0.9
"""Least and most size of the noise grain."""

STREAKS_HU = 0, 5
"""Least and most size of horizontal streaks."""

OFFSET_X, OFFSET_Y = (-0.5, 0.5), (-0.6, 0.3)
"""How far a child lies off the axis, as shares of the room that the field of view leaves."""

TABLE, BLANKET, ARMS, CIRCULAR = 0.9, 0.35, 0.12, 0.3
"""Shares of scans that show the table, a blanket, arms beside the trunk, and a circle with nothing outside of it."""

OUTSIDE_HU = -1024, -2000
"""Values that scanners give what lies outside of that circle."""


@dataclass(frozen=True)
class ScanSettings:
    """How one volume is made. Lengths in mm; the scanner's axis is the middle of the image."""

    pixel_mm: float
    slice_mm: float
    """Thickness of a slice."""
    spacing_mm: float
    """From one slice to the next."""
    slices: int
    z_low: float
    """Height of the lowest slice in the child's frame."""
    matrix: int
    """Rows and columns."""
    hounsfield: Mapping[str, tuple[float, float]]
    """Mean and texture of each tissue."""
    blur_mm: float
    """Standard deviation of the kernel."""
    sharpen: float
    """Overshoot at edges, 0 for none."""
    noise_hu: float
    """Standard deviation in the middle of the body."""
    noise_mm: float
    """Size of the noise grain."""
    streaks: float
    """HU, horizontal streaks."""
    rotation_deg: float
    offset_mm: tuple[float, float]
    """Of the child from the axis: x, y."""
    table: bool
    blanket: bool
    arms: bool
    outside: int | None
    """Value outside the circular field of view, None for a full square."""

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Scanner coordinates of the pixels in mm: y as a column, x as a row."""
        axis = ((np.arange(self.matrix) - 0.5 * (self.matrix - 1)) * self.pixel_mm).astype(np.float32)
        return axis[:, None], axis[None, :]


def draw_settings(anatomy: Anatomy, rng: np.random.Generator, phase: str = "early_arterial") -> ScanSettings:
    """Settings a pediatric scan may have: 512 x 512, field of view fitted to the child.

    ``phase`` is one of ``contrast.PHASES``, or "any" to draw one.
    """
    any_phase = phase == "any"
    if any_phase:
        phase = str(rng.choice(list(PHASE_SHARES), p=list(PHASE_SHARES.values())))
    half_width, pitch = anatomy.body.half_width, anatomy.body.pitch
    narrow, wide = VIEW
    view = 2.0 * half_width * rng.uniform(narrow, WIDEST_VIEW if any_phase else wide)
    thickness = float(rng.choice(list(SLICE_MM), p=list(SLICE_MM.values())))
    thickness = max(thickness, round(THINNEST_OF_GRID * anatomy.working_mm, 2))
    low, high = anatomy.z_range
    low, high = low + rng.uniform(0, CUT_BELOW) * pitch, high - rng.uniform(0, CUT_ABOVE) * pitch
    turn = rng.normal(0, TURN_SD_DEG)
    if any_phase:
        turn = rng.uniform(*(WIDE_TURN_DEG if rng.uniform() < TURNED else TURN_DEG))
    room = 0.5 * view - half_width
    return ScanSettings(
        pixel_mm=float(np.clip(view / MATRIX, *PIXEL_MM)),
        slice_mm=thickness,
        spacing_mm=thickness,
        slices=int((high - low) / thickness) + 1,
        z_low=float(low),
        matrix=MATRIX,
        hounsfield=draw_hounsfield(phase, rng),
        blur_mm=float(rng.uniform(*BLUR_MM)),
        sharpen=float(rng.uniform(*OVERSHOOT)) if rng.uniform() < SHARP else 0.0,
        noise_hu=_draw_noise(half_width, thickness, rng),
        noise_mm=float(rng.uniform(*GRAIN_MM)),
        streaks=float(rng.uniform(*STREAKS_HU)),
        rotation_deg=float(turn),
        offset_mm=(float(rng.uniform(*OFFSET_X) * room), float(rng.uniform(*OFFSET_Y) * room)),
        table=bool(rng.uniform() < TABLE),
        blanket=bool(rng.uniform() < BLANKET),
        arms=bool(rng.uniform() < ARMS),
        outside=int(rng.choice(OUTSIDE_HU)) if rng.uniform() < CIRCULAR else None,
    )


def _draw_noise(half_width: float, thickness: float, rng: np.random.Generator) -> float:
    """Standard deviation in HU: big children and thin slices are noisier."""
    noise = rng.lognormal(np.log(NOISE_HU), NOISE_SPREAD) * (half_width / NOISE_HALF_WIDTH_MM) ** NOISE_BY_SIZE
    return float(np.clip(noise * (NOISE_SLICE_MM / thickness) ** NOISE_BY_SLICE, *NOISE_LIMITS_HU))
