"""Composites on a small patient made here: an ellipse of fat with a spine, two kidneys and a gut."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.structures import KIDNEY, RENAL, TUMOR
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.training.composites import generated_shapes, kidneys
from PediatricRenalSegLib.training.composites.backgrounds import load_background, prepare_background
from PediatricRenalSegLib.training.composites.composite import composite
from PediatricRenalSegLib.training.composites.draft import Draft
from PediatricRenalSegLib.training.composites.intensities import draw_intensities
from PediatricRenalSegLib.training.composites.kidneys import exchange_kidneys
from PediatricRenalSegLib.training.composites.masses import grow, make_growth
from PediatricRenalSegLib.training.composites.noise import smooth_noise
from PediatricRenalSegLib.training.composites.shapes import KidneyShape, load_shapes
from PediatricRenalSegLib.training.composites.targets import draw_targets
from PediatricRenalSegLib.training.composites.tissues import IS_RENAL, KIDNEY_TISSUES, TUMOR_TISSUES, Tissue
from PediatricRenalSegLib.training.data.scans import load_real
from PediatricRenalSegLib.volume import AIR_HU

SPACING = (6.0, 3.0, 3.0)
SHAPE = (24, 80, 100)
KIDNEY_HU = 160
KIDNEY_CLASSES = (2, 3)
LIVER_CLASS = 5
VERTEBRA_CLASS = 30


def ball(shape, center, radii):
    """(z, y, x) bool: an ellipsoid, all in voxels."""
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, center, radii)) <= 1


def patient():
    """Image (HU), kidney sides and organ classes of the small patient."""
    rng = np.random.default_rng(0)
    body = ball(SHAPE, (12, 40, 50), (1000, 34, 44))
    inside = ball(SHAPE, (12, 38, 50), (1000, 26, 36))
    spine = ball(SHAPE, (12, 52, 50), (1000, 6, 7))
    right, left = (ball(SHAPE, (12, 46, x), (6, 8, 7)) for x in (30, 70))
    liver = ball(SHAPE, (18, 26, 34), (5, 10, 14))
    image = np.select([spine, right | left, liver, inside, body], [400, KIDNEY_HU, 90, -90, 45], default=-1000).astype(
        float
    )
    organs = np.select([spine, right, left, liver], [VERTEBRA_CLASS, *KIDNEY_CLASSES, LIVER_CLASS], default=0)
    image[body] += rng.normal(0, 6, body.sum())
    return image.astype(np.int16), (right + 2 * left).astype(np.uint8), organs.astype(np.uint8)


def kidney_shapes():
    """A bean with a tumor and a cyst, on a finer grid."""
    labels = ball((40, 40, 40), (20, 20, 20), (17, 9, 9)).astype(np.uint8)
    labels[ball(labels.shape, (20, 20, 12), (6, 4, 5))] = 0
    labels[ball(labels.shape, (30, 20, 24), (6, 6, 6))] = 2
    labels[ball(labels.shape, (10, 20, 24), (4, 4, 4))] = 3
    grid = (3.0, 3.0, 3.0)
    return [KidneyShape("case", True, labels, grid), KidneyShape("case", False, labels[:, :, ::-1], grid)]


def healthy_and_ill_shapes():
    healthy, ill = kidney_shapes()
    return [replace(healthy, labels=np.minimum(healthy.labels, 1)), ill]


def prepared(image, sides, organs=None):
    return prepare_background("patient", image, sides, organs, SPACING, pixel=SPACING[1])


@pytest.fixture(scope="module", params=["organs", "thresholds"])
def background(request):
    image, sides, organs = patient()
    return prepared(image, sides, organs if request.param == "organs" else None)


@pytest.fixture(scope="module")
def patients(background):
    shapes = kidney_shapes()
    return [composite(background, shapes, np.random.default_rng(seed), slices=10) for seed in range(12)]


# ---------------------------------------------------------------- the background


def test_background_knows_its_tissues(background):
    assert background.medians[Tissue.KIDNEY] == pytest.approx(KIDNEY_HU, abs=3)
    assert (background.tissue[background.spine_distance == 0] == Tissue.BONE).all()
    right, left = background.kidney_centers
    assert right[2] < left[2]
    assert not background.kidney_bed[~background.body].any()
    assert background.kidney_bed[background.tissue == Tissue.KIDNEY].all()


def test_background_needs_both_kidneys():
    image, sides, _ = patient()
    with pytest.raises(ValueError, match="both kidneys"):
        prepare_background("patient", image, np.minimum(sides, 1), None, SPACING)


def test_hollow_vertebrae_are_filled():
    image, sides, _ = patient()
    marrow = ball(SHAPE, (12, 52, 50), (1000, 4, 5))
    image[marrow] = 60
    bone = prepared(image, sides).tissue == Tissue.BONE
    assert bone.sum() >= 0.95 * ball(SHAPE, (12, 52, 50), (1000, 6, 7)).sum()


def gassy_patient():
    """Background with a lung that reaches the highest slice, and gas in the gut."""
    image, sides, _ = patient()
    image[ball(SHAPE, (24, 35, 30), (5, 10, 10))] = -850
    image[ball(SHAPE, (9, 26, 60), (6, 5, 9))] = -950
    return prepared(image, sides)


def test_lungs_are_not_gas_in_the_gut():
    tissue = gassy_patient().tissue
    lungs, gas = (np.flatnonzero((tissue == kind).any((1, 2))) for kind in (Tissue.LUNG, Tissue.GAS))
    assert lungs[0] >= 19 and lungs[-1] == SHAPE[0] - 1
    assert gas[0] <= 4 and 13 <= gas[-1] <= 15


# ---------------------------------------------------------------- loading


def store(folder, suffix="", array=None, spacing=SPACING):
    """The small patient, or another array of it, as a file in RAS order."""
    stored = sitk.GetImageFromArray((patient()[0] if array is None else array)[:, ::-1, ::-1].copy())
    stored.SetSpacing(spacing[::-1])
    stored.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(stored, str(folder / f"someone{suffix}.nii.gz"))


def test_load_real_clips_and_merges_sides(tmp_path):
    image, sides, _ = patient()
    image[:, 0, 0] = -3024
    sides[5, 40, 50] = 3
    store(tmp_path, array=image)
    store(tmp_path, "_label", sides)
    loaded = load_real(tmp_path, "someone")
    assert loaded.kind == "real"
    assert loaded.image.dtype == np.int16
    np.testing.assert_array_equal(loaded.image, np.maximum(image, AIR_HU))
    assert loaded.spacing == SPACING
    np.testing.assert_array_equal(loaded.labels, np.select([sides == 3, sides > 0], [TUMOR.label, KIDNEY.label], 0))


def test_background_is_loaded_with_its_organs(tmp_path):
    image, sides, organs = patient()
    for suffix, array in (("", image), ("_label", sides), ("_organs", organs)):
        store(tmp_path, suffix, array)
    assert load_background(tmp_path, "someone").organ_labeled


@pytest.mark.parametrize(
    ("load", "suffix"),
    [
        (load_real, "_label"),
        (load_background, "_label"),
        (load_background, "_organs"),
    ],
)
def test_labels_of_another_grid_are_refused(load, suffix, tmp_path):
    image, sides, organs = patient()
    for name, array in (("", image), ("_label", sides), ("_organs", organs)):
        store(tmp_path, name, array, SPACING if name != suffix else (6.0, 3.0, 3.1))
    with pytest.raises(InputError, match=f'"someone{suffix}.nii.gz" lies on another grid'):
        load(tmp_path, "someone")


@pytest.mark.parametrize("value", [4, 200, 300, -1, 0.5])
def test_unknown_labels_are_refused(value, tmp_path):
    sides = patient()[1].astype(np.float32)
    sides[0, 0, 0] = value
    store(tmp_path)
    store(tmp_path, "_label", sides)
    with pytest.raises(InputError, match=f'"someone_label.nii.gz" holds the label {value:g}'):
        load_real(tmp_path, "someone")


def test_a_scan_that_is_no_ct_is_refused(tmp_path):
    image, sides, _ = patient()
    store(tmp_path, array=image + 1024)
    store(tmp_path, "_label", sides)
    with pytest.raises(InputError, match="not a CT"):
        load_real(tmp_path, "someone")


def test_a_scan_without_labels_is_refused(tmp_path):
    store(tmp_path)
    with pytest.raises(InputError, match="someone_label.nii.gz"):
        load_real(tmp_path, "someone")


def test_load_shapes_separates_the_sides(tmp_path):
    left, right = (shape.labels for shape in kidney_shapes())
    both = np.concatenate([right, np.zeros((40, 40, 10), np.uint8), left], axis=2)
    stored = sitk.GetImageFromArray(both)
    stored.SetSpacing((3.0, 3.0, 3.0))
    sitk.WriteImage(stored, str(tmp_path / "case_00000.nii.gz"))
    shapes = load_shapes(tmp_path)
    assert sorted(shape.is_left for shape in shapes) == [False, True]
    for shape in shapes:
        assert set(np.unique(shape.labels)) == {0, 1, 2, 3}


@pytest.mark.slow
def test_shapes_of_generated_patients_read_as_those_of_others(tmp_path):
    scan = training_scan(generated_shapes.AGE_YEARS, generated_shapes.FIRST_SEED, slices=40, matrix=96)
    sitk.WriteImage(generated_shapes.shape_labels(scan), str(tmp_path / "case_00000.nii.gz"))
    shapes = load_shapes(tmp_path)
    assert sorted(shape.is_left for shape in shapes) == [False, True]
    for shape in shapes:
        name = "kidney_left" if shape.is_left else "kidney_right"
        value = next(segment.value for segment in RENAL.segments if segment.id == name)
        assert shape.spacing == pytest.approx(scan.spacing)
        assert (shape.labels == KIDNEY.label).sum() == pytest.approx((scan.labels == value).sum(), rel=0.02)
    tumor = sum(int((shape.labels == TUMOR.label).sum()) for shape in shapes)
    assert tumor == pytest.approx((scan.labels == 3).sum(), rel=0.02)


# ---------------------------------------------------------------- the growth field


def grid_points(half, step):
    axis = np.arange(-half, half + step, step)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).astype(np.float32)


@pytest.mark.parametrize("milliliters", [60, 450])
def test_mass_has_the_volume_asked_for(milliliters):
    points = grid_points(100.0, 2.0)
    for seed in range(3):
        growth = make_growth(np.zeros(3), milliliters, np.random.default_rng(seed))
        _, depth = growth.trace(points.reshape(-1, 3), np.full(points[..., 0].size, 1e6, np.float32))
        assert (depth < 1).sum() * 8 / 1000 == pytest.approx(milliliters, rel=0.06)


def test_growth_preserves_volume_outside_the_mass():
    growth = make_growth(np.zeros(3), 300, np.random.default_rng(3))
    points = grid_points(120.0, 2.0)
    sources, depth = growth.trace(points.reshape(-1, 3), np.full(points[..., 0].size, 1e6, np.float32))
    sources, depth = sources.reshape(points.shape), depth.reshape(points.shape[:3])
    jacobian = np.stack([np.stack(np.gradient(sources[..., i], 2.0), -1) for i in range(3)], -2)
    outside = (depth > 1.25)[1:-1, 1:-1, 1:-1]
    determinant = np.linalg.det(jacobian)[1:-1, 1:-1, 1:-1][outside]
    assert np.median(determinant) == pytest.approx(1, abs=0.01)
    assert np.percentile(np.abs(determinant - 1), 95) < 0.1


def test_growth_does_not_move_the_spine(background):
    middle = np.array(background.kidney_centers[0]) * background.spacing
    draft = Draft(background.image.copy(), background.tissue.copy())
    chosen = np.arange(len(draft.tissue))
    growth = make_growth(middle + (0, 0, 20), 400, np.random.default_rng(1))
    grown = grow(draft, background, growth, chosen, np.random.default_rng(1))
    spine = background.spine_distance == 0
    np.testing.assert_allclose(grown.image[spine], background.image[spine], atol=0.5)
    np.testing.assert_array_equal(grown.tissue[spine], background.tissue[spine])
    away = background.spine_distance > 6
    assert (grown.tissue[away] == Tissue.BONE).sum() <= (background.tissue[away] == Tissue.BONE).sum()
    assert np.isin(grown.tissue, TUMOR_TISSUES).sum() > 1000


# ---------------------------------------------------------------- pasted kidneys


def test_pasted_kidney_replaces_the_own_one_and_agrees_with_its_labels(background, monkeypatch):
    monkeypatch.setattr(kidneys, "MISSING", 0)
    draft = Draft(background.image.copy(), background.tissue.copy())
    exchange_kidneys(draft, background, kidney_shapes(), np.random.default_rng(4))
    assert not (draft.tissue == Tissue.KIDNEY).any()
    assert (draft.tissue == Tissue.CORTEX).sum() > 500
    targets = draw_targets(background, background.medians, False, np.random.default_rng(2))
    image = draw_intensities(draft, background, False, np.random.default_rng(2))
    within = np.ones((1, 3, 3))  # edges between tissues are soft
    for tissue, group in ((Tissue.CORTEX, KIDNEY_TISSUES), (Tissue.FILL_FAT, (Tissue.FILL_FAT,))):
        where = (draft.tissue == tissue) & ndimage.binary_erosion(np.isin(draft.tissue, group), within)
        assert where.sum() > 100
        assert np.median(image[where]) == pytest.approx(targets[tissue], abs=12)
    untouched = draft.tissue == background.tissue
    assert untouched.mean() > 0.8


def test_contrast_medium_is_taken_from_all_that_holds_it():
    image, sides, _ = patient()
    vessel = ball(SHAPE, (12, 36, 50), (1000, 4, 4))
    image[vessel] += 400
    background = prepared(image, sides)
    assert (background.tissue == Tissue.ARTERY).sum() == pytest.approx(vessel.sum(), rel=0.1)
    draft = Draft(background.image.astype(np.float32), background.tissue.copy())
    bone = ndimage.binary_erosion(background.tissue == Tissue.BONE, np.ones((1, 3, 3)))
    inside = {
        kind: ndimage.binary_erosion(background.tissue == kind, np.ones((1, 3, 3)), iterations=2)
        for kind in (Tissue.ARTERY, Tissue.KIDNEY)
    }
    for seed in range(4):
        taken = draw_intensities(draft, background, True, np.random.default_rng(seed))
        artery, kidney = (taken[inside[kind]] for kind in (Tissue.ARTERY, Tissue.KIDNEY))
        assert 30 < np.median(artery) < 100
        assert 10 < np.median(kidney) < 60
        assert kidney.std() > 3
        assert np.median(taken[bone]) > 250


@pytest.mark.parametrize(("unenhanced", "has_tumors"), [(0, True), (1, False)])
def test_there_is_no_tumor_without_contrast_medium(monkeypatch, unenhanced, has_tumors):
    monkeypatch.setattr("PediatricRenalSegLib.training.composites.composite.UNENHANCED", unenhanced)
    image, sides, _ = patient()
    background, shapes = prepared(image, sides), healthy_and_ill_shapes()
    made = [composite(background, shapes, np.random.default_rng(seed), slices=10) for seed in range(6)]
    assert any((one.labels == TUMOR.label).any() for one in made) == has_tumors
    medians = [np.median(one.image[one.labels == KIDNEY.label]) for one in made]
    assert (max(medians) < 70) == bool(unenhanced)


def test_kidneys_are_put_into_the_body_and_not_into_bone(background):
    for seed in range(6):
        draft = Draft(background.image.copy(), background.tissue.copy())
        exchange_kidneys(draft, background, kidney_shapes(), np.random.default_rng(seed))
        renal = IS_RENAL[draft.tissue]
        assert background.body[renal].all()
        assert not (background.tissue[renal] == Tissue.BONE).any()


def test_smooth_noise_is_standard():
    field = smooth_noise((40, 60, 60), (0, 5, 5), np.random.default_rng(0))
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.std() == pytest.approx(1, abs=0.05)
    neighbors = np.corrcoef(field[:, :, 1:].ravel(), field[:, :, :-1].ravel())[0, 1]
    assert neighbors > 0.9


# ---------------------------------------------------------------- whole composites


def test_composites_hold_what_the_trainer_expects(patients, background):
    for made in patients:
        assert made.kind == "composite"
        assert made.image.shape == made.labels.shape == (10, *background.image.shape[1:])
        assert made.image.dtype == np.int16 and made.labels.dtype == np.uint8
        assert made.image.min() >= AIR_HU
        assert made.spacing == background.spacing
        assert set(np.unique(made.labels)) <= {0, KIDNEY.label, TUMOR.label}
    assert any((made.labels == TUMOR.label).any() for made in patients)
    assert sum((made.labels == KIDNEY.label).any() for made in patients) >= 10


def test_labels_lie_in_tissue_not_in_air_or_bone(patients):
    for made in patients:
        renal = made.labels > 0
        if renal.any():
            assert (made.image[renal] < -300).mean() < 0.005
            assert (made.image[renal] > 600).mean() < 0.005


def test_same_seed_same_composite(background):
    first, second, other = (
        composite(background, kidney_shapes(), np.random.default_rng(seed), slices=6) for seed in (8, 8, 9)
    )
    assert first.name == second.name
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(first.image, other.image)


def test_the_background_stays_as_it_was(background):
    image, tissue = background.image.copy(), background.tissue.copy()
    composite(background, kidney_shapes(), np.random.default_rng(5), slices=6)
    np.testing.assert_array_equal(background.image, image)
    np.testing.assert_array_equal(background.tissue, tissue)
