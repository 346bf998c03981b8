"""Lungs, heart, liver, gallbladder, spleen, pancreas and adrenals.

Places and sizes are shares of the trunk's or the cavity's half width (x) and half depth (y), and vertebrae (z), so
that they grow with the child. Where a constant names no source it is an estimate, chosen by eye so that generated
slices look like a child's CT.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .canvas import Box, Canvas, RandomParts
from .kidneys import Kidney
from .shapes import (
    Coordinates,
    Waves,
    ellipsoid,
    local,
    relative,
    rotation,
    smooth_intersection,
    smooth_union,
    smoothstep,
)

RIGHT_DOME, LEFT_DOME = (-0.45, 0.62), (0.48, 0.60)
"""x of the top of each dome of the diaphragm, and the distance from it at which the dome has fallen by its slope."""

DOME_DEPTH = -0.10, 1.12
"""The same in y, for both domes."""

DIAPHRAGM = 0.2
"""Thickness of the diaphragm in vertebrae."""

DOME_SLOPE, LEFT_DOME_LOWER, DOME_VALLEY = 3.6, 0.45, 1.3
"""In vertebrae: how far a dome falls to its edge, how much lower the left one is, and the middle between them."""

HEART_CENTER, HEART_RADII = (0.14, -0.32, 0.9), (0.52, 0.48, 1.9)
"""The heart, z over the right dome: what of it lies on the diaphragm is seen."""

HEART_WALL = 0.16, 1.5
"""Thickness of its wall: vertebrae, and mm added."""

MEDIASTINUM, MEDIASTINUM_X = (0.11, 0.05), 0.02
"""Half width of the mediastinum and how much it varies, and its middle: a little to the left."""

LUNG_VESSEL_MESH, LUNG_VESSEL_RADIUS = 0.28, (0.6, 0.008)
"""Size of the mesh of vessels over the trunk's half width; radius: mm, and half widths added."""

LIVER_BOTTOM, LIVER_BOTTOM_OF_NEWBORN, LIVER_BOTTOM_SPREAD = 2.0, 0.6, 0.45
"""Lower edge at the right flank, how much lower the newborn's is, and standard deviation, all in vertebrae."""

LIVER_REACH, LIVER_REACH_OF_NEWBORN, LIVER_REACH_SPREAD = 0.25, 0.30, (-0.05, 0.35)
"""How far the left lobe reaches beyond the midline, how much farther the newborn's does, and what one child adds."""

NEWBORN_UNTIL = 4.0
"""Years at which nothing of the newborn's proportions of the liver is left."""

LIVER_CLIMB, LIVER_CLIMB_SPREAD = 2.6, (0.95, 1.2)
"""How far the lower edge climbs to the left, in vertebrae a half width, and by what it is multiplied in one child."""

LIVER_RIGHT, CLIMB_BACK, CLIMB_BACK_FROM = -0.85, 0.35, 0.15
"""x from which the lower edge climbs; mm a mm that it climbs backward, and from which y on."""

LIVER_MEDIAL, MEDIAL_LEAN, MEDIAL_LEVEL = (-0.22, -0.2), (0.55, 0.35), 4.2
"""The plane that ends the right lobe: x, y and z (vertebrae) that it passes, and mm it moves right a mm back and up."""

LEFT_LOBE_BACK, LEFT_LOBE_LEVEL, LEFT_LOBE_LEAN = -0.12, 5.0, 0.2
"""Back of the left lobe: y at ``LIVER_REACH`` and at this height in vertebrae, and mm it moves back a mm upward."""

LEFT_LOBE_BOTTOM, LEFT_LOBE_LOWER_IN_NEWBORN, LEFT_LOBE_CLIMB = 3.9, 0.8, 0.25
"""Its lower edge at the midline, how much lower the newborn's is, both in vertebrae, and its climb to the left."""

LEFT_LOBE_RIGHT = -0.6
"""x to which it reaches into the right lobe."""

LIVER_VESSELS = {"portal_vein": 0.75, "hepatic_vein": 0.85}
"""The trees of vessels, and their meshes' size over the trunk's half width."""

