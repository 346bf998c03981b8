"""Trainings of other structures, from the data set to the model file, and models that are trained on."""

import csv
import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch
from abdomens import KIDNEY as KIDNEY_LABEL
from abdomens import TUMOR as TUMOR_LABEL
from abdomens import abdomen
from example_models import LIVER
from test_datasets import TRAINED, VALIDATED, Nnunet
from test_model_export import CARD
from test_trainer import log_of
from tiny_models import untrained_pipeline, write_model
from tiny_stores import SHORT, TRAINING, VALIDATION, write_config

from PediatricRenalSegLib.cli import main
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.models.bundle import load_bundle, read_metadata
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.structures import ANATOMICAL_STRUCTURE, KIDNEY, RENAL, TUMOR, Code, Structure, StructureSet
from PediatricRenalSegLib.training.data.patient import TrainingPatient
from PediatricRenalSegLib.training.data.plausibility import check_patient, doubts_about
from PediatricRenalSegLib.training.data.prepare import prepare_dataset
from PediatricRenalSegLib.training.data.reports import REPORT
from PediatricRenalSegLib.training.data.store import STRUCTURES, open_store, read_structures, store_patient
from PediatricRenalSegLib.training.learn.batch import StoredSlices, as_stored
from PediatricRenalSegLib.training.learn.checkpoint import CHECKPOINT
from PediatricRenalSegLib.training.learn.config import read_config
from PediatricRenalSegLib.training.learn.fine_tuning import load_start_model
from PediatricRenalSegLib.training.learn.losses import segmentation_loss
from PediatricRenalSegLib.training.learn.model_file import export_model
from PediatricRenalSegLib.training.learn.sampling import Sampler
from PediatricRenalSegLib.training.learn.trainer import Trainer

CPU = torch.device("cpu")
URETER = Structure(
    label=3,
    name="ureter",
    display_name="Ureter",
    color=(220, 200, 120),
    category=ANATOMICAL_STRUCTURE,
    type=Code("SCT", "87953007", "Ureter"),
    paired=True,
    warn_if_absent=False,
)
WITH_URETERS = StructureSet((KIDNEY, TUMOR, URETER))
ONLY_TUMOR = StructureSet((TUMOR,))


def labels_of(made, structures):
    """Those of an analytic abdomen; a ureter is a column in each kidney."""
    labels = made.labels.copy()
    if len(structures) == 3:
        rows, columns = (np.flatnonzero((labels == KIDNEY_LABEL).any(axis=axes)) for axes in ((0, 2), (0, 1)))
        for column in (columns[0] + 8, columns[-1] - 8):
            labels[2:-2, rows.mean().astype(int) :, column : column + 4] *= 0
            labels[2:-2, rows.mean().astype(int) : rows[-1], column : column + 4] = 3
    return labels


def write_dataset(folder, structures):
    """Three patients, of whom one validates."""
    dataset = Nnunet(folder, {"background": 0, **{row.name.replace("_", " "): row.label for row in structures}})
    for number, name in enumerate((*TRAINED[:2], VALIDATED)):
        made = abdomen(spacing=(5.0, 2.0, 2.0), seed=number)
        dataset.add(name, made.image, labels_of(made, structures))
    return folder


# ---------------------------------------------------------------- from the data set to the model file


@pytest.mark.slow
@pytest.mark.parametrize("structures", [LIVER, WITH_URETERS], ids=["liver", "ureters"])
def test_other_structures_all_the_way(structures, reference_mask, tmp_path, capsys):
    dataset, store = write_dataset(tmp_path / "dataset", structures), tmp_path / "store"
    (tmp_path / "wanted.json").write_text(json.dumps(structures.to_list()))
    assert main(["prepare", str(dataset), str(store), "--structures", str(tmp_path / "wanted.json")]) == 0
    assert "background" not in capsys.readouterr().out, "every label is known by its name"
    with (store / REPORT).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(float(row[f"{each.name}_ml"]) > 0 for row in rows for each in structures)
    assert main(["prepare", str(dataset), str(store)]) == 0, "a store knows what it holds"

    path = write_config(tmp_path / "config.json", store, reference_mask, **SHORT)
    assert main(["train", str(path), "--device", "cpu"]) == 0
    dice = [name for name in log_of(tmp_path / "run")[-1] if name.endswith("_dice")]
    assert dice == [f"{each.name}_dice" for each in structures]
    assert all(0 <= float(log_of(tmp_path / "run")[-1][name]) <= 1 for name in dice)

    (tmp_path / "card.json").write_text(json.dumps(CARD))
    model = tmp_path / "model.pt"
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "card.json"), "--output", str(model)]) == 0
    metadata = read_metadata(model)
    assert metadata.structures == structures
    assert metadata.channels == ("background", *(each.name for each in structures))
    assert ", ".join(f"{each.label} {each.name}" for each in structures) in model.with_suffix(".md").read_text()
    image = torch.zeros(1, 1, 256, 256)
    assert load_bundle(model, CPU).network(image, image)[0].shape == (1, 1 + len(structures), 256, 256)


