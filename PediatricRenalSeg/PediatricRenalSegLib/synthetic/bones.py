"""Spine, ribs and iliac wings.

Lengths are given in vertebrae (``Body.pitch``), so that they grow with the child; y is counted from the center of
the vertebral bodies backward. Where a constant names no source it is an estimate, chosen by eye so that generated
slices look like a child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import VERTEBRA_HALF_DEPTH, Body
from .canvas import FAR_MM, Box, Canvas, RandomParts
from .shapes import Coordinates, Waves, smooth_intersection, smoothstep

NARROWER_CHEST = 0.22, 0.04
"""How much narrower and less deep the bodies are in the chest than at the lumbar spine, as shares."""

CHEST = 3.5, 6.5
"""Heights between which lumbar vertebrae turn into thoracic ones."""

WAIST = 0.07, 0.06
"""How much a body is waisted in its middle, across and in depth, as shares."""

FLAT_BACK = 0.40
"""Where the back of the bodies, toward the canal, is cut flat."""

CORTEX_OF_BODY, CORTEX_OF_ARCH, CORTEX_OF_RIB, CORTEX_OF_ILIUM = (0.035, 0.4), (0.03, 0.5), (0.02, 0.5), (0.03, 0.6)
"""Thickness of compact bone: vertebrae, and mm added."""

BODY_WITHOUT_DISC = 0.72, 0.82
"""Least and most share of a vertebra's height that is bone, the rest is disc."""

CANAL_Y, CANAL_RADIUS, CORD_RADIUS = VERTEBRA_HALF_DEPTH + 0.30, 0.30, 0.15
"""Center and radius of the spinal canal, and the cord in it; the cord is painted over the whole length."""

LAMINA_RADIUS, LAMINA_HALF_THICKNESS, LAMINA_Z, LAMINA_HALF_Z = 0.38, 0.09, -0.08, 0.30
"""The ring of bone around the canal; center and half of its height, from the middle of the vertebra."""

TRANSVERSE_BEGIN, TRANSVERSE_END, SHORTER_IN_CHEST = 0.35, 1.15, 0.25
"""Between which distances from the midline the transverse processes lie, and how much less far in the chest."""

TRANSVERSE_Y, TRANSVERSE_Z, TRANSVERSE_RADIUS, TRANSVERSE_SWEEP = 0.72, 0.05, 0.11, 0.12
"""Their middle line and radius, and how much they point backward."""

FACET_SIDE, FACET_Y, FACET_RADIUS, FACET_Z, FACET_HALF_Z = 0.52, 0.95, 0.17, 0.32, 0.2
"""Facet joints: columns on both sides, at both ends of the vertebra."""

SPINOUS_HALF_SIDE, SPINOUS_Y, SPINOUS_Z, SPINOUS_HALF_Z, SPINOUS_FALL = 0.085, (1.05, 1.62), -0.12, 0.22, 0.25
"""Spinous process: half its width, from where to where it reaches, center and half of its height, and its fall."""

PEDICLE_SIDE, PEDICLE_Y, PEDICLE_Z = (0.42, 0.12), (0.55, 0.28), (0.10, 0.20)
"""Pedicles, from the body to the arch on both sides: center and half size."""

RIB_LEVEL_12, RIB_STEP = 4.55, 0.93
"""Height of the twelfth rib's head, and from one rib to the next above it."""

RIB_FALL_12, RIB_FALL_STEP, RIB_FALL = 0.95, 0.12, 1.9
"""How far ribs fall toward the front: of the twelfth, more for each above it, and a factor for all.

Too level: ribs 12 to 9 fall by 9 to 17 degrees, in an adult's CT the twelfth by about 40.
"""

RIB_RISE = 1.3
"""How far ribs rise again at the front, toward the sternum."""

RIB_HALF_HEIGHT, RIB_HALF_THICKNESS = (0.155, 0.7), (0.105, 0.5)
"""Half the height and the thickness of a rib: vertebrae, and mm added."""