GALLBLADDER_CENTER, GALLBLADDER_RADII, GALLBLADDER_FILLING = (-0.42, -0.30, 1.25), (0.42, 0.95, 0.48), (0.6, 1.15)
"""The gallbladder: z over the liver's lower edge, radii in vertebrae; least and most size over these."""

SPLEEN_CENTER, SPLEEN_Z, SPLEEN_RADII = (0.74, 0.28), (5.2, 5.8), (0.36, 0.52, 1.65)
"""The spleen: x and y, least and most height, and radii; one child's is 0.85 to 1.15 of them."""

GALLBLADDER_TILT, GALLBLADDER_ROLL = (0.2, 0.7), (-0.5, 0.2)
"""Least and most radians that it is turned about x, and about z.

The tilt has the wrong sign: the upper end lies in front, in the body the fundus is low in front.
"""

SPLEEN_TURN, SPLEEN_TILT = (0.2, 0.6), (-0.1, 0.3)
"""Least and most radians that it is turned about z, and about y. The turn has the wrong sign."""

SPLEEN_HOLLOW, SPLEEN_HOLLOW_SIZE = (0.42, 0.22), 0.9
"""How far inward and forward lies what hollows the spleen out (the stomach), and its size over the spleen's."""

PANCREAS_COURSE = ((-0.30, -0.30, 2.6), (-0.26, -0.55, 3.4), (-0.02, -1.05, 3.9), (0.25, -0.75, 4.2))
"""Head, neck and body: x in half widths, y in vertebrae from the front of the spine, z in vertebrae."""

PANCREAS_TAIL = 0.48, -0.05, 4.7
"""The tail: as above, but y in half depths."""

PANCREAS_RADII = 0.42, 0.46, 0.32, 0.32, 0.26
"""Radius from head to tail, in vertebrae."""

PANCREAS_SCATTER = 0.08
"""Standard deviation of each point of that course, in vertebrae."""

SPLENIC_VEIN, SPLENIC_VEIN_RADIUS = (0.0, 0.30, 0.1), (0.11, 0.6)
"""Vertebrae from the pancreas's middle line, behind it; radius: vertebrae, and mm added."""

ADRENAL_MM = (0, 1, 16), (9.0, 6.0, 11.0)
"""Length of an adrenal's limb by age in years: relatively large in the newborn."""

ADRENAL_LIMBS = -0.8, 0.5
"""How far the two limbs point outward, as a share of half that length."""


def dome_height(position: Coordinates, body: Body) -> np.ndarray:
    """Height of the diaphragm in mm over each point: two domes that fall off to the ribs."""
    x, y, _ = position
    half_width, half_depth = body.inner_half_width, body.inner_half_depth
    right = ((x - RIGHT_DOME[0] * half_width) / (RIGHT_DOME[1] * half_width)) ** 2
    left = ((x - LEFT_DOME[0] * half_width) / (LEFT_DOME[1] * half_width)) ** 2
    deep = ((y - DOME_DEPTH[0] * half_depth) / (DOME_DEPTH[1] * half_depth)) ** 2
    slope = DOME_SLOPE * body.pitch
    high = body.dome * body.pitch
    domes = np.maximum(high - slope * (right + deep), high - LEFT_DOME_LOWER * body.pitch - slope * (left + deep))
    valley = (body.dome - DOME_VALLEY) * body.pitch * (1.0 - 0.55 * smoothstep(y, 0.0, 0.9 * half_depth))
    return np.maximum(domes, valley)