def test_every_structure_has_an_equal_part_of_a_batch(tmp_path):
    """Slices of ureters are rare, and a quarter of each batch shows one."""
    made = abdomen((12, 64, 64), (5.0, 4.0, 4.0))
    labels = labels_of(made, WITH_URETERS)
    labels[3:][labels[3:] == URETER.label] = 0
    patient = TrainingPatient(TRAINING[0], "real", made.image, labels, made.spacing, WITH_URETERS)
    store_patient(tmp_path, patient)
    store = open_store(tmp_path, validation=False)
    assert 0 < store.contains(URETER.label).sum() < 3
    for batch in Sampler(store, {"real": 1}, seed=0).epoch(0, 0, batches=5, size=8):
        for each in WITH_URETERS:
            assert store.contains(each.label)[[draw.row for draw in batch]].sum() >= 2


# ---------------------------------------------------------------- a store says what it holds


def test_a_store_of_other_structures_is_refused(tmp_path, capsys):
    dataset, store = write_dataset(tmp_path / "dataset", LIVER), tmp_path / "store"
    prepare_dataset(dataset, store, structures=LIVER)
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    (tmp_path / "renal.json").write_text(json.dumps(RENAL.to_list()))
    call = ["prepare", str(dataset), str(store), "--structures", str(tmp_path / "renal.json")]
    assert main([*call, "--labels", "liver=kidney"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{store} holds liver (1), liver_tumor (2), not kidney (1), tumor (2): name another folder" in line
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before
    made = abdomen()
    with pytest.raises(InputError, match="name another folder"):
        store_patient(store, TrainingPatient("other", "real", made.image, made.labels, made.spacing))


def test_what_a_store_says_of_its_structures_stays(tmp_path):
    """Plausible volumes, colors and codes may be others in the next version; names and labels count."""
    dataset, store = write_dataset(tmp_path / "dataset", LIVER), tmp_path / "store"
    prepare_dataset(dataset, store, structures=LIVER)
    changed = StructureSet(tuple(replace(row, color=(1, 2, 3), plausible_ml=(0.1, 0.2)) for row in LIVER))
    assert prepare_dataset(dataset, store, structures=changed).stored == 3
    assert read_structures(store) == LIVER


def test_a_store_that_says_nothing_is_renal(folder, tmp_path):
    """As all stores of earlier versions."""
    store = copytree(folder, tmp_path / "store")
    (store / STRUCTURES).unlink()
    assert read_structures(store) == RENAL == open_store(store, validation=False).structures
    made = abdomen()
    with pytest.raises(InputError, match=r"holds kidney \(1\), tumor \(2\), not liver \(1\)"):
        store_patient(store, TrainingPatient("other", "real", made.image, made.labels, made.spacing, LIVER))


@pytest.mark.parametrize("text", ["{", "3", '[{"name": "liver"}]', "[]x"])
def test_unreadable_structures_are_one_line(tmp_path, capsys, text):
    dataset = write_dataset(tmp_path / "dataset", LIVER)
    (tmp_path / "wanted.json").write_text(text)
    call = ["prepare", str(dataset), str(tmp_path / "store"), "--structures", str(tmp_path / "wanted.json")]
    assert main(call) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "wanted.json must be a JSON list of structures" in line and not (tmp_path / "store").exists()


# ---------------------------------------------------------------- what is expected stands in the rows


def patient_with(labels, structures, made=None):
    made = made or abdomen()
    return TrainingPatient("one", "real", made.image, labels, made.spacing, structures), made.image > -500


def test_an_organ_without_label_leaves_a_patient_out():
    made = abdomen()
    patient, body = patient_with(made.labels * (made.labels == TUMOR_LABEL), LIVER)
    with pytest.raises(InputError, match="No liver is labeled, so every liver would be learned as background"):
        check_patient(patient, body)


def test_an_organ_that_may_be_absent_does_not():
    patient, body = patient_with(abdomen().labels, WITH_URETERS)
    check_patient(patient, body)
    assert doubts_about(patient, body) == []


def test_a_tumor_alone_may_be_learned():
    made = abdomen()
    patient, body = patient_with(made.labels * (made.labels == TUMOR_LABEL), ONLY_TUMOR)
    check_patient(patient, body)
    with pytest.raises(InputError, match="No voxel is labeled: label tumor, or"):
        check_patient(replace(patient, labels=0 * patient.labels), body)


def test_sides_are_asked_of_paired_organs_alone():
    made = abdomen()
    labels = made.labels * (np.arange(128) > 64).astype(np.uint8)
    assert any("left side only" in doubt for doubt in doubts_about(*patient_with(labels, RENAL)))
    assert not any("side" in doubt for doubt in doubts_about(*patient_with(labels, LIVER)))


def test_fat_is_asked_of_organs_that_have_none():
    """The row of this liver says nothing of its HU, another's may be as dark as fat."""
    made = abdomen()
    dark = replace(made, image=np.where(made.labels == KIDNEY_LABEL, -90, made.image).astype(np.int16))
    for low, told in ((None, False), (-120.0, False), (0.0, True)):
        rows = (replace(LIVER.rows[0], plausible_hu=low if low is None else (low, 200.0)), LIVER.rows[1])
        doubts = doubts_about(*patient_with(made.labels, StructureSet(rows), dark))
        assert any("as dark as fat" in doubt for doubt in doubts) == told


# ---------------------------------------------------------------- models are trained on


def loss_of(bundle, batch):
    return segmentation_loss([bundle.network(batch.image, batch.mask)[0]], batch.labels)


@pytest.mark.parametrize("shipped", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["tiny", "shipped"])
def test_a_loaded_file_learns(shipped, folder, tmp_path):
    """A few steps of gradient descent through what ``load_bundle`` gives, whatever the precision of the file."""
    path = None if shipped else str(write_model(tmp_path / "tiny.pt"))
    bundle = load_model(path, CPU)
    store = open_store(folder, validation=False)
    rows = np.flatnonzero(store.contains(TUMOR_LABEL))[:2]
    batch = as_stored(StoredSlices.of(store, rows), bundle.metadata.normalization)
    parameters = list(bundle.network.parameters())
    assert parameters and all(each.requires_grad and each.dtype == torch.float32 for each in parameters)
    before = {name: value.clone() for name, value in bundle.network.named_parameters()}
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    losses = []
    for _ in range(4):
        loss = loss_of(bundle, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = dict(bundle.network.named_parameters())
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    parts = ("unet.first.", "unet.heads.", "pose_stn.", "crop_stn.")
    assert all(any(name.startswith(part) for name in changed) for part in parts), "from the output to both STNs"


@pytest.mark.slow
def test_an_exported_model_is_trained_on_and_exported_again(finished, folder, tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    export_model(finished, tmp_path / "card.json", tmp_path / "first.pt")
    call = ["fine-tune", str(tmp_path / "first.pt"), str(folder), str(tmp_path / "run"), "--trainable", "frozen"]
    assert main([*call, "--device", "cpu"]) == 0
    export_model(tmp_path / "run", tmp_path / "card.json", tmp_path / "second.pt")
    first, second = (load_start_model(tmp_path / name) for name in ("first.pt", "second.pt"))
    for name, value in first.weights.items():
        assert torch.equal(value, second.weights[name]), "rounded once, not twice"
    assert first.reference_mask is not None and second.reference_mask is not None
    np.testing.assert_array_equal(first.reference_mask, second.reference_mask)


@pytest.fixture
def start(config, tmp_path):
    """Makes the trainer that goes on from a model with such metadata."""

    def trainer(network=None, **changes):
        model = write_model(tmp_path / "start.pt", network or untrained_pipeline(features=2), **changes)
        stay = {"epochs": 0}
        return Trainer(config(pose=stay, crop_stage=stay, unet=SHORT["unet"], start=str(model)), CPU)

    return trainer


@pytest.mark.slow
def test_channels_in_another_order_stay_as_they_are(start, folder, tmp_path):
    channels = ("background", "tumor", "kidney")
    trainer = start(channels=channels)
    stored, seen = open_store(folder, validation=False).labels, trainer.slices.store.labels
    np.testing.assert_array_equal(seen, np.array([0, 2, 1], np.uint8)[stored])
    trainer.run()
    assert list(trainer.history[-1].dice) == ["tumor", "kidney"]
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    export_model(trainer.config.output, tmp_path / "card.json", tmp_path / "model.pt")
    metadata = read_metadata(tmp_path / "model.pt")
    assert metadata.channels == channels and metadata.structures == RENAL
    assert metadata.channel_labels == (0, TUMOR_LABEL, KIDNEY_LABEL)


def test_the_label_of_a_lone_structure_need_not_be_one(tmp_path, reference_mask):
    made = abdomen((6, 64, 64), (8.0, 4.0, 4.0))
    labels = made.labels * (made.labels == TUMOR_LABEL)
    for name in (TRAINING[0], VALIDATION):
        store_patient(tmp_path / "store", TrainingPatient(name, "real", made.image, labels, made.spacing, ONLY_TUMOR))
    stored = open_store(tmp_path / "store", validation=False)
    seen = stored.in_channels(("background", "tumor"))
    np.testing.assert_array_equal(seen.labels, stored.labels == TUMOR_LABEL)
    config = read_config(write_config(tmp_path / "config.json", tmp_path / "store", reference_mask, **SHORT))
    trainer = Trainer(config, CPU)
    assert trainer.channels == ("background", "tumor") and trainer.structures == ONLY_TUMOR


def test_a_model_of_other_structures_is_not_trained_on(start):
    with pytest.raises(InputError, match="holds kidney, tumor, but the network tells apart liver, liver_tumor"):
        start(structures=LIVER, channels=("background", "liver", "liver_tumor"))


def test_a_pose_stn_is_not_trained_without_a_reference(config, tmp_path):
    """Model files of one's own may hold none."""
    model = write_model(tmp_path / "start.pt", untrained_pipeline(features=2))
    given = {**SHORT, "start": str(model), "reference_mask": None}
    with pytest.raises(InputError, match="start.pt holds no reference subject: give reference_mask"):
        Trainer(config(**given), CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "threshold"}, "is a model of the kind 'threshold'"),
        ({"input": {"size": 128, "pixel_mm": 2.0, "crop": "quarter"}}, "128² pixels of 2 mm, but a store has 256²"),
    ],
)
def test_models_that_no_store_fits_are_not_trained_on(start, changes, words):
    with pytest.raises(InputError, match=words):
        start(**changes)


def test_a_run_does_not_go_on_with_a_store_of_other_structures(folder, reference_mask, tmp_path):
    none = {"epochs": 0}
    once = {**SHORT, "pose": none, "crop_stage": none}
    Trainer(read_config(write_config(tmp_path / "config.json", folder, reference_mask, **once)), CPU).run()
    made = abdomen((6, 64, 64), (8.0, 4.0, 4.0))
    for name in (TRAINING[0], VALIDATION):
        store_patient(tmp_path / "store", TrainingPatient(name, "real", made.image, made.labels, made.spacing, LIVER))
    other = read_config(write_config(tmp_path / "config.json", tmp_path / "store", reference_mask, **once))
    with pytest.raises(InputError, match="The store holds liver, liver_tumor, but the network tells apart kidney"):
        Trainer(other, CPU)


def test_a_run_of_an_earlier_version_is_renal(folder, reference_mask, tmp_path):
    none = {"epochs": 0}
    path = write_config(tmp_path / "config.json", folder, reference_mask, **{**SHORT, "pose": none, "crop_stage": none})
    Trainer(read_config(path), CPU).run()
    checkpoint = tmp_path / "run" / CHECKPOINT
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["progress"] == {"stage": 3, "epoch": 0, "best": -np.inf, "best_epoch": 0}
    for name in ("structures", "channels"):
        del saved[name]
    torch.save(saved, checkpoint)
    trainer = Trainer(read_config(path), CPU)
    assert trainer.progress.stage == len(trainer.stages) and trainer.channels == ("background", "kidney", "tumor")
