"""Store, sampling, augmentation and a whole small training."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from abdomens import KIDNEY, KIDNEY_HU, TUMOR, TUMOR_HU, abdomen
from tiny_models import make_catalogue

from PediatricRenalSegLib import model_bundle
from PediatricRenalSegLib.networks.affine import resample
from PediatricRenalSegLib.networks.pose_stn import similarity
from PediatricRenalSegLib.preprocessing import AIR_HU, CANVAS, Normalization
from PediatricRenalSegLib.training.augment import Augmentation, Girth, move
from PediatricRenalSegLib.training.config import read_config
from PediatricRenalSegLib.training.export import export_model
from PediatricRenalSegLib.training.prepare import SLICES, generated_patient, store_patient
from PediatricRenalSegLib.training.real_data import TrainingPatient
from PediatricRenalSegLib.training.sampling import Sampler, as_stored, box_corners, labeled_normalization
from PediatricRenalSegLib.training.stages import target_box
from PediatricRenalSegLib.training.store import VALIDATION_SHARE, add_patient, is_validation, open_store, patient_box
from PediatricRenalSegLib.training.trainer import Trainer
from PediatricRenalSegLib.volume import InputError

CPU = torch.device("cpu")
NORMALIZATION = Normalization(-100.0, 300.0, 50.0, 80.0)
PIXEL = 2 / CANVAS
"""Side of a pixel in normalized coordinates."""
KINDS = ("generated", "composite", "real", "generated")
NAMES = [f"child-{number}" for number in range(200)]
TRAINING = [name for name in NAMES if not is_validation(name)][: len(KINDS)]
VALIDATION = next(name for name in NAMES if is_validation(name))
POSE_EPOCHS = 5
TINY = {
    "features": 2,
    "crop": "quarter",
    "pose": {"epochs": POSE_EPOCHS, "batches": 12, "batch_size": 4},
    "crop_stage": {"epochs": 2, "batches": 2, "batch_size": 3},
    "unet": {"epochs": 2, "batches": 2, "batch_size": 3},
}
CARD = {
    "id": "tiny", "version": "0.1", "license": "Apache-2.0", "license_notice": "none", "training_domain": "ellipses",
    "limits": "everything", "scores": {"ellipses": {"kidney": 0.5}},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of analytic children of different size and place: one to validate, the others to train."""
    folder = tmp_path_factory.mktemp("store")
    for number, (name, kind) in enumerate(zip([*TRAINING, VALIDATION], [*KINDS, "real"])):
        width = 60 + 12 * number
        child = abdomen(
            (6, 128, 128), (8.0, 2.0, 2.0), width, 0.75 * width, center=(4 * number, -6 * number), seed=number
        )
        store_patient(folder, TrainingPatient(name, kind, child.image, child.labels, child.spacing))
    return folder


@pytest.fixture(scope="module")
def store(folder):
    return open_store(folder, validation=False)


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


# Sampling


def test_a_third_kidney_and_a_third_tumor(store):
    sampler = Sampler(store, {"generated": 1, "composite": 1, "real": 1}, NORMALIZATION, seed=0)
    for _ in range(5):
        labels = sampler.draw(12).labels
        for structure in (KIDNEY, TUMOR):
            assert (labels == structure).any(dim=2).any(dim=1).sum() >= 4


def test_kinds_without_tumor_leave_the_tumor_third_to_the_others(tmp_path):
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[:, 8:24, 8:16] = KIDNEY
    with_tumor = labels.copy()
    with_tumor[:, 8:24, 16:24] = TUMOR
    for name, kind, values in zip(TRAINING, ("real", "generated"), (labels, with_tumor)):
        add_patient(tmp_path, name, kind, np.zeros_like(values, np.int16), values > 0, values)
    sampler = Sampler(open_store(tmp_path, validation=False), {"real": 0.9, "generated": 0.1}, NORMALIZATION, seed=0)
    for _ in range(5):
        assert (sampler.draw(12).labels == TUMOR).any(dim=2).any(dim=1).sum() >= 4


