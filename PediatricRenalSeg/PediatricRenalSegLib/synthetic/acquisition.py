"""What the scanner makes of a slice: blur, noise and streaks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .settings import ScanSettings

HU_RANGE = -1024, 3071
"""What 12 bits hold."""

NOISE_OUTSIDE, NOISE_INSIDE = 0.35, 0.8
"""Noise in air over that of the settings, and what is added in the middle of the body; estimates."""

CUPPING_HU = 5.0
"""How much darker the middle of the body is (beam hardening); an estimate."""

LOW_FREQUENCIES = 0.7
"""Share of the noise's lowest frequencies that the reconstruction's filter takes away; an estimate."""

STREAK_PIXELS = 48
"""Length over which a horizontal streak changes; chosen by eye."""

TISSUE_HU = -300
"""More is tissue, less is air or lung."""

COARSE = 8
"""Pixels a step at which the thickness of tissue is looked at."""


def acquire(plane: np.ndarray, settings: ScanSettings, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise and streaks of one slice; int16 HU."""
    sigma = settings.blur_mm / settings.pixel_mm
    image = ndimage.gaussian_filter(plane, sigma, truncate=3.0)
    if settings.sharpen:
        image += settings.sharpen * (image - ndimage.gaussian_filter(image, 1.5 * sigma, truncate=3.0))
    central = _centrality(plane)
    image += _noise(settings, rng) * (NOISE_OUTSIDE + NOISE_INSIDE * central) - CUPPING_HU * central
    image = np.clip(np.rint(image), *HU_RANGE).astype(np.int16)
    if settings.outside is not None:
        y, x = settings.grid()
        image[np.hypot(x, y) > 0.5 * settings.matrix * settings.pixel_mm] = settings.outside
    return image


def _centrality(plane: np.ndarray) -> np.ndarray:
    """How much tissue the rays through each pixel cross, 0 to about 1."""
    mask = (plane[::COARSE, ::COARSE] > TISSUE_HU).astype(np.float32)
    across, down = mask.sum(1, keepdims=True), mask.sum(0, keepdims=True)
    thick = np.minimum(across, down) / max(float(np.minimum(across.max(), down.max())), 1.0)
    thick = ndimage.gaussian_filter(thick, 2.0)
    zoomed = np.kron(thick, np.ones((COARSE, COARSE), np.float32))[: plane.shape[0], : plane.shape[1]]
    return ndimage.uniform_filter(zoomed, COARSE)


def _noise(settings: ScanSettings, rng: np.random.Generator) -> np.ndarray:
    """Grainy noise without its lowest frequencies, and faint horizontal streaks."""
    grain = settings.noise_mm / settings.pixel_mm
    white = rng.standard_normal((settings.matrix, settings.matrix), dtype=np.float32)
    noise = ndimage.gaussian_filter(white, grain, mode="wrap", truncate=3.0)
    noise -= LOW_FREQUENCIES * ndimage.uniform_filter(noise, max(int(6 * grain), 3), mode="wrap")
    noise *= settings.noise_hu / noise.std()
    if settings.streaks:
        noise += _streaks(settings, grain, rng)
    return noise


def _streaks(settings: ScanSettings, grain: float, rng: np.random.Generator) -> np.ndarray:
    """Every row has values of its own, which change slowly along it."""
    rows = columns = settings.matrix
    coarse = rng.standard_normal((rows, max(columns // STREAK_PIXELS, 4)), dtype=np.float32)
    coarse = ndimage.gaussian_filter1d(coarse, grain, axis=0)
    coarse *= settings.streaks / coarse.std()
    where = np.linspace(0, coarse.shape[1] - 1, columns)
    low = np.minimum(where.astype(int), coarse.shape[1] - 2)
    part = (where - low).astype(np.float32)
    return coarse[:, low] * (1 - part) + coarse[:, low + 1] * part
