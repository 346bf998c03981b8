"""Masses that grow from a kidney and push aside what is around them."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from .backgrounds import Background
from .draft import EVERYWHERE, Draft
from .noise import plane_noise, random_rotation
from .tissues import IS_RENAL, KIDNEY_TISSUES, TAKES_MASS, Tissue, tissue_table

CLAW = 0.5
"""Part of the masses around whose rim kidney stays, as a claw."""

ADULT_DIAMETER_MM = 270.0
"""Masses are drawn for a body of this equivalent diameter and scale with the body."""
MASS_MEDIAN_ML = 450.0
"""Half of the masses are smaller."""
MASS_LOG_SD = 1.0
"""Standard deviation of the logarithm of the volume."""
MASS_RANGE_ML = (25.0, 2800.0)
"""Smaller and larger ones are drawn to this range."""
DISPLACED = (0.55, 0.95)
"""Part of the mass's volume that pushed tissue aside; the rest took the place of tissue."""
SPINE_SHARE = 0.7
"""Tissue moves by at most this part of its distance to the spine, so never out of it."""
MASS_WALL = 0.6
"""Part of the body wall that no mass invades."""
SPINE_CLEARANCE = 0.85
"""A mass is centered at least this part of its radius away from the spine."""
SPINE_GAP_MM = 2.0
"""And ends this far before it."""
SKIN_CLEARANCE = 0.6
"""A mass is centered at least this part of its radius below the body wall."""
THINNEST_MASS_MM = 8.0
"""Thinner parts, such as a film around a rim of kidney, are no mass."""
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
"""(3, 3, 3) bool: neighbors within a slice; chosen slices may lie far apart."""
MOVE_MM = 3.0
"""Step by which a mass is moved away from spine and skin."""
MOVES_TRIED = 25
"""Then it stays where it is."""
SMALL_MASS_MM = 38.0
"""Larger radii grow forward and inward rather than through the back and the flank."""
AXES_LOG_SD = 0.18
"""Standard deviation of the logarithm of a mass's axes: how far it is from a ball."""
FLATTEST_LOBULE = np.float32(0.4)
"""Least radius of a mass in any direction, as a multiple of its radius."""
LOBULE_POINTS = 1000
"""Directions by which the volume of a lobulated mass is measured."""


@dataclass(frozen=True)
class Growth:
    """A mass as a map of space that tells where what lies at a point comes from.

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
    """Part of the mass's volume that pushed tissue aside."""

    def lobulation(self, directions: np.ndarray) -> np.ndarray:
        """(..., 3) unit vectors to (...): radius in each direction as a multiple of ``radius``."""
        relief = np.ones(directions.shape[:-1], np.float32)
        for direction, height, sharpness in self.bumps:
            relief += np.float32(height) * np.exp(np.float32(sharpness) * (directions @ direction - 1))
        return np.maximum(relief, FLATTEST_LOBULE)

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
    axes = np.exp(rng.normal(0, AXES_LOG_SD, 3))
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
    volume_mm3 = 4 / 3 * np.pi * np.mean(growth.lobulation(_sphere_points(LOBULE_POINTS)) ** 3)
    radius = float(np.cbrt(milliliters * 1000 / volume_mm3))
    return Growth(growth.center, radius, growth.shape, growth.bumps, growth.displaced)


def _sphere_points(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere."""
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    height = (2 * np.arange(count) + 1) / count - 1
    width = np.sqrt(1 - height**2)
    return np.stack([height, width * np.cos(turn), width * np.sin(turn)], 1).astype(np.float32)


def draw_growth(draft: Draft, background: Background, rng: Generator) -> Growth | None:
    """A mass that starts at a kidney of the draft; None where there is no kidney."""
    spacing = np.array(background.spacing)
    middle = np.mean([center[2] for center in background.kidney_centers])
    kidney = np.argwhere(IS_RENAL[draft.tissue])
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
                wanted = _under_skin(background, voxel, SKIN_CLEARANCE * radius + MASS_WALL * background.kidney_wall)
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


def grow(draft: Draft, background: Background, growth: Growth, chosen: np.ndarray, rng: Generator) -> Draft:
    """The chosen slices with the mass in them and everything else pushed aside."""
    spacing = np.array(background.spacing, np.float32)
    grid = np.meshgrid(chosen, *map(np.arange, draft.tissue.shape[1:]), indexing="ij")
    points = np.stack([axis.ravel() for axis in grid], 1).astype(np.float32) * spacing
    shape = grid[0].shape
    spine_distance = background.spine_distance[chosen]
    sources, depth = growth.trace(points, spine_distance.ravel())
    sources = (sources / spacing).T
    nearest = tuple(np.clip(np.rint(axis), 0, n - 1).astype(np.intp) for axis, n in zip(sources, draft.tissue.shape))
    grown = Draft(
        image=ndimage.map_coordinates(draft.image, sources, np.float32, order=1, mode="nearest").reshape(shape),
        tissue=draft.tissue[nearest].reshape(shape),
    )
    in_wall = (background.skin_depth[nearest] <= MASS_WALL * background.kidney_wall).reshape(shape)
    mass = (depth.reshape(shape) < 1) & ~in_wall & (spine_distance > SPINE_GAP_MM) & TAKES_MASS[grown.tissue]
    if rng.random() < CLAW:
        shell = depth.reshape(shape) > rng.uniform(0.8, 0.95)
        mass &= ~(shell & tissue_table(*KIDNEY_TISSUES)[grown.tissue])
    mass = ndimage.binary_opening(mass, IN_PLANE, iterations=round(THINNEST_MASS_MM / 2 / spacing[1]))
    _paint_mass(grown, mass, depth.reshape(shape), growth.radius / background.spacing[1], rng)
    return grown


def _paint_mass(draft: Draft, mass: np.ndarray, depth: np.ndarray, radius: float, rng: Generator) -> None:
    """Solid tumor with necrosis, septa, capsule and calcification; ``radius`` in pixels."""
    draft.paint(EVERYWHERE, mass, Tissue.TUMOR)
    kind = rng.random()
    field = plane_noise(mass.shape, max(3.0, rng.uniform(0.15, 0.5) * radius), rng)
    if kind < 0.1:  # cysts between septa
        draft.paint(EVERYWHERE, mass & (np.abs(field) > rng.uniform(0.1, 0.4)) & (depth < 0.92), Tissue.NECROSIS)
    elif kind < 0.7:
        draft.paint(EVERYWHERE, mass & (field > rng.uniform(0.2, 1.4)) & (depth < 0.95), Tissue.NECROSIS)
    if rng.random() < 0.4:
        draft.paint(EVERYWHERE, mass & (depth > 1 - rng.uniform(1, 2.5) / radius), Tissue.CAPSULE)
    if rng.random() < 0.1:
        specks = plane_noise(mass.shape, rng.uniform(1.2, 2.5), rng) > rng.uniform(2.6, 3.4)
        draft.paint(EVERYWHERE, mass & specks, Tissue.CALCIFICATION)
