"""Scores of boxes and spheres whose true values are known."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import DIRECTIONS, ellipsoids, grid

from PediatricRenalSegLib.evaluation.metrics import LESIONS, compare_masks, detect_lesions

SPACING = (1.0, 2.0, 3.0)
"""Millimeters along x, y, z."""


def image(array, spacing=SPACING):
    volume = sitk.GetImageFromArray(array.astype(np.uint8))
    volume.SetSpacing(spacing)
    return volume


def box(x=(10, 20), y=(10, 20), z=(5, 15)):
    array = np.zeros((20, 40, 60), bool)
    array[slice(*z), slice(*y), slice(*x)] = True
    return array


def sphere(radius, step=1.0, count=61):
    axis = step * (np.arange(count) - count // 2)
    return axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= radius**2


def test_identical_masks():
    scores = compare_masks(image(box()), image(box()))
    assert scores["dice"] == 1 and scores["hausdorff95_mm"] == scores["surface_mm"] == 0
    assert scores["reference_ml"] == scores["prediction_ml"] == pytest.approx(1000 * 6 / 1000)


@pytest.mark.parametrize("shift", [1, 4, 10])
def test_dice_of_shifted_boxes(shift):
    scores = compare_masks(image(box()), image(box(x=(10 + shift, 20 + shift))))
    assert scores["dice"] == pytest.approx((10 - shift) / 10)


@pytest.mark.parametrize(("axis", "moved"), [("x", 40), ("y", 30), ("z", 15)])
def test_distances_are_millimeters(axis, moved):
    """Thin plates far apart: every surface voxel is as far from the other mask as the plates are."""
    low, step = 5, dict(zip("xyz", SPACING))[axis]
    plates = [image(box(**{axis: (start, start + 1)})) for start in (low, moved)]
    scores = compare_masks(*plates)
    expected = (moved - low) * step
    assert scores["hausdorff95_mm"] == pytest.approx(expected, rel=1e-4)
    assert scores["surface_mm"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_concentric_spheres(step):
    small, large, pixel = 8.0, 12.0, (step, step, step)
    scores = compare_masks(image(sphere(large, step), pixel), image(sphere(small, step), pixel))
    assert scores["surface_mm"] == pytest.approx(large - small, abs=0.5 * step)
    assert scores["hausdorff95_mm"] == pytest.approx(large - small, abs=step)
    assert scores["reference_ml"] == pytest.approx(4 / 3 * math.pi * large**3 / 1000, rel=0.02)
    assert scores["dice"] == pytest.approx(2 * small**3 / (small**3 + large**3), rel=0.02)


def test_hausdorff_leaves_out_the_worst_twentieth():
    """One stray voxel must not decide."""
    stray = box()
    stray[0, 39, 59] = True
    assert compare_masks(image(box()), image(stray))["hausdorff95_mm"] == 0


def test_scores_are_symmetric():
    one, other = image(box()), image(box(x=(13, 27), y=(8, 17)))
    forth, back = compare_masks(one, other), compare_masks(other, one)
    for name in ("dice", "hausdorff95_mm", "surface_mm"):
        assert forth[name] == pytest.approx(back[name])
    assert forth["reference_ml"] == back["prediction_ml"]


def test_empty_masks():
    nothing, something = image(np.zeros_like(box())), image(box())
    both = compare_masks(nothing, nothing)
    assert both["dice"] == 1 and both["volume_error_ml"] == 0 and math.isnan(both["volume_error_percent"])
    for pair in ((nothing, something), (something, nothing)):
        scores = compare_masks(*pair)
        assert scores["dice"] == 0 and math.isnan(scores["hausdorff95_mm"]) and math.isnan(scores["surface_mm"])
    assert compare_masks(something, nothing)["volume_error_percent"] == -100


def test_volume_error():
    scores = compare_masks(image(box()), image(box(x=(10, 25))))
    assert scores["volume_error_ml"] == pytest.approx(500 * 6 / 1000)
    assert scores["volume_error_percent"] == pytest.approx(50)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_scores_do_not_depend_on_the_direction(direction):
    """The same two ellipsoids on grids that lie differently, with slices thicker than pixels.

    The true values are those of 400,000 points on either surface and of 2,000,000 points in space.
    """
    empty = grid(direction, spacing=(1.0, 1.5, 3.0), extent=(90.0, 90.0, 90.0))
    masks = [ellipsoids(empty, [(1, (shift, 0, 0), (20, 14, 28))]).image for shift in (0, 6)]
    scores = compare_masks(*masks)
    assert scores["reference_ml"] == pytest.approx(4 / 3 * math.pi * 20 * 14 * 28 / 1000, rel=0.02)
    assert scores["dice"] == pytest.approx(0.777, abs=0.01)
    assert scores["hausdorff95_mm"] == pytest.approx(5.66, abs=0.8)
    assert scores["surface_mm"] == pytest.approx(2.80, abs=0.5)


def lesions(reference, prediction):
    return tuple(detect_lesions(image(reference), image(prediction))[name] for name in LESIONS)


def test_lesions_are_counted():
    """Two of three are touched, one of them by two parts of the prediction; one part lies where there is none."""
    reference = box(x=(0, 10)) | box(x=(20, 30)) | box(x=(40, 50))
    prediction = box(x=(9, 12)) | box(x=(20, 22)) | box(x=(27, 29)) | box(x=(55, 58))
    assert lesions(reference, prediction) == (3, 2, 4, 1)


def test_one_part_over_two_lesions_detects_both():
    assert lesions(box(x=(0, 10)) | box(x=(20, 30)), box(x=(5, 25))) == (2, 2, 1, 0)


def test_lesions_that_touch_at_a_corner_are_one():
    reference = box(x=(0, 10), y=(0, 10), z=(0, 5)) | box(x=(10, 20), y=(10, 20), z=(5, 10))
    assert lesions(reference, np.zeros_like(reference)) == (1, 0, 0, 0)
