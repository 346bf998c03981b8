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

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from .real_data import (
    KIDNEY_LABEL,
    TUMOR_LABEL,
    Background,
    KidneyShape,
    Tissue,
    TrainingPatient,
    clip_hu,
    close_mask,
    tissue_table,
)

# ---------------------------------------------------------------- how often

EXCHANGED = 0.75
GUT_FILLED = 0.35
CONTRAST_IN_GUT = 0.35
UNENHANCED = 0.3
"""Part of the composites on scans without labeled organs from which the contrast medium is taken. They have no tumor:
without contrast medium a mass is no darker than what lies around it, and networks that had learned such masses found
more false tumor (``leave_one_out.md``)."""
MISSING = 0.07
FAR_PLACED = 0.6
ECTOPIC = 0.05
MASS = 0.55
CLAW = 0.5
NEAR_SLICES = 0.8
"""Part of the slices that lie near kidneys and mass; the others lie anywhere."""

# ---------------------------------------------------------------- sizes, mm and ml

NEAR_MARGIN_MM = 24.0
TURN_DEGREES = 30.0
AXIS_SCALE = (0.82, 1.18)
OVERALL_SCALE = (0.85, 1.12)
PLACE_SD_MM = {False: (12.0, 7.0, 7.0), True: (24.0, 18.0, 15.0)}
"""Spread of a kidney around the scan's own, near or far."""
FAR_FORWARD_MM = 25.0
ECTOPIC_DOWN_MM = (40.0, 110.0)
BEHIND_MM = 9.0
"""A kidney reaches no farther behind the scan's own kidneys than this."""
WALL_SLACK_MM = 6.0
"""Nor nearer to the skin than they do, but for this."""
PLACES_TRIED = 10
GOOD_PLACE = 0.97
POOREST_PLACE = 0.7
RIM_MM = 4.5
SINUS_MM = 9.0
SHAPE_SMOOTHING_VOXELS = 1.0
GUT_LOOP_MM = 14.0
MEDULLA_DEPTH_MM = (4.0, 8.0)

ADULT_DIAMETER_MM = 270.0
"""Masses are drawn for a body of this equivalent diameter and scale with the body."""
MASS_MEDIAN_ML = 450.0
MASS_LOG_SD = 1.0
MASS_RANGE_ML = (25.0, 2800.0)
DISPLACED = (0.55, 0.95)
"""Part of the mass's volume that pushed tissue aside; the rest took the place of tissue."""
SPINE_SHARE = 0.7
"""Tissue moves by at most this part of its distance to the spine, so never out of it."""
MASS_WALL = 0.6
"""Part of the body wall that no mass invades."""
SPINE_CLEARANCE = 0.85
"""A mass is centered at least this part of its radius away from the spine."""
SPINE_GAP_MM = 2.0
THINNEST_MASS_MM = 8.0
"""Thinner parts, such as a film around a rim of kidney, are no mass."""
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
"""(3, 3, 3) bool: neighbors within a slice; chosen slices may lie far apart."""
MOVE_MM = 3.0
MOVES_TRIED = 25
SMALL_MASS_MM = 38.0
"""Larger radii grow forward and inward rather than through the back and the flank."""

NEUTRAL_HU = 50.0
NEUTRAL_FAT_HU = -100.0
SOFT_EDGE_PX = 0.75
VISIBLE_STEP_HU = 12.0
UNENHANCED_HU = (38.0, 58.0)
"""Soft tissue without contrast medium is hardly brighter."""

# ---------------------------------------------------------------- tissues

KIDNEY_TISSUES = (Tissue.KIDNEY, Tissue.CORTEX, Tissue.MEDULLA, Tissue.CYST)
TUMOR_TISSUES = (Tissue.TUMOR, Tissue.NECROSIS, Tissue.CAPSULE, Tissue.CALCIFICATION)
PAINTED_TISSUES = tuple(tissue for tissue in Tissue if tissue >= Tissue.FILL_FAT)

