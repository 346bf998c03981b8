"""The trunk: body outline, fat, muscle, cavity, spine, ribs and iliac wings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import growth
from .canvas import Canvas
from .shapes import Coordinates, Waves, smooth_intersection, smoothstep


@dataclass(frozen=True)
class Body:
    """Measures of the trunk in mm. Heights are often given in vertebrae (``pitch``)."""

    age_years: float
    half_width: float
    half_depth: float
    pitch: float  # one lumbar vertebra with its disc
    fat: float  # subcutaneous fat at the flank
    muscle: float  # abdominal wall muscle
    belly: float  # how much the belly bulges, share of the width
    dome: float  # height of the right diaphragm dome

    @property
    def vertebra_half_width(self) -> float:
        return 0.62 * self.pitch

    @property
    def spine_y(self) -> float:
        """Center of the vertebral bodies."""
        return self.half_depth - self.fat - 1.75 * self.pitch

    @property
    def posterior_y(self) -> float:
        """Back wall of the abdominal cavity beside the spine."""
        return self.spine_y + 0.85 * self.pitch

    @property
    def inner_half_width(self) -> float:
        return self.half_width - self.fat - self.muscle

    @property
    def inner_half_depth(self) -> float:
        return self.half_depth - self.fat - self.muscle

    def reach(self) -> tuple[float, float]:
        """Half extents of a grid that surely holds the trunk."""
        return 1.32 * self.half_width + 4.0, 1.42 * self.half_depth + 4.0

    def outline(self, p: Coordinates) -> np.ndarray:
        """Depth under the skin in mm, positive inside."""
        x, y, z = p
        t = z / (9.0 * self.pitch) - 0.4
        width = self.half_width * (1.0 + self.belly * (0.10 - 0.9 * t * t) + 0.03 * t)
        depth = self.half_depth * (1.0 + self.belly * (0.08 - 0.7 * t * t))
        sx, sy = (x / width) ** 2, (y / depth) ** 2
        flat = 0.25 + 0.55 * smoothstep(y, 0.0, self.half_depth)
        rho = np.sqrt((1.0 - flat) * (sx + sy) + flat * np.sqrt(sx * sx + sy * sy))
        return np.sqrt(x * x + y * y) * (1.0 / np.maximum(rho, 1e-3) - 1.0)


def draw_body(age_years: float, rng: np.random.Generator) -> Body:
    """Trunk measures for one child around the charts of ``growth``."""
    girth = 10.0 * growth.waist_cm(age_years) * np.exp(0.07 * np.clip(rng.normal(), -1.8, 1.8))
    ratio = growth.depth_over_width(age_years) * np.exp(0.03 * rng.normal())
    # Circumference of an ellipse, and 3 % because the outline is a little squarer.
    half_width = girth / (2 * np.pi * np.sqrt((1 + ratio**2) / 2)) / 1.03
    plump = rng.uniform(0.5, 1.6)
    return Body(
        age_years=float(age_years),
        half_width=float(half_width),
        half_depth=float(half_width * ratio),
        pitch=growth.vertebral_pitch_mm(age_years) * float(np.exp(0.04 * rng.normal())),
        fat=float(plump * np.interp(age_years, (0, 1, 5, 10, 16), (5.0, 6.0, 5.0, 7.5, 10.0))),
        muscle=float(rng.uniform(0.8, 1.2) * np.interp(age_years, (0, 2, 8, 16), (4.5, 5.5, 8.0, 12.0))),
        belly=float(rng.uniform(0.1, 0.35) if age_years > 3 else rng.uniform(0.3, 0.6)),
        dome=float(rng.uniform(7.3, 8.2)),
    )


def paint_wall(canvas: Canvas, anatomy) -> None:
    """Skin, fat, muscle with its fat planes, and the cavity (mesenteric fat) inside."""
    body = anatomy.body
    rng = anatomy.rng("wall")
    x, y, z = canvas.wall
    depth = body.outline(canvas.wall)
    every = canvas.everywhere
    canvas.paint("skin", every, -depth, clip=False)
    canvas.paint("fat", every, np.float32(rng.uniform(1.0, 1.6)) - depth, clip=False)

    ripple = Waves.draw(rng, 0.8 * body.half_width, 4)(canvas.wall)
    back = np.float32(1.0) / np.sqrt((x / y) ** 2 + 1.0) * np.sign(y)  # 1 behind, -1 in front
    fat = body.fat * (0.95 + 0.35 * back * back * (back > 0) + 0.18 * ripple)
    fat += 0.9 * body.fat * smoothstep(-z, -1.0 * body.pitch, 1.5 * body.pitch) * smoothstep(back, -0.3, 0.7)
    in_muscle = depth - fat
    canvas.paint("muscle", every, -in_muscle, clip=False)

    linea_alba = np.exp(-((x / (0.05 * body.half_width)) ** 2)) * (back < -0.7)
    muscle = body.muscle * (0.95 + 0.12 * Waves.draw(rng, body.half_width, 4)(canvas.wall) - 0.6 * linea_alba)
    _paint_fat_planes(canvas, in_muscle / muscle, back, rng)

    behind = y - (body.posterior_y + 0.6 * body.pitch * smoothstep(z, 5.0 * body.pitch, 7.0 * body.pitch))
    cavity = smooth_intersection(muscle - in_muscle, behind, 0.35 * body.pitch)
    # In the pelvis the cavity ends at the iliacus muscle, inside the wings.
    across, along, top = _iliac_plate(body, canvas.fixed)
    outside = np.maximum(np.maximum(-across - 0.3 * body.pitch, 0.8 * top), along - 1.1 * _iliac_length(body))
    cavity = smooth_intersection(cavity, -outside, 0.2 * body.pitch)
    canvas.cavity = cavity.astype(np.float32)
    canvas.paint("mesentery", every, cavity, clip=False)
    canvas.in_muscle = in_muscle


def _paint_fat_planes(canvas: Canvas, layer: np.ndarray, back: np.ndarray, rng: np.random.Generator) -> None:
    """Thin fat between the three muscles of the flank."""
    flank = (1.0 - smoothstep(np.abs(back), 0.55, 0.8)) * 0.6
    for position in (0.36, 0.68):
        plane = np.abs(layer - position) - 0.05
        canvas.paint("fat", canvas.everywhere, plane * 8.0, opacity=flank * rng.uniform(0.5, 1.0), clip=False)


def paint_back(canvas: Canvas, anatomy) -> None:
    """Psoas and quadratus lumborum, and the fat clefts between the back muscles."""
    body, pitch = anatomy.body, anatomy.body.pitch
    rng = anatomy.rng("back")
    x, y, z = canvas.fixed
    box = canvas.find_box(
        (-3.2 * pitch, body.spine_y - 1.2 * pitch, -9e3), (3.2 * pitch, 9e3, 4.3 * pitch), canvas.fixed
    )
    if box is None:
        return
    x, y, z = canvas.at(box, canvas.fixed)
    side = np.abs(x)
    down = smoothstep(-z, -4.2 * pitch, 0.5 * pitch)
    radius = pitch * (0.12 + 0.52 * down)
    dx = side - (body.vertebra_half_width + 0.75 * radius + 0.10 * pitch * down)
    dy = y - (body.spine_y + 0.25 * pitch - 0.1 * pitch * down)
    psoas = np.sqrt((dx / 0.85) ** 2 + (dy / 1.05) ** 2) - radius
    canvas.paint("muscle", box, psoas, clip=False)
    # Quadratus lumborum: a flat band behind the kidney.
    dx = (side - (body.vertebra_half_width + 1.25 * pitch)) / 2.2
    dy = y - (body.posterior_y - 0.05 * pitch)
    band = np.sqrt(dx * dx + dy * dy) - 0.25 * pitch * smoothstep(-z, -3.8 * pitch, -2.0 * pitch)
    canvas.paint("muscle", box, band, clip=False)
    # Erector spinae is set off by fat from the quadratus and at the midline.
    wobble = Waves.draw(rng, 1.5 * pitch, 4)((x, y, z))
    cleft = (
        np.abs(y - body.posterior_y - 0.42 * pitch - 0.25 * (side - 1.2 * pitch) + 0.08 * pitch * wobble)
        - 0.035 * pitch
    )
    opacity = 0.7 * smoothstep(side, 0.9 * pitch, 1.3 * pitch) * (1.0 - smoothstep(side, 2.0 * pitch, 2.8 * pitch))
    opacity = opacity * (canvas.in_muscle[box] > 0)
    canvas.paint("fat", box, cleft, opacity=opacity, clip=False)


def paint_bones(canvas: Canvas, anatomy) -> None:
    _paint_spine(canvas, anatomy.body, anatomy.rng("spine"))
    _paint_ribs(canvas, anatomy.body, anatomy.rng("ribs"))
    _paint_ilium(canvas, anatomy.body)


def _paint_bone(canvas: Canvas, box, distance: np.ndarray, cortex: float, roughness=0.0) -> None:
    """A shell of compact bone with marrow inside."""
    canvas.paint("bone", box, distance, clip=False)
    canvas.paint("marrow", box, distance + cortex * (1.0 + roughness), clip=False)


def _paint_spine(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    pitch, half = body.pitch, body.vertebra_half_width
    low = (-1.6 * pitch, body.spine_y - 0.9 * pitch, -9e3)
    high = (1.6 * pitch, body.spine_y + 2.3 * pitch, 9e3)
    box = canvas.find_box(low, high, canvas.fixed)
    x, y, z = canvas.at(box, canvas.fixed)
    y = y - body.spine_y
    side = np.abs(x)
    level = z / pitch
    step = (level - np.floor(level) - 0.5) * pitch  # height within one vertebra, 0 in its middle
    chest = smoothstep(z, 3.5 * pitch, 6.5 * pitch)

    # Column of bodies, narrower in the chest and waisted in the middle.
    half_x = half * (1.0 - 0.22 * chest) * (0.93 + 0.07 * (2 * step / pitch) ** 2)
    half_y = 0.47 * pitch * (1.0 - 0.04 * chest) * (0.94 + 0.06 * (2 * step / pitch) ** 2)
    r = np.sqrt((x / half_x) ** 2 + (y / half_y) ** 2)
    column = (r - 1.0) * half_y
    column = np.maximum(column, 0.9 * (y - 0.40 * pitch))
    disc = 0.5 * rng.uniform(0.72, 0.82) * pitch
    vertebra = smooth_intersection(column, np.abs(step) - disc, 0.08 * pitch)
    canvas.paint("muscle", box, column - 0.10 * pitch, clip=False)  # ligaments and crura
    canvas.paint("disc", box, column, clip=False)
    rough = 0.4 * Waves.draw(rng, 0.5 * pitch, 4)((x, y, z))
    _paint_bone(canvas, box, vertebra, 0.035 * pitch + 0.4, rough)

    canal_y = (0.47 + 0.30) * pitch
    dy = y - canal_y
    canal = np.sqrt((x / 1.15) ** 2 + dy * dy) - 0.30 * pitch
    ring = np.abs(np.sqrt((x / 1.15) ** 2 + (dy * 0.95) ** 2) - 0.38 * pitch) - 0.09 * pitch
    lamina = np.maximum(ring, np.abs(step + 0.08 * pitch) - 0.30 * pitch)
    pedicle = np.maximum(np.abs(side - 0.42 * pitch) - 0.12 * pitch, np.abs(y - 0.55 * pitch) - 0.28 * pitch)
    pedicle = np.maximum(pedicle, np.abs(step - 0.10 * pitch) - 0.20 * pitch)
    sweep = (y - 0.75 * pitch) / pitch
    transverse = (
        np.sqrt((y - 0.72 * pitch - 0.12 * (side - 0.4 * pitch)) ** 2 + (0.8 * (step - 0.05 * pitch)) ** 2)
        - 0.11 * pitch
    )
    transverse = np.maximum(transverse, side - (1.15 - 0.25 * chest) * pitch)
    transverse = np.maximum(transverse, 0.35 * pitch - side)
    facet = np.sqrt((side - 0.52 * pitch) ** 2 + (y - 0.95 * pitch) ** 2) - 0.17 * pitch
    facet = np.maximum(facet, np.abs(np.abs(step) - 0.32 * pitch) - 0.2 * pitch)
    spinous = np.maximum(side - 0.085 * pitch, np.abs(step + 0.12 * pitch + 0.25 * sweep * pitch) - 0.22 * pitch)
    spinous = np.maximum(spinous, np.maximum(1.05 * pitch - y, y - 1.62 * pitch))
    arch = np.minimum(np.minimum(np.minimum(lamina, pedicle), np.minimum(transverse, spinous)), facet)
    _paint_bone(canvas, box, arch, 0.03 * pitch + 0.5)
    canvas.paint("csf", box, canal + 0.02 * pitch, clip=False)
    canvas.paint("cord", box, np.sqrt((x / 1.2) ** 2 + dy * dy) - 0.15 * pitch, clip=False)


def _paint_ribs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Ribs 7 to 12: bands in the wall that fall toward the front, then turn to cartilage."""
    pitch = body.pitch
    top = np.flatnonzero(canvas.z > 0.8 * pitch)
    if not len(top):
        return
    box = (slice(top[0], canvas.shape[0]), *canvas.everywhere[1:])
    x, y, z = canvas.at(box, canvas.wall)
    depth = canvas.in_muscle[box]
    angle = np.arccos(
        np.clip((y / body.half_depth) / np.sqrt((x / body.half_width) ** 2 + (y / body.half_depth) ** 2), -1, 1)
    )
    height = 0.155 * pitch + 0.7
    thick = 0.105 * pitch + 0.5
    into = depth - (0.45 * body.muscle + 0.3 * thick + 0.5 * pitch * (1.0 - smoothstep(angle, 0.15, 0.55)))
    ends = {12: 0.75, 11: 1.25, 10: 1.85, 9: 2.05, 8: 2.25, 7: 2.45, 6: 2.6}
    bone = np.full(depth.shape, 99.0, np.float32)
    cartilage = bone.copy()
    for rib, end in ends.items():
        origin = (4.55 + 0.93 * (12 - rib)) * pitch
        fall = (0.95 + 0.12 * (12 - rib)) * pitch * smoothstep(angle, 0.0, 2.1) * 1.9
        rise = 1.3 * pitch * smoothstep(angle, 2.0, 3.0)
        wobble = 0.08 * pitch * rng.normal()
        distance = (np.sqrt((into / thick) ** 2 + ((z - origin + fall - rise + wobble) / height) ** 2) - 1.0) * thick
        bone = np.minimum(bone, np.maximum(distance, (angle - end) * 20.0))
        if rib < 11:
            front = np.maximum(distance, np.maximum(end - angle, angle - (end + 0.55)) * 20.0)
            cartilage = np.minimum(cartilage, front)
    canvas.paint("cartilage", box, cartilage, clip=False)
    _paint_bone(canvas, box, bone, 0.02 * pitch + 0.5)


