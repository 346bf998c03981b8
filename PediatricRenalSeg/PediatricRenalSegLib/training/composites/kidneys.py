"""Kidneys of other patients in the place of a scan's own."""

from functools import partial

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from ...volume import Box, Spacing
from .backgrounds import Background
from .draft import EVERYWHERE, Draft
from .grids import close_mask
from .noise import random_rotation, smooth_noise
from .shapes import KidneyShape
from .tissues import TAKES_KIDNEY, Tissue

GUT_FILLED = 0.35
"""Part of the composites in which loops of gut lie in the emptied bed of the kidneys."""
GUT_LOOP_MM = 14.0
"""Scale of these loops."""
MISSING = 0.07
"""Part of the composites with one kidney alone."""

FAR_PLACED = 0.6
"""Part of the kidneys that are placed with the wider of the two spreads."""
PLACE_SD_MM = {False: (12.0, 7.0, 7.0), True: (24.0, 18.0, 15.0)}
"""Spread of a kidney around the scan's own, near or far."""
FAR_FORWARD_MM = 25.0
"""Kidneys placed far lie up to this much before the scan's own."""
ECTOPIC = 0.05
"""Part of the kidneys that lie lower, down to the pelvis."""
ECTOPIC_DOWN_MM = (40.0, 110.0)
"""How much lower."""
BEHIND_MM = 9.0
"""A kidney reaches no farther behind the scan's own kidneys than this."""
WALL_SLACK_MM = 6.0
"""Nor nearer to the skin than they do, but for this."""
PLACES_TRIED = 10
"""Of these the best is taken."""
GOOD_PLACE = 0.97
"""Part of the kidney that lies where it may, with which no further place is tried."""
POOREST_PLACE = 0.7
"""With less the kidney is left out."""

TURN_DEGREES = 30.0
"""Largest turn of a kidney about each axis."""
AXIS_SCALE = (0.82, 1.18)
"""Size factors along the three axes of a kidney."""
OVERALL_SCALE = (0.85, 1.12)
"""Size factors of a whole kidney."""
SHAPE_SMOOTHING_VOXELS = 1.0
"""Standard deviation: what the slices of a shape leave of steps."""
SMOOTHING_END = 2.5
"""Standard deviations at which that smoothing ends."""

RIM_MM = 4.5
"""Fat around a kidney: one to two times this."""
FAT_RIM = 0.75
"""Part of the kidneys with such a rim."""
SINUS_MM = 9.0
"""Radius of the ball that closes the renal sinus."""
MEDULLA_DEPTH_MM = (4.0, 8.0)
"""Thickness of the cortex."""
GRAIN_MM = 5.0
"""Scale on which cortex and medulla, tumor and necrosis take turns."""


def exchange_kidneys(draft: Draft, background: Background, shapes: list[KidneyShape], rng: Generator) -> None:
    """Replace the scan's kidneys by fat and put two, rarely one, of other patients."""
    draft.paint(EVERYWHERE, background.kidney_bed, Tissue.FILL_FAT)
    if rng.random() < GUT_FILLED:
        box = ndimage.find_objects(background.kidney_bed.astype(np.uint8))[0]
        bed = background.kidney_bed[box]
        scales = [GUT_LOOP_MM / step for step in background.spacing]
        loops = smooth_noise(bed.shape, scales, rng) > rng.uniform(-0.3, 0.8)
        draft.paint(box, bed & loops, Tissue.FILL_GUT)
    sides = [False, True]
    if rng.random() < MISSING:
        sides.remove(bool(rng.integers(2)))
    for is_left in sides:
        paste_kidney(draft, background, shapes[rng.integers(len(shapes))], is_left, rng)


def paste_kidney(draft: Draft, background: Background, shape: KidneyShape, is_left: bool, rng: Generator) -> bool:
    """Put one kidney with sinus and rim on a side; False if no place fits it."""
    labels = posed(shape, is_left, background.spacing, rng)
    kidney = labels > 0
    place = find_place(draft, background, labels, is_left, rng)
    if place is None:
        return False
    box, part = place
    labels, kidney = labels[part], kidney[part]
    allowed = _allowed(draft, background, box)

    sinus = close_mask(kidney, background.spacing, SINUS_MM) & ~kidney
    whole = kidney | sinus
    outside = ndimage.distance_transform_edt(~whole, sampling=background.spacing)
    if rng.random() < FAT_RIM:
        draft.paint(box, (outside > 0) & (outside <= rng.uniform(1, 2) * RIM_MM) & allowed, Tissue.FILL_FAT)
    _paint_sinus(draft, box, sinus & allowed, rng)

    depth = ndimage.distance_transform_edt(np.pad(whole, 1), sampling=background.spacing)[1:-1, 1:-1, 1:-1]
    grain = [GRAIN_MM / step for step in background.spacing]
    medulla = (depth > rng.uniform(*MEDULLA_DEPTH_MM)) & (smooth_noise(kidney.shape, grain, rng) > -0.1)
    tissues = np.array([0, Tissue.CORTEX, Tissue.TUMOR, Tissue.CYST], np.uint8)[labels]
    tissues[(labels == 1) & medulla] = Tissue.MEDULLA
    if (labels == 2).any():
        tissues[(labels == 2) & (smooth_noise(kidney.shape, grain, rng) > rng.uniform(0.3, 2))] = Tissue.NECROSIS
    draft.paint(box, kidney & allowed, tissues)
    return True


