"""Real scans prepared to receive other kidneys.

A folder of scans is that of ``data.scans``. A scan whose whole torso is labeled has also ``NAME_organs.nii.gz``
(class numbers of TotalSegmentator v2).

Arrays are ``(z, y, x)`` in LPS order: x toward the patient's Left, y toward Posterior, z toward Superior.
Spacings and positions have the same axis order and are in mm unless said otherwise.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...body import body_mask
from ...errors import InputError
from ...volume import AIR_HU, Spacing
from ..data.patient import clip_hu
from ..data.scans import read_labels_of, read_scan
from .grids import resample
from .tissue_maps import (
    fill_vertebrae,
    kidney_bed,
    separate_contrast,
    separate_lungs,
    tissues_by_organ,
    tissues_by_threshold,
)
from .tissues import SPINE_CLASSES, Tissue

ORGAN_LABELS = range(118)
"""Background and the classes of TotalSegmentator v2."""

PIXEL_MM = 1.5
"""In-plane pixel of the working grid; slices stay where the scan has them."""
REACH_MM = 250.0
"""A background ends this far above and below its kidneys."""
BODY_MARGIN_MM = 30.0
"""Air kept around the body: room for a body that a mass makes bulge."""
TABLE_HU = -400.0
"""Outside the body, what is brighter than air is the table."""
SINUS_FAT_HU = -20.0
"""Labeled kidney below this is fat of the sinus, which is not kidney."""
WALL_PERCENTILE = 2
"""Of the depths of the kidney's voxels: the least, without the outliers."""
THICKEST_WALL_MM = 35.0
"""The fat behind the kidneys of an adult says nothing about the front."""
ERODED_KIDNEY_VOXELS = 1000
"""Kidneys of fewer voxels would lose too many with their rim: their contrast is measured with it."""
BRIGHT_PERCENTILE, DARK_PERCENTILE = 85, 25
"""Of the kidney's HU: cortex and medulla, without the extremes that are noise."""
SD_OF_MEDIAN = 1.4826
"""Standard deviation of a normal distribution by the median of its absolute values."""


@dataclass(frozen=True)
class Background:
    """A real scan prepared to receive other kidneys; never changed once made."""

    name: str
    image: np.ndarray
    """(z, y, x) int16, HU."""
    tissue: np.ndarray
    """(z, y, x) uint8, values of ``Tissue``."""
    body: np.ndarray
    """(z, y, x) bool: inside the skin."""
    kidney_bed: np.ndarray
    """(z, y, x) bool: the scan's kidneys with sinus and a rim, what has to go when they go."""
    spine_distance: np.ndarray
    """(z, y, x) float32: mm to the spine, 0 in it."""
    skin_depth: np.ndarray
    """(z, y, x) float32: mm below the skin in the slice, 0 outside the body."""
    spacing: Spacing
    kidney_centers: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Voxel index of the right and the left kidney's center."""
    kidney_slices: tuple[int, int]
    """First and last slice with kidney."""
    kidney_back: int
    """Row (y) behind which no kidney lies."""
    kidney_wall: float
    """mm: least depth of the scan's kidneys below the skin, the thickness of the body wall."""
    organ_labeled: bool
    """True where organs are known one by one, so that all intensities can be drawn anew."""
    medians: np.ndarray
    """(tissues,) float32: median HU of each tissue, 0 where there is none."""
    kidney_contrast: float
    """HU between bright and dark kidney parenchyma: large in the arterial phase."""
    noise: float
    """HU standard deviation between neighboring pixels of one tissue."""


def load_background(folder: Path | str, name: str) -> Background:
    """A scan prepared for composites (see ``prepare_background``).

    Raises ``InputError`` when its files cannot be read, do not belong together, or lack a kidney.
    """
    ct, sides = read_scan(folder, name)
    image, spacing = ct.axial()
    organ_path = Path(folder, f"{name}_organs.nii.gz")
    organs = read_labels_of(ct, organ_path, ORGAN_LABELS) if organ_path.exists() else None
    return prepare_background(name, image, sides, organs, spacing)


