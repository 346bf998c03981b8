"""A store and a finished training that several test files look at; nothing may be written into them."""

import pytest
import torch
from tiny_stores import write_config, write_reference_mask, write_store

from PediatricRenalSegLib.training.learn.config import read_config
from PediatricRenalSegLib.training.learn.trainer import Trainer


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A store of analytic children."""
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def reference_mask(tmp_path_factory):
    return write_reference_mask(tmp_path_factory.mktemp("reference") / "reference.npy")


@pytest.fixture(scope="session")
def finished(folder, reference_mask, tmp_path_factory):
    """Folder of an uninterrupted training."""
    config = read_config(write_config(tmp_path_factory.mktemp("training") / "config.json", folder, reference_mask))
    Trainer(config, torch.device("cpu")).run()
    return config.output


@pytest.fixture
def config(folder, reference_mask, tmp_path):
    """Makes the configuration of a training that is not begun; its output is ``tmp_path / "run"``."""
    return lambda **changes: read_config(write_config(tmp_path / "config.json", folder, reference_mask, **changes))
