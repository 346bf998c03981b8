"""The trunk of one child: its measures and the outline of its skin.

Where a constant names no source it is an estimate, chosen by eye so that generated slices look like a child's CT.
``growth`` holds the charts that follow the literature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import growth
from .shapes import Coordinates, smoothstep

GIRTH_SPREAD, GIRTH_LIMIT = 0.07, 1.8
"""Standard deviation of the waist's logarithm around the chart, and after how many of them it is cut off."""

SHAPE_SPREAD = 0.03
"""Standard deviation of the logarithm of depth over width."""

PITCH_SPREAD = 0.04
"""Standard deviation of the logarithm of a vertebra's height."""

SQUARENESS = 1.03
"""Girth over that of an ellipse of the same width and depth: the outline is a little squarer."""

FAT_MM = (0, 1, 5, 10, 16), (5.0, 6.0, 5.0, 7.5, 10.0)
"""Subcutaneous fat at the flank by age in years, in a child who is neither thin nor plump."""

PLUMPNESS = 0.5, 1.6
"""Least and most of one child's fat over that."""

MUSCLE_MM = (0, 2, 8, 16), (4.5, 5.5, 8.0, 12.0)
"""Thickness of the abdominal wall's muscles by age in years; one child has 0.8 to 1.2 of it."""

BELLY, BELLY_OF_INFANTS = (0.1, 0.35), (0.3, 0.6)
"""Least and most bulge of the belly, as a share of the width, and up to three years."""

DOME = 7.3, 8.2
"""Lowest and highest right dome of the diaphragm over the iliac crest, in vertebrae."""

SPINE_BEHIND_CENTER = 1.75
"""Vertebrae from the fat of the back to the center of the vertebral bodies: what lies behind it of bone and muscle."""

CAVITY_BEHIND_SPINE = 0.85
"""Vertebrae that the cavity reaches behind the center of the vertebral bodies; measured in CT: 0.97 (0.71 to 1.22)."""

VERTEBRA_HALF_WIDTH = 0.62
"""Half the width of a lumbar body over the height of a vertebra with its disc."""

VERTEBRA_HALF_DEPTH = 0.47
"""Half the depth of a lumbar body over the same height."""


@dataclass(frozen=True)
class Body:
    """Measures of the trunk in mm. Heights are often given in vertebrae (``pitch``)."""

    age_years: float
    half_width: float
    half_depth: float
    pitch: float
    """One lumbar vertebra with its disc."""
    fat: float
    """Subcutaneous fat at the flank."""
    muscle: float
    """Abdominal wall muscle."""
    belly: float
    """How much the belly bulges, as a share of the width."""
    dome: float
    """Height of the right diaphragm dome, in vertebrae."""

    @property
    def vertebra_half_width(self) -> float:
        """Mm from the midline to the side of a vertebral body."""
        return VERTEBRA_HALF_WIDTH * self.pitch

    @property
    def spine_y(self) -> float:
        """Center of the vertebral bodies."""
        return self.half_depth - self.fat - SPINE_BEHIND_CENTER * self.pitch

    @property
    def spine_front_y(self) -> float:
        """Front of the vertebral bodies, before which the great vessels run."""
        return self.spine_y - VERTEBRA_HALF_DEPTH * self.pitch

    @property
    def posterior_y(self) -> float:
        """Back wall of the abdominal cavity beside the spine."""
        return self.spine_y + CAVITY_BEHIND_SPINE * self.pitch

    @property
    def inner_half_width(self) -> float:
        """Mm from the midline to the inner side of the abdominal wall."""
        return self.half_width - self.fat - self.muscle

    @property
    def inner_half_depth(self) -> float:
        """Mm from the center to the inner side of the abdominal wall, front or back."""
        return self.half_depth - self.fat - self.muscle

    def reach(self) -> tuple[float, float]:
        """Half extents of a grid that surely holds the trunk."""
        return 1.32 * self.half_width + 4.0, 1.42 * self.half_depth + 4.0

    def outline(self, position: Coordinates) -> np.ndarray:
        """Depth under the skin in mm, positive inside: an oval, widest at the navel and flatter at the back."""
        x, y, z = position
        level = z / (9.0 * self.pitch) - 0.4
        width = self.half_width * (1.0 + self.belly * (0.10 - 0.9 * level * level) + 0.03 * level)
        depth = self.half_depth * (1.0 + self.belly * (0.08 - 0.7 * level * level))
        across, deep = (x / width) ** 2, (y / depth) ** 2
        flat = 0.25 + 0.55 * smoothstep(y, 0.0, self.half_depth)
        rho = np.sqrt((1.0 - flat) * (across + deep) + flat * np.sqrt(across * across + deep * deep))
        return np.sqrt(x * x + y * y) * (1.0 / np.maximum(rho, 1e-3) - 1.0)


def draw_body(age_years: float, rng: np.random.Generator) -> Body:
    """Trunk measures for one child around the charts of ``growth``."""
    girth = 10.0 * growth.waist_cm(age_years)
    girth = girth * np.exp(GIRTH_SPREAD * np.clip(rng.normal(), -GIRTH_LIMIT, GIRTH_LIMIT))
    ratio = growth.depth_over_width(age_years) * np.exp(SHAPE_SPREAD * rng.normal())
    # Circumference of an ellipse.
    half_width = girth / (2 * np.pi * np.sqrt((1 + ratio**2) / 2)) / SQUARENESS
    plump = rng.uniform(*PLUMPNESS)
    return Body(
        age_years=float(age_years),
        half_width=float(half_width),
        half_depth=float(half_width * ratio),
        pitch=growth.vertebral_pitch_mm(age_years) * float(np.exp(PITCH_SPREAD * rng.normal())),
        fat=float(plump * np.interp(age_years, *FAT_MM)),
        muscle=float(rng.uniform(0.8, 1.2) * np.interp(age_years, *MUSCLE_MM)),
        belly=float(rng.uniform(*(BELLY if age_years > 3 else BELLY_OF_INFANTS))),
        dome=float(rng.uniform(*DOME)),
    )
