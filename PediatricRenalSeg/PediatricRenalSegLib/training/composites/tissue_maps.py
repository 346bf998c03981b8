"""Which tissue each voxel of a scan is, by its HU or by labeled organs.

Arrays are ``(z, y, x)`` in LPS order; ``image`` is HU, ``tissue`` uint8 with the values of ``Tissue``, ``body``,
``spine`` and ``kidney`` are bool, ``pixel`` is mm in the slice.
"""

import numpy as np
from scipy import ndimage

from ...volume import Box, Spacing
from .grids import close_mask
from .tissues import KEPT_ORGANS, ORGAN_TISSUES, Tissue

GAS_HU = -300.0
"""Between gas and fat: as ``body.TISSUE_HU``."""
FAT_HU = -30.0
"""Between fat and water."""
BONE_HU = 230.0
"""Brighter than most of what contrast medium makes of organs; ``separate_contrast`` has the rest."""
CORTICAL_BONE_HU = 190.0
"""Rim of a vertebra, from which the vertebra is filled."""
SPINE_HALF_WIDTH_MM = 40.0
"""Half an adult's vertebra with its transverse processes."""
RIB_DEPTH_MM = 22.0
"""Ribs lie nearer to the skin."""
VERTEBRA_CLOSING_MM = 18.0
"""Gaps in the rim of a vertebra up to this width are closed before it is filled."""
SINUS_CLOSING_MM = 9.0
"""Radius of the ball that closes the renal sinus."""
BED_RIM_MM = 3.0
"""A label ends a pixel or two before the kidney does: the rim goes with it."""


def tissues_by_threshold(image: np.ndarray) -> np.ndarray:
    """(z, y, x) uint8: gas, fat, soft tissue and bone by HU alone."""
    return np.select(
        [image < GAS_HU, image < FAT_HU, image > BONE_HU], [Tissue.GAS, Tissue.FAT, Tissue.BONE], Tissue.SOFT
    ).astype(np.uint8)


def separate_lungs(tissue: np.ndarray, body: np.ndarray) -> None:
    """Tell lungs from gas in gut, in place: they reach up to the highest slice, unless it lies below them."""
    parts, _ = ndimage.label((tissue == Tissue.GAS) & body)
    tissue[np.isin(parts, np.unique(parts[-1])) & (parts > 0)] = Tissue.LUNG


def tissues_by_organ(image: np.ndarray, organs: np.ndarray) -> np.ndarray:
    """(z, y, x) uint8: by organ class, by HU where there is none."""
    table = np.full(256, -1, np.int16)
    for tissue, classes in ORGAN_TISSUES.items():
        table[list(classes)] = tissue
    by_class = table[organs]
    by_class[(by_class == Tissue.LUNG) & (image > GAS_HU)] = Tissue.SOFT
    hollow = np.isin(by_class, (Tissue.STOMACH, Tissue.BOWEL)) & (image < GAS_HU)
    by_class[hollow] = Tissue.GAS
    return np.where(by_class >= 0, by_class, tissues_by_threshold(image)).astype(np.uint8)


def fill_vertebrae(image: np.ndarray, body: np.ndarray, kidney: np.ndarray, pixel: float) -> np.ndarray:
    """(z, y, x) bool: the spine with its marrow and canal, from the rim that a threshold finds.

    Marrow looks like soft tissue; a mass grown in a scan whose vertebrae are hollow grows into them.
    """
    spine = np.zeros(image.shape, bool)
    middle = np.flatnonzero(body.any((0, 1))).mean()
    beside = np.abs(np.arange(image.shape[2]) - middle) > SPINE_HALF_WIDTH_MM / pixel
    radius = round(VERTEBRA_CLOSING_MM / 2 / pixel)
    rims = (image > CORTICAL_BONE_HU) & body & ~kidney
    rims[:, :, beside] = False
    for z, rim in enumerate(rims):
        parts, count = ndimage.label(ndimage.binary_dilation(rim))
        if not count:
            continue
        largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
        padded = np.pad(rim & (parts == largest), radius + 1)
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, iterations=radius))
        spine[z] = closed[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    return spine & ~kidney & (image > FAT_HU)


def separate_contrast(tissue: np.ndarray, spine: np.ndarray, skin_depth: np.ndarray, pixel: float) -> None:
    """Tell contrast in arteries and gut from bone, in place: it lies before the spine and deep to the ribs."""
    if not spine.any():
        return
    rows, columns = (np.flatnonzero(spine.any(axes)) for axes in ((0, 2), (0, 1)))
    bright = (tissue == Tissue.BONE) & ~spine & (skin_depth > RIB_DEPTH_MM)
    bright[:, round(rows.mean()) :] = False
    beside_spine = np.abs(np.arange(tissue.shape[2]) - columns.mean()) < SPINE_HALF_WIDTH_MM / pixel
    tissue[bright] = Tissue.BOWEL
    tissue[bright & beside_spine] = Tissue.ARTERY


def kidney_bed(
    kidney: np.ndarray, tissue: np.ndarray, spine: np.ndarray, spacing: Spacing
) -> np.ndarray:
    """(z, y, x) bool: kidneys with sinus and a thin rim, less the spine and other organs."""
    bed = np.zeros(kidney.shape, bool)
    rim = round(BED_RIM_MM / spacing[1])
    cross = ndimage.generate_binary_structure(3, 1)
    cross[0] = cross[2] = False
    found = ndimage.find_objects(kidney.astype(np.uint8))[0]
    z, y, x = (slice(max(0, where.start - 2 * rim), where.stop + 2 * rim) for where in found)
    box: Box = (z, y, x)
    whole = close_mask(kidney[box], spacing, SINUS_CLOSING_MM)
    # contrast in the renal vessels and pelvis passes for bone, artery or gut by threshold
    organ = KEPT_ORGANS.copy()
    organ[[Tissue.BONE, Tissue.ARTERY, Tissue.VEIN, Tissue.BOWEL]] = False
    bed[box] = ndimage.binary_dilation(whole, cross, iterations=rim) & ~organ[tissue[box]] & ~spine[box]
    return bed | (kidney & ~spine)
