"""The scanner: puts a child on a table and makes a CT volume with its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .acquisition import acquire
from .anatomy import Anatomy, draw_anatomy
from .canvas import AIR_HU, Canvas
from .settings import MATRIX, ScanSettings, draw_settings
from .surroundings import draw_surroundings

SHARE_WITH_TUMOR = 0.6
"""Of the training patients."""

SMALL_TUMORS = 0.25
"""The part of the tumors, from the smallest one up, of ``small_tumor_scan``: up to 31 ml."""

Placement = Callable[[np.ndarray, float], np.ndarray]
"""Shows a painted plane as the scanner sees it (rotated, off center), with a value for what lies outside of it."""


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
        image, labels = sitk.GetImageFromArray(self.image), sitk.GetImageFromArray(self.labels)
        for volume in (image, labels):
            volume.SetSpacing(tuple(reversed(self.spacing)))
        return image, labels


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
        pixel_mm=settings.pixel_mm * MATRIX / matrix,
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
    surround = draw_surroundings(anatomy.body, settings, rng)
    for index in range(settings.slices):
        labels[index] = _label(place, shares[:, index], settings.matrix)
        image[index] = acquire(surround(place(body[index], AIR_HU)), settings, rng)
    spacing = (settings.spacing_mm, settings.pixel_mm, settings.pixel_mm)
    return Scan(image, labels, spacing, anatomy.age_years, anatomy.seed)


def _average(volume: np.ndarray, planes: int) -> np.ndarray:
    """Mean of each run of ``planes`` planes: partial volume through a thick slice."""
    return volume.reshape(-1, planes, *volume.shape[1:]).mean(axis=1)


def _placement(canvas: Canvas, settings: ScanSettings) -> Placement:
    """Where the settings put the child in the scanner."""
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


def _label(place: Placement, shares: np.ndarray, matrix: int) -> np.ndarray:
    """The label that owns most of each pixel; ``shares`` (n, y, x) are those of labels 1 to n in a painted plane."""
    owners = {value: place(share, 0.0) for value, share in enumerate(shares, start=1) if share.any()}
    label = np.zeros((matrix, matrix), np.uint8)
    best = 1.0 - sum(owners.values())
    for value, owner in owners.items():
        wins = owner > best
        label[wins] = value
        best = np.where(wins, owner, best)
    return label