IS_RENAL = tissue_table(*KIDNEY_TISSUES, *TUMOR_TISSUES)
IS_PAINTED = tissue_table(*PAINTED_TISSUES)
TAKES_KIDNEY = ~tissue_table(
    Tissue.AIR, Tissue.TABLE, Tissue.BONE, Tissue.LUNG, Tissue.ARTERY,
    *KIDNEY_TISSUES, *TUMOR_TISSUES, Tissue.SINUS_FLUID,
)  # fmt: skip
"""Where a kidney may be put; scans without labeled organs cannot tell an artery from bone."""
TAKES_MASS = ~tissue_table(Tissue.AIR, Tissue.TABLE, Tissue.BONE)
TAKES_CONTRAST = tissue_table(Tissue.SOFT, Tissue.ARTERY, Tissue.BOWEL, Tissue.KIDNEY)
"""Of scans without labeled organs."""

LABELS = np.zeros(len(Tissue), np.uint8)
LABELS[list(KIDNEY_TISSUES)] = KIDNEY_LABEL
LABELS[list(TUMOR_TISSUES)] = TUMOR_LABEL

NEUTRALS = np.where(np.arange(len(Tissue)) == Tissue.FILL_FAT, NEUTRAL_FAT_HU, NEUTRAL_HU).astype(np.float32)
"""(tissues,) HU that stands for a painted tissue until intensities are drawn."""


@dataclass
class Canvas:
    """The working copy of a background: whole volumes before the slices are chosen, slices after."""

    image: np.ndarray
    """(z, y, x), HU, painted tissues as ``NEUTRALS``."""
    tissue: np.ndarray
    """(z, y, x) uint8, values of ``Tissue``."""

    def paint(self, box: tuple[slice, ...], where: np.ndarray, tissue: Tissue | np.ndarray) -> None:
        """Put a tissue, or a map of tissues, where the mask of the box is true."""
        kinds = np.broadcast_to(np.asarray(tissue, np.uint8), where.shape)[where]
        self.tissue[box][where] = kinds
        self.image[box][where] = NEUTRALS[kinds]


def composite(
    background: Background,
    shapes: list[KidneyShape],
    rng: Generator,
    slices: int = 20,
    name: str | None = None,
) -> TrainingPatient:
    """One composite: a patient of ``slices`` slices (fewer if the scan has fewer), in rising order."""
    canvas = Canvas(background.image.copy(), background.tissue.copy())
    unenhanced = not background.organ_labeled and rng.random() < UNENHANCED
    if unenhanced:
        shapes = [shape for shape in shapes if not shape.has_tumor]
    if shapes and rng.random() < EXCHANGED:
        exchange_kidneys(canvas, background, shapes, rng)
    growth = draw_growth(canvas, background, rng) if not unenhanced and rng.random() < MASS else None
    chosen = choose_slices(canvas, background, growth, slices, rng)
    if growth is None:
        canvas = Canvas(canvas.image[chosen].astype(np.float32), canvas.tissue[chosen])
    else:
        canvas = grow(canvas, background, growth, chosen, rng)
    return TrainingPatient(
        name=name or f"composite-{rng.integers(10**6):06d}",
        kind="composite",
        image=clip_hu(np.round(draw_intensities(canvas, background, unenhanced, rng))),
        labels=LABELS[canvas.tissue],
        spacing=background.spacing,
    )


# ---------------------------------------------------------------- noise fields


def smooth_noise(shape: tuple[int, ...], scales: tuple[float, ...], rng: Generator) -> np.ndarray:
    """Random field of mean 0 and variance 1 that is smooth over ``scales`` voxels an axis; 0: white there.

    A coarse grid of independent values, one a scale, is spread by a Gaussian along each axis.
    """
    kernels = [_spread(n, scale) for n, scale in zip(shape, scales)]
    coarse = [n if kernel is None else kernel.shape[1] for n, kernel in zip(shape, kernels)]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, kernel in enumerate(kernels):
        if kernel is not None:
            field = np.moveaxis(np.tensordot(kernel, field, (1, axis)), 0, axis)
    return field