def paint_chest(canvas: Canvas, body: Body, rng_of: RandomParts) -> None:
    """Lung bases with vessels, heart and mediastinum, and the diaphragm itself."""
    rng = rng_of("chest")
    high = np.flatnonzero(canvas.z > 3.2 * body.pitch)
    if not len(high):
        return
    box = (slice(high[0], canvas.shape[0]), *canvas.everywhere[1:])
    position = canvas.at(box, canvas.soft)
    x, y, z = position
    over = dome_height(position, body) - z  # negative above the diaphragm
    canvas.paint("muscle", box, over)
    wave = Waves.draw(rng, 0.6 * body.half_width, 4)(position)
    above = over + 0.08 * body.pitch + 0.8
    beside = (MEDIASTINUM[0] + MEDIASTINUM[1] * wave) * body.half_width - np.abs(x - MEDIASTINUM_X * body.half_width)
    # Beside the spine the lungs lie behind the heart.
    behind = np.maximum(0.55 * body.pitch - np.abs(x), body.spine_y - 0.2 * body.pitch - y)
    lung = np.minimum(np.maximum(above, beside), np.maximum(above, behind))
    canvas.paint("mesentery", box, over + DIAPHRAGM * body.pitch)
    canvas.paint("lung", box, lung + 0.5)
    _paint_lung_vessels(canvas, box, position, lung + 2.0, rng, body)
    _paint_heart(canvas, box, position, over, wave, body)


def _paint_heart(
    canvas: Canvas, box: Box, position: Coordinates, over: np.ndarray, wave: np.ndarray, body: Body
) -> None:
    across, deep, up = HEART_CENTER
    center = (across * body.half_width, deep * body.half_depth, (body.dome + up) * body.pitch)
    radii = np.array(HEART_RADII) * (body.half_width, body.half_depth, body.pitch)
    heart = ellipsoid(relative(position, center), radii) + 1.5 * wave
    heart = np.maximum(heart, over + 0.1 * body.pitch)
    canvas.paint("heart_wall", box, heart)
    canvas.paint("heart", box, heart + HEART_WALL[0] * body.pitch + HEART_WALL[1])


def _paint_lung_vessels(
    canvas: Canvas, box: Box, position: Coordinates, lung: np.ndarray, rng: np.random.Generator, body: Body
) -> None:
    """Vessels as the crossings of two smooth fields: thin, branching, everywhere."""
    scale = LUNG_VESSEL_MESH * body.half_width
    added, share = LUNG_VESSEL_RADIUS
    first, second = Waves.draw(rng, scale, 7)(position), Waves.draw(rng, scale, 7)(position)
    vessel = (np.sqrt(first * first + second * second) * 0.16 * scale) - (added + share * body.half_width)
    canvas.paint("lung_vessel", box, np.maximum(vessel, lung), opacity=0.85)


def paint_upper_abdomen(canvas: Canvas, body: Body, kidneys: tuple[Kidney, ...], rng_of: RandomParts) -> None:
    """Spleen, pancreas, liver with gallbladder, adrenals."""
    _paint_spleen(canvas, body, rng_of("spleen"))
    _paint_pancreas(canvas, body, rng_of("pancreas"))
    _paint_liver(canvas, body, rng_of("liver"))
    _paint_adrenals(canvas, body, kidneys)


