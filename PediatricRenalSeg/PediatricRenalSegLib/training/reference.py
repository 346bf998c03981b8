"""The reference subject of the pose STN (paper section 4).

The paper takes a two-year-old, the average age of its patients, with the best pose. So does this project: a
generated child of two years without tumor, lying straight in the middle of the scanner. The mask is kept with
the training and shipped with the model.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..preprocessing import to_canvas
from ..synthetic import draw_anatomy, draw_settings, scan

AGE_YEARS = 2.0
SEED = 2


def reference_mask() -> np.ndarray:
    """Foreground mask ``(256, 256)`` uint8 of the reference child where its kidneys are largest."""
    rng = np.random.default_rng(SEED)
    anatomy = draw_anatomy(AGE_YEARS, SEED, tumor=False)
    settings = replace(
        draw_settings(anatomy, rng), rotation_deg=0.0, offset_mm=(0.0, 0.0), table=False, arms=False, blanket=False
    )
    child = scan(anatomy, settings, rng)
    _, masks, _, _ = to_canvas(child.image, child.spacing)
    return masks[child.labels.astype(bool).sum(axis=(1, 2)).argmax()]


def write_reference_mask(path: Path) -> None:
    """Write the mask as ``.npy``."""
    np.save(path, reference_mask())