def _spread(n: int, scale: float) -> np.ndarray | None:
    """(n, coarse) weights of unit square sum a row; None for no smoothing."""
    if scale < 1:
        return None
    nodes = np.arange(-1, np.ceil(n / scale) + 2) * scale
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] - nodes) / (0.7 * scale)) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def plane_noise(shape: tuple[int, int, int], scale: float, rng: Generator) -> np.ndarray:
    """(z, y, x) noise that is smooth within slices; slices, which may lie far apart, are independent."""
    return smooth_noise(shape, (0, scale, scale), rng)


def random_rotation(rng: Generator, degrees: float) -> np.ndarray:
    """(3, 3): turns by up to ``degrees`` about each axis."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-degrees, degrees, 3))):
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


# ---------------------------------------------------------------- kidneys


def exchange_kidneys(canvas: Canvas, background: Background, shapes: list[KidneyShape], rng: Generator) -> None:
    """Replace the scan's kidneys by fat and put two, rarely one, of other patients."""
    everywhere = (slice(None),) * 3
    canvas.paint(everywhere, background.kidney_bed, Tissue.FILL_FAT)
    if rng.random() < GUT_FILLED:
        box = ndimage.find_objects(background.kidney_bed.astype(np.uint8))[0]
        bed = background.kidney_bed[box]
        loops = smooth_noise(bed.shape, GUT_LOOP_MM / np.array(background.spacing), rng) > rng.uniform(-0.3, 0.8)
        canvas.paint(box, bed & loops, Tissue.FILL_GUT)
    sides = [False, True]
    if rng.random() < MISSING:
        sides.remove(bool(rng.integers(2)))
    for is_left in sides:
        paste_kidney(canvas, background, shapes[rng.integers(len(shapes))], is_left, rng)


def paste_kidney(canvas: Canvas, background: Background, shape: KidneyShape, is_left: bool, rng: Generator) -> bool:
    """Put one kidney with sinus and rim on a side; False if no place fits it."""
    labels = posed(shape, is_left, background.spacing, rng)
    kidney = labels > 0
    place = find_place(canvas, background, labels, is_left, rng)
    if place is None:
        return False
    box, part = place
    labels, kidney = labels[part], kidney[part]
    allowed = _allowed(canvas, background, box)

    sinus = close_mask(kidney, background.spacing, SINUS_MM) & ~kidney
    whole = kidney | sinus
    outside = ndimage.distance_transform_edt(~whole, sampling=background.spacing)
    if rng.random() < 0.75:
        canvas.paint(box, (outside > 0) & (outside <= rng.uniform(1, 2) * RIM_MM) & allowed, Tissue.FILL_FAT)
    _paint_sinus(canvas, box, sinus & allowed, rng)

    depth = ndimage.distance_transform_edt(np.pad(whole, 1), sampling=background.spacing)[1:-1, 1:-1, 1:-1]
    grain = [5.0 / step for step in background.spacing]
    medulla = (depth > rng.uniform(*MEDULLA_DEPTH_MM)) & (smooth_noise(kidney.shape, grain, rng) > -0.1)
    tissues = np.array([0, Tissue.CORTEX, Tissue.TUMOR, Tissue.CYST], np.uint8)[labels]
    tissues[(labels == 1) & medulla] = Tissue.MEDULLA
    if (labels == 2).any():
        tissues[(labels == 2) & (smooth_noise(kidney.shape, grain, rng) > rng.uniform(0.3, 2))] = Tissue.NECROSIS
    canvas.paint(box, kidney & allowed, tissues)
    return True


