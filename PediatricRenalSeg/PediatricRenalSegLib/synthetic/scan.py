"""The scanner: puts a child on a table and makes a CT volume with its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .anatomy import Anatomy, draw_anatomy
from .contrast import PHASES, draw_hounsfield
from .shapes import coverage

SHARE_WITH_TUMOR = 0.6  # of the training patients
SMALL_TUMORS = 0.25  # the part of the tumors, from the smallest one up, of ``small_tumor_scan``: up to 31 ml


@dataclass(frozen=True)
class ScanSettings:
    """How one volume is made. Lengths in mm; the scanner's axis is the middle of the image."""

    pixel_mm: float
    slice_mm: float  # thickness of a slice
    spacing_mm: float  # from one slice to the next
    slices: int
    z_low: float  # height of the lowest slice in the child's frame
    matrix: int  # rows and columns
    hounsfield: Mapping[str, tuple[float, float]]  # mean and texture of each tissue
    blur_mm: float  # standard deviation of the kernel
    sharpen: float  # overshoot at edges, 0 for none
    noise_hu: float  # standard deviation in the middle of the body
    noise_mm: float  # size of the noise grain
    streaks: float  # HU, horizontal streaks
    rotation_deg: float
    offset_mm: tuple[float, float]  # of the child from the axis: x, y
    table: bool
    blanket: bool
    arms: bool
    outside: int | None  # value outside the circular field of view, None for a full square


@dataclass(frozen=True)
class Scan:
    """A CT volume: ``image`` int16 HU and ``labels`` uint8, both (z, y, x).

    x grows to the patient's left, y to the back, z to the head. Labels: 0
    background, 1 right kidney, 2 left kidney, 3 tumor. ``spacing`` is (z, y, x)
    in mm.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    age_years: float
    seed: int

    def to_sitk(self) -> tuple[sitk.Image, sitk.Image]:
        """Image and labels as SimpleITK images in LPS."""
        volumes = tuple(sitk.GetImageFromArray(a) for a in (self.image, self.labels))
        for volume in volumes:
            volume.SetSpacing(tuple(reversed(self.spacing)))
        return volumes


def draw_settings(anatomy: Anatomy, rng: np.random.Generator, phase: str = "early_arterial") -> ScanSettings:
    """Settings a pediatric scan may have: 512 x 512, field of view fitted to the child.

    ``phase`` is one of ``contrast.PHASES``, or "any" to draw one.
    """
    any_phase = phase == "any"
    if any_phase:
        phase = str(rng.choice(PHASES, p=(0.4, 0.1, 0.15, 0.15, 0.2)))
    half_x = anatomy.body.half_width
    view = 2.0 * half_x * rng.uniform(1.12, 1.7 if any_phase else 1.45)
    thickness = float(rng.choice([1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0], p=(0.08, 0.1, 0.14, 0.2, 0.2, 0.2, 0.08)))
    thickness = max(thickness, round(0.8 * anatomy.working_mm, 2))
    low, high = anatomy.z_range
    low, high = low + rng.uniform(0, 0.8) * anatomy.body.pitch, high - rng.uniform(0, 0.6) * anatomy.body.pitch
    size = half_x / 100.0  # big children and thin slices are noisier
    turn = rng.normal(0, 5.0)
    if any_phase:
        turn = rng.uniform(-30, 30) if rng.uniform() < 0.2 else rng.uniform(-15, 15)
    room = 0.5 * view - half_x
    return ScanSettings(
        pixel_mm=float(np.clip(view / 512, 0.35, 0.95)),
        slice_mm=thickness,
        spacing_mm=thickness,
        slices=int((high - low) / thickness) + 1,
        z_low=float(low),
        matrix=512,
        hounsfield=draw_hounsfield(phase, rng),
        blur_mm=float(rng.uniform(0.3, 0.75)),
        sharpen=float(rng.uniform(0.0, 0.5)) if rng.uniform() < 0.4 else 0.0,
        noise_hu=float(np.clip(rng.lognormal(np.log(11.0), 0.35) * size**0.5 * (2.5 / thickness) ** 0.35, 4, 32)),
        noise_mm=float(rng.uniform(0.45, 0.9)),
        streaks=float(rng.uniform(0, 5)),
        rotation_deg=float(turn),
        offset_mm=(float(rng.uniform(-0.5, 0.5) * room), float(rng.uniform(-0.6, 0.3) * room)),
        table=bool(rng.uniform() < 0.9),
        blanket=bool(rng.uniform() < 0.35),
        arms=bool(rng.uniform() < 0.12),
        outside=int(rng.choice([-1024, -2000])) if rng.uniform() < 0.3 else None,
    )


def generate_child(age_years: float, seed: int, tumor: bool = True, settings: ScanSettings | None = None) -> Scan:
    """One child's early-arterial CT; anatomy and settings are drawn from ``seed``."""
    anatomy = draw_anatomy(age_years, seed, tumor)
    rng = np.random.default_rng([seed, 1])
    return scan(anatomy, settings or draw_settings(anatomy, rng), rng)