def test_composites_are_never_validation(tmp_path):
    labels = np.ones((1, 8, 8), np.uint8)
    add_patient(tmp_path, VALIDATION, "composite", np.zeros_like(labels, np.int16), labels, labels)
    assert len(open_store(tmp_path, validation=False)) == 1
    with pytest.raises(InputError, match="no validation patients"):
        open_store(tmp_path, validation=True)


def test_rare_structures_are_oversampled(tmp_path):
    """One slice in 40 holds something; without oversampling a batch of 6 would mostly hold nothing."""
    labels = np.zeros((40, 32, 32), np.uint8)
    labels[7, 8:24, 8:16], labels[7, 8:24, 16:24] = KIDNEY, TUMOR
    add_patient(tmp_path, TRAINING[0], "real", np.zeros_like(labels, np.int16), labels > 0, labels)
    sampler = Sampler(open_store(tmp_path, validation=False), {"real": 1}, NORMALIZATION, seed=0)
    for _ in range(5):
        assert (sampler.draw(6).labels > 0).any(dim=2).any(dim=1).sum() >= 4


def test_same_seed_same_batches(store):
    def batch(seed):
        return Sampler(store, {"generated": 1}, NORMALIZATION, seed).draw(4)

    for one, other in zip(vars(batch(1)).values(), vars(batch(1)).values()):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(batch(1).image, batch(2).image)


def test_sampler_goes_on_where_it_was(store):
    sampler = Sampler(store, {"generated": 1}, NORMALIZATION, seed=1)
    sampler.draw(4)
    state = sampler.state_dict()
    expected = sampler.draw(4).image
    other = Sampler(store, {"generated": 1}, NORMALIZATION, seed=9)
    other.load_state_dict(state)
    assert torch.equal(other.draw(4).image, expected)


def test_shares_of_kinds(tmp_path):
    """Kinds are told apart by the number of their labeled rows; an absent kind leaves its share to the others."""
    for name, kind, rows in ((TRAINING[0], "real", 4), (TRAINING[1], "generated", 16)):
        labels = np.zeros((2, 32, 32), np.uint8)
        labels[:, :rows] = KIDNEY
        add_patient(tmp_path, name, kind, np.zeros_like(labels, np.int16), labels > 0, labels)
    sampler = Sampler(
        open_store(tmp_path, validation=False), {"generated": 1, "real": 3, "composite": 4}, NORMALIZATION, 0
    )
    areas = torch.cat([sampler.draw(50).labels for _ in range(4)]).float().mean(dim=(1, 2))
    assert (areas < 0.26).float().mean().item() == pytest.approx(0.75, abs=0.12)


def test_no_slices_of_the_wanted_kinds(store):
    with pytest.raises(ValueError, match="no slices of the kinds imagined"):
        Sampler(store, {"imagined": 1}, NORMALIZATION, 0)


def test_validation_slices_are_as_stored(store):
    rows = np.array([2, 5])
    batch = as_stored(store, rows, NORMALIZATION)
    hu = np.where(store.masks[rows], store.images[rows], AIR_HU)
    np.testing.assert_allclose(batch.image[:, 0], NORMALIZATION(hu), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(batch.labels, store.labels[rows])


def test_normalization_is_that_of_labeled_voxels(store):
    found = labeled_normalization(store)
    hu = store.images[store.labels > 0]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(hu, [0.5, 99.5])))
    assert found.mean == pytest.approx(np.clip(hu, found.low, found.high).mean(), abs=0.1)
    assert TUMOR_HU < found.mean < KIDNEY_HU and 0 < found.std < 50


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


def test_corners_move_with_the_labels(store):
    batch = Sampler(store, {"generated": 1}, NORMALIZATION, seed=3).draw(9)
    for labels, corners in zip(batch.labels, batch.corners):
        points = label_points(labels > 0)
        assert (points >= corners.amin(dim=0) - 2 * PIXEL).all() and (points <= corners.amax(dim=0) + 2 * PIXEL).all()


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_target_box_covers_the_labels(store, angle):
    batch = as_stored(store, np.arange(len(store)), NORMALIZATION)
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