def posed(shape: KidneyShape, is_left: bool, spacing: tuple[float, float, float], rng: Generator) -> np.ndarray:
    """(z, y, x) labels of the shape on a grid of ``spacing``: mirrored to its side, turned and scaled."""
    source = shape.labels if shape.is_left == is_left else shape.labels[:, :, ::-1]
    scale = rng.uniform(*AXIS_SCALE, 3) * rng.uniform(*OVERALL_SCALE)
    pose = random_rotation(rng, TURN_DEGREES) * scale
    size = np.array(source.shape) * shape.spacing
    half = np.ceil(np.abs(pose) @ size / 2 / spacing).astype(int)
    inverse = np.linalg.inv(pose) / np.array(shape.spacing)[:, None] * np.array(spacing)
    middle = (np.array(source.shape) - 1) / 2
    transform = {"matrix": inverse, "offset": middle - inverse @ half, "output_shape": tuple(2 * half + 1)}
    # steps between the slices on which the shape was drawn, and specks, would be learned as texture
    smooth = ndimage.gaussian_filter((source > 0).astype(np.float32), SHAPE_SMOOTHING_VOXELS, truncate=2.5)
    inside = ndimage.affine_transform(smooth, order=1, **transform) > 0.5
    filled = np.where(source > 0, source, ndimage.maximum_filter(source, 5))
    posed_labels = np.where(inside, ndimage.affine_transform(filled, order=0, **transform), 0).astype(np.uint8)
    found = ndimage.find_objects((posed_labels > 0).astype(np.uint8))
    if not found:
        return posed_labels
    margin = np.ceil(2 * RIM_MM / np.array(spacing)).astype(int)
    return np.pad(posed_labels[found[0]], [(n, n) for n in margin])


def find_place(
    canvas: Canvas, background: Background, labels: np.ndarray, is_left: bool, rng: Generator
) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Where in the canvas, and which part of ``labels`` lies there: the best of a few places drawn."""
    kidney = labels > 0
    if not kidney.any():
        return None
    center = np.array(ndimage.center_of_mass(kidney))
    back = np.flatnonzero(kidney.any((0, 2)))[-1]
    best, best_share = None, POOREST_PLACE
    for _ in range(PLACES_TRIED):
        corner = np.round(_draw_place(background, is_left, rng) - center).astype(int)
        limit = background.kidney_back + BEHIND_MM / background.spacing[1]
        corner[1] = min(corner[1], int(limit) - back)
        low = np.maximum(corner, 0)
        high = np.minimum(corner + labels.shape, canvas.tissue.shape)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high))
        part = tuple(slice(a, b) for a, b in zip(low - corner, high - corner))
        share = (_allowed(canvas, background, box) & kidney[part]).sum() / max(1, kidney[part].sum())
        if share > best_share:
            best, best_share = (box, part), share
        if share > GOOD_PLACE:
            break
    return best


def _draw_place(background: Background, is_left: bool, rng: Generator) -> np.ndarray:
    """(3,) voxel index for a kidney's center, around the scan's own on that side."""
    far = rng.random() < FAR_PLACED
    shift = rng.normal(0, PLACE_SD_MM[far])
    if far:
        shift[1] -= rng.uniform(0, FAR_FORWARD_MM)
    if rng.random() < ECTOPIC:
        shift[0] -= rng.uniform(*ECTOPIC_DOWN_MM)
    return background.kidney_centers[is_left] + shift / background.spacing


def _allowed(canvas: Canvas, background: Background, box: tuple[slice, ...]) -> np.ndarray:
    """Bool over the box: where kidney may be painted."""
    return TAKES_KIDNEY[canvas.tissue[box]] & (background.skin_depth[box] > background.kidney_wall - WALL_SLACK_MM)


def _paint_sinus(canvas: Canvas, box: tuple[slice, ...], sinus: np.ndarray, rng: Generator) -> None:
    """Fat, fluid, fat around fluid, or what was there."""
    kind = rng.random()
    if kind < 0.85:
        canvas.paint(box, sinus, Tissue.FILL_FAT if kind < 0.65 else Tissue.SINUS_FLUID)
    if kind < 0.3:
        pelvis = smooth_noise(sinus.shape, (2, 4, 4), rng) > rng.uniform(0, 1)
        canvas.paint(box, sinus & pelvis, Tissue.SINUS_FLUID)


# ---------------------------------------------------------------- mass


@dataclass(frozen=True)
class Growth:
    """A mass as a map of space: where does what lies at a point come from?

    With e the position relative to the center in coordinates in which the mass is round (``shape``, of
    determinant 1), r its length and R the radius in its direction, tissue at r comes from
    (r³ - displaced · R³)^(1/3) in the same direction. Within every cone, and so everywhere outside the mass,
    this preserves volume.
    """

    center: np.ndarray
    """(3,) mm."""
    radius: float
    """mm of the ball with the volume of the mass."""
    shape: np.ndarray
    """(3, 3) of determinant 1: mm to mm."""
    bumps: tuple[tuple[np.ndarray, float, float], ...]
    """Lobules: direction (3,), height as a part of the radius, sharpness."""
    displaced: float

    def lobulation(self, directions: np.ndarray) -> np.ndarray:
        """(..., 3) unit vectors to (...): radius in each direction as a multiple of ``radius``."""
        relief = np.ones(directions.shape[:-1], np.float32)
        for direction, height, sharpness in self.bumps:
            relief += np.float32(height) * np.exp(np.float32(sharpness) * (directions @ direction - 1))
        return np.maximum(relief, np.float32(0.4))

    def trace(self, points: np.ndarray, spine_distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where tissue comes from, and how far out it lies.

        ``points`` (n, 3) mm, ``spine_distance`` (n,) mm. Returns the sources (n, 3) mm and r / R (n,):
        below 1 is mass.
        """
        offset = points - self.center.astype(np.float32)
        round_offset = offset @ self.shape.T.astype(np.float32)
        r = np.sqrt(np.einsum("ij,ij->i", round_offset, round_offset)) + np.float32(1e-3)
        surface = np.float32(self.radius) * self.lobulation(round_offset / r[:, None])
        keep = np.cbrt(np.maximum(1 - np.float32(self.displaced) * (surface / r) ** 3, 0))
        length = np.sqrt(np.einsum("ij,ij->i", offset, offset)) + np.float32(1e-3)
        keep = np.maximum(keep, 1 - np.float32(SPINE_SHARE) * spine_distance / length)
        return self.center.astype(np.float32) + offset * keep[:, None], r / surface


