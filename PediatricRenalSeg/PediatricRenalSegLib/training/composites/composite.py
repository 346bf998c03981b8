"""Composites: kidneys and tumors of other patients in real scans, with intensities drawn anew.

A composite is made in three steps:

1. ``exchange_kidneys``: the scan's own kidneys may be replaced by fat, and kidneys of other patients, with
   their tumors and cysts, are put at varied places (``paste_kidney``).
2. ``Growth``: a mass may grow from a kidney. It is a map of space that preserves volume outside the mass,
   so organs are pushed aside and the kidney is stretched around the mass, and that leaves the spine alone.
3. ``draw_intensities``: every tissue gets a HU; the real residual texture of the scan is kept.

Until step 3 an image holds the scan's HU where the scan is kept and the constants ``NEUTRAL_HU`` and
``NEUTRAL_FAT_HU`` where something is painted, so that moving and interpolating it is harmless.

Arrays are ``(z, y, x)``, positions and lengths mm in the same order, unless said otherwise. Everything
random comes from the one generator handed in: the same seed gives the same composite.
"""

import numpy as np
from numpy.random import Generator

from ..data.patient import TrainingPatient, clip_hu
from .backgrounds import Background
from .draft import Draft
from .intensities import draw_intensities
from .kidneys import exchange_kidneys
from .masses import Growth, draw_growth, grow
from .shapes import KidneyShape
from .tissues import IS_RENAL, LABELS

EXCHANGED = 0.75
"""Part of the composites whose kidneys are exchanged; the others keep the scan's own."""
UNENHANCED = 0.3
"""Part of the composites on scans without labeled organs from which the contrast medium is taken. They have no tumor:
without contrast medium a mass is no darker than what lies around it, and networks that had learned such masses found
more false tumor (``leave_one_out.md``)."""
MASS = 0.55
"""Part of the other composites in which a mass grows."""
NEAR_SLICES = 0.8
"""Part of the slices that lie near kidneys and mass; the others lie anywhere."""
NEAR_MARGIN_MM = 24.0
"""How far from kidneys and mass a slice is still near."""
MASS_REACH = 1.1
"""In radii of a mass: lobules reach beyond the ball of its volume."""


def composite(
    background: Background,
    shapes: list[KidneyShape],
    rng: Generator,
    slices: int = 20,
    name: str | None = None,
) -> TrainingPatient:
    """One composite: a patient of ``slices`` slices (fewer if the scan has fewer), in rising order."""
    draft = Draft(background.image.copy(), background.tissue.copy())
    unenhanced = not background.organ_labeled and rng.random() < UNENHANCED
    if unenhanced:
        shapes = [shape for shape in shapes if not shape.has_tumor]
    if shapes and rng.random() < EXCHANGED:
        exchange_kidneys(draft, background, shapes, rng)
    growth = draw_growth(draft, background, rng) if not unenhanced and rng.random() < MASS else None
    chosen = choose_slices(draft, background, growth, slices, rng)
    if growth is None:
        draft = Draft(draft.image[chosen].astype(np.float32), draft.tissue[chosen])
    else:
        draft = grow(draft, background, growth, chosen, rng)
    return TrainingPatient(
        name=name or f"composite-{rng.integers(10**6):06d}",
        kind="composite",
        image=clip_hu(np.round(draw_intensities(draft, background, unenhanced, rng))),
        labels=LABELS[draft.tissue],
        spacing=background.spacing,
    )


def choose_slices(
    draft: Draft, background: Background, growth: Growth | None, count: int, rng: Generator
) -> np.ndarray:
    """Indices in rising order, most of them near kidneys and mass."""
    total = len(draft.tissue)
    renal = np.flatnonzero(IS_RENAL[draft.tissue[:, ::2, ::2]].any((1, 2)))
    first, last = (renal[0], renal[-1]) if len(renal) else background.kidney_slices
    if growth is not None:
        reach = MASS_REACH * growth.radius
        first = min(first, (growth.center[0] - reach) / background.spacing[0])
        last = max(last, (growth.center[0] + reach) / background.spacing[0])
    margin = NEAR_MARGIN_MM / background.spacing[0]
    indices = np.arange(total)
    near = (indices >= first - margin) & (indices <= last + margin)
    odds = NEAR_SLICES * near / near.sum() + (1 - NEAR_SLICES) / total
    return np.sort(rng.choice(total, min(count, total), replace=False, p=odds))
