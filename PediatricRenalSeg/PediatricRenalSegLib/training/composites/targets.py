"""At how many HU each tissue of a composite shall lie."""

import numpy as np
from numpy.random import Generator

from .backgrounds import Background
from .draft import NEUTRAL_FAT_HU
from .tissues import Tissue

CONTRAST_IN_GUT = 0.35
"""Part of the composites whose painted gut holds contrast medium."""
EXCRETED = 0.2
"""Part of the enhanced composites whose renal pelvis holds contrast medium."""
DARK_NECROSIS = 0.9
"""Part of the composites whose necrosis is darker than the tumor; in the others it is brighter, as blood is."""
BRIGHT_TUMOR = 0.15
"""Part of the enhanced composites whose tumor is about as bright as the kidney."""
PHASES = {"none": 0.2, "arterial": 0.2, "portal": 0.42, "any": 0.18}
"""How often a phase of enhancement is drawn, in scans with labeled organs."""


def draw_targets(background: Background, medians: np.ndarray, unenhanced: bool, rng: Generator) -> np.ndarray:
    """(tissues,) float32: HU of every tissue; a kept tissue's own median where it is to stay as it is."""
    targets = medians.copy()
    if background.organ_labeled:
        enhanced = _draw_phase(targets, rng)
    elif unenhanced:
        enhanced = _draw_unenhanced(targets, rng)
    else:
        enhanced = _draw_kidney_like_own(targets, background, rng)
    kidney, tumor = targets[Tissue.CORTEX], targets[Tissue.TUMOR]
    is_dark = rng.random() < DARK_NECROSIS
    targets[Tissue.NECROSIS] = max(5, tumor - rng.uniform(8, 45)) if is_dark else tumor + rng.uniform(5, 25)
    targets[Tissue.CAPSULE] = min(tumor + rng.uniform(-20, 50), max(kidney, tumor))
    targets[Tissue.CALCIFICATION] = rng.uniform(150, 500)
    targets[Tissue.CYST] = rng.uniform(-2, 25)
    excreted = enhanced and rng.random() < EXCRETED
    targets[Tissue.SINUS_FLUID] = rng.uniform(150, 500) if excreted else rng.uniform(-5, 25)
    targets[Tissue.FILL_GUT] = (
        rng.uniform(60, 450) if rng.random() < CONTRAST_IN_GUT else max(targets[Tissue.SOFT] - rng.uniform(0, 30), 0)
    )
    targets[Tissue.FILL_FAT] = (targets[Tissue.FAT] or NEUTRAL_FAT_HU) + rng.normal(0, 5)
    return targets


def _draw_phase(targets: np.ndarray, rng: Generator) -> bool:
    """Draw every organ for a phase of enhancement, in place; False for none."""
    u, n = rng.uniform, rng.normal
    phase = rng.choice(list(PHASES), p=list(PHASES.values()))
    if phase == "none":
        _draw_unenhanced(targets, rng)
        kidney, medulla, tumor = targets[[Tissue.CORTEX, Tissue.MEDULLA, Tissue.TUMOR]]
        artery, vein = n(42, 6), n(40, 5)
        liver, spleen, pancreas = n(56, 9), n(48, 6), n(38, 8)
    elif phase == "arterial":
        kidney, artery, vein = u(110, 220), u(170, 350), u(50, 150)
        medulla, tumor = u(45, 110), u(30, 110)
        liver, spleen, pancreas = u(55, 95), u(80, 170), u(60, 120)
    elif phase == "portal":
        kidney, artery, vein = u(110, 225), u(100, 220), u(95, 210)
        medulla, tumor = kidney + n(0, 18), u(28, 100)
        liver, spleen, pancreas = u(75, 150), u(85, 155), u(60, 120)
    else:
        kidney, artery, vein = u(30, 220), u(40, 350), u(40, 250)
        medulla, tumor = kidney + n(0, 20), u(20, 120)
        liver, spleen, pancreas = u(45, 160), u(45, 160), u(30, 130)
    enhanced = phase != "none"
    if enhanced:
        tumor = _tumor_beside(kidney, tumor, rng)
    soft = max(0.0, n(10 if enhanced else 0, 10))
    targets[Tissue.KIDNEY] = targets[Tissue.CORTEX] = kidney
    targets[Tissue.MEDULLA] = medulla
    targets[Tissue.TUMOR] = max(tumor, 12)
    targets[Tissue.ARTERY], targets[Tissue.VEIN] = artery, vein
    targets[Tissue.LIVER], targets[Tissue.SPLEEN], targets[Tissue.PANCREAS] = liver, spleen, pancreas
    targets[Tissue.GALLBLADDER] = u(0, 25)
    targets[Tissue.SOFT] += soft
    targets[Tissue.BOWEL] += soft + n(0, 20)
    targets[Tissue.STOMACH] += soft + n(0, 20)
    targets[Tissue.BONE] += n(0, 60)
    targets[Tissue.FAT] += u(-10, 10) if rng.random() < 0.75 else u(0, 70)
    return enhanced


def _draw_unenhanced(targets: np.ndarray, rng: Generator) -> bool:
    """Kidney and tumor without contrast medium, in place."""
    targets[Tissue.KIDNEY] = targets[Tissue.CORTEX] = rng.normal(34, 6)
    targets[Tissue.MEDULLA] = targets[Tissue.CORTEX] + rng.normal(0, 2)
    targets[Tissue.TUMOR] = rng.uniform(24, 52)
    return False


def _draw_kidney_like_own(targets: np.ndarray, background: Background, rng: Generator) -> bool:
    """Kidney and tumor in keeping with the scan's own kidneys, the rest nearly as it is, in place."""
    own = background.medians[Tissue.KIDNEY]
    kidney = max(30.0, own + rng.uniform(-40, 60))
    targets[Tissue.CORTEX] = kidney
    targets[Tissue.MEDULLA] = max(30.0, kidney - rng.uniform(0, 1.3) * background.kidney_contrast)
    targets[Tissue.TUMOR] = max(12.0, _tumor_beside(kidney, rng.uniform(28, 100), rng))
    targets[Tissue.KIDNEY] += rng.normal(0, 20) if rng.random() < 0.5 else 0
    targets[Tissue.SOFT] += rng.normal(0, 8)
    targets[Tissue.FAT] += rng.normal(0, 6)
    return True


def _tumor_beside(kidney: float, tumor: float, rng: Generator) -> float:
    """HU of a tumor in an enhanced scan: mostly darker than the kidney, sometimes about the same."""
    if rng.random() < BRIGHT_TUMOR:
        return min(kidney, rng.uniform(70, 140)) + rng.normal(0, 8)
    return tumor if tumor <= kidney - 15 else kidney - rng.uniform(15, 60)