def body_diameter(background: Background) -> float:
    """mm: diameter of the circle with the area of the body, median over the kidneys' slices."""
    first, last = background.kidney_slices
    pixels = np.median(background.body[first : last + 1].sum((1, 2)))
    return float(2 * np.sqrt(pixels * background.spacing[1] * background.spacing[2] / np.pi))


def make_growth(center: np.ndarray, milliliters: float, rng: Generator) -> Growth:
    """A lobulated mass of exactly this volume (apart from the voxel grid)."""
    axes = np.exp(rng.normal(0, 0.18, 3))
    bumps = []
    for _ in range(rng.integers(4, 12)):
        direction = rng.standard_normal(3).astype(np.float32)
        bumps.append((direction / np.linalg.norm(direction), rng.uniform(-0.3, 0.4), rng.uniform(3, 15)))
    growth = Growth(
        center=np.asarray(center, float),
        radius=1.0,
        shape=np.diag(axes / np.cbrt(axes.prod())) @ random_rotation(rng, 180),
        bumps=tuple(bumps),
        displaced=rng.uniform(*DISPLACED),
    )
    volume_mm3 = 4 / 3 * np.pi * np.mean(growth.lobulation(_sphere_points(1000)) ** 3)
    radius = float(np.cbrt(milliliters * 1000 / volume_mm3))
    return Growth(growth.center, radius, growth.shape, growth.bumps, growth.displaced)


