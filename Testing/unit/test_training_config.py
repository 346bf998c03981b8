"""Configurations of a training: what is read, and the one sentence about what is wrong."""

import pytest
from tiny_stores import POSE_EPOCHS, write_config

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.training.learn.config import TrainingConfig, read_config


def test_paths_are_relative_to_the_configuration(folder, reference_mask, tmp_path):
    config = read_config(write_config(tmp_path / "config.json", folder, reference_mask))
    assert config.output == tmp_path / "run" and config.store == folder and config.pose.epochs == POSE_EPOCHS


def test_values_survive_a_checkpoint(config):
    given = config(method="pose", crop="full", learning_rate=0.1, unet={"epochs": 3, "batches": 4, "batch_size": 5})
    stored = {**given.to_dict(), "of another version": 1}
    del stored["augmentation"]
    assert TrainingConfig.from_dict(stored) == given


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speed": 1}, "unknown key 'speed'"),
        ({"crop": "third"}, "crop must be one of full, half, quarter, not 'third'"),
        ({"method": "crop"}, "method must be one of unet, pose, pose_and_crop, not 'crop'"),
        ({"augmentation": "some"}, "augmentation must be one of varied, none, nnunet, not 'some'"),
        ({"trainable": "some"}, "trainable must be one of all, outer, decoder, frozen, not 'some'"),
        ({"trainable": "decoder"}, "no model to start from: give start"),
        ({"start": "absent.pt"}, "no model to start from at .*absent.pt"),
        ({"start": 3}, "start must be a path, not 3"),
        ({"method": "unet"}, 'method \'unet\' has no crop STN: give "crop": "full"'),
        ({"method": "pose"}, "method 'pose' has no crop STN"),
        ({"reference_mask": None}, "needs a reference subject: give reference_mask"),
        ({"pose": {"epoch": 3}}, "pose takes only epochs, batches, batch_size"),
        ({"unet": 3}, "unet takes only"),
        ({"unet": {"epochs": 0}}, "unet must have at least one epoch"),
        ({"unet": {"batches": 0}}, "unet must have whole numbers above 0"),
        ({"unet": {"batch_size": 1.5}}, "unet must have whole numbers above 0"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, not negative, not 'fast'"),
        ({"unet_momentum": 0}, "unet_momentum must be a number between 0 and 1, not 0"),
        ({"averaged": 2}, "averaged must be a number from 0 to 1, not 2"),
        ({"seed": -1}, "seed must be a whole number, not negative, not -1"),
        ({"crop": ["full"]}, r"crop must be one of full, half, quarter, not \['full'\]"),
        ({"features": 0}, "features must be a whole number above 0, not 0"),
        ({"bfloat16": "false"}, "bfloat16 must be true or false, not 'false'"),
        ({"store": None}, "store must be a path, not None"),
        ({"output": None}, "output must be a path, not None"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number, not negative, not inf"),
        ({"shares": 3}, "shares must be numbers, not negative, by kind: generated, composite, real, not 3"),
        ({"shares": {"real": "a"}}, "shares must be numbers, not negative, by kind: .*, not {'real': 'a'}"),
        ({"shares": {"real": -1}}, "shares must be numbers, not negative, by kind: .*, not {'real': -1}"),
        ({"shares": {"reel": 1}}, "shares must be numbers, not negative, by kind: .*, not {'reel': 1}"),
    ],
)
def test_wrong_values_are_refused(folder, reference_mask, tmp_path, changes, words):
    path = write_config(tmp_path / "config.json", folder, reference_mask, **changes)
    with pytest.raises(InputError, match=f"^{path}: .*{words}"):
        read_config(path)


def test_unet_alone_needs_no_reference(config):
    assert config(method="unet", crop="full", reference_mask=None).reference_mask is None


def test_absent_reference_mask_is_refused(folder, tmp_path):
    path = write_config(tmp_path / "config.json", folder, "absent.npy")
    with pytest.raises(InputError, match="no reference mask at .*absent.npy"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No training configuration"),
        ("{", "not valid JSON .line 1"),
        ("{}", "the key 'output' is missing"),
        ('{"store": "s", "output": "o"}', "give reference_mask"),
        ("[1]", "must be a JSON object"),
    ],
)
def test_broken_configurations_are_refused(tmp_path, text, words):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_config(path)
