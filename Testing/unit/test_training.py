"""Store, sampling and augmentation of training slices."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from abdomens import KIDNEY, KIDNEY_HU, TUMOR, TUMOR_HU
from tiny_stores import NORMALIZATION, TRAINING, VALIDATION

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.networks.affine import resample
from PediatricRenalSegLib.networks.pose_stn import similarity
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.training.bundled_store import SLICES, add_generated, generated_patient
from PediatricRenalSegLib.training.data.split import VALIDATION_SHARE, is_validation
from PediatricRenalSegLib.training.data.store import (
    SliceStore,
    add_patient,
    open_store,
    patient_box,
    store_patient,
)
from PediatricRenalSegLib.training.learn.augment import Augmentation, Girth, move
from PediatricRenalSegLib.training.learn.batch import StoredSlices, as_stored, box_corners, join, labeled_normalization
from PediatricRenalSegLib.training.learn.config import AUGMENTATIONS, TrainingConfig
from PediatricRenalSegLib.training.learn.nnunet_augment import NnUNetAugmentation
from PediatricRenalSegLib.training.learn.sampling import Draw, Sampler, TrainingSlices
from PediatricRenalSegLib.training.learn.stages import target_box
from PediatricRenalSegLib.training.learn.validation import SLICES as VALIDATED
from PediatricRenalSegLib.training.learn.validation import Validation
from PediatricRenalSegLib.volume import AIR_HU

CANVAS = DEFAULT_CANVAS.size
PIXEL = 2 / CANVAS
"""Side of a pixel in normalized coordinates."""


@pytest.fixture(scope="module")
def store(folder):
    return open_store(folder, validation=False)


def batches(store, size, count=5, shares=None, augmentation="none", workers=0, seed=0):
    """Batches of the first epoch."""
    sampler = Sampler(store, shares or dict.fromkeys(sorted(set(store.kinds)), 1), seed)
    slices = TrainingSlices(store, NORMALIZATION, augmentation)
    return list(slices.batches(sampler.epoch(0, 0, count, size), workers))


# Store


def test_store_gives_back_what_was_put_in(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(AIR_HU, 1000, (3, 16, 16))
    masks, labels = rng.integers(0, 2, (3, 16, 16)), rng.integers(0, 3, (3, 16, 16))
    add_patient(tmp_path, TRAINING[0], "real", images, masks, labels)
    store = open_store(tmp_path, validation=False)
    for name, expected in (("images", images), ("masks", masks), ("labels", labels)):
        np.testing.assert_array_equal(getattr(store, name), expected)
    assert store.images.dtype == np.int16 and set(store.kinds) == {"real"} and set(store.patients) == {TRAINING[0]}
    assert [path.name for path in tmp_path.iterdir()] == [f"{TRAINING[0]}.npz"]


def test_patients_are_split_not_slices(folder, store):
    validation = open_store(folder, validation=True)
    assert set(store.patients) == set(TRAINING) and set(validation.patients) == {VALIDATION}


def test_split_takes_about_a_tenth():
    share = np.mean([is_validation(f"generated-{number:06d}") for number in range(5000)])
    assert share == pytest.approx(VALIDATION_SHARE, abs=0.02)


def test_empty_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="no training patients"):
        open_store(tmp_path, validation=False)


def test_patient_box():
    labels = np.zeros((2, 100, 100), np.uint8)
    labels[0, 20:30, 40:60], labels[1, 25:50, 45:50] = 1, 2
    np.testing.assert_allclose(patient_box(labels), [-0.2, -0.6, 0.2, 0.0], atol=1e-6)
    assert np.isnan(patient_box(np.zeros((2, 8, 8), np.uint8))).all()


def test_stored_labels_lie_on_their_organs(store):
    for label, hu in ((KIDNEY, KIDNEY_HU), (TUMOR, TUMOR_HU)):
        assert np.median(store.images[store.labels == label]) == pytest.approx(hu, abs=5)
    assert (store.images[store.masks == 0] == AIR_HU).all()


def test_generated_patient_fits_the_store(tmp_path):
    patient = generated_patient(3)
    store_patient(tmp_path, patient)
    store = open_store(tmp_path, validation=is_validation(patient.name))
    assert store.images.shape == (SLICES, CANVAS, CANVAS) and store.contains(KIDNEY).any()
    assert 0.02 < store.masks.mean() < 0.9


@pytest.mark.slow
def test_children_with_small_tumors_are_others_of_the_same_kind(tmp_path):
    (path,) = add_generated(tmp_path, [3], small=True)
    store = open_store(tmp_path, validation=is_validation(path.stem))
    assert set(store.patients) == {"generated-small-000003"} and set(store.kinds) == {"generated"}
    assert store.contains(TUMOR).sum() >= 3
    assert add_generated(tmp_path, [3])[0].exists() and len(list(tmp_path.glob("*.npz"))) == 2


# Sampling


@pytest.mark.parametrize("size", [4, 6, 7, 10, 12, 16])
def test_a_third_kidney_and_a_third_tumor(tmp_path, size):
    """One slice in 80 holds a kidney and another a tumor; without oversampling most batches would hold nothing."""
    labels = np.zeros((80, 32, 32), np.uint8)
    labels[7, 8:24, 8:16], labels[50, 8:24, 16:24] = KIDNEY, TUMOR
    add_patient(tmp_path, TRAINING[0], "real", np.zeros_like(labels, np.int16), labels > 0, labels)
    for batch in batches(open_store(tmp_path, validation=False), size=size):
        for structure in (KIDNEY, TUMOR):
            assert (batch.labels == structure).any(dim=2).any(dim=1).sum() >= size / 3


def test_kinds_without_tumor_leave_the_tumor_third_to_the_others(tmp_path):
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[:, 8:24, 8:16] = KIDNEY
    with_tumor = labels.copy()
    with_tumor[:, 8:24, 16:24] = TUMOR
    for name, kind, values in zip(TRAINING, ("real", "generated"), (labels, with_tumor)):
        add_patient(tmp_path, name, kind, np.zeros_like(values, np.int16), values > 0, values)
    for batch in batches(open_store(tmp_path, validation=False), size=12, shares={"real": 0.9, "generated": 0.1}):
        assert (batch.labels == TUMOR).any(dim=2).any(dim=1).sum() >= 4


def test_composites_are_never_validation(tmp_path):
    labels = np.ones((1, 8, 8), np.uint8)
    add_patient(tmp_path, VALIDATION, "composite", np.zeros_like(labels, np.int16), labels, labels)
    assert len(open_store(tmp_path, validation=False)) == 1
    with pytest.raises(InputError, match="no validation patients"):
        open_store(tmp_path, validation=True)


@pytest.fixture
def one_thread():
    """As the workers of a training have: more threads add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_same_seed_same_batches(store, augmentation):
    def batch(seed, workers=0):
        return join(batches(store, 4, count=2, augmentation=augmentation, seed=seed, workers=workers))

    for again in (batch(1), batch(1, workers=2)):
        for one, other in zip(vars(batch(1)).values(), vars(again).values()):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(batch(1).image, batch(2).image)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_slices_can_be_pickled(store, augmentation):
    """So workers get them where they are not forked: on Windows, on macOS and by Python 3.14."""
    slices = TrainingSlices(store, NORMALIZATION, augmentation)
    sent = pickle.loads(pickle.dumps(slices))
    torch.testing.assert_close(sent[Draw(2, 5)].image, slices[Draw(2, 5)].image, rtol=0, atol=0)


