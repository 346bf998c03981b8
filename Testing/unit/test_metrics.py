"""Scores of boxes and spheres whose true values are known."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from PediatricRenalSegLib.evaluation.metrics import compare_label_maps, compare_masks
from PediatricRenalSegLib.volume import InputError

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
    assert compare_masks(nothing, nothing)["dice"] == 1
    for pair in ((nothing, something), (something, nothing)):
        scores = compare_masks(*pair)
        assert scores["dice"] == 0 and math.isnan(scores["hausdorff95_mm"]) and math.isnan(scores["surface_mm"])


def write(path, array, spacing=SPACING):
    sitk.WriteImage(image(array, spacing), str(path))
    return path


def test_label_map_files_by_structure(tmp_path):
    labels = box() * 1 + box(x=(30, 40)) * 2
    predicted = box() * 1 + box(x=(35, 45)) * 2
    scores = compare_label_maps(write(tmp_path / "a.nii.gz", labels), write(tmp_path / "b.nrrd", predicted))
    assert list(scores) == ["kidney", "tumor"]
    assert scores["kidney"]["dice"] == 1 and scores["tumor"]["dice"] == pytest.approx(0.5)


@pytest.mark.parametrize("spacing", [(1.0, 2.0, 3.1), (2.0, 1.0, 3.0)])
def test_other_grid_is_refused(tmp_path, spacing):
    paths = write(tmp_path / "a.nrrd", box()), write(tmp_path / "b.nrrd", box(), spacing)
    with pytest.raises(InputError, match="different grids"):
        compare_label_maps(*paths)


def test_other_size_is_refused(tmp_path):
    paths = write(tmp_path / "a.nrrd", box()), write(tmp_path / "b.nrrd", box()[1:])
    with pytest.raises(InputError, match="different grids"):
        compare_label_maps(*paths)


def test_unreadable_file_is_refused(tmp_path):
    (tmp_path / "b.nrrd").write_text("no image")
    with pytest.raises(InputError, match='"b.nrrd" cannot be read'):
        compare_label_maps(write(tmp_path / "a.nrrd", box()), tmp_path / "b.nrrd")


def test_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "b.txt").write_text("no image")
    with pytest.raises(InputError, match="cannot be read as a label map"):
        compare_label_maps(write(tmp_path / "a.nrrd", box()), tmp_path / "b.txt")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        compare_label_maps(write(tmp_path / "a.nrrd", box()), tmp_path / "b.nrrd")


@pytest.mark.parametrize("value", [0.5, 256, -1])
def test_values_that_are_no_labels_are_refused(tmp_path, value):
    """A cast to 8 bits would make other labels of them."""
    values = sitk.GetImageFromArray(np.where(box(), value, 0).astype(np.float32))
    values.SetSpacing(SPACING)
    sitk.WriteImage(values, str(tmp_path / "b.nrrd"))
    with pytest.raises(InputError, match=f'"b.nrrd" holds the label {value:g}'):
        compare_label_maps(write(tmp_path / "a.nrrd", box()), tmp_path / "b.nrrd")