def training_scan(age_years: float, seed: int, slices: int = 24, matrix: int = 320) -> Scan:
    """A fast, coarse scan in any phase: ``slices`` slices spread over the whole trunk."""
    rng = np.random.default_rng([seed, 2])
    anatomy = draw_anatomy(age_years, seed, tumor=bool(rng.uniform() < SHARE_WITH_TUMOR))
    return _coarse_scan(anatomy, anatomy.z_range, slices, matrix, rng)


def small_tumor_scan(age_years: float, seed: int, slices: int = 24, matrix: int = 320) -> Scan:
    """The same of a child with a small tumor, over the kidneys alone: over the whole trunk few slices show it."""
    rng = np.random.default_rng([seed, 2])
    anatomy = draw_anatomy(age_years, seed, smallest=SMALL_TUMORS)
    return _coarse_scan(anatomy, anatomy.renal_z_range, slices, matrix, rng)


def _coarse_scan(
    anatomy: Anatomy, z_range: tuple[float, float], slices: int, matrix: int, rng: np.random.Generator
) -> Scan:
    settings = draw_settings(anatomy, rng, phase="any")
    low, high = z_range
    spacing = (high - low) / slices
    settings = replace(
        settings,
        matrix=matrix,
        pixel_mm=settings.pixel_mm * 512 / matrix,
        slice_mm=min(settings.slice_mm, spacing),
        spacing_mm=spacing,
        slices=slices,
        z_low=low + rng.uniform(0, 1) * spacing,
    )
    return scan(anatomy, settings, rng)


def scan(anatomy: Anatomy, settings: ScanSettings, rng: np.random.Generator) -> Scan:
    """Paint the child at the height of each slice and image it."""
    heights = settings.z_low + settings.spacing_mm * np.arange(settings.slices)
    planes = max(int(round(settings.slice_mm / anatomy.working_mm)), 1)
    within = settings.slice_mm / planes * (np.arange(planes) - 0.5 * (planes - 1))
    canvas = anatomy.paint((heights[:, None] + within).ravel(), anatomy.working_mm)
    body = _average(canvas.render(settings.hounsfield), planes)
    shares = np.stack([_average(share, planes) for share in canvas.memberships()])

    place = _placement(canvas, settings)
    image = np.empty((settings.slices, settings.matrix, settings.matrix), np.int16)
    labels = np.empty(image.shape, np.uint8)
    scene = _scene(anatomy, settings, rng)
    for index in range(settings.slices):
        plane = place(body[index], -1000.0)
        labels[index] = _label(place, shares[:, index])
        image[index] = _acquire(scene(plane), settings, rng)
    spacing = (settings.spacing_mm, settings.pixel_mm, settings.pixel_mm)
    return Scan(image, labels, spacing, anatomy.age_years, anatomy.seed)


def _average(volume: np.ndarray, planes: int) -> np.ndarray:
    """Mean of each run of ``planes`` planes: partial volume through a thick slice."""
    return volume.reshape(-1, planes, *volume.shape[1:]).mean(axis=1)


def _grid(settings: ScanSettings) -> tuple[np.ndarray, np.ndarray]:
    """Scanner coordinates of the pixels: y as a column, x as a row."""
    axis = ((np.arange(settings.matrix) - 0.5 * (settings.matrix - 1)) * settings.pixel_mm).astype(np.float32)
    return axis[:, None], axis[None, :]