RIB_ENDS = {12: 0.75, 11: 1.25, 10: 1.85, 9: 2.05, 8: 2.25, 7: 2.45, 6: 2.6}
"""Angle around the trunk in radians, from the spine, at which the bone of each rib ends."""

CARTILAGE, FLOATING_RIB = 0.55, 11
"""Angle over which a rib goes on as cartilage; from the eleventh down they end free."""

ILIAC_BACK, ILIAC_FRONT = (0.30, 1.0), (0.74, -0.12)
"""Ends of a wing, beside the sacrum and at the anterior superior iliac spine.

x in half widths of the trunk; y of the back end in vertebrae from the spine's center, of the front one in half depths
from the trunk's.
"""

ILIAC_HALF_THICKNESS, ILIAC_THICKER_ENDS = (0.10, 0.8), 0.05
"""Half the thickness of a wing in its middle: vertebrae, and mm added; and vertebrae that are added at both ends."""

ILIAC_CREST, CREST_SAG = 0.2, 0.75
"""Height of the iliac crest at its highest, and how much lower it is at both ends."""

ILIAC_BOW, ILIAC_FLARE = 0.16, 0.25
"""How far a wing is bowed outward, as a share of its length, and leans outward, mm a mm of height."""


def paint_bones(canvas: Canvas, body: Body, rng_of: RandomParts) -> None:
    """The skeleton, over everything that was painted before it."""
    _paint_spine(canvas, body, rng_of("spine"))
    _paint_ribs(canvas, body, rng_of("ribs"))
    _paint_ilium(canvas, body)


def _length(size: tuple[float, float], pitch: float) -> float:
    """Vertebrae, and mm added, in mm."""
    vertebrae, added = size
    return vertebrae * pitch + added


def _paint_bone(
    canvas: Canvas, box: Box, distance: np.ndarray, cortex_mm: float, roughness: np.ndarray | float = 0.0
) -> None:
    """A shell of compact bone with marrow inside."""
    canvas.paint("bone", box, distance, clip=False)
    canvas.paint("marrow", box, distance + cortex_mm * (1.0 + roughness), clip=False)


