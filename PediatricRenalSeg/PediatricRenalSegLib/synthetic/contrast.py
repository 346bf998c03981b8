"""Hounsfield units of every tissue in each contrast phase.

The ranges are estimates, not measured. Kidney and tumor of the early arterial phase scatter too little: -6 to 218
(0.5 to 99.5 percentile), where the real children of DeePRAC (La Barbera et al.) have -36 to 303.
"""

from __future__ import annotations

import numpy as np

Hounsfield = dict[str, tuple[float, float]]
"""Mean and texture (standard deviation) of each tissue."""

PHASES = ("early_arterial", "non_contrast", "nephrographic", "portal", "random")
"""The last one is no phase: each tissue has any value, so that a network does not learn values by heart."""

_FIXED: dict[str, tuple[float, float, float]] = {
    "skin": (30, 70, 8),
    "fat": (-112, -92, 6),
    "visceral_fat": (-108, -88, 8),
    "mesentery": (-92, -45, 18),
    "bone": (340, 650, 60),
    "marrow": (140, 280, 45),
    "cartilage": (80, 150, 12),
    "disc": (70, 110, 6),
    "cord": (30, 50, 3),
    "csf": (5, 20, 3),
    "lung": (-880, -760, 25),
    "bile": (0, 18, 3),
    "gas": (-980, -900, 10),
    "stool": (10, 90, 45),
    "chyme": (8, 35, 7),
    "food": (20, 70, 22),
    "oral_contrast": (110, 320, 15),
    "cyst": (0, 18, 3),
    "tumor_cyst": (2, 22, 4),
    "calcification": (180, 500, 60),
}
"""Tissues that no contrast medium reaches: low, high, texture."""

_ENHANCING: dict[str, tuple[tuple[tuple[float, float], ...], float]] = {
    # early arterial, non-contrast, nephrographic, portal: low and high each; texture
    "muscle": (((50, 62), (45, 58), (55, 70), (55, 70)), 6),
    "heart": (((220, 380), (35, 48), (120, 170), (120, 170)), 12),
    "heart_wall": (((70, 120), (40, 52), (90, 120), (90, 120)), 8),
    "lung_vessel": (((60, 200), (20, 45), (60, 120), (60, 120)), 10),
    "liver": (((56, 80), (48, 66), (90, 125), (95, 130)), 5),
    "portal_vein": (((60, 120), (35, 48), (140, 185), (150, 200)), 4),
    "hepatic_vein": (((50, 75), (35, 48), (130, 175), (140, 185)), 4),
    "spleen": (((75, 110), (42, 55), (105, 140), (110, 145)), 6),
    "spleen_bright": (((120, 175), (42, 56), (105, 142), (110, 147)), 6),
    "pancreas": (((75, 120), (35, 48), (85, 115), (80, 110)), 9),
    "adrenal": (((70, 120), (30, 45), (75, 110), (70, 105)), 6),
    "bowel_wall": (((75, 125), (35, 50), (80, 120), (80, 120)), 10),
    "stomach_wall": (((65, 115), (35, 50), (75, 115), (75, 115)), 10),
    "aorta": (((250, 400), (35, 48), (130, 185), (140, 190)), 5),
    "artery": (((220, 360), (35, 48), (120, 175), (130, 180)), 5),
    "ivc": (((55, 120), (35, 48), (125, 175), (135, 180)), 10),
    "renal_vein": (((100, 190), (35, 48), (130, 180), (135, 180)), 6),
    "cortex": (((135, 215), (30, 42), (150, 220), (160, 230)), 9),
    "medulla": (((52, 98), (28, 40), (140, 210), (140, 215)), 7),
    "urine": (((0, 18), (0, 15), (5, 40), (5, 120)), 4),
    "tumor": (((38, 75), (30, 44), (55, 95), (55, 100)), 9),
    "tumor_bright": (((55, 95), (34, 48), (70, 115), (70, 115)), 8),
    "tumor_rim": (((50, 100), (32, 46), (75, 120), (75, 120)), 8),
    "necrosis": (((12, 36), (10, 32), (12, 38), (12, 38)), 6),
    "hemorrhage": (((45, 72), (48, 75), (45, 75), (45, 75)), 8),
}
"""Tissues that enhance."""

_RANDOM_RANGE = (15, 240)
"""Least and most of what enhances in the phase ``random``.

The rest of the body only shifts, so that bone stays bone and fat stays fat.
"""

_RANDOM_MUSCLE, _MUSCLE_TEXTURE = (40, 75), 6.0
"""Muscle shifts only, too: it is the wall of the trunk."""

_EXCRETION, _EXCRETED, _EXCRETED_TEXTURE = 0.15, (200, 900), 10.0
"""Share of the portal scans that are late, with contrast medium in the collecting system, and its values."""


def draw_hounsfield(phase: str, rng: np.random.Generator) -> Hounsfield:
    """Mean and texture in HU of each tissue for one scan."""
    if phase not in PHASES:
        raise ValueError(f"unknown phase {phase!r}; one of {', '.join(PHASES)}")
    table = {name: (rng.uniform(low, high), float(texture)) for name, (low, high, texture) in _FIXED.items()}
    if phase == "random":
        for name, (_, texture) in _ENHANCING.items():
            table[name] = (rng.uniform(*_RANDOM_RANGE), rng.uniform(0.5, 2.0) * texture)
        table["muscle"] = (rng.uniform(*_RANDOM_MUSCLE), _MUSCLE_TEXTURE)
        return table
    for name, (ranges, texture) in _ENHANCING.items():
        table[name] = (rng.uniform(*ranges[PHASES.index(phase)]), float(texture))
    if phase == "portal" and rng.uniform() < _EXCRETION:
        table["urine"] = (rng.uniform(*_EXCRETED), _EXCRETED_TEXTURE)
    return table
