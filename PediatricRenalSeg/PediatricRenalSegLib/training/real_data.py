"""Loading what composites are made of: real scans with their labels, and kidneys of other patients.

A folder of scans holds, for every name, ``NAME.nii.gz`` (CT) and ``NAME_label.nii.gz`` (1 right kidney,
2 left kidney, 3 tumor), and for a scan whose whole torso is labeled also ``NAME_organs.nii.gz``
(class numbers of TotalSegmentator v2). A folder of shapes holds label maps ``case_*.nii.gz`` without
images (1 kidney, 2 tumor, 3 cyst).

Arrays are ``(z, y, x)`` in LPS order: x toward the patient's Left, y toward Posterior, z toward Superior.
Spacings and positions have the same axis order and are in mm unless said otherwise.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..preprocessing import body_mask
from ..reading import read_ct, read_labels
from ..structures import SEGMENTS, STRUCTURES
from ..volume import AIR_HU, CTVolume, InputError, same_grid

KIDNEY_LABEL, TUMOR_LABEL = (
    structure.label for name in ("kidney", "tumor") for structure in STRUCTURES if structure.name == name
)

LABELS_OF_SEGMENTS = np.array([0, *(segment.structure.label for segment in SEGMENTS)], np.uint8)
"""Label by the value of a segment; ``NAME_label.nii.gz`` and generated scans hold segments."""
SHAPE_LABELS = range(4)
"""Background, kidney, tumor, cyst: values in ``case_*.nii.gz``."""
ORGAN_LABELS = range(118)
"""Background and the classes of TotalSegmentator v2."""

PIXEL_MM = 1.5
"""In-plane pixel of the working grid; slices stay where the scan has them."""
REACH_MM = 250.0
"""A background ends this far above and below its kidneys."""
BODY_MARGIN_MM = 30.0
"""Air kept around the body: room for a body that a mass makes bulge."""

GAS_HU = -300.0
FAT_HU = -30.0
BONE_HU = 230.0
TABLE_HU = -400.0
CORTICAL_BONE_HU = 190.0
"""Rim of a vertebra, from which the vertebra is filled."""
SPINE_HALF_WIDTH_MM = 40.0
RIB_DEPTH_MM = 22.0
"""Ribs lie nearer to the skin."""
VERTEBRA_CLOSING_MM = 18.0
SINUS_FAT_HU = -20.0
"""Labeled kidney below this is fat of the sinus, which is not kidney."""
SINUS_CLOSING_MM = 9.0
BED_RIM_MM = 3.0
WALL_PERCENTILE = 2
THICKEST_WALL_MM = 35.0
"""The fat behind the kidneys of an adult says nothing about the front."""

SMALLEST_KIDNEY_ML = 25.0
WIDEST_KIDNEY_MM = 150.0
"""A wider component is two kidneys that touch."""
SMALLEST_PAIR_RATIO = 0.15
"""A second component smaller than this part of the first is not the other kidney."""


class Tissue(IntEnum):
    """What a voxel of a background is made of; the last ones occur in composites only."""

    AIR = 0
    TABLE = 1
    FAT = 2
    SOFT = 3
    BONE = 4
    GAS = 5
    LUNG = 6
    SPLEEN = 7
    LIVER = 8
    GALLBLADDER = 9
    STOMACH = 10
    BOWEL = 11
    PANCREAS = 12
    ARTERY = 13
    VEIN = 14
    KIDNEY = 15
    # painted by a composite
    FILL_FAT = 16
    CORTEX = 17
    MEDULLA = 18
    CYST = 19
    SINUS_FLUID = 20
    TUMOR = 21
    NECROSIS = 22
    CAPSULE = 23
    CALCIFICATION = 24
    FILL_GUT = 25


def tissue_table(*tissues: Tissue) -> np.ndarray:
    """Boolean table indexed by tissue: true for those named."""
    table = np.zeros(len(Tissue), bool)
    table[list(tissues)] = True
    return table


ORGAN_TISSUES: dict[Tissue, tuple[int, ...]] = {
    Tissue.SPLEEN: (1,),
    Tissue.KIDNEY: (2, 3, 23, 24),
    Tissue.GALLBLADDER: (4,),
    Tissue.LIVER: (5,),
    Tissue.STOMACH: (6,),
    Tissue.PANCREAS: (7, 8, 9, 19),
    Tissue.LUNG: (10, 11, 12, 13, 14),
    Tissue.BOWEL: (18, 20),
    Tissue.SOFT: (21, 22, *range(80, 90)),
    Tissue.BONE: (*range(25, 51), *range(69, 80), *range(91, 118)),
    Tissue.ARTERY: (51, 52, 54, 55, 56, 57, 58, 65, 66),
    Tissue.VEIN: (53, 59, 60, 61, 62, 63, 64, 67, 68),
}
"""TotalSegmentator v2 classes by tissue; adrenals and duodenum enhance about as the pancreas does."""
SPINE_CLASSES = (*range(25, 51), 79)

KEPT_ORGANS = tissue_table(
    Tissue.BONE, Tissue.GAS, Tissue.LUNG, Tissue.SPLEEN, Tissue.LIVER, Tissue.GALLBLADDER, Tissue.STOMACH,
    Tissue.BOWEL, Tissue.PANCREAS, Tissue.ARTERY, Tissue.VEIN, Tissue.AIR, Tissue.TABLE,
)  # fmt: skip
"""Tissues that removing a kidney leaves as they are."""


@dataclass(frozen=True)
class TrainingPatient:
    """One patient to train on; slices of a composite need not be neighbors."""

    name: str
    kind: str
    """"real", "composite" or "generated"."""
    image: np.ndarray
    """(z, y, x) int16, HU, axial, LPS order."""
    labels: np.ndarray
    """(z, y, x) uint8: 0 background, 1 kidney, 2 tumor."""
    spacing: tuple[float, float, float]
    """(z, y, x) mm."""


@dataclass(frozen=True)
class KidneyShape:
    """One kidney of another patient with its tumors and cysts, cropped."""

    name: str
    is_left: bool
    labels: np.ndarray
    """(z, y, x) uint8: 1 kidney, 2 tumor, 3 cyst."""
    spacing: tuple[float, float, float]

    @property
    def has_tumor(self) -> bool:
        return bool((self.labels == TUMOR_LABEL).any())


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
    spacing: tuple[float, float, float]
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


# ---------------------------------------------------------------- reading


def read_labels_of(ct: CTVolume, path: Path, known: Collection[int]) -> np.ndarray:
    """Labels of a CT, (z, y, x) in LPS order; ``InputError`` when they lie elsewhere or are not ``known``."""
    labels = read_labels(path, known)
    if not same_grid(ct.image, labels.image):
        raise InputError(f'"{path.name}" lies on another grid than its CT; save the labels on the grid of the CT.')
    return labels.axial()[0]


def _read_scan(folder: Path | str, name: str) -> tuple[CTVolume, np.ndarray]:
    """A CT and its segments (z, y, x)."""
    ct = read_ct(Path(folder, f"{name}.nii.gz"))
    return ct, read_labels_of(ct, Path(folder, f"{name}_label.nii.gz"), range(len(LABELS_OF_SEGMENTS)))


def load_real(folder: Path | str, name: str) -> TrainingPatient:
    """A scan on its own grid with its labels: both kidneys become 1, a tumor (3) becomes 2."""
    ct, sides = _read_scan(folder, name)
    image, spacing = ct.axial()
    return TrainingPatient(
        name=name,
        kind="real",
        image=clip_hu(image),
        labels=LABELS_OF_SEGMENTS[sides],
        spacing=spacing,
    )


def clip_hu(image: np.ndarray) -> np.ndarray:
    """As int16, without the values that stand for nothing."""
    return np.clip(image, AIR_HU, np.iinfo(np.int16).max).astype(np.int16)


# ---------------------------------------------------------------- shapes


def load_shapes(folder: Path | str) -> list[KidneyShape]:
    """Kidneys of other patients, each side by itself."""
    shapes: list[KidneyShape] = []
    for path in sorted(Path(folder).glob("case_*.nii.gz")):
        labels, spacing = read_labels(path, SHAPE_LABELS).axial()
        shapes += separate_kidneys(path.name.removesuffix(".nii.gz"), labels, spacing)
    return shapes


def separate_kidneys(name: str, labels: np.ndarray, spacing: tuple[float, float, float]) -> list[KidneyShape]:
    """The kidneys of one patient; none where the sides cannot be told apart.

    Which side is which comes from their positions alone: a patient whose map was stored mirrored gives
    kidneys that are right for the side on which they lie.
    """
    parts, count = ndimage.label(labels > 0)
    if count < 2:
        return []
    sizes = np.bincount(parts.ravel())[1:]
    largest, second = np.argsort(sizes)[::-1][:2]
    if sizes[second] < SMALLEST_PAIR_RATIO * sizes[largest]:
        return []
    boxes = ndimage.find_objects(parts)
    middle = {part: (boxes[part][2].start + boxes[part][2].stop) / 2 for part in (largest, second)}
    shapes = []
    for part in (largest, second):
        box = boxes[part]
        kidney = np.where(parts[box] == part + 1, labels[box], 0).astype(np.uint8)
        milliliters = (kidney == KIDNEY_LABEL).sum() * np.prod(spacing) / 1000
        if milliliters >= SMALLEST_KIDNEY_ML and kidney.shape[2] * spacing[2] <= WIDEST_KIDNEY_MM:
            is_left = middle[part] == max(middle.values())
            shapes.append(KidneyShape(name, is_left, kidney, spacing))
    return shapes


# ---------------------------------------------------------------- backgrounds


def load_background(folder: Path | str, name: str) -> Background:
    """A scan prepared for composites (see ``prepare_background``)."""
    ct, sides = _read_scan(folder, name)
    image, spacing = ct.axial()
    organ_path = Path(folder, f"{name}_organs.nii.gz")
    organs = read_labels_of(ct, organ_path, ORGAN_LABELS) if organ_path.exists() else None
    return prepare_background(name, image, sides, organs, spacing)


def prepare_background(
    name: str,
    image: np.ndarray,
    sides: np.ndarray,
    organs: np.ndarray | None,
    spacing: tuple[float, float, float],
    pixel: float = PIXEL_MM,
) -> Background:
    """Tissue map and what composites ask of a scan, on the working grid, cropped to the torso.

    ``image``, ``sides`` (1 right kidney, 2 left kidney) and ``organs`` (TotalSegmentator classes, if known)
    are (z, y, x) on one grid of ``spacing`` mm. Both kidneys must be labeled: one that is not would teach
    that kidneys are background.
    """
    if not all((sides == side).any() for side in (1, 2)):
        raise ValueError(f"{name}: a background needs both kidneys labeled")
    torso = _torso_slices(sides, spacing[0])
    grid = (spacing[0], pixel, pixel)
    image = resample(clip_hu(image[torso]).astype(np.float32), spacing, grid, order=1)
    sides = resample(sides[torso], spacing, grid, order=0)
    organs = None if organs is None else resample(organs[torso].astype(np.uint8), spacing, grid, order=0)

    body = body_mask(image, grid)
    image = crop_to_body(image, body, pixel, outside=AIR_HU)
    sides = crop_to_body(sides, body, pixel)
    organs = None if organs is None else crop_to_body(organs, body, pixel)
    body = crop_to_body(body, body, pixel)
    skin_depth = np.stack([ndimage.distance_transform_edt(plane) for plane in body]).astype(np.float32) * pixel
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
    kidney = labeled & ~spine & (image > SINUS_FAT_HU)
    tissue[labeled & ~spine] = Tissue.FAT
    tissue[kidney] = Tissue.KIDNEY
    tissue[~body] = np.where(image[~body] > TABLE_HU, Tissue.TABLE, Tissue.AIR)

    slices = np.flatnonzero(kidney.any((1, 2)))
    bright, dark = np.percentile(image[ndimage.binary_erosion(kidney) if kidney.sum() > 1000 else kidney], (85, 25))
    return Background(
        name=name,
        image=np.round(image).astype(np.int16),
        tissue=tissue,
        body=body,
        kidney_bed=kidney_bed(labeled, tissue, spine, grid),
        spine_distance=ndimage.distance_transform_edt(~spine, sampling=grid).astype(np.float32),
        skin_depth=skin_depth,
        spacing=grid,
        kidney_centers=tuple(ndimage.center_of_mass(sides == side) for side in (1, 2)),
        kidney_slices=(int(slices[0]), int(slices[-1])),
        kidney_back=int(np.flatnonzero(kidney.any((0, 2)))[-1]),
        kidney_wall=min(THICKEST_WALL_MM, float(np.percentile(skin_depth[kidney], WALL_PERCENTILE))),
        organ_labeled=organs is not None,
        medians=_medians(image, tissue),
        kidney_contrast=float(bright - dark),
        noise=measure_noise(image, tissue),
    )


def resample(
    array: np.ndarray, spacing: tuple[float, float, float], target: tuple[float, float, float], order: int
) -> np.ndarray:
    """The array on another grid over the same extent; ``order`` 0 for labels, 1 for images."""
    shape = [max(1, round(n * old / new)) for n, old, new in zip(array.shape, spacing, target)]
    axes = [
        np.clip((np.arange(n) + 0.5) * new / old - 0.5, 0, limit - 1)
        for n, new, old, limit in zip(shape, target, spacing, array.shape)
    ]
    if order == 0:
        return array[np.ix_(*[np.round(axis).astype(int) for axis in axes])]
    for axis, positions in enumerate(axes):
        array = _interpolate_axis(array, positions, axis)
    return array


def _interpolate_axis(array: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along one axis at fractional indices."""
    low = np.floor(positions).astype(int)
    if np.array_equal(low, positions) and len(low) == array.shape[axis]:
        return array
    high = np.minimum(low + 1, array.shape[axis] - 1)
    weight = (positions - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return np.take(array, low, axis) * (1 - weight) + np.take(array, high, axis) * weight


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


def close_mask(mask: np.ndarray, spacing: tuple[float, float, float], radius: float) -> np.ndarray:
    """Morphological closing with a ball of ``radius`` mm on any grid."""
    margin = [int(np.ceil(radius / step)) + 1 for step in spacing]
    padded = np.pad(mask, [(n, n) for n in margin])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= radius
    closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
    return mask | closed[tuple(slice(n, -n) for n in margin)]


def kidney_bed(
    kidney: np.ndarray, tissue: np.ndarray, spine: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """(z, y, x) bool: kidneys with sinus and a thin rim, less the spine and other organs."""
    bed = np.zeros(kidney.shape, bool)
    rim = round(BED_RIM_MM / spacing[1])
    cross = ndimage.generate_binary_structure(3, 1)
    cross[0] = cross[2] = False
    box = tuple(
        slice(max(0, where.start - 2 * rim), where.stop + 2 * rim)
        for where in ndimage.find_objects(kidney.astype(np.uint8))[0]
    )
    whole = close_mask(kidney[box], spacing, SINUS_CLOSING_MM)
    # contrast in the renal vessels and pelvis passes for bone, artery or gut by threshold
    organ = KEPT_ORGANS.copy()
    organ[[Tissue.BONE, Tissue.ARTERY, Tissue.VEIN, Tissue.BOWEL]] = False
    bed[box] = ndimage.binary_dilation(whole, cross, iterations=rim) & ~organ[tissue[box]] & ~spine[box]
    return bed | (kidney & ~spine)


def measure_noise(image: np.ndarray, tissue: np.ndarray) -> float:
    """HU standard deviation within kidney and fat, from differences of horizontal neighbors."""
    same = (tissue[:, :, 1:] == tissue[:, :, :-1]) & np.isin(tissue[:, :, 1:], (Tissue.KIDNEY, Tissue.FAT))
    steps = np.abs(np.diff(image, axis=2)[same])
    return float(np.median(steps) * 1.4826 / np.sqrt(2)) if steps.size else 0.0


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