# Training


@pytest.fixture(scope="module")
def reference_mask(folder):
    child = abdomen((3, CANVAS, CANVAS), (5.0, 1.0, 1.0), half_width=75, half_depth=55)
    path = folder / "reference.npy"
    np.save(path, (child.image[1] > -500).astype(np.uint8))
    return path


def write_config(path, folder, reference_mask, **changes):
    paths = {"store": str(folder), "output": "run", "reference_mask": str(reference_mask)}
    path.write_text(json.dumps({**paths, **TINY, **changes}))
    return path


@pytest.fixture(scope="module")
def finished(folder, reference_mask, tmp_path_factory):
    """Folder of an uninterrupted training."""
    config = read_config(write_config(tmp_path_factory.mktemp("training") / "config.json", folder, reference_mask))
    Trainer(config, CPU).run()
    return config.output


def rows(run):
    """The log without its seconds."""
    with (run / "log.csv").open(newline="") as file:
        return [
            [row[name] for name in ("stage", "epoch", "loss", "validation", "learning_rate")]
            for row in csv.DictReader(file)
        ]


def test_all_three_stages_run(finished):
    expected = [("pose", POSE_EPOCHS), ("crop", 2), ("unet", 2)]
    assert [row[:2] for row in rows(finished)] == [
        [stage, str(n + 1)] for stage, epochs in expected for n in range(epochs)
    ]
    assert all(np.isfinite(float(value)) for row in rows(finished) for value in row[2:])


def test_pose_loss_falls(finished):
    losses = [float(row[2]) for row in rows(finished) if row[0] == "pose"]
    assert losses[-1] < 0.8 * losses[0]


def test_learning_rate_follows_the_poly_schedule(finished):
    rates = [float(row[4]) for row in rows(finished)]
    expected = [0.01 * (1 - n / POSE_EPOCHS) ** 0.9 for n in range(POSE_EPOCHS)]
    np.testing.assert_allclose(rates[:POSE_EPOCHS], expected, rtol=1e-3)


class Killed(BaseException):
    """As if the power had failed."""


@pytest.mark.parametrize("batches", [31, 63, 67], ids=["pose", "crop", "unet"])
def test_killed_training_goes_on_as_if_nothing_happened(folder, reference_mask, finished, tmp_path, batches):
    """Killed in the middle of an epoch of each stage."""
    config = read_config(write_config(tmp_path / "config.json", folder, reference_mask))
    trainer = Trainer(config, CPU)
    draw, drawn = trainer.sampler.draw, []

    def draw_until_killed(size):
        if len(drawn) == batches:
            raise Killed
        drawn.append(size)
        return draw(size)

    trainer.sampler.draw = draw_until_killed
    with pytest.raises(Killed):
        trainer.run()
    assert len(rows(config.output)) < len(rows(finished))
    resumed = Trainer(config, CPU).run()
    assert rows(config.output) == rows(finished)
    best = torch.load(finished / "best.pt", weights_only=True)
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, best[name], rtol=1e-4, atol=1e-6)


def test_stages_train_only_their_own_network(folder, reference_mask, tmp_path):
    config = read_config(write_config(tmp_path / "config.json", folder, reference_mask))
    config.output.mkdir()
    trainer = Trainer(config, CPU)
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer._run_stage(*trainer.stages[0])
    changed = {
        name.split(".")[0] for name, value in trainer.model.state_dict().items() if not torch.equal(value, start[name])
    }
    assert changed == {"pose_stn"}


