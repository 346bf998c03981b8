"""How big a child is: charts by age, and how big a Wilms tumor is.

Every chart is a piecewise-linear curve. The knots are rounded values set to
follow the sources named beside them, not copies of their tables; where no source
is named they are estimates. Individual children scatter around the curves.
"""

from __future__ import annotations

import numpy as np

_KNOT_YEARS = (0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0)
"""Ages of the knots of the three curves below."""

_WAIST_CM = (36.0, 42.0, 45.0, 48.0, 51.5, 55.5, 60.0, 65.0, 70.0, 74.0, 77.0)
"""Mean waist circumference.

Two years and older: about those of McDowell et al., Anthropometric Reference Data for Children and Adults,
National Health Statistics Reports 10 (2008). Infants: abdominal circumference of newborns (about 33-36 cm) joined
smoothly to the two-year value.
"""

_LUMBAR_CM = (7.0, 8.0, 8.6, 9.4, 10.5, 11.3, 12.1, 13.0, 14.0, 15.0, 15.7)
"""Length of the lumbar spine L1-L5: 7 at birth, 10.5-11 at five, 15.5-16 at maturity.

After Dimeglio, Growth in Pediatric Orthopaedics, J Pediatr Orthop 2001;21:549.
"""

_DEPTH_OVER_WIDTH = (0.86, 0.85, 0.84, 0.81, 0.78, 0.75, 0.73, 0.72, 0.71, 0.70, 0.69)
"""Depth of the trunk over its width, an estimate. Infants are nearly round."""

WILMS_VOLUME_QUANTILES = (
    (0.00, 0.3),
    (0.05, 1.6),
    (0.10, 3.9),
    (0.25, 31.0),
    (0.50, 187.0),
    (0.75, 529.0),
    (0.90, 918.0),
    (0.95, 1153.0),
    (0.99, 1914.0),
    (1.00, 2422.0),
)
"""Quantiles of the volume (ml) of 592 renal lesions outlined before treatment.

In the trials AREN0532, AREN0533 and AREN0534 of the Children's Oncology Group (1,553 lesions over all time points;
most are of AREN0534, bilateral disease).
"""

KIDNEY_WIDTH, KIDNEY_THICKNESS = 0.52, 0.44
"""Width and thickness of a kidney over its length: estimates that give 13-15 ml in the newborn, 125 ml at sixteen."""

KIDNEY_LENGTH_SPREAD = 0.07
"""Standard deviation of the logarithm of one child's kidney length around the mean for the age: an estimate."""


def waist_cm(age_years: float) -> float:
    """Mean waist circumference in cm."""
    return float(np.interp(age_years, _KNOT_YEARS, _WAIST_CM))


def vertebral_pitch_mm(age_years: float) -> float:
    """Height of one lumbar vertebra with its disc in mm."""
    return 10.0 * float(np.interp(age_years, _KNOT_YEARS, _LUMBAR_CM)) / 5.0


def depth_over_width(age_years: float) -> float:
    """Ratio of the trunk's front-to-back depth to its width."""
    return float(np.interp(age_years, _KNOT_YEARS, _DEPTH_OVER_WIDTH))


def kidney_length_mm(age_years: float) -> float:
    """Mean kidney length in mm.

    Rosenbaum, Korngold and Teele, AJR 1984;142:467: 4.98 + 0.155 months cm in
    the first year, 6.79 + 0.22 years cm afterwards.
    """
    if age_years < 1.0:
        return 10.0 * (4.98 + 0.155 * 12.0 * age_years)
    return 10.0 * (6.79 + 0.22 * age_years)


def kidney_volume_ml(length_mm: float) -> float:
    """Volume of one kidney in ml by the ellipsoid formula of ultrasound: pi/6 x length x width x thickness."""
    return float(np.pi / 6.0 * KIDNEY_WIDTH * KIDNEY_THICKNESS * (length_mm / 10.0) ** 3)


def draw_kidney_length_mm(age_years: float, rng: np.random.Generator) -> float:
    """One child's kidney length in mm: 7 % standard deviation around the mean."""
    return kidney_length_mm(age_years) * float(np.exp(KIDNEY_LENGTH_SPREAD * np.clip(rng.normal(), -2, 2)))


def draw_tumor_volume_ml(rng: np.random.Generator, smallest: float = 1.0) -> float:
    """A Wilms tumor volume in ml, drawn from the quantiles above (log-linear between them).

    ``smallest``: the part of the tumors, from the smallest one up, that may be drawn.
    """
    probability, volume = np.array(WILMS_VOLUME_QUANTILES).T
    return float(np.exp(np.interp(rng.uniform(0, smallest), probability, np.log(volume))))