def posed(shape: KidneyShape, is_left: bool, spacing: Spacing, rng: Generator) -> np.ndarray:
    """(z, y, x) labels of the shape on a grid of ``spacing``: mirrored to its side, turned and scaled."""
    source = shape.labels if shape.is_left == is_left else shape.labels[:, :, ::-1]
    scale = rng.uniform(*AXIS_SCALE, 3) * rng.uniform(*OVERALL_SCALE)
    pose = random_rotation(rng, TURN_DEGREES) * scale
    size = np.array(source.shape) * shape.spacing
    half = np.ceil(np.abs(pose) @ size / 2 / spacing).astype(int)
    inverse = np.linalg.inv(pose) / np.array(shape.spacing)[:, None] * np.array(spacing)
    middle = (np.array(source.shape) - 1) / 2
    move = partial(
        ndimage.affine_transform, matrix=inverse, offset=middle - inverse @ half, output_shape=tuple(2 * half + 1)
    )
    # steps between the slices on which the shape was drawn, and specks, would be learned as texture
    smooth = ndimage.gaussian_filter((source > 0).astype(np.float32), SHAPE_SMOOTHING_VOXELS, truncate=SMOOTHING_END)
    inside = move(smooth, order=1) > 0.5
    filled = np.where(source > 0, source, ndimage.maximum_filter(source, 5))
    posed_labels = np.where(inside, move(filled, order=0), 0).astype(np.uint8)
    found = ndimage.find_objects((posed_labels > 0).astype(np.uint8))
    if not found:
        return posed_labels
    margin = np.ceil(2 * RIM_MM / np.array(spacing)).astype(int)
    return np.pad(posed_labels[found[0]], [(n, n) for n in margin])


def find_place(
    draft: Draft, background: Background, labels: np.ndarray, is_left: bool, rng: Generator
) -> tuple[Box, Box] | None:
    """Where in the draft, and which part of ``labels`` lies there: the best of a few places drawn."""
    kidney = labels > 0
    if not kidney.any():
        return None
    center = np.array(ndimage.center_of_mass(kidney))
    back = np.flatnonzero(kidney.any((0, 2)))[-1]
    best: tuple[Box, Box] | None = None
    best_share = POOREST_PLACE
    for _ in range(PLACES_TRIED):
        corner = np.round(_draw_place(background, is_left, rng) - center).astype(int)
        limit = background.kidney_back + BEHIND_MM / background.spacing[1]
        corner[1] = min(corner[1], int(limit) - back)
        low = np.maximum(corner, 0)
        high = np.minimum(corner + labels.shape, draft.tissue.shape)
        if (high <= low).any():
            continue
        box, part = _box(low, high), _box(low - corner, high - corner)
        share = (_allowed(draft, background, box) & kidney[part]).sum() / max(1, kidney[part].sum())
        if share > best_share:
            best, best_share = (box, part), share
        if share > GOOD_PLACE:
            break
    return best


def _box(low: np.ndarray, high: np.ndarray) -> Box:
    z, y, x = (slice(first, end) for first, end in zip(low, high, strict=True))
    return z, y, x


def _draw_place(background: Background, is_left: bool, rng: Generator) -> np.ndarray:
    """(3,) voxel index for a kidney's center, around the scan's own on that side."""
    far = rng.random() < FAR_PLACED
    shift = rng.normal(0, PLACE_SD_MM[far])
    if far:
        shift[1] -= rng.uniform(0, FAR_FORWARD_MM)
    if rng.random() < ECTOPIC:
        shift[0] -= rng.uniform(*ECTOPIC_DOWN_MM)
    return background.kidney_centers[is_left] + shift / background.spacing


def _allowed(draft: Draft, background: Background, box: Box) -> np.ndarray:
    """Bool over the box: where kidney may be painted."""
    return TAKES_KIDNEY[draft.tissue[box]] & (background.skin_depth[box] > background.kidney_wall - WALL_SLACK_MM)


def _paint_sinus(draft: Draft, box: Box, sinus: np.ndarray, rng: Generator) -> None:
    """Fat, fluid, fat around fluid, or what was there."""
    kind = rng.random()
    if kind < 0.85:
        draft.paint(box, sinus, Tissue.FILL_FAT if kind < 0.65 else Tissue.SINUS_FLUID)
    if kind < 0.3:
        pelvis = smooth_noise(sinus.shape, (2, 4, 4), rng) > rng.uniform(0, 1)
        draft.paint(box, sinus & pelvis, Tissue.SINUS_FLUID)
