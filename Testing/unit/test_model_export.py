"""From a finished training to a model file with its card; the choice of the reference subject."""

import csv
import io
import json
import re
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from abdomens import KIDNEY_HU, TUMOR, TUMOR_HU
from PIL import Image
from tiny_models import make_catalogue
from tiny_stores import SHORT, TRAINING, VALIDATION

from PediatricRenalSegLib.cli import main
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.models.bundle import file_sha256, read_reference_mask
from PediatricRenalSegLib.models.catalogue import catalogue, load_model
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.training.data.store import add_patient
from PediatricRenalSegLib.training.learn.checkpoint import BEST, CHECKPOINT
from PediatricRenalSegLib.training.learn.config import TrainingConfig
from PediatricRenalSegLib.training.learn.fine_tuning import load_start_model
from PediatricRenalSegLib.training.learn.log import LOG
from PediatricRenalSegLib.training.learn.model_file import export_model
from PediatricRenalSegLib.training.learn.reference import generated_reference, read_reference
from PediatricRenalSegLib.training.learn.trainer import Trainer, build_model

CPU = torch.device("cpu")
CANVAS = DEFAULT_CANVAS.size
CARD = {
    "id": "tiny", "version": "0.1", "license": "Apache-2.0", "license_notice": "No conditions.",
    "training_domain": "Five ellipses.", "limits": "Never tried on a child.",
    "scores": {"ellipses": {"kidney Dice": 0.5}},
}  # fmt: skip


@pytest.fixture
def card(tmp_path, monkeypatch):
    make_catalogue(tmp_path, monkeypatch, [])
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    return tmp_path / "card.json"


def rounded(value):
    """A weight as a model file has it: matrices in half precision."""
    return value.to(torch.bfloat16).float() if value.dim() > 1 else value


def test_export_writes_a_model_that_reads_back(finished, reference_mask, card, tmp_path):
    entry = export_model(finished, card, tmp_path / "tiny.pt")
    assert entry.sha256 == file_sha256(tmp_path / "tiny.pt") and entry.id == "tiny"
    loaded = load_model(str(tmp_path / "tiny.pt"), CPU)
    for name, value in CARD.items():
        assert getattr(loaded.metadata, name) == value
    assert loaded.metadata.input == {"size": CANVAS, "pixel_mm": 1.0, "crop": "quarter"}
    assert loaded.structures == RENAL and loaded.metadata.channels == ("background", "kidney", "tumor")
    assert TUMOR_HU < loaded.metadata.normalization.mean < KIDNEY_HU
    best = torch.load(finished / BEST, weights_only=True)
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, rounded(best[name])), name
    mask = np.load(io.BytesIO(read_reference_mask(tmp_path / "tiny.pt")))
    np.testing.assert_array_equal(mask, np.load(reference_mask))


def test_card_says_what_one_must_know(finished, card, tmp_path):
    entry = export_model(finished, card, tmp_path / "tiny.pt")
    text = (tmp_path / "tiny.md").read_text()
    for words in (CARD["training_domain"], CARD["limits"], CARD["license"], "| ellipses: kidney Dice | 0.5 |"):
        assert words in text
    assert entry.sha256 in text and '"learning_rate": 0.01' in text and "not a medical device" in text
    assert "which chose the epoch: tumor Dice" in text
    assert str(finished) not in text and not re.search(r"\bstore\b", text), "folders are no one's business"


def test_card_of_the_last_epoch_has_its_scores(finished, card, tmp_path):
    run = copytree(finished, tmp_path / "last")
    saved = torch.load(run / CHECKPOINT, weights_only=False)
    saved["config"]["keep"] = "last"
    worst = {**saved["history"][-1], "validation": -1.0, "dice": {"kidney": 0.125, "tumor": 0.25}}
    saved["history"].append(worst)
    torch.save(saved, run / CHECKPOINT)
    export_model(run, card, tmp_path / "tiny.pt")
    text = (tmp_path / "tiny.md").read_text()
    assert "| validation slices: kidney Dice | 0.125 |" in text and "which chose the epoch" not in text