def _sphere_points(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere."""
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    height = (2 * np.arange(count) + 1) / count - 1
    width = np.sqrt(1 - height**2)
    return np.stack([height, width * np.cos(turn), width * np.sin(turn)], 1).astype(np.float32)


def draw_growth(canvas: Canvas, background: Background, rng: Generator) -> Growth | None:
    """A mass that starts at a kidney of the canvas; None where there is no kidney."""
    spacing = np.array(background.spacing)
    middle = np.mean([center[2] for center in background.kidney_centers])
    kidney = np.argwhere(IS_RENAL[canvas.tissue])
    if not len(kidney):
        return None
    side = kidney[(kidney[:, 2] > middle) == bool(rng.integers(2))]
    kidney = (side if len(side) else kidney) * spacing
    milliliters = float(np.clip(rng.lognormal(np.log(MASS_MEDIAN_ML), MASS_LOG_SD), *MASS_RANGE_ML))
    milliliters *= (body_diameter(background) / ADULT_DIAMETER_MM) ** 3
    radius = np.cbrt(milliliters * 1000 * 3 / (4 * np.pi))

    start = kidney[rng.integers(len(kidney))]
    outward = start - kidney.mean(0) + rng.normal(0, 8, 3)
    outward[1] = -abs(outward[1])
    center = start + outward / np.linalg.norm(outward) * rng.uniform(0, 0.6) * radius
    excess = max(0.0, radius - SMALL_MASS_MM)
    center[1] -= excess * rng.uniform(0.3, 0.8)
    center[2] += np.sign(middle * spacing[2] - center[2]) * excess * rng.uniform(0, 0.4)
    side = np.sign(start[2] - middle * spacing[2])
    return make_growth(_into_body(center, radius, side, background), milliliters, rng)


def _into_body(center: np.ndarray, radius: float, side: float, background: Background) -> np.ndarray:
    """The center moved until the mass clears the spine, and then as far as that allows from the skin.

    ``side`` is the sign of x on the side of the kidney: a mass stays with its kidney.
    """
    spacing = np.array(background.spacing)
    last = np.array(background.body.shape) - 1
    center = np.clip(center, 0, last * spacing)
    for clear_spine in (False, True):
        for _ in range(MOVES_TRIED):
            voxel = np.clip(np.round(center / spacing), 0, last).astype(int)
            if clear_spine:
                wanted = _away_from(background, voxel, side, SPINE_CLEARANCE * radius)
            else:
                wanted = _under_skin(background, voxel, 0.6 * radius + MASS_WALL * background.kidney_wall)
            if wanted is None:
                break
            center = np.clip(center + MOVE_MM * wanted, 0, last * spacing)
    return center


def _away_from(background: Background, voxel: np.ndarray, side: float, least: float) -> np.ndarray | None:
    """Unit step (mm) forward and to the side; None where the spine is ``least`` mm away."""
    if background.spine_distance[tuple(voxel)] >= least:
        return None
    return np.array([0, -1, side]) / np.sqrt(1 + abs(side))


def _under_skin(background: Background, voxel: np.ndarray, least: float) -> np.ndarray | None:
    """Unit step (mm) to the middle of the body in the slice; None where the skin is ``least`` mm away."""
    rows, columns = np.nonzero(background.body[voxel[0]])
    if background.skin_depth[tuple(voxel)] >= least or not len(rows):
        return None
    step = np.array([0, rows.mean() - voxel[1], columns.mean() - voxel[2]])
    length = np.linalg.norm(step)
    return step / length if length > 1 else None


def grow(canvas: Canvas, background: Background, growth: Growth, chosen: np.ndarray, rng: Generator) -> Canvas:
    """The chosen slices with the mass in them and everything else pushed aside."""
    spacing = np.array(background.spacing, np.float32)
    grid = np.meshgrid(chosen, *map(np.arange, canvas.tissue.shape[1:]), indexing="ij")
    points = np.stack([axis.ravel() for axis in grid], 1).astype(np.float32) * spacing
    shape = grid[0].shape
    spine_distance = background.spine_distance[chosen]
    sources, depth = growth.trace(points, spine_distance.ravel())
    sources = (sources / spacing).T
    nearest = tuple(np.clip(np.rint(axis), 0, n - 1).astype(np.intp) for axis, n in zip(sources, canvas.tissue.shape))
    grown = Canvas(
        image=ndimage.map_coordinates(canvas.image, sources, np.float32, order=1, mode="nearest").reshape(shape),
        tissue=canvas.tissue[nearest].reshape(shape),
    )
    in_wall = (background.skin_depth[nearest] <= MASS_WALL * background.kidney_wall).reshape(shape)
    mass = (depth.reshape(shape) < 1) & ~in_wall & (spine_distance > SPINE_GAP_MM) & TAKES_MASS[grown.tissue]
    if rng.random() < CLAW:
        shell = depth.reshape(shape) > rng.uniform(0.8, 0.95)
        mass &= ~(shell & tissue_table(*KIDNEY_TISSUES)[grown.tissue])
    mass = ndimage.binary_opening(mass, IN_PLANE, iterations=round(THINNEST_MASS_MM / 2 / spacing[1]))
    _paint_mass(grown, mass, depth.reshape(shape), growth.radius / background.spacing[1], rng)
    return grown


def _paint_mass(canvas: Canvas, mass: np.ndarray, depth: np.ndarray, radius: float, rng: Generator) -> None:
    """Solid tumor with necrosis, septa, capsule and calcification; ``radius`` in pixels."""
    everywhere = (slice(None),) * 3
    canvas.paint(everywhere, mass, Tissue.TUMOR)
    kind = rng.random()
    field = plane_noise(mass.shape, max(3.0, rng.uniform(0.15, 0.5) * radius), rng)
    if kind < 0.1:  # cysts between septa
        canvas.paint(everywhere, mass & (np.abs(field) > rng.uniform(0.1, 0.4)) & (depth < 0.92), Tissue.NECROSIS)
    elif kind < 0.7:
        canvas.paint(everywhere, mass & (field > rng.uniform(0.2, 1.4)) & (depth < 0.95), Tissue.NECROSIS)
    if rng.random() < 0.4:
        canvas.paint(everywhere, mass & (depth > 1 - rng.uniform(1, 2.5) / radius), Tissue.CAPSULE)
    if rng.random() < 0.1:
        specks = plane_noise(mass.shape, rng.uniform(1.2, 2.5), rng) > rng.uniform(2.6, 3.4)
        canvas.paint(everywhere, mass & specks, Tissue.CALCIFICATION)


# ---------------------------------------------------------------- slices


def choose_slices(
    canvas: Canvas, background: Background, growth: Growth | None, count: int, rng: Generator
) -> np.ndarray:
    """Indices in rising order, most of them near kidneys and mass."""
    total = len(canvas.tissue)
    renal = np.flatnonzero(IS_RENAL[canvas.tissue[:, ::2, ::2]].any((1, 2)))
    first, last = (renal[0], renal[-1]) if len(renal) else background.kidney_slices
    if growth is not None:
        reach = 1.1 * growth.radius
        first = min(first, (growth.center[0] - reach) / background.spacing[0])
        last = max(last, (growth.center[0] + reach) / background.spacing[0])
    margin = NEAR_MARGIN_MM / background.spacing[0]
    indices = np.arange(total)
    near = (indices >= first - margin) & (indices <= last + margin)
    odds = NEAR_SLICES * near / near.sum() + (1 - NEAR_SLICES) / total
    return np.sort(rng.choice(total, min(count, total), replace=False, p=odds))


# ---------------------------------------------------------------- intensities


def draw_intensities(canvas: Canvas, background: Background, unenhanced: bool, rng: Generator) -> np.ndarray:
    """(z, y, x) float32 HU: the canvas with every tissue at a drawn value, the scan's texture kept."""
    image, medians = canvas.image, background.medians
    if unenhanced:
        image, medians = without_contrast(canvas, medians, rng)
    targets = draw_targets(background, medians, unenhanced, rng)
    shift = targets - np.where(IS_PAINTED, NEUTRALS, medians)
    shift[~IS_PAINTED & (medians == 0)] = 0
    image = image + shift.astype(np.float32)[canvas.tissue]
    _add_painted_texture(image, canvas, background, rng)
    _add_organ_texture(image, canvas, background, rng)
    _soften_edges(image, canvas.tissue, shift)
    noisy = IS_PAINTED[canvas.tissue]
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), (0, 0.5, 0.5), truncate=2.5)
    image[noisy] += background.noise / grain.std() * grain[noisy]
    return image


