"""The reference subject of the pose STN (paper section 4): like it all patients are laid.

The paper takes a two-year-old, the average age of its patients, with the best pose in the eyes of physicians. This
choice is the user's: a slice of a patient in the store (``stored_reference``), or by default a generated child of
two years without tumor, lying straight in the middle of the scanner (``generated_reference``). The mask is kept
with the training and shipped with the model.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...body import body_mask
from ...errors import InputError
from ...output_files import check_outputs, whole_file
from ...pipelines.canvas import DEFAULT_CANVAS, canvas_grid, on_canvas
from ...synthetic import draw_anatomy, draw_settings, scan

AGE_YEARS = 2.0
"""The average age of the paper's patients."""
SEED = 2
"""Of the generated child; any would do."""
WINDOW_HU = (-150.0, 250.0)
"""Black and white of the picture."""
OUTSIDE = (0.3, 0.45, 0.7)
"""Share of red, green and blue that a pixel outside the mask keeps in the picture."""


@dataclass(frozen=True)
class ReferenceSlice:
    """A slice on the canvas, and its foreground."""

    hu: np.ndarray
    """``(256, 256)``."""
    mask: np.ndarray
    """``(256, 256)`` uint8: the body."""


def generated_reference() -> ReferenceSlice:
    """The slice of the generated child in which its kidneys are largest."""
    rng = np.random.default_rng(SEED)
    anatomy = draw_anatomy(AGE_YEARS, SEED, tumor=False)
    settings = replace(
        draw_settings(anatomy, rng), rotation_deg=0.0, offset_mm=(0.0, 0.0), table=False, arms=False, blanket=False
    )
    child = scan(anatomy, settings, rng)
    body = body_mask(child.image, child.spacing)
    hu, masks = on_canvas(child.image, body, canvas_grid(body, child.spacing, DEFAULT_CANVAS))
    row = _largest(child.labels)
    return ReferenceSlice(hu[row], masks[row])


def stored_reference(store: Path, patient: str, row: int | None = None) -> ReferenceSlice:
    """A slice of a patient in the store, by its number from 0; by default the one with most labeled pixels.

    Raises ``InputError`` if the store lacks the patient or the patient the slice.
    """
    path = store / f"{patient}.npz"
    if not path.is_file():
        raise InputError(f"The store {store} holds no patient {patient!r}: patients.csv in it lists those it has.")
    with np.load(path) as stored:
        count = len(stored["labels"])
        row = _largest(stored["labels"]) if row is None else row
        if not 0 <= row < count:
            raise InputError(f"{patient} has no slice {row} in the store: choose 0 to {count - 1}.")
        return ReferenceSlice(stored["images"][row], stored["masks"][row])


def read_reference(path: Path) -> np.ndarray:
    """The mask ``(256, 256)`` uint8 in a file of ``write_reference``, or one of your own.

    Raises ``InputError`` for a file with anything else than zeros and ones of this size, or without a one.
    """
    try:
        with path.open("rb") as file:
            mask = np.lib.format.read_array(file)
    except ValueError:
        mask = np.empty(0)
    size = DEFAULT_CANVAS.size
    is_binary = mask.dtype.kind in "biuf" and np.isin(mask, (0, 1)).all()
    if not (mask.shape == (size, size) and is_binary and mask.any()):
        raise InputError(
            f"The reference mask {path} must be an .npy file of {size} × {size} pixels, 1 in the body and 0 "
            "elsewhere: write it with `pediatric-renal-seg reference`."
        )
    return mask.astype(np.uint8)


def write_reference(reference: ReferenceSlice, path: Path, overwrite: bool = False) -> Path:
    """Write the mask as ``.npy`` and a picture beside it, to judge the pose; returns the picture's path.

    Raises ``InputError`` if ``path`` does not end in ``.npy``, or a file is there already and ``overwrite`` not given.
    """
    if path.suffix != ".npy":
        raise InputError(f"The reference mask is an .npy file: name {path.with_suffix('.npy')} instead of {path}.")
    picture = path.with_suffix(".png")
    check_outputs((path, picture), overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        np.save(partial, reference.mask)
    with whole_file(picture) as partial:
        Image.fromarray(_picture(reference)).save(partial)
    return picture


def _picture(reference: ReferenceSlice) -> np.ndarray:
    """``(256, 256, 3)`` uint8: the slice, dark blue outside the mask."""
    low, high = WINDOW_HU
    gray = np.clip((reference.hu - low) / (high - low), 0.0, 1.0)[..., None]
    shade = np.where(reference.mask[..., None] > 0, 1.0, OUTSIDE)
    return (255 * np.maximum(gray, 0.25 * (shade < 1)) * shade).astype(np.uint8)


def _largest(labels: np.ndarray) -> int:
    """The slice with most labeled voxels."""
    return int((labels > 0).sum(axis=(1, 2)).argmax())
