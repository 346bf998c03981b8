"""Implicit shapes: signed distances in mm, negative inside, on arrays of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""x, y and z in mm of many places, any one shape."""

Point = np.ndarray | Sequence[float | np.floating]
"""x, y and z in mm of one place, or three lengths along x, y and z."""


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a voxel of size ``width`` inside the shape: what partial volume sees."""
    return np.clip(0.5 - distance / width, 0.0, 1.0).astype(np.float32)


def smooth_union(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Union of two shapes with a fillet of ``radius`` mm."""
    part = np.clip(0.5 + 0.5 * (second - first) / radius, 0.0, 1.0)
    return second + (first - second) * part - radius * part * (1.0 - part)


def smooth_intersection(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Intersection of two shapes with a rounded edge of ``radius`` mm."""
    return -smooth_union(-first, -second, radius)


def ellipsoid(position: Coordinates, radii: Point) -> np.ndarray:
    """Approximate distance to an ellipsoid around the origin."""
    x, y, z = (along / radius for along, radius in zip(position, radii, strict=True))
    scaled = np.sqrt(x * x + y * y + z * z)
    gradient = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
    return scaled * (scaled - 1.0) / np.maximum(gradient, 1e-6)


def capsule(position: Coordinates, start: Point, end: Point, start_radius: float, end_radius: float) -> np.ndarray:
    """Distance to a straight tube whose radius changes linearly from start to end."""
    axis = np.asarray(end, float) - np.asarray(start, float)
    x, y, z = relative(position, start)
    along = (x * axis[0] + y * axis[1] + z * axis[2]) / max(float(axis @ axis), 1e-6)
    along = np.clip(along, 0.0, 1.0)
    x, y, z = x - along * axis[0], y - along * axis[1], z - along * axis[2]
    return np.sqrt(x * x + y * y + z * z) - (start_radius + along * (end_radius - start_radius))


def rotation(axis: Point, angle: float) -> np.ndarray:
    """3x3 matrix turning by ``angle`` radians about ``axis`` (Rodrigues)."""
    direction = np.asarray(axis, float)
    x, y, z = direction / np.linalg.norm(direction)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def relative(position: Coordinates, origin: Point) -> Coordinates:
    """Coordinates seen from ``origin``, along the same axes."""
    x, y, z = position
    return x - origin[0], y - origin[1], z - origin[2]


def local(position: Coordinates, origin: Point, frame: np.ndarray) -> Coordinates:
    """Coordinates seen from ``origin``, along the rows of ``frame`` (3, 3)."""
    x, y, z = relative(position, [float(along) for along in origin])
    first, second, third = (float(row[0]) * x + float(row[1]) * y + float(row[2]) * z for row in frame)
    return first, second, third


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves, about zero mean and unit variance."""

    vectors: np.ndarray
    """(n, 3) rad/mm."""
    phases: np.ndarray
    """(n,) rad."""

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, count: int = 6) -> Waves:
        """``count`` waves about ``wavelength`` mm long in any direction: the fewer, the more they look like waves."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * rng.uniform(0.7, 1.5, size=(count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count))

    def __call__(self, position: Coordinates) -> np.ndarray:
        """The sum of the waves at each point."""
        x, y, z = position
        total = np.zeros((), np.float32)
        for (per_x, per_y, per_z), phase in zip(self.vectors, self.phases, strict=True):
            total = total + np.sin(
                x * np.float32(per_x) + y * np.float32(per_y) + z * np.float32(per_z) + np.float32(phase)
            )
        return total * np.float32(np.sqrt(2.0 / len(self.phases)))
