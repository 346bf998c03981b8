"""From a finished training to a model file with its card; the choice of the reference subject."""

import io
import json
import re
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from abdomens import KIDNEY_HU, TUMOR_HU
from PIL import Image
from tiny_models import make_catalogue
from tiny_stores import TRAINING

from PediatricRenalSegLib import model_bundle
from PediatricRenalSegLib.cli import main
from PediatricRenalSegLib.preprocessing import CANVAS
from PediatricRenalSegLib.training.checkpoint import BEST, CHECKPOINT
from PediatricRenalSegLib.training.config import TrainingConfig
from PediatricRenalSegLib.training.export import export_model
from PediatricRenalSegLib.training.fine_tuning import load_start_model
from PediatricRenalSegLib.training.reference import generated_reference
from PediatricRenalSegLib.training.trainer import build_model
from PediatricRenalSegLib.volume import InputError

CPU = torch.device("cpu")
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


def test_export_writes_a_model_that_reads_back(finished, reference_mask, card, tmp_path):
    entry = export_model(finished, card, tmp_path / "tiny.pt")
    assert entry.sha256 == model_bundle.file_sha256(tmp_path / "tiny.pt") and entry.id == "tiny"
    loaded = model_bundle.load_model(str(tmp_path / "tiny.pt"), CPU)
    for name, value in CARD.items():
        assert getattr(loaded.metadata, name) == value
    assert loaded.metadata.crop == "quarter" and loaded.metadata.size == CANVAS
    assert loaded.metadata.labels == {"background": 0, "kidney": 1, "tumor": 2}
    assert TUMOR_HU < loaded.metadata.normalization.mean < KIDNEY_HU
    best = torch.load(finished / BEST, weights_only=True)
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, best[name]), name
    mask = np.load(io.BytesIO(model_bundle.read_reference_mask(tmp_path / "tiny.pt")))
    np.testing.assert_array_equal(mask, np.load(reference_mask))


def test_card_says_what_one_must_know(finished, card, tmp_path):
    entry = export_model(finished, card, tmp_path / "tiny.pt")
    text = (tmp_path / "tiny.md").read_text()
    for words in (CARD["training_domain"], CARD["limits"], CARD["license"], "| ellipses: kidney Dice | 0.5 |"):
        assert words in text
    assert entry.sha256 in text and '"learning_rate": 0.01' in text and "not a medical device" in text
    assert "which chose the epoch: tumor Dice" in text
    assert str(finished) not in text and "store" not in text, "folders are no one's business"


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


def test_checkpoint_of_before_the_newer_keys_is_exported(finished, card, tmp_path):
    run = copytree(finished, tmp_path / "old")
    saved = torch.load(run / CHECKPOINT, weights_only=False)
    old = "store output reference_mask seed crop features pose crop_stage unet patience averaged shares bfloat16"
    saved["config"] = {name: saved["config"][name] for name in old.split()}
    saved["sampler"] = {}
    del saved["history"]
    torch.save(saved, run / CHECKPOINT)
    export_model(run, card, tmp_path / "old.pt")
    export_model(finished, card, tmp_path / "new.pt")
    old, new = (model_bundle.load_model(str(tmp_path / name), CPU) for name in ("old.pt", "new.pt"))
    assert old.metadata == new.metadata
    for name, value in old.network.state_dict().items():
        assert torch.equal(value, new.network.state_dict()[name])


def test_shipped_model_fits_the_network():
    """Its weights load into the pipeline of today, name by name."""
    start = load_start_model(model_bundle.catalogue()[0].path)
    network = build_model(TrainingConfig(Path(), Path(), **start.shape), start.normalization)
    network.load_state_dict(start.weights)
    assert start.shape["method"] == "pose_and_crop" and start.reference_mask.shape == (CANVAS, CANVAS)


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


# Reference subject


def test_reference_is_a_slice_of_a_patient(folder, tmp_path):
    with np.load(folder / f"{TRAINING[1]}.npz") as patient:
        masks, areas = patient["masks"], (patient["labels"] > 0).sum(axis=(1, 2))
    for chosen, row in (([], areas.argmax()), (["--slice", "1"], 1)):
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


def test_generated_reference_lies_straight_in_the_middle():
    rows, columns = np.nonzero(generated_reference().mask)
    assert columns.mean() == pytest.approx(CANVAS / 2, abs=3) and rows.mean() == pytest.approx(CANVAS / 2, abs=8)