def test_best_model_is_the_mean_of_the_last_part(folder, reference_mask, tmp_path):
    """With two epochs of two batches and ``averaged`` at a half, the mean of the last two states."""
    changes = {"pose": {"epochs": 0}, "crop_stage": {"epochs": 0}}
    trainer = Trainer(read_config(write_config(tmp_path / "config.json", folder, reference_mask, **changes)), CPU)
    states, validate = [], trainer._validate
    draw = trainer.sampler.draw

    def remember(size):
        states.append({name: value.clone() for name, value in trainer.model.unet.state_dict().items()})
        return draw(size)

    def prefer_the_last(stage):
        validate(stage)
        return trainer.progress["epoch"]

    trainer.sampler.draw, trainer._validate = remember, prefer_the_last
    best = trainer.run().unet.state_dict()
    last = torch.load(trainer.checkpoint_path, weights_only=False)["model"]
    states.append({name.removeprefix("unet."): value for name, value in last.items() if name.startswith("unet.")})
    assert len(states) == 5
    for name, value in best.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[3][name] + states[4][name]) / 2)


def test_export_writes_a_model_that_reads_back(finished, reference_mask, tmp_path, monkeypatch):
    make_catalogue(tmp_path, monkeypatch, [])
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    entry = export_model(finished, tmp_path / "card.json", tmp_path / "tiny.pt")
    assert entry.sha256 == model_bundle.file_sha256(tmp_path / "tiny.pt") and entry.id == "tiny"
    loaded = model_bundle.load_model(str(tmp_path / "tiny.pt"), CPU)
    for name, value in CARD.items():
        assert getattr(loaded.metadata, name) == value
    assert loaded.metadata.crop == "quarter" and loaded.metadata.size == CANVAS
    assert loaded.metadata.labels == {"background": 0, "kidney": 1, "tumor": 2}
    assert TUMOR_HU < loaded.metadata.normalization.mean < KIDNEY_HU
    best = torch.load(finished / "best.pt", weights_only=True)
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, best[name]), name
    extra = {model_bundle.REFERENCE_MASK: ""}
    torch.jit.load(str(tmp_path / "tiny.pt"), _extra_files=extra)
    np.testing.assert_array_equal(np.load(io.BytesIO(extra[model_bundle.REFERENCE_MASK])), np.load(reference_mask))


def test_export_without_training_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint.pt"):
        export_model(tmp_path, tmp_path / "card.json", tmp_path / "model.pt")


@pytest.mark.parametrize(("text", "words"), [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "lacks 'id'")])
def test_wrong_card_is_refused(finished, tmp_path, text, words):
    if text is not None:
        (tmp_path / "card.json").write_text(text)
    with pytest.raises(InputError, match=words):
        export_model(finished, tmp_path / "card.json", tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


# Configuration


def test_paths_are_relative_to_the_configuration(folder, reference_mask, tmp_path):
    config = read_config(write_config(tmp_path / "config.json", folder, reference_mask))
    assert config.output == tmp_path / "run" and config.store == folder and config.pose.epochs == POSE_EPOCHS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speed": 1}, "unknown key 'speed'"),
        ({"crop": "third"}, "crop must be one of full, half, quarter, not 'third'"),
        ({"pose": {"epoch": 3}}, "pose takes only epochs, batches, batch_size"),
        ({"unet": 3}, "unet takes only"),
    ],
)
def test_wrong_values_are_refused(folder, reference_mask, tmp_path, changes, words):
    path = write_config(tmp_path / "config.json", folder, reference_mask, **changes)
    with pytest.raises(InputError, match=words):
        read_config(path)


def test_absent_reference_mask_is_refused(folder, tmp_path):
    path = write_config(tmp_path / "config.json", folder, "absent.npy")
    with pytest.raises(InputError, match="no reference mask at .*absent.npy"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No training configuration"),
        ("{", "not valid JSON .line 1"),
        ("{}", "lacks the key 'output'"),
        ('{"store": "s", "output": "o"}', "lacks the key 'reference_mask'"),
        ("[1]", "must be a JSON object"),
    ],
)
def test_broken_configurations_are_refused(tmp_path, text, words):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_config(path)