def prepare_background(
    name: str,
    image: np.ndarray,
    sides: np.ndarray,
    organs: np.ndarray | None,
    spacing: Spacing,
    pixel: float = PIXEL_MM,
) -> Background:
    """Tissue map and what composites ask of a scan, on the working grid, cropped to the torso.

    ``image``, ``sides`` (1 right kidney, 2 left kidney) and ``organs`` (TotalSegmentator classes, if known)
    are (z, y, x) on one grid of ``spacing`` mm. Raises ``InputError`` unless both kidneys are labeled: one that is not
    would teach that kidneys are background.
    """
    if not all((sides == side).any() for side in (1, 2)):
        raise InputError(f"{name}: a background needs both kidneys labeled; label them or leave the scan out.")
    grid = (spacing[0], pixel, pixel)
    image, sides, organs, body = _on_working_grid(image, sides, organs, spacing, grid)
    skin_depth = np.stack([ndimage.distance_transform_edt(plane) for plane in body]).astype(np.float32) * pixel
    tissue, labeled, spine = _map_tissues(image, sides, organs, body, skin_depth, pixel)
    kidney = labeled & ~spine & (image > SINUS_FAT_HU)
    tissue[labeled & ~spine] = Tissue.FAT
    tissue[kidney] = Tissue.KIDNEY
    tissue[~body] = np.where(image[~body] > TABLE_HU, Tissue.TABLE, Tissue.AIR)
    slices = np.flatnonzero(kidney.any((1, 2)))
    right, left = (_center(sides == side) for side in (1, 2))
    return Background(
        name=name,
        image=np.round(image).astype(np.int16),
        tissue=tissue,
        body=body,
        kidney_bed=kidney_bed(labeled, tissue, spine, grid),
        spine_distance=ndimage.distance_transform_edt(~spine, sampling=grid).astype(np.float32),
        skin_depth=skin_depth,
        spacing=grid,
        kidney_centers=(right, left),
        kidney_slices=(int(slices[0]), int(slices[-1])),
        kidney_back=int(np.flatnonzero(kidney.any((0, 2)))[-1]),
        kidney_wall=min(THICKEST_WALL_MM, float(np.percentile(skin_depth[kidney], WALL_PERCENTILE))),
        organ_labeled=organs is not None,
        medians=_medians(image, tissue),
        kidney_contrast=_contrast(image, kidney),
        noise=measure_noise(image, tissue),
    )


def _on_working_grid(
    image: np.ndarray, sides: np.ndarray, organs: np.ndarray | None, spacing: Spacing, grid: Spacing
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Image, sides, organs and body of the torso, resampled and cropped to the body."""
    torso, pixel = _torso_slices(sides, spacing[0]), grid[1]
    image = resample(clip_hu(image[torso]).astype(np.float32), spacing, grid, order=1)
    sides = resample(sides[torso], spacing, grid, order=0)
    body = body_mask(image, grid)
    if organs is not None:
        organs = resample(organs[torso].astype(np.uint8), spacing, grid, order=0)
        organs = crop_to_body(organs, body, pixel)
    image, sides = crop_to_body(image, body, pixel, outside=AIR_HU), crop_to_body(sides, body, pixel)
    return image, sides, organs, crop_to_body(body, body, pixel)


def _map_tissues(
    image: np.ndarray,
    sides: np.ndarray,
    organs: np.ndarray | None,
    body: np.ndarray,
    skin_depth: np.ndarray,
    pixel: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tissues without the kidneys, and where kidney is labeled and the spine lies."""
    if organs is None:
        tissue = tissues_by_threshold(image)
        labeled = sides > 0
        spine = fill_vertebrae(image, body, labeled, pixel)
        separate_contrast(tissue, spine, skin_depth, pixel)
        separate_lungs(tissue, body)
    else:
        tissue = tissues_by_organ(image, organs)
        labeled = (sides > 0) | (tissue == Tissue.KIDNEY)
        spine = np.isin(organs, SPINE_CLASSES)
    tissue[spine] = Tissue.BONE
    return tissue, labeled, spine


def _center(mask: np.ndarray) -> tuple[float, float, float]:
    z, y, x = ndimage.center_of_mass(mask)
    return z, y, x


def _contrast(image: np.ndarray, kidney: np.ndarray) -> float:
    """``Background.kidney_contrast``."""
    inside = ndimage.binary_erosion(kidney) if kidney.sum() > ERODED_KIDNEY_VOXELS else kidney
    bright, dark = np.percentile(image[inside], (BRIGHT_PERCENTILE, DARK_PERCENTILE))
    return float(bright - dark)


def measure_noise(image: np.ndarray, tissue: np.ndarray) -> float:
    """HU standard deviation within kidney and fat, from differences of horizontal neighbors."""
    same = (tissue[:, :, 1:] == tissue[:, :, :-1]) & np.isin(tissue[:, :, 1:], (Tissue.KIDNEY, Tissue.FAT))
    steps = np.abs(np.diff(image, axis=2)[same])
    return float(np.median(steps) * SD_OF_MEDIAN / np.sqrt(2)) if steps.size else 0.0


def _medians(image: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """(tissues,) float32: median HU of each tissue, 0 where there is none."""
    values = np.zeros(len(Tissue), np.float32)
    for kind in np.unique(tissue):
        values[kind] = np.median(image[tissue == kind])
    return values


def _torso_slices(sides: np.ndarray, thickness: float) -> slice:
    """The slices within reach of the kidneys."""
    slices = np.flatnonzero(sides.any((1, 2)))
    reach = int(REACH_MM / thickness)
    return slice(max(0, slices[0] - reach), slices[-1] + reach + 1)


def crop_to_body(array: np.ndarray, body: np.ndarray, pixel: float, outside: float = 0) -> np.ndarray:
    """All slices, and the rows and columns of ``body`` with a margin, beyond the array if need be."""
    margin = int(BODY_MARGIN_MM / pixel)
    rows, columns = np.flatnonzero(body.any((0, 2))), np.flatnonzero(body.any((0, 1)))
    padded = np.pad(array, [(0, 0), (margin, margin), (margin, margin)], constant_values=outside)
    return np.ascontiguousarray(
        padded[:, rows[0] : rows[-1] + 2 * margin + 1, columns[0] : columns[-1] + 2 * margin + 1]
    )