def _paint_liver(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """A wedge under the right dome: cut below by the visceral surface, thin to the left.

    The newborn's liver is relatively large and reaches below the ribs and far
    to the left.
    """
    newborn = np.float32(1.0 - smoothstep(np.array(body.age_years, np.float32), 0.0, NEWBORN_UNTIL))
    scatter = LIVER_BOTTOM_SPREAD * np.clip(rng.normal(), -1.5, 1.5)
    bottom = body.pitch * (LIVER_BOTTOM - LIVER_BOTTOM_OF_NEWBORN * newborn + scatter)
    reach = LIVER_REACH + LIVER_REACH_OF_NEWBORN * newborn + rng.uniform(*LIVER_REACH_SPREAD)
    reach = body.inner_half_width * reach
    low = (-np.inf, -np.inf, bottom - 0.5 * body.pitch)
    box = canvas.find_box(low, (reach + 12, np.inf, body.dome * body.pitch + 6), canvas.soft)
    if box is None:
        return
    position = canvas.at(box, canvas.soft)
    wave = Waves.draw(rng, 0.8 * body.half_width, 5)(position)
    fine = Waves.draw(rng, 0.3 * body.half_width, 5)(position)
    under_dome = position[2] - dome_height(position, body) + 0.3
    inset = canvas.cavity[box] + rng.uniform(0.8, 2.5)
    lobe = _right_lobe(body, position, bottom, rng.uniform(*LIVER_CLIMB_SPREAD), wave)
    liver = smooth_union(lobe, _left_lobe(body, position, reach, newborn), 0.4 * body.pitch)
    liver = liver + 0.012 * body.half_width * fine
    liver = smooth_intersection(smooth_intersection(liver, under_dome, 0.2 * body.pitch), inset, 0.12 * body.pitch)
    canvas.paint("liver", box, liver)
    _paint_liver_vessels(canvas, box, position, liver, rng, body)
    _paint_gallbladder(canvas, body, bottom, rng)


def _right_lobe(body: Body, position: Coordinates, bottom: np.floating, slope: float, wave: np.ndarray) -> np.ndarray:
    """Between the lower edge, which climbs to the left and to the back, and a plane that leans over the spine."""
    x, y, z = position
    right = LIVER_RIGHT * body.inner_half_width
    climb = bottom + (x - right) * slope * (LIVER_CLIMB * body.pitch) / body.inner_half_width
    climb = climb + CLIMB_BACK * np.maximum(y - CLIMB_BACK_FROM * body.half_depth, 0.0) + 0.10 * body.pitch * wave
    lower = (climb - z) * 0.75
    (across, deep), (lean_back, lean_up) = LIVER_MEDIAL, MEDIAL_LEAN
    medial = x - across * body.inner_half_width + lean_back * (y - deep * body.half_depth)
    medial = medial - lean_up * (z - MEDIAL_LEVEL * body.pitch)
    return smooth_intersection(lower, medial * 0.75, 0.25 * body.pitch)


def _left_lobe(body: Body, position: Coordinates, reach: np.floating, newborn: np.float32) -> np.ndarray:
    """In front of the stomach, up to ``reach``; the newborn's reaches farther down."""
    x, y, z = position
    behind = y - LEFT_LOBE_BACK * body.half_depth + 0.125 * (x - reach)
    behind = behind - LEFT_LOBE_LEAN * (z - LEFT_LOBE_LEVEL * body.pitch)
    lobe = np.maximum(x - reach, behind)
    bottom = LEFT_LOBE_BOTTOM * body.pitch - LEFT_LOBE_LOWER_IN_NEWBORN * newborn * body.pitch
    lobe = np.maximum(lobe, bottom + LEFT_LOBE_CLIMB * x - z)
    return np.maximum(lobe, LEFT_LOBE_RIGHT * body.inner_half_width - x)


def _paint_liver_vessels(
    canvas: Canvas, box: Box, position: Coordinates, liver: np.ndarray, rng: np.random.Generator, body: Body
) -> None:
    """As in the lungs; wider in the middle of the liver."""
    deep = liver + 0.14 * body.pitch + 2.0
    for tissue, scale in LIVER_VESSELS.items():
        first, second = (Waves.draw(rng, scale * body.half_width, 6)(position) for _ in range(2))
        near = smoothstep(-deep, 0.0, 0.5 * body.half_width)
        radius = 0.6 + 0.05 * body.pitch * (0.5 + near)
        vessel = np.sqrt(first * first + second * second) * 0.14 * scale * body.half_width - radius
        canvas.paint(tissue, box, np.maximum(vessel, deep))


def _paint_gallbladder(canvas: Canvas, body: Body, bottom: np.floating, rng: np.random.Generator) -> None:
    across, deep, up = GALLBLADDER_CENTER
    center = np.array([across * body.inner_half_width, deep * body.half_depth, bottom + up * body.pitch])
    radii = body.pitch * np.array(GALLBLADDER_RADII) * rng.uniform(*GALLBLADDER_FILLING)
    box = canvas.find_box(center - radii.max(), center + radii.max(), canvas.soft)
    if box is None:
        return
    frame = rotation([1, 0, 0], rng.uniform(*GALLBLADDER_TILT)) @ rotation([0, 0, 1], rng.uniform(*GALLBLADDER_ROLL))
    distance = ellipsoid(local(canvas.at(box, canvas.soft), center, frame), radii)
    canvas.paint("bowel_wall", box, distance)
    canvas.paint("bile", box, distance + 1.0)


def _paint_spleen(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Behind the left flank: a comma around the stomach, mottled in the arterial phase."""
    half_width, half_depth, pitch = body.inner_half_width, body.inner_half_depth, body.pitch
    size = rng.uniform(0.85, 1.15)
    across, deep = SPLEEN_CENTER
    center = np.array([across * half_width, deep * half_depth, pitch * rng.uniform(*SPLEEN_Z)])
    radii = size * (np.array(SPLEEN_RADII) * (half_width, half_depth, pitch))
    reach = radii.max() * 1.1
    box = canvas.find_box(center - reach, center + reach, canvas.soft)
    if box is None:
        return
    position = canvas.at(box, canvas.soft)
    frame = rotation([0, 0, 1], rng.uniform(*SPLEEN_TURN)) @ rotation([0, 1, 0], rng.uniform(*SPLEEN_TILT))
    wave = Waves.draw(rng, 0.5 * body.half_width, 5)(position)
    distance = ellipsoid(local(position, center, frame), radii) + 0.02 * body.half_width * wave
    stomach = center - [SPLEEN_HOLLOW[0] * half_width, SPLEEN_HOLLOW[1] * half_depth, 0]
    hollow = ellipsoid(relative(position, stomach), radii * SPLEEN_HOLLOW_SIZE)
    distance = smooth_intersection(distance, -hollow, 0.2 * pitch)
    under_dome = position[2] - dome_height(position, body) + 0.5
    distance = np.maximum(np.maximum(distance, under_dome), canvas.cavity[box] + 1.5)
    canvas.paint("spleen", box, distance)
    stripes = np.sin(2.2 * Waves.draw(rng, 0.35 * body.half_width, 6)(position) - 0.55 * distance / (0.1 * pitch))
    canvas.paint("spleen_bright", box, distance + 0.5, opacity=0.5 + 0.5 * stripes)


def _paint_pancreas(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Across the spine from the duodenum to the spleen, with the splenic vein behind it."""
    half_width, half_depth, pitch = body.inner_half_width, body.inner_half_depth, body.pitch
    points = np.array([*PANCREAS_COURSE, PANCREAS_TAIL]) * (half_width, pitch, pitch)
    points[-1, 1] = PANCREAS_TAIL[1] * half_depth
    points[:, 1] += body.spine_front_y
    points += rng.normal(0, PANCREAS_SCATTER * pitch, points.shape)
    tube = canvas.tube(points, np.array(PANCREAS_RADII) * pitch, canvas.soft)
    if tube is None:
        return
    box, distance = tube
    distance = distance + 0.10 * pitch * Waves.draw(rng, 0.8 * pitch, 6)(canvas.at(box, canvas.soft))
    canvas.paint("pancreas", box, distance)
    vertebrae, added = SPLENIC_VEIN_RADIUS
    splenic = canvas.tube(points[1:] + np.array(SPLENIC_VEIN) * pitch, vertebrae * pitch + added, canvas.soft)
    if splenic is not None:
        canvas.paint("portal_vein", *splenic)


def _paint_adrenals(canvas: Canvas, body: Body, kidneys: tuple[Kidney, ...]) -> None:
    """A small Y on each kidney's upper pole; relatively large in the newborn."""
    size = float(np.interp(body.age_years, *ADRENAL_MM))
    for kidney in kidneys:
        top = kidney.center + kidney.frame[0] * kidney.radii[0] * 0.98 + kidney.frame[1] * 0.35 * kidney.radii[1]
        for outward in ADRENAL_LIMBS:
            tip = top + [kidney.side * outward * size * 0.5, size, -0.3 * size]
            limb = canvas.tube(np.stack([top + [0, -0.5 * size, 0], top, tip]), 1.5 + 0.04 * size, canvas.soft)
            if limb is not None:
                canvas.paint("adrenal", *limb)