def without_contrast(canvas: Canvas, medians: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The image and the medians of its tissues as if no contrast medium had been given.

    What is brighter than soft tissue without it is darkened to nearly that; noise and edges stay.
    """
    level, remainder = rng.uniform(*UNENHANCED_HU), rng.uniform(0, 0.12)

    def excess(hu: np.ndarray, taken: np.ndarray) -> np.ndarray:
        return taken * (1 - remainder) * np.maximum(hu - level, 0)

    denoised = ndimage.median_filter(canvas.image, (1, 5, 5))
    image = canvas.image - excess(denoised, TAKES_CONTRAST[canvas.tissue])
    return image, medians - excess(medians, TAKES_CONTRAST)


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
    targets[Tissue.NECROSIS] = max(5, tumor - rng.uniform(8, 45)) if rng.random() < 0.9 else tumor + rng.uniform(5, 25)
    targets[Tissue.CAPSULE] = min(tumor + rng.uniform(-20, 50), max(kidney, tumor))
    targets[Tissue.CALCIFICATION] = rng.uniform(150, 500)
    targets[Tissue.CYST] = rng.uniform(-2, 25)
    excreted = enhanced and rng.random() < 0.2
    targets[Tissue.SINUS_FLUID] = rng.uniform(150, 500) if excreted else rng.uniform(-5, 25)
    targets[Tissue.FILL_GUT] = (
        rng.uniform(60, 450) if rng.random() < CONTRAST_IN_GUT else max(targets[Tissue.SOFT] - rng.uniform(0, 30), 0)
    )
    targets[Tissue.FILL_FAT] = (targets[Tissue.FAT] or NEUTRAL_FAT_HU) + rng.normal(0, 5)
    return targets


def _draw_phase(targets: np.ndarray, rng: Generator) -> bool:
    """Draw every organ for a phase of enhancement, in place; False for none."""
    u, n = rng.uniform, rng.normal
    phase = rng.choice(["none", "arterial", "portal", "any"], p=[0.2, 0.2, 0.42, 0.18])
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
    if rng.random() < 0.15:
        return min(kidney, rng.uniform(70, 140)) + rng.normal(0, 8)
    return tumor if tumor <= kidney - 15 else kidney - rng.uniform(15, 60)


def _add_painted_texture(image: np.ndarray, canvas: Canvas, background: Background, rng: Generator) -> None:
    """Unevenness within what was painted, in place."""
    pixel = background.spacing[1]
    fields = (
        ((Tissue.TUMOR, Tissue.NECROSIS), rng.uniform(4, 25), rng.uniform(3, 18)),
        ((Tissue.CORTEX, Tissue.MEDULLA), rng.uniform(4, 12), rng.uniform(1, 6)),
        ((Tissue.FILL_GUT,), rng.uniform(4, 10), rng.uniform(4, 15)),
        ((Tissue.FILL_FAT,), rng.uniform(5, 20), rng.uniform(2, 8)),
    )
    for tissues, scale_mm, amplitude in fields:
        where = tissue_table(*tissues)[canvas.tissue]
        if where.any():
            image[where] += amplitude * plane_noise(image.shape, scale_mm / pixel, rng)[where]
    strands = rng.random()
    if strands < 0.5:  # vessels and septa in the fat around kidneys
        where = canvas.tissue == Tissue.FILL_FAT
        thin = np.abs(plane_noise(image.shape, rng.uniform(5, 12) / pixel, rng)) < rng.uniform(0.02, 0.07)
        image[where & thin] += rng.uniform(20, 110)


def _add_organ_texture(image: np.ndarray, canvas: Canvas, background: Background, rng: Generator) -> None:
    """Vessels and lesions of the liver, an uneven spleen, vessels in fat, contrast in the gut, in place."""
    shape, tissue, pixel = image.shape, canvas.tissue, background.spacing[1]
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