def _placement(canvas, settings: ScanSettings):
    """A function that shows a painted plane as the scanner sees it (rotated, off center)."""
    angle = np.radians(settings.rotation_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # on (y, x)
    scale = settings.pixel_mm / canvas.pixel
    middle = 0.5 * (settings.matrix - 1)
    origin = np.array([canvas.y[0], canvas.x[0]])
    shift = np.array([settings.offset_mm[1], settings.offset_mm[0]])
    offset = (turn @ (-middle * settings.pixel_mm - shift) - origin) / canvas.pixel
    size = (settings.matrix, settings.matrix)

    def place(plane: np.ndarray, outside: float) -> np.ndarray:
        return ndimage.affine_transform(plane, turn * scale, offset, size, order=1, mode="constant", cval=outside)

    return place


def _label(place, shares: np.ndarray) -> np.ndarray:
    """The label that owns most of each pixel."""
    owners = [place(share, 0.0) if share.any() else None for share in shares]
    present = [o for o in owners if o is not None]
    if not present:
        return np.uint8(0)
    best = 1.0 - sum(present)
    label = np.zeros(best.shape, np.uint8)
    for value, owner in enumerate(owners, start=1):
        if owner is None:
            continue
        wins = owner > best
        label[wins] = value
        best = np.where(wins, owner, best)
    return label


def _scene(anatomy: Anatomy, settings: ScanSettings, rng: np.random.Generator):
    """A function that adds what lies around the child: table, blanket, arms."""
    y, x = _grid(settings)
    cx, cy = settings.offset_mm
    body = anatomy.body
    width = 1.2 * settings.pixel_mm
    objects: list[tuple[np.ndarray, float]] = []
    if settings.arms:
        objects += _arms(x - cx, y - cy, body, settings, rng)
    if settings.blanket:
        drape = np.hypot((x - cx) / (1.10 * body.half_width), (y - cy) / (1.13 * body.half_depth)) - 1.0
        drape = drape * body.half_width + 1.8 * np.sin(x / rng.uniform(9, 20)) + 1.2 * np.sin(y / rng.uniform(5, 15))
        objects.append(
            (coverage(np.maximum(np.abs(drape) - 0.5, y - cy - 0.3 * body.half_depth), width), rng.uniform(-700, -350))
        )
    if settings.table:
        top = cy + 1.05 * body.half_depth + rng.uniform(2, 10) + 0.10 * abs(settings.rotation_deg)
        radius, half = rng.uniform(350, 900), rng.uniform(190, 240)
        surface = y - (top - x * x / (2 * radius))
        lower = y - (top + rng.uniform(25, 60) - np.maximum(np.abs(x) - 0.6 * half, 0.0) * 0.9)
        shell = np.minimum(np.abs(surface - 1.0) - 1.0, np.abs(lower) - 1.0)
        shell = np.maximum(np.maximum(shell, np.abs(x) - half), np.maximum(-surface, lower - 1.5))
        pad = np.maximum(np.maximum(surface, -12.0 - surface), np.abs(x) - 0.8 * half)
        objects.append((coverage(pad, width), -965.0))
        objects.append((coverage(shell, width), rng.uniform(-550, -50)))

    def scene(plane: np.ndarray) -> np.ndarray:
        air = np.clip((-700.0 - plane) / 250.0, 0.0, 1.0)
        for share, value in objects:
            plane = plane + air * share * (value - plane)
        return plane

    return scene


def _arms(x, y, body, settings: ScanSettings, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    radius = 0.27 * body.half_width
    width = 1.2 * settings.pixel_mm
    objects = []
    for side in (-1, 1):
        dx = x - side * (body.half_width + radius + rng.uniform(6, 15))
        dy = y - rng.uniform(-0.2, 0.5) * body.half_depth
        limb = np.hypot(dx, dy * rng.uniform(0.9, 1.1)) - radius
        bones = (
            np.minimum(np.hypot(dx + 0.3 * radius, dy), np.hypot(dx - 0.3 * radius, dy - 0.1 * radius)) - 0.17 * radius
        )
        for distance, value in (
            (limb, -100.0),
            (limb + 0.2 * radius, 55.0),
            (bones, 700.0),
            (bones + 0.09 * radius, 250.0),
        ):
            objects.append((coverage(distance, width), value))
    return objects


def _acquire(plane: np.ndarray, settings: ScanSettings, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise and streaks of one slice; int16 HU."""
    sigma = settings.blur_mm / settings.pixel_mm
    image = ndimage.gaussian_filter(plane, sigma, truncate=3.0)
    if settings.sharpen:
        image += settings.sharpen * (image - ndimage.gaussian_filter(image, 1.5 * sigma, truncate=3.0))
    central = _centrality(plane)
    image += _noise(plane.shape, settings, rng) * (0.35 + 0.8 * central) - 5.0 * central
    image = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    if settings.outside is not None:
        y, x = _grid(settings)
        image[np.hypot(x, y) > 0.5 * settings.matrix * settings.pixel_mm] = settings.outside
    return image


def _centrality(plane: np.ndarray) -> np.ndarray:
    """How much tissue the rays through each pixel cross, 0 to about 1."""
    step = 8
    mask = (plane[::step, ::step] > -300).astype(np.float32)
    across, down = mask.sum(1, keepdims=True), mask.sum(0, keepdims=True)
    thick = np.minimum(across, down) / max(float(np.minimum(across.max(), down.max())), 1.0)
    thick = ndimage.gaussian_filter(thick, 2.0)
    zoomed = np.kron(thick, np.ones((step, step), np.float32))[: plane.shape[0], : plane.shape[1]]
    return ndimage.uniform_filter(zoomed, step)


def _noise(shape, settings: ScanSettings, rng: np.random.Generator) -> np.ndarray:
    """Grainy noise without its lowest frequencies, and faint horizontal streaks."""
    grain = settings.noise_mm / settings.pixel_mm
    white = rng.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, grain, mode="wrap", truncate=3.0)
    noise -= 0.7 * ndimage.uniform_filter(noise, max(int(6 * grain), 3), mode="wrap")
    noise *= settings.noise_hu / noise.std()
    if settings.streaks:
        coarse = rng.standard_normal((shape[0], max(shape[1] // 48, 4)), dtype=np.float32)
        coarse = ndimage.gaussian_filter1d(coarse, grain, axis=0)
        coarse *= settings.streaks / coarse.std()
        where = np.linspace(0, coarse.shape[1] - 1, shape[1])
        low = np.minimum(where.astype(int), coarse.shape[1] - 2)
        part = (where - low).astype(np.float32)
        noise += coarse[:, low] * (1 - part) + coarse[:, low + 1] * part
    return noise