@pytest.mark.slow
def test_a_structure_that_validation_does_not_show_has_no_score(folder, config, card, tmp_path, capsys):
    """Not 0, and nothing in the choice of the epoch."""
    store = copytree(folder, tmp_path / "store")
    with np.load(store / f"{VALIDATION}.npz") as patient:
        labels = np.where(patient["labels"] == TUMOR, 0, patient["labels"])
        add_patient(store, VALIDATION, "real", patient["images"], patient["masks"], labels)
    trainer = Trainer(config(**SHORT, store=str(store)), CPU)
    trainer.run()
    with (trainer.config.output / LOG).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "unet"]
    assert rows and all(row["tumor_dice"] == "" and row["validation"] == row["kidney_dice"] for row in rows)
    export_model(trainer.config.output, card, tmp_path / "tiny.pt")
    for text in (capsys.readouterr().err, (tmp_path / "tiny.md").read_text()):
        assert "kidney Dice" in text and "tumor Dice" not in text and "nan" not in text


@pytest.mark.slow
def test_checkpoint_of_before_the_newer_keys_is_exported(finished, card, tmp_path):
    run = copytree(finished, tmp_path / "old")
    saved = torch.load(run / CHECKPOINT, weights_only=False)
    kept = "store output reference_mask seed crop features pose crop_stage unet patience averaged shares bfloat16"
    saved["config"] = {name: saved["config"][name] for name in kept.split()}
    saved["sampler"] = {}
    for name in ("history", "structures", "channels"):
        del saved[name]
    torch.save(saved, run / CHECKPOINT)
    export_model(run, card, tmp_path / "old.pt")
    export_model(finished, card, tmp_path / "new.pt")
    old, new = (load_model(str(tmp_path / name), CPU) for name in ("old.pt", "new.pt"))
    assert old.metadata == new.metadata
    for name, value in old.network.state_dict().items():
        assert torch.equal(value, new.network.state_dict()[name])


def test_shipped_model_fits_the_network():
    """Its weights load into the pipeline of today, name by name."""
    start = load_start_model(catalogue()[0].path)
    config = TrainingConfig(Path(), Path(), method=start.method, crop=start.crop, features=start.features)
    network = build_model(config, start.normalization, len(start.channels))
    network.load_state_dict(start.weights)
    assert start.method == "pose_and_crop" and start.channels == ("background", "kidney", "tumor")
    assert start.reference_mask is not None and start.reference_mask.shape == (CANVAS, CANVAS)


def test_export_without_training_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint.pt"):
        export_model(tmp_path, tmp_path / "card.json", tmp_path / "model.pt")