def test_epochs_and_stages_differ(store):
    sampler = Sampler(store, {"real": 1}, seed=0)
    epochs = [sampler.epoch(*which, batches=2, size=3) for which in ((0, 0), (0, 1), (1, 0))]
    assert all(one != other for one in epochs for other in epochs if one is not other)
    assert len({draw.seed for epoch in epochs for batch in epoch for draw in batch}) == 3 * 2 * 3


def test_shares_of_kinds(tmp_path):
    """Kinds are told apart by the number of their labeled rows; an absent kind leaves its share to the others."""
    for name, kind, rows in ((TRAINING[0], "real", 4), (TRAINING[1], "generated", 16)):
        labels = np.zeros((2, 32, 32), np.uint8)
        labels[:, :rows] = KIDNEY
        add_patient(tmp_path, name, kind, np.zeros_like(labels, np.int16), labels > 0, labels)
    shares = {"generated": 1, "real": 3, "composite": 4}
    drawn = join(batches(open_store(tmp_path, validation=False), size=50, count=4, shares=shares))
    areas = drawn.labels.float().mean(dim=(1, 2))
    assert (areas == 4 / 32).float().mean().item() == pytest.approx(0.75, abs=0.12)


def test_no_slices_of_the_wanted_kinds(store):
    with pytest.raises(InputError, match="kinds composite, generated, real, but shares gives none"):
        Sampler(store, {"imagined": 1}, 0)


def test_validation_slices_are_as_stored(store):
    rows = np.array([2, 5])
    batch = as_stored(StoredSlices.of(store, rows), NORMALIZATION)
    hu = np.where(store.masks[rows], store.images[rows], AIR_HU)
    np.testing.assert_allclose(batch.image[:, 0], NORMALIZATION(hu), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(batch.labels, store.labels[rows])


def test_normalization_is_that_of_labeled_voxels(store):
    found = labeled_normalization(store)
    hu = store.images[store.labels > 0]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(hu, [0.5, 99.5])))
    assert found.mean == pytest.approx(np.clip(hu, found.low, found.high).mean(), abs=0.1)
    assert TUMOR_HU < found.mean < KIDNEY_HU and 0 < found.std < 50


