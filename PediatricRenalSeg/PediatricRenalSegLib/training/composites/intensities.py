"""The HU of a composite: every tissue at a drawn value, the scan's texture kept."""

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from .backgrounds import Background
from .draft import NEUTRALS, Draft
from .noise import plane_noise
from .targets import draw_targets
from .tissues import IS_PAINTED, TAKES_CONTRAST, Tissue, tissue_table

SOFT_EDGE_PX = 0.75
"""Standard deviation with which an edge between tissues is blurred."""
VISIBLE_STEP_HU = 12.0
"""A tissue that was shifted by more has new edges."""
UNENHANCED_HU = (38.0, 58.0)
"""Soft tissue without contrast medium is hardly brighter."""
REMAINDER = 0.12
"""Largest part of the contrast medium that is left."""
GRAIN_PX = 0.5
"""Standard deviation that correlates the noise of painted tissue between pixels."""


def draw_intensities(draft: Draft, background: Background, unenhanced: bool, rng: Generator) -> np.ndarray:
    """(z, y, x) float32 HU: the draft with every tissue at a drawn value, the scan's texture kept."""
    image, medians = draft.image, background.medians
    if unenhanced:
        image, medians = without_contrast(draft, medians, rng)
    targets = draw_targets(background, medians, unenhanced, rng)
    shift = targets - np.where(IS_PAINTED, NEUTRALS, medians)
    shift[~IS_PAINTED & (medians == 0)] = 0
    image = image + shift.astype(np.float32)[draft.tissue]
    _add_painted_texture(image, draft, background, rng)
    _add_organ_texture(image, draft, background, rng)
    _soften_edges(image, draft.tissue, shift)
    noisy = IS_PAINTED[draft.tissue]
    white = rng.standard_normal(image.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter(white, (0, GRAIN_PX, GRAIN_PX), truncate=2.5)
    image[noisy] += background.noise / grain.std() * grain[noisy]
    return image


def without_contrast(draft: Draft, medians: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The image and the medians of its tissues as if no contrast medium had been given.

    What is brighter than soft tissue without it is darkened to nearly that; noise and edges stay.
    """
    level, remainder = rng.uniform(*UNENHANCED_HU), rng.uniform(0, REMAINDER)

    def excess(hu: np.ndarray, taken: np.ndarray) -> np.ndarray:
        return taken * (1 - remainder) * np.maximum(hu - level, 0)

    denoised = ndimage.median_filter(draft.image, (1, 5, 5))
    image = draft.image - excess(denoised, TAKES_CONTRAST[draft.tissue])
    return image, medians - excess(medians, TAKES_CONTRAST)


def _add_painted_texture(image: np.ndarray, draft: Draft, background: Background, rng: Generator) -> None:
    """Unevenness within what was painted, in place."""
    pixel = background.spacing[1]
    fields = (
        ((Tissue.TUMOR, Tissue.NECROSIS), rng.uniform(4, 25), rng.uniform(3, 18)),
        ((Tissue.CORTEX, Tissue.MEDULLA), rng.uniform(4, 12), rng.uniform(1, 6)),
        ((Tissue.FILL_GUT,), rng.uniform(4, 10), rng.uniform(4, 15)),
        ((Tissue.FILL_FAT,), rng.uniform(5, 20), rng.uniform(2, 8)),
    )
    for tissues, scale_mm, amplitude in fields:
        where = tissue_table(*tissues)[draft.tissue]
        if where.any():
            image[where] += amplitude * plane_noise(image.shape, scale_mm / pixel, rng)[where]
    strands = rng.random()
    if strands < 0.5:  # vessels and septa in the fat around kidneys
        where = draft.tissue == Tissue.FILL_FAT
        thin = np.abs(plane_noise(image.shape, rng.uniform(5, 12) / pixel, rng)) < rng.uniform(0.02, 0.07)
        image[where & thin] += rng.uniform(20, 110)


def _add_organ_texture(image: np.ndarray, draft: Draft, background: Background, rng: Generator) -> None:
    """Vessels and lesions of the liver, an uneven spleen, vessels in fat, contrast in the gut, in place."""
    shape, tissue, pixel = image.shape, draft.tissue, background.spacing[1]
    liver = tissue == Tissue.LIVER
    if liver.any() and rng.random() < 0.7:
        field = plane_noise(shape, rng.uniform(7, 14) / pixel, rng)
        vessels = np.abs(field) < rng.uniform(0.1, 0.25) if rng.random() < 0.5 else field > rng.uniform(1.2, 1.8)
        image[liver & vessels] += rng.uniform(10, 60)
        if rng.random() < 0.3:
            field = plane_noise(shape, rng.uniform(8, 20) / pixel, rng)
            image[liver & (field > rng.uniform(1.3, 2.2))] -= rng.uniform(15, 60)
    spleen = tissue == Tissue.SPLEEN
    if spleen.any() and rng.random() < 0.5:
        image[spleen] += rng.uniform(5, 25) * plane_noise(shape, 8 / pixel, rng)[spleen]
    if background.organ_labeled and rng.random() < 0.25:
        vessels = plane_noise(shape, rng.uniform(3, 5) / pixel, rng) > rng.uniform(1.8, 2.8)
        image[(tissue == Tissue.FAT) & vessels] = rng.uniform(-40, 90)
    if rng.random() < 0.3:
        gut = [Tissue.FILL_GUT, Tissue.BOWEL, Tissue.STOMACH] + ([Tissue.GAS] if rng.random() < 0.3 else [])
        filled = plane_noise(shape, rng.uniform(8, 20) / pixel, rng) > rng.uniform(0, 1)
        image[tissue_table(*gut)[tissue] & filled] = rng.uniform(60, 450)


def _soften_edges(image: np.ndarray, tissue: np.ndarray, shift: np.ndarray) -> None:
    """Blur, within slices, only where two tissues meet that did not meet in the scan, in place.

    A scanner has no edge as sharp as a label map's; edges of the scan itself are soft already.
    """
    changed = IS_PAINTED | (np.abs(shift) > VISIBLE_STEP_HU)
    key = np.where(changed, np.arange(len(Tissue)), 0).astype(np.uint8)[tissue]
    edge = np.zeros(image.shape, bool)
    down, right = key[:, 1:] != key[:, :-1], key[:, :, 1:] != key[:, :, :-1]
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    edge[:, :, 1:] |= right
    edge[:, :, :-1] |= right
    blurred = ndimage.gaussian_filter(image, (0, SOFT_EDGE_PX, SOFT_EDGE_PX), truncate=3)
    image[edge] = blurred[edge]
