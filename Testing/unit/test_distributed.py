"""Training in two processes on one processor gives the result of one process.

The gradients are compared in double precision, where nothing but rounding in the twelfth digit may remain. In a whole
training in single precision rounding grows from batch to batch, fastest in batch normalization over few pixels:
so a small learning rate, and a tolerance of a hundredth of what the training has changed.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_trainer import log_of
from tiny_stores import write_config

from PediatricRenalSegLib.networks.pipeline import SegmentationPipeline
from PediatricRenalSegLib.training.learn.batch import Batch
from PediatricRenalSegLib.training.learn.checkpoint import CHECKPOINT
from PediatricRenalSegLib.training.learn.config import TrainingConfig, read_config
from PediatricRenalSegLib.training.learn.distributed import joined_processes, part_of_process, share_training
from PediatricRenalSegLib.training.learn.stages import stages_of, trained_parameters
from PediatricRenalSegLib.training.learn.trainer import Trainer

CPU = torch.device("cpu")
SIZE = 128


def gradients() -> dict[str, torch.Tensor]:
    """Of every stage for one random batch of five slices, one of them without labels."""
    with joined_processes(CPU):
        torch.manual_seed(0)
        model = SegmentationPipeline(SIZE, 3, "half", features=2)
        parameters = dict(model.named_parameters())
        for stn in ("pose_stn", "crop_stn"):
            torch.nn.init.normal_(parameters[f"{stn}.localization.fully2.weight"], std=0.05)
        mask = (torch.rand(5, 1, SIZE, SIZE) > 0.5).double()
        corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.25], [-0.5, 0.25]]).double().repeat(5, 1, 1)
        corners[2] = torch.nan
        batch = Batch(
            image=torch.randn(5, 1, SIZE, SIZE).double(),
            mask=mask,
            labels=torch.randint(3, (5, SIZE, SIZE)),
            corners=corners,
            wobble=torch.eye(2, 3).double().repeat(5, 1, 1),
        )
        found = {}
        config = TrainingConfig(Path(), Path())
        for stage, _ in stages_of(config, model.double(), torch.ones(1, 1, SIZE, SIZE).double()):
            model.requires_grad_(False)
            for part in stage.trained:
                part.requires_grad_(True)
            loss = share_training(stage)
            loss(batch.select(torch.tensor(part_of_process(list(range(5)))))).backward()
            found[stage.name] = torch.cat([flat_gradient(parameter) for parameter in trained_parameters(stage)])
        return found


def flat_gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad.flatten()


def in_two_processes(*command: str) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*torchrun, *command], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_gradients_are_those_of_one_process(tmp_path):
    in_two_processes(__file__, str(tmp_path / "gradients.pt"))
    shared = torch.load(tmp_path / "gradients.pt")
    for name, expected in gradients().items():
        assert expected.norm() > 0
        # the U-Net's probabilities are taken in single precision
        tolerance = 1e-5 if name == "unet" else 1e-11
        assert (shared[name] - expected).norm() < tolerance * expected.norm(), name


@pytest.mark.slow
def test_training_in_two_processes_is_that_in_one(folder, reference_mask, config, tmp_path):
    length = {"epochs": 2, "batches": 2, "batch_size": 5}
    changes = {"pose": length, "crop_stage": length, "unet": length, "learning_rate": 0.0003}
    one = Trainer(config(**changes), CPU)
    before = {name: value.clone().double() for name, value in one.model.state_dict().items()}
    one.run()
    two = read_config(write_config(tmp_path / "two.json", folder, reference_mask, output="two", **changes))
    in_two_processes("-m", "PediatricRenalSegLib.cli", "train", str(tmp_path / "two.json"), "--device", "cpu")
    for expected, row in zip(log_of(one.config.output), log_of(two.output), strict=True):
        assert (row["stage"], row["epoch"]) == (expected["stage"], expected["epoch"])
        assert float(row["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-4), row
        assert float(row["validation"]) == pytest.approx(float(expected["validation"]), rel=0.01), row
    weights = [torch.load(run / CHECKPOINT, weights_only=False)["model"] for run in (one.config.output, two.output)]
    for stage in ("pose", "crop", "unet"):
        names = [name for name in before if name.startswith(stage) and before[name].dim()]
        first, second = (np.concatenate([values[name].double().flatten() for name in names]) for values in weights)
        start = np.concatenate([before[name].flatten() for name in names])
        assert np.linalg.norm(first - second) < 0.01 * np.linalg.norm(first - start), stage


if __name__ == "__main__":
    found = gradients()
    if os.environ["RANK"] == "0":
        torch.save(found, sys.argv[1])