# Validation


def store_of(label=KIDNEY, **slices):
    """A store with so many slices of each kind, all of them one structure."""
    kinds = np.repeat(list(slices), list(slices.values()))
    labels = np.full((len(kinds), 2, 2), label, np.uint8)
    return SliceStore(labels, labels, labels, kinds, kinds, np.zeros((len(kinds), 4)), RENAL)


def validation(store, shares):
    return Validation(store, shares, NORMALIZATION, torch.device("cpu"), bfloat16=False)


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ({"generated": 1440, "real": 300}, {"generated": VALIDATED // 2, "real": VALIDATED // 2}),
        ({"generated": 1440, "real": 20}, {"generated": VALIDATED // 2, "real": 20}),
        ({"generated": 30, "real": 20}, {"generated": 30, "real": 20}),
    ],
)
def test_kinds_are_validated_by_their_shares(slices, expected):
    store, shares = store_of(**slices), TrainingConfig(Path(), Path()).shares
    rows = validation(store, shares).rows
    assert dict(zip(*np.unique(store.kinds[rows], return_counts=True))) == expected
    for kind in slices:
        gaps = np.diff(rows[store.kinds[rows] == kind])
        assert 1 <= gaps.min() and gaps.max() <= gaps.min() + 1, "evenly"


@pytest.mark.parametrize("shares", [{"real": 0.3, "generated": 0.7}, {"composite": 1}])
def test_a_kind_alone_is_all_that_is_validated(shares):
    rows = validation(store_of(real=1000), shares).rows
    np.testing.assert_array_equal(rows, np.linspace(0, 999, VALIDATED).astype(int))


def test_validation_without_any_structure_is_refused():
    with pytest.raises(InputError, match="show no kidney or tumor: name others in the store's split.json"):
        validation(store_of(label=0, real=5), {"real": 1})


# Augmentation


@pytest.mark.parametrize("value", [KIDNEY, TUMOR])
def test_move_keeps_image_mask_and_labels_together(value):
    """An image that is bright exactly where the label is, before and after."""
    y, x = np.ogrid[:CANVAS, :CANVAS]
    disk = torch.from_numpy((y - 150) ** 2 + (x - 90) ** 2 < 40**2).expand(8, CANVAS, CANVAS)
    matrix = Augmentation().matrix(len(disk), torch.Generator().manual_seed(0))
    assert len(torch.linalg.det(matrix[:, :, :2]).sign().unique()) == 2, "mirrored and not"
    girth = Girth.of(disk[:, None], torch.linspace(-0.15, 0.4, len(disk)))
    moved, mask, labels = move(100 * disk[:, None].float(), disk[:, None].byte(), value * disk.byte(), matrix, girth)
    assert (labels == value).any(dim=2).any(dim=1).all() and set(labels.unique().tolist()) == {0, value}
    assert (mask[:, 0].bool() == (labels == value)).all()
    assert ((labels == value) ^ disk).any(dim=2).any(dim=1).all(), "every slice is moved"
    wrong = (moved[:, 0] > 50) ^ (labels == value)
    assert wrong.sum() < 0.03 * (labels == value).sum()


def two_bodies() -> torch.Tensor:
    """Masks ``(2, 1, CANVAS, CANVAS)``: an oval off the middle, and nothing."""
    y, x = np.ogrid[:CANVAS, :CANVAS]
    oval = ((y - 140) / 60) ** 2 + ((x - 110) / 90) ** 2 < 1
    return torch.from_numpy(np.stack([oval, np.zeros_like(oval)]))[:, None]


def test_a_wider_body_has_the_same_outline_and_smaller_organs():
    body = two_bodies()[:1]
    organ = torch.zeros_like(body)
    organ[..., 130:150, 125:145] = True
    girth = Girth.of(body, torch.tensor([0.4]))
    _, outline, organ_after = move(
        torch.zeros(body.shape), body.byte(), organ[:, 0].byte(), torch.eye(2, 3)[None], girth
    )
    assert (outline.bool() ^ body).sum() < 0.01 * body.sum()
    assert 0.5 < organ_after.sum() / organ.sum() < 0.7, "areas of the middle shrink by almost 1.4 squared"


def test_points_follow_the_girth_there_and_back():
    girth = Girth.of(two_bodies(), torch.tensor([0.4, -0.15]))
    points = 2 * torch.rand(2, 500, 2, generator=torch.Generator().manual_seed(0)) - 1
    there = girth.target(points)
    assert (there - points).abs().amax(dim=(1, 2)).min() > 0.02, "both bodies change"
    torch.testing.assert_close(girth.source(there), points, atol=PIXEL / 2, rtol=0)


def test_half_of_the_bodies_keep_their_girth():
    ranges = Augmentation()
    girth = ranges.girths(2000, torch.Generator().manual_seed(0))
    assert (girth == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert ranges.thinnest <= girth.min() < 0 < girth.max() <= ranges.widest


def test_augmentation_stays_in_its_range():
    ranges = Augmentation()
    matrix = ranges.matrix(2000, torch.Generator().manual_seed(0))
    zoom = torch.linalg.det(matrix[:, :, :2]).abs().sqrt()
    assert zoom.min() >= 1 / ranges.largest - 1e-4 and zoom.max() <= 1 / ranges.smallest + 1e-4
    assert matrix[:, :, 2].abs().max() <= ranges.shift
    mirrored = (torch.linalg.det(matrix[:, :, :2]) < 0).float().mean().item()
    assert mirrored == pytest.approx(ranges.mirror, abs=0.05)


def test_nnunet_augmentation_keeps_image_mask_and_labels_together(store):
    """An image that is bright exactly where the label is, before and after."""
    y, x = np.ogrid[:CANVAS, :CANVAS]
    disk = torch.from_numpy((y - 150) ** 2 + (x - 90) ** 2 < 40**2).expand(40, CANVAS, CANVAS)
    slices = StoredSlices(400.0 * disk[:, None], torch.ones(disk[:, None].shape), disk.byte(), torch.zeros(40, 4, 2))
    batch = NnUNetAugmentation()(slices, NORMALIZATION, seed=0)
    areas = (batch.labels == 1).sum(dim=(1, 2)) / disk[0].sum()
    assert areas.min() < 0.7 < 1.4 < areas.max() and set(batch.labels.unique().tolist()) == {0, 1}
    for image, labels in zip(batch.image[:, 0], batch.labels):
        inside, outside = image[labels == 1], image[labels == 0]
        threshold = (inside.median() + outside.median()) / 2
        assert (inside < threshold).float().mean() < 0.05 and (outside > threshold).float().mean() < 0.05
    assert (batch.labels != disk).any(dim=2).any(dim=1).float().mean() > 0.7, "three of four are mirrored at least"


@pytest.mark.parametrize("augmentation", ["none", "nnunet"])
def test_corners_move_with_the_labels(store, augmentation):
    for batch in batches(store, 9, count=3, augmentation=augmentation, seed=3):
        for labels, corners in zip(batch.labels, batch.corners):
            assert _inside(label_points(labels > 0), corners)


def test_corners_move_with_the_labels_when_bodies_bend(store):
    """Girth bends the sides of the box, so its bounding box has to do."""
    for batch in batches(store, 9, count=3, augmentation="varied", seed=3):
        for labels, corners in zip(batch.labels, batch.corners):
            points, rim = label_points(labels > 0), 2 * PIXEL
            assert (points >= corners.amin(dim=0) - rim).all() and (points <= corners.amax(dim=0) + rim).all()


def _inside(points, corners):
    """Whether points lie in a parallelogram, given by its corners (x, y) in any order, but for two pixels."""
    origin, *others = corners
    opposite = max(others, key=lambda corner: (corner - origin).norm())
    one, other = (corner - origin for corner in others if corner is not opposite)
    shares = torch.linalg.solve(torch.stack([one, other], dim=1), (points - origin).T)
    rim = 2 * PIXEL / torch.stack([one.norm(), other.norm()])[:, None]
    return bool(((shares >= -rim) & (shares <= 1 + rim)).all())


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_target_box_covers_the_labels(store, angle):
    batch = as_stored(StoredSlices.of(store, np.arange(len(store))), NORMALIZATION)
    count = len(store)
    pose = similarity(
        torch.full((count,), angle), torch.tensor([[0.9, 1.2]]).expand(count, 2), torch.full((count, 2), 0.1)
    )
    boxes = target_box(batch.corners, pose, smallest=0.25)
    homogenized = resample((batch.labels > 0).float()[:, None], pose, CANVAS, CANVAS)[:, 0] > 0.5
    assert homogenized.any()
    for labels, box in zip(homogenized, boxes):
        assert box[0, 0] == box[1, 1] and box[0, 1] == box[1, 0] == 0
        assert ((label_points(labels) - box[:, 2]).abs() <= box[0, 0] + 1e-5).all()


def test_target_box_is_not_needlessly_large():
    corners = box_corners(torch.tensor([[-0.3, -0.1, 0.3, 0.2]]))
    identity = similarity(torch.zeros(1), torch.ones(1, 2), torch.zeros(1, 2))
    torch.testing.assert_close(target_box(corners, identity, 0.25), torch.tensor([[[0.4, 0, 0], [0, 0.4, 0.05]]]))


def label_points(found):
    """Centers (x, y) of the true pixels in normalized coordinates."""
    return (2 * found.nonzero().flip(1) + 1) / CANVAS - 1