def _paint_ilium(canvas: Canvas, body: Body) -> None:
    """Iliac wings: curved plates that open to the front."""
    pitch = body.pitch
    low = np.flatnonzero(canvas.z < 0.7 * pitch)
    if not len(low):
        return
    box = (slice(0, low[-1] + 1), *canvas.everywhere[1:])
    x, y, z = canvas.at(box, canvas.fixed)
    across, along, top = _iliac_plate(body, (x, y, z))
    plate = np.abs(across) - (0.10 * pitch + 0.8 + 0.05 * pitch * np.abs(2 * along / _iliac_length(body) - 1))
    ends = np.maximum(-along, along - _iliac_length(body))
    wing = smooth_intersection(plate, np.maximum(top, ends), 1.5)
    _paint_bone(canvas, box, wing, 0.03 * pitch + 0.6)


def _iliac_ends(body: Body) -> np.ndarray:
    """Back and front end (x, y) of the left wing, mm."""
    back = (0.30 * body.half_width, body.spine_y + 1.0 * body.pitch)
    return np.array([back, (0.74 * body.half_width, -0.12 * body.half_depth)])


def _iliac_length(body: Body) -> float:
    return float(np.linalg.norm(np.diff(_iliac_ends(body), axis=0)))


def _iliac_plate(body: Body, p: Coordinates) -> Coordinates:
    """Distances in mm: outward from the wing's middle, from its back end forward, and above its crest."""
    x, y, z = p
    back, front = _iliac_ends(body)
    length = _iliac_length(body)
    ahead = (front - back) / length
    side = np.abs(x)
    along = (side - back[0]) * ahead[0] + (y - back[1]) * ahead[1]
    across = -(side - back[0]) * ahead[1] + (y - back[1]) * ahead[0]
    bulge = (2.0 * along / length - 1.0) ** 2
    crest = 0.2 * body.pitch
    # The wing is bowed outward and opens upward; the crest is highest in its middle.
    across = across - 0.16 * length * (1.0 - bulge) - 0.25 * (z - crest)
    return across, along, z - crest + 0.75 * body.pitch * bulge