def _paint_spine(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Bodies with discs, the arches behind them, and the cord in its canal."""
    pitch = body.pitch
    low = (-1.6 * pitch, body.spine_y - 0.9 * pitch, -np.inf)
    high = (1.6 * pitch, body.spine_y + 2.3 * pitch, np.inf)
    box = canvas.find_box(low, high, canvas.fixed)
    if box is None:
        return
    x, y, z = canvas.at(box, canvas.fixed)
    y = y - body.spine_y
    level = z / pitch
    step = (level - np.floor(level) - 0.5) * pitch  # height within one vertebra, 0 in its middle
    chest = smoothstep(z, CHEST[0] * pitch, CHEST[1] * pitch)

    column = _column(body, x, y, step, chest)
    bone = 0.5 * rng.uniform(*BODY_WITHOUT_DISC) * pitch
    vertebra = smooth_intersection(column, np.abs(step) - bone, 0.08 * pitch)
    canvas.paint("muscle", box, column - 0.10 * pitch, clip=False)  # ligaments and crura
    canvas.paint("disc", box, column, clip=False)
    rough = 0.4 * Waves.draw(rng, 0.5 * pitch, 4)((x, y, z))
    _paint_bone(canvas, box, vertebra, _length(CORTEX_OF_BODY, pitch), rough)

    _paint_bone(canvas, box, _arch(pitch, x, y, step, chest), _length(CORTEX_OF_ARCH, pitch))
    deep = y - CANAL_Y * pitch
    canal = np.sqrt((x / 1.15) ** 2 + deep * deep) - CANAL_RADIUS * pitch
    canvas.paint("csf", box, canal + 0.02 * pitch, clip=False)
    canvas.paint("cord", box, np.sqrt((x / 1.2) ** 2 + deep * deep) - CORD_RADIUS * pitch, clip=False)


def _column(body: Body, x: np.ndarray, y: np.ndarray, step: np.ndarray, chest: np.ndarray) -> np.ndarray:
    """Distance to the bodies and discs: narrower in the chest, and each body waisted in its middle."""
    end = (2 * step / body.pitch) ** 2  # 1 at both ends of a vertebra
    half_x = body.vertebra_half_width * (1.0 - NARROWER_CHEST[0] * chest) * (1.0 - WAIST[0] + WAIST[0] * end)
    half_y = VERTEBRA_HALF_DEPTH * body.pitch * (1.0 - NARROWER_CHEST[1] * chest) * (1.0 - WAIST[1] + WAIST[1] * end)
    column = (np.sqrt((x / half_x) ** 2 + (y / half_y) ** 2) - 1.0) * half_y
    return np.maximum(column, 0.9 * (y - FLAT_BACK * body.pitch))


def _arch(pitch: float, x: np.ndarray, y: np.ndarray, step: np.ndarray, chest: np.ndarray) -> np.ndarray:
    """Distance to the vertebral arch: lamina, pedicles, facets, transverse and spinous processes."""
    side = np.abs(x)
    deep = y - CANAL_Y * pitch
    ring = np.sqrt((x / 1.15) ** 2 + (deep * 0.95) ** 2) - LAMINA_RADIUS * pitch
    lamina = np.maximum(
        np.abs(ring) - LAMINA_HALF_THICKNESS * pitch, np.abs(step - LAMINA_Z * pitch) - LAMINA_HALF_Z * pitch
    )

    pedicle, deep, height = (
        np.abs(along - center * pitch) - half * pitch
        for along, (center, half) in ((side, PEDICLE_SIDE), (y, PEDICLE_Y), (step, PEDICLE_Z))
    )
    pedicle = np.maximum(np.maximum(pedicle, deep), height)

    sweep = y - TRANSVERSE_Y * pitch - TRANSVERSE_SWEEP * (side - 0.4 * pitch)
    transverse = np.sqrt(sweep**2 + (0.8 * (step - TRANSVERSE_Z * pitch)) ** 2) - TRANSVERSE_RADIUS * pitch
    transverse = np.maximum(transverse, side - (TRANSVERSE_END - SHORTER_IN_CHEST * chest) * pitch)
    transverse = np.maximum(transverse, TRANSVERSE_BEGIN * pitch - side)

    facet = np.sqrt((side - FACET_SIDE * pitch) ** 2 + (y - FACET_Y * pitch) ** 2) - FACET_RADIUS * pitch
    facet = np.maximum(facet, np.abs(np.abs(step) - FACET_Z * pitch) - FACET_HALF_Z * pitch)

    fall = SPINOUS_FALL * ((y - 0.75 * pitch) / pitch) * pitch
    height = np.abs(step - SPINOUS_Z * pitch + fall) - SPINOUS_HALF_Z * pitch
    spinous = np.maximum(side - SPINOUS_HALF_SIDE * pitch, height)
    begin, end = SPINOUS_Y
    spinous = np.maximum(spinous, np.maximum(begin * pitch - y, y - end * pitch))
    return np.minimum(np.minimum(np.minimum(lamina, pedicle), np.minimum(transverse, spinous)), facet)


def _paint_ribs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Ribs 6 to 12: bands in the wall that fall toward the front, then turn to cartilage."""
    pitch = body.pitch
    top = np.flatnonzero(canvas.z > 0.8 * pitch)
    if not len(top):
        return
    box = (slice(top[0], canvas.shape[0]), *canvas.everywhere[1:])
    x, y, z = canvas.at(box, canvas.wall)
    depth = canvas.in_muscle[box]
    across, deep = x / body.half_width, y / body.half_depth
    angle = np.arccos(np.clip(deep / np.sqrt(across**2 + deep**2), -1, 1))
    height, thick = _length(RIB_HALF_HEIGHT, pitch), _length(RIB_HALF_THICKNESS, pitch)
    # In the middle of the wall, and deeper beside the spine.
    into = depth - (0.45 * body.muscle + 0.3 * thick + 0.5 * pitch * (1.0 - smoothstep(angle, 0.15, 0.55)))
    bone = np.full(depth.shape, FAR_MM, np.float32)
    cartilage = bone.copy()
    for rib, end in RIB_ENDS.items():
        origin = (RIB_LEVEL_12 + RIB_STEP * (12 - rib)) * pitch
        fall = (RIB_FALL_12 + RIB_FALL_STEP * (12 - rib)) * pitch * smoothstep(angle, 0.0, 2.1) * RIB_FALL
        rise = RIB_RISE * pitch * smoothstep(angle, 2.0, 3.0)
        wobble = 0.08 * pitch * rng.normal()
        distance = (np.sqrt((into / thick) ** 2 + ((z - origin + fall - rise + wobble) / height) ** 2) - 1.0) * thick
        bone = np.minimum(bone, np.maximum(distance, (angle - end) * 20.0))
        if rib < FLOATING_RIB:
            front = np.maximum(distance, np.maximum(end - angle, angle - (end + CARTILAGE)) * 20.0)
            cartilage = np.minimum(cartilage, front)
    canvas.paint("cartilage", box, cartilage, clip=False)
    _paint_bone(canvas, box, bone, _length(CORTEX_OF_RIB, pitch))


def _paint_ilium(canvas: Canvas, body: Body) -> None:
    """Iliac wings: curved plates that open to the front, thinnest in their middle."""
    pitch, length = body.pitch, iliac_length(body)
    low = np.flatnonzero(canvas.z < 0.7 * pitch)
    if not len(low):
        return
    box = (slice(0, low[-1] + 1), *canvas.everywhere[1:])
    across, along, top = iliac_plate(body, canvas.at(box, canvas.fixed))
    thicker = ILIAC_THICKER_ENDS * pitch * np.abs(2 * along / length - 1)
    plate = np.abs(across) - (_length(ILIAC_HALF_THICKNESS, pitch) + thicker)
    ends = np.maximum(-along, along - length)
    wing = smooth_intersection(plate, np.maximum(top, ends), 1.5)
    _paint_bone(canvas, box, wing, _length(CORTEX_OF_ILIUM, pitch))


def _iliac_ends(body: Body) -> np.ndarray:
    """Back and front end (x, y) of the left wing, mm."""
    back = (ILIAC_BACK[0] * body.half_width, body.spine_y + ILIAC_BACK[1] * body.pitch)
    return np.array([back, (ILIAC_FRONT[0] * body.half_width, ILIAC_FRONT[1] * body.half_depth)])


def iliac_length(body: Body) -> float:
    """Length of a wing in mm, from back to front."""
    return float(np.linalg.norm(np.diff(_iliac_ends(body), axis=0)))


def iliac_plate(body: Body, position: Coordinates) -> Coordinates:
    """Distances in mm: outward from the wing's middle, from its back end forward, and above its crest."""
    x, y, z = position
    back, front = _iliac_ends(body)
    length = iliac_length(body)
    ahead = (front - back) / length
    side = np.abs(x)
    along = (side - back[0]) * ahead[0] + (y - back[1]) * ahead[1]
    across = -(side - back[0]) * ahead[1] + (y - back[1]) * ahead[0]
    bulge = (2.0 * along / length - 1.0) ** 2
    crest = ILIAC_CREST * body.pitch
    # The wing is bowed outward and opens upward; the crest is highest in its middle.
    across = across - ILIAC_BOW * length * (1.0 - bulge) - ILIAC_FLARE * (z - crest)
    return across, along, z - crest + CREST_SAG * body.pitch * bulge