def with_scores(scores):
    return json.dumps({**CARD, "scores": scores})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        (b"\xff", "cannot be read"),
        ("3", "must be a JSON object of id, version"),
        ("{}", "lacks 'id'"),
        (json.dumps({**CARD, "version": 1.0}), "must have a text as 'version', not 1.0"),
        (with_scores([]), r"numbers by name by data set as 'scores', .* not \[\]"),
        (with_scores({"kidney Dice": 0.9}), "numbers by name by data set as 'scores', .* not {'kidney Dice': 0.9}"),
        (with_scores({"ours": {"kidney Dice": "0.9"}}), "numbers by name by data set as 'scores'"),
    ],
)
def test_wrong_card_is_refused(finished, tmp_path, text, words):
    card = tmp_path / "card.json"
    if text is not None:
        card.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = list(tmp_path.iterdir())
    with pytest.raises(InputError, match=f"The model card {card} .*{words}"):
        export_model(finished, card, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == before


@pytest.mark.parametrize("earlier", ["tiny.pt", "tiny.md"])
def test_earlier_model_is_replaced_only_when_allowed(finished, card, tmp_path, capsys, earlier):
    path = tmp_path / earlier
    path.write_text("earlier")
    call = ["export", str(finished), str(card), "--output", str(tmp_path / "tiny.pt")]
    assert main(call) == 2
    assert f"{path} exists already: choose another place or allow overwriting." in capsys.readouterr().err
    assert path.read_text() == "earlier"
    assert main([*call, "--overwrite"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["sha256"] == file_sha256(tmp_path / "tiny.pt")
    assert entry["sha256"] in (tmp_path / "tiny.md").read_text()


@pytest.mark.slow
def test_export_twice_is_the_same_file(finished, card, tmp_path):
    for folder in ("one", "two"):
        export_model(finished, card, tmp_path / folder / "tiny.pt")
    assert (tmp_path / "one/tiny.pt").read_bytes() == (tmp_path / "two/tiny.pt").read_bytes()


def test_model_file_ends_in_pt(finished, card, tmp_path):
    """The card would lie over a model named ``tiny.md``."""
    with pytest.raises(InputError, match=f"name {tmp_path}/tiny.pt instead of {tmp_path}/tiny.md"):
        export_model(finished, card, tmp_path / "tiny.md")


# Reference subject


def test_reference_is_a_slice_of_a_patient(folder, tmp_path):
    with np.load(folder / f"{TRAINING[1]}.npz") as patient:
        masks, areas = patient["masks"], (patient["labels"] > 0).sum(axis=(1, 2))
    for chosen, row in (([], areas.argmax()), (["--slice", "1", "--overwrite"], 1)):
        call = ["reference", str(tmp_path / "reference.npy"), "--patient", str(folder), TRAINING[1], *chosen]
        assert main(call) == 0
        np.testing.assert_array_equal(np.load(tmp_path / "reference.npy"), masks[row])
    assert Image.open(tmp_path / "reference.png").size == (CANVAS, CANVAS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reference.npy", "--patient", "{store}", "nobody"], "holds no patient 'nobody'"),
        (["reference.npy", "--patient", "{store}", TRAINING[0], "--slice", "99"], "no slice 99 .* choose 0 to 5"),
        (["reference.npy", "--slice", "3"], "--slice needs --patient"),
        (["reference.png", "--patient", "{store}", TRAINING[0]], "name .*reference.npy instead"),
    ],
)
def test_wrong_references_are_one_line(folder, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["reference", *(argument.format(store=folder) for argument in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("earlier", ["reference.npy", "reference.png"])
def test_earlier_reference_is_replaced_only_when_allowed(folder, tmp_path, capsys, earlier):
    path = tmp_path / earlier
    path.write_text("earlier")
    call = ["reference", str(tmp_path / "reference.npy"), "--patient", str(folder), TRAINING[0]]
    assert main(call) == 2
    assert f"{path} exists already: choose another place or allow overwriting." in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.iterdir()] == ["earlier"]
    assert main([*call, "--overwrite"]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["reference.npy", "reference.png"]
    assert read_reference(tmp_path / "reference.npy").any() and Image.open(tmp_path / "reference.png").format == "PNG"


def test_boolean_reference_is_taken(reference_mask, tmp_path):
    expected = np.load(reference_mask)
    np.save(tmp_path / "mask.npy", expected.astype(bool))
    mask = read_reference(tmp_path / "mask.npy")
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8


ONES = np.ones((CANVAS, CANVAS), np.uint8)


@pytest.mark.parametrize(
    "values",
    [255 * ONES, 0 * ONES, ONES[1:], ONES[None], np.uint8(1), ONES.astype(str), None],
    ids=["gray values", "empty", "other size", "three axes", "scalar", "text", "no array"],
)
def test_wrong_reference_masks_are_refused(config, tmp_path, values):
    """Before anything is trained on them."""
    path = tmp_path / "mask.npy"
    if values is None:
        path.write_bytes(b"")
    else:
        np.save(path, values)
    with pytest.raises(InputError, match=f"The reference mask {path} must be an .npy file of 256 × 256 pixels, 1 in"):
        Trainer(config(**SHORT, reference_mask=str(path)), CPU)


@pytest.mark.slow
def test_generated_reference_lies_straight_in_the_middle():
    rows, columns = np.nonzero(generated_reference().mask)
    assert columns.mean() == pytest.approx(CANVAS / 2, abs=3) and rows.mean() == pytest.approx(CANVAS / 2, abs=8)
