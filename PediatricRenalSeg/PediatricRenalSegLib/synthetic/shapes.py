"""Implicit shapes: signed distances in mm, negative inside, on arrays of coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]  # x, y, z in mm, any one shape


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a voxel of size ``width`` inside the shape: what partial volume sees."""
    return np.clip(0.5 - distance / width, 0.0, 1.0).astype(np.float32)


def smooth_union(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Union of two shapes with a fillet of ``radius`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / radius, 0.0, 1.0)
    return b + (a - b) * h - radius * h * (1.0 - h)


def smooth_intersection(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Intersection of two shapes with a rounded edge of ``radius`` mm."""
    return -smooth_union(-a, -b, radius)


def ellipsoid(p: Coordinates, radii) -> np.ndarray:
    """Approximate distance to an ellipsoid around the origin."""
    x, y, z = (c / r for c, r in zip(p, radii, strict=True))
    k0 = np.sqrt(x * x + y * y + z * z)
    k1 = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)


def capsule(p: Coordinates, start, end, start_radius: float, end_radius: float) -> np.ndarray:
    """Distance to a straight tube whose radius changes linearly from start to end."""
    axis = np.asarray(end, float) - np.asarray(start, float)
    x, y, z = (c - s for c, s in zip(p, start, strict=True))
    along = (x * axis[0] + y * axis[1] + z * axis[2]) / max(float(axis @ axis), 1e-6)
    along = np.clip(along, 0.0, 1.0)
    x, y, z = x - along * axis[0], y - along * axis[1], z - along * axis[2]
    return np.sqrt(x * x + y * y + z * z) - (start_radius + along * (end_radius - start_radius))


def rotation(axis, angle: float) -> np.ndarray:
    """3x3 matrix turning by ``angle`` radians about ``axis`` (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def local(p: Coordinates, center, frame: np.ndarray) -> Coordinates:
    """Coordinates along the rows of ``frame`` around ``center``."""
    d = tuple(c - float(o) for c, o in zip(p, center, strict=True))
    return tuple(float(r[0]) * d[0] + float(r[1]) * d[1] + float(r[2]) * d[2] for r in frame)


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves, about zero mean and unit variance."""

    vectors: np.ndarray  # (n, 3) rad/mm
    phases: np.ndarray  # (n,)

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, count: int = 6) -> Waves:
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * rng.uniform(0.7, 1.5, size=(count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count))

    def __call__(self, p: Coordinates) -> np.ndarray:
        total = np.float32(0.0)
        for (kx, ky, kz), phase in zip(self.vectors, self.phases, strict=True):
            total = total + np.sin(
                p[0] * np.float32(kx) + p[1] * np.float32(ky) + p[2] * np.float32(kz) + np.float32(phase)
            )
        return total * np.float32(np.sqrt(2.0 / len(self.phases)))
