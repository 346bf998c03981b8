"""Training on with the weights of a finished model: the four regimes of the paper's table 1."""

import csv
import json

import pytest
import torch
from tiny_models import NORMALIZATION, untrained_pipeline, write_model
from tiny_stores import SHORT

from PediatricRenalSegLib.cli import main
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.training.learn.checkpoint import BEST, CHECKPOINT
from PediatricRenalSegLib.training.learn.config import read_config
from PediatricRenalSegLib.training.learn.fine_tuning import fine_tuning_config
from PediatricRenalSegLib.training.learn.trainer import Trainer

CPU = torch.device("cpu")
DECODER = {"up", "decode", "heads"}
OUTER = {"first", "down.0", "encode.0", "up.1", "up.2", "decode.1", "decode.2", "heads.0", "heads.1"}
"""Of a U-Net with three levels below the first and two heads."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file whose U-Net has 64 pixels."""
    return write_model(tmp_path_factory.mktemp("start") / "start.pt", untrained_pipeline(features=2))


@pytest.fixture
def start(config, model):
    """Makes the trainer that goes on from the model."""
    stay = {"epochs": 0}
    given = {"pose": stay, "crop_stage": stay, "unet": SHORT["unet"], "averaged": 0.0, "start": str(model)}
    return lambda **changes: Trainer(config(**{**given, **changes}), CPU)


def weights_of(model):
    return load_model(str(model), CPU).network.state_dict()


def last_weights(trainer):
    return torch.load(trainer.config.output / CHECKPOINT, weights_only=False)["model"]


def changed(before, after):
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.slow
@pytest.mark.parametrize(("trainable", "parts"), [("all", {""}), ("decoder", DECODER), ("outer", OUTER)])
def test_regimes_train_their_part_and_no_other(start, model, trainable, parts):
    """Parts that are not trained keep the statistics of their batch normalization, too."""
    trainer = start(trainable=trainable)
    trainer.run()
    before = weights_of(model)
    expected = {name for name in before if any(name.startswith(f"unet.{part}") for part in parts)}
    assert changed(before, last_weights(trainer)) == expected


def test_frozen_model_is_validated_and_kept(start, model):
    trainer = start(trainable="frozen")
    trainer.run()
    before = weights_of(model)
    assert not changed(before, last_weights(trainer))
    assert not changed(before, torch.load(trainer.config.output / BEST, weights_only=True))
    with (trainer.config.output / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["stage"], row["epoch"], row["loss"]) == ("unet", "0", "") and float(row["kidney_dice"]) >= 0


@pytest.mark.slow
def test_start_model_is_kept_if_training_makes_it_worse(start, model, monkeypatch):
    trainer = start()
    score = trainer.validation.score
    monkeypatch.setattr(trainer.validation, "score", lambda stage: type(score(stage))(-trainer.progress.epoch, {}))
    trainer.run()
    assert not changed(weights_of(model), torch.load(trainer.config.output / BEST, weights_only=True))
    assert changed(weights_of(model), last_weights(trainer))


def test_stns_are_trained_on_when_asked(start, model):
    trainer = start(pose=SHORT["pose"], trainable="frozen")
    trainer.run()
    names = {name.split(".")[0] for name in changed(weights_of(model), last_weights(trainer))}
    assert names == {"pose_stn"}


def test_normalization_is_that_of_the_model(start):
    assert start().normalization == NORMALIZATION


@pytest.mark.parametrize(
    ("key", "value", "words"), [("crop", "half", "'quarter', .* 'half'"), ("features", 4, "2, .* 4")]
)
def test_other_sizes_are_refused(start, key, value, words):
    with pytest.raises(InputError, match=f"start.pt has {key} {words}: make them the same"):
        start(**{key: value})


def test_fine_tune_keeps_the_stns(folder, model, tmp_path):
    config = fine_tuning_config(model, folder, tmp_path / "run", "decoder", 7)
    assert (config.pose.epochs, config.crop_stage.epochs, config.unet.epochs) == (0, 0, 7)
    assert (config.method, config.crop, config.features, config.trainable) == ("pose_and_crop", "quarter", 2, "decoder")


def test_stns_stay_unless_a_configuration_names_them(folder, model, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"store": str(folder), "output": "run", "start": str(model), "pose": {"epochs": 3}}))
    config = read_config(path)
    assert (config.pose.epochs, config.crop_stage.epochs, config.unet.epochs) == (3, 0, 200)


def test_fine_tune_command(folder, model, tmp_path, capsys):
    call = ["fine-tune", str(model), str(folder), str(tmp_path / "run"), "--trainable", "frozen", "--device", "cpu"]
    assert main(call) == 0
    assert "unet 0: validation" in capsys.readouterr().err
    assert not changed(weights_of(model), torch.load(tmp_path / "run" / BEST, weights_only=True))


def test_fine_tuning_of_another_model_is_refused(folder, model, tmp_path, monkeypatch, capsys):
    """The same one goes on, from wherever it is called and wherever the model lies now."""
    write_model(tmp_path / "other.pt", untrained_pipeline(features=2, seed=1))
    (tmp_path / "same.pt").write_bytes(model.read_bytes())
    monkeypatch.chdir(tmp_path)
    options = ["--trainable", "frozen", "--device", "cpu"]
    assert main(["fine-tune", str(model), str(folder), "run", *options]) == 0
    monkeypatch.chdir(folder)
    assert main(["fine-tune", str(tmp_path / "same.pt"), ".", str(tmp_path / "run"), *options]) == 0
    capsys.readouterr()
    assert main(["fine-tune", str(tmp_path / "other.pt"), ".", str(tmp_path / "run"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"began with another start ({model}, now {tmp_path / 'other.pt'}): name another" in line


def test_absent_model_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no model to start from at .*absent.pt"):
        fine_tuning_config(tmp_path / "absent.pt", folder, tmp_path / "run", "all", 1)
