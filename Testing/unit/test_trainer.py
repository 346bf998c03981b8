"""Whole trainings of seconds: stages, methods, logs, resume."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_stores import POSE_EPOCHS, SHORT

from PediatricRenalSegLib.cli import main
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.networks.pipeline import METHODS, SegmentationPipeline
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS
from PediatricRenalSegLib.training.learn.checkpoint import BEST, CHECKPOINT, load, save
from PediatricRenalSegLib.training.learn.log import LOG, TENSORBOARD
from PediatricRenalSegLib.training.learn.trainer import Trainer

CPU = torch.device("cpu")
CANVAS = DEFAULT_CANVAS.size
IDENTITY = torch.eye(2, 3)
QUIET = subprocess.DEVNULL


def log_of(run):
    with (run / LOG).open(newline="") as file:
        return list(csv.DictReader(file))


def results(run):
    """The log without its seconds."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in log_of(run)]


def events(run):
    return EventAccumulator(str(run / TENSORBOARD)).Reload()


def assert_same_weights(one, other, **tolerances):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], **tolerances)


# One training


def test_all_three_stages_run(finished):
    expected = [("pose", POSE_EPOCHS), ("crop", 2), ("unet", 2)]
    rows = log_of(finished)
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (stage, str(n + 1)) for stage, epochs in expected for n in range(epochs)
    ]
    assert all(np.isfinite(float(row[name])) for row in rows for name in ("loss", "validation", "learning_rate"))


def test_validation_of_the_unet_is_the_mean_dice(finished):
    for row in log_of(finished):
        dice = [row["kidney_dice"], row["tumor_dice"]]
        assert dice == ["", ""] if row["stage"] != "unet" else True
        if row["stage"] == "unet":
            assert float(row["validation"]) == pytest.approx(np.mean([float(value) for value in dice]), rel=1e-3)


def test_pose_loss_falls(finished):
    losses = [float(row["loss"]) for row in log_of(finished) if row["stage"] == "pose"]
    assert losses[-1] < 0.8 * losses[0]


def test_learning_rate_follows_the_poly_schedule(finished):
    rates = [float(row["learning_rate"]) for row in log_of(finished)]
    expected = [0.01 * (1 - n / POSE_EPOCHS) ** 0.9 for n in range(POSE_EPOCHS)]
    np.testing.assert_allclose(rates[:POSE_EPOCHS], expected, rtol=1e-3)


def test_options_of_optimization_arrive(config, monkeypatch):
    given = {"learning_rate": 0.5, "poly_exponent": 2, "stn_momentum": 0.1, "unet_momentum": 0.2, "weight_decay": 0.3}
    trainer = Trainer(config(**SHORT, **given), CPU)
    seen: dict[str, list[list[float | bool]]] = {}
    finish = trainer._finish_epoch

    def remember(stage, *values):
        assert trainer.optimizer_state is not None
        (group,) = trainer.optimizer_state["param_groups"]
        seen.setdefault(stage.name, []).append([group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")])
        finish(stage, *values)

    monkeypatch.setattr(trainer, "_finish_epoch", remember)
    trainer.run()
    assert seen == {
        "pose": [[0.5, 0.1, False, 0]],
        "crop": [[0.5, 0.1, False, 0]],
        "unet": [[0.5, 0.2, True, 0.3], [0.5 * 0.5**2, 0.2, True, 0.3]],
    }


def test_tensorboard_has_curves_and_pictures(finished):
    found = events(finished)
    first_of_unet = POSE_EPOCHS + 2
    kidney = [(event.step, f"{event.value:.5g}") for event in found.Scalars("unet/kidney_dice")]
    expected = [row["kidney_dice"] for row in log_of(finished)[first_of_unet:]]
    assert kidney == [(first_of_unet + n, value) for n, value in enumerate(expected)]
    for stage in ("pose", "crop", "unet"):
        assert {f"{stage}/{name}" for name in ("loss", "validation", "learning_rate")} <= set(found.Tags()["scalars"])
    (title,) = found.Tags()["images"]
    picture = found.Images(title)[0]
    assert (picture.height, picture.width) == (4 * CANVAS, 4 * CANVAS)


def test_stages_train_only_their_own_network(config, monkeypatch):
    trainer = Trainer(config(**SHORT, averaged=0.0), CPU)
    finish = trainer._finish_epoch
    changed: dict[str, set[str]] = {}
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}

    def remember(stage, *values):
        for name, value in trainer.model.state_dict().items():
            if not torch.equal(value, before[name]):
                changed.setdefault(stage.name, set()).add(name.split(".")[0])
            before[name] = value.clone()
        finish(stage, *values)

    monkeypatch.setattr(trainer, "_finish_epoch", remember)
    trainer.run()
    assert changed == {"pose": {"pose_stn"}, "crop": {"crop_stn"}, "unet": {"unet"}}


@pytest.mark.slow
def test_best_model_is_the_mean_of_the_last_part(config, monkeypatch):
    """With two epochs of two batches and ``averaged`` at a half, the mean of the last two states."""
    none = {"epochs": 0}
    trainer = Trainer(config(**{**SHORT, "pose": none, "crop_stage": none}), CPU)
    states, augment, score = [], trainer.slices.augment, trainer.validation.score

    def state():
        return {name: value.clone() for name, value in trainer.model.unet.state_dict().items()}

    def remember(*slices):
        states.append(state())
        return augment(*slices)

    trainer.slices.augment = remember
    monkeypatch.setattr(trainer.validation, "score", lambda stage: replace(score(stage), value=trainer.progress.epoch))
    best = trainer.run().unet.state_dict()
    last = torch.load(trainer.config.output / CHECKPOINT, weights_only=False)["model"]
    states = [*states[:: SHORT["unet"]["batch_size"]], {n.removeprefix("unet."): v for n, v in last.items()}]
    assert len(states) == 5
    for name, value in best.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[3][name] + states[4][name]) / 2)


@pytest.mark.slow
@pytest.mark.parametrize(("averaged", "epochs"), [(0.0, 3), (0.4, 8), (1.0, 3)])
def test_training_without_better_validation_ends(config, monkeypatch, averaged, epochs):
    """After the shortest length; ``patience`` counts from where the average begins."""
    monkeypatch.setattr("PediatricRenalSegLib.training.learn.trainer.EPOCHS_BEFORE_STOPPING", 3)
    none, unet = {"epochs": 0}, {"epochs": 10, "batches": 1, "batch_size": 2}
    changes = {"pose": none, "crop_stage": none, "unet": unet, "patience": 2, "averaged": averaged}
    trainer = Trainer(config(**changes), CPU)
    score = trainer.validation.score
    monkeypatch.setattr(trainer.validation, "score", lambda stage: replace(score(stage), value=-trainer.progress.epoch))
    trainer.run()
    rows = [(row["stage"], row["epoch"]) for row in log_of(trainer.config.output)]
    assert rows == [("unet", str(number)) for number in range(1, epochs + 1)]


@pytest.mark.slow
def test_the_last_model_is_kept_though_an_earlier_one_was_better(config, monkeypatch):
    trainer = Trainer(config(keep="last", averaged=0.0), CPU)
    score = trainer.validation.score
    monkeypatch.setattr(trainer.validation, "score", lambda stage: replace(score(stage), value=-trainer.progress.epoch))
    kept = trainer.run().state_dict()
    last = torch.load(trainer.config.output / CHECKPOINT, weights_only=False)["model"]
    assert all(torch.equal(value, last[name]) for name, value in kept.items())


# Stop and go on


class Killed(BaseException):
    """As if the power had failed."""


@pytest.mark.slow
@pytest.mark.parametrize("slices", [9 * 4, 30 * 4 + 8, 30 * 4 + 12 + 8], ids=["pose", "crop", "unet"])
def test_killed_training_goes_on_as_if_nothing_happened(config, finished, slices):
    """Killed in the middle of an epoch of each stage."""
    trainer = Trainer(config(), CPU)
    augment = trainer.slices.augment
    drawn: list[tuple] = []

    def augment_until_killed(*values):
        if len(drawn) == slices:
            raise Killed
        drawn.append(values)
        return augment(*values)

    trainer.slices.augment = augment_until_killed
    with pytest.raises(Killed):
        trainer.run()
    output = trainer.config.output
    assert len(log_of(output)) < len(log_of(finished))
    time.sleep(1)  # TensorBoard reads its files in the order of their names, which begin with the second
    resumed = Trainer(config(), CPU).run()
    assert results(output) == results(finished)
    best = torch.load(finished / BEST, weights_only=True)
    assert_same_weights(resumed.state_dict(), best, rtol=1e-4, atol=1e-6)
    steps = [event.step for event in events(output).Scalars("pose/loss")]
    assert steps == list(range(POSE_EPOCHS)), "no epoch is shown twice"


@pytest.mark.slow
def test_process_killed_at_random_moments_ends_with_the_same_losses(config, finished, tmp_path):
    """The real thing: SIGKILL from outside, at whatever it is doing."""
    output, command = config().output, [sys.executable, "-m", "PediatricRenalSegLib.cli", "train"]
    call = [*command, str(tmp_path / "config.json"), "--device", "cpu"]
    for rows in (1, 6):
        process = subprocess.Popen(call, stdout=QUIET, stderr=QUIET)
        while not (output / LOG).exists() or len(log_of(output)) < rows:
            time.sleep(0.05)
        time.sleep(random.random())
        process.kill()
        process.wait()
    subprocess.run(call, check=True, stdout=QUIET, stderr=QUIET)
    assert results(output) == results(finished)


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line(config, tmp_path):
    output = config(workers=1).output
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", "train", str(tmp_path / "config.json")]
    process = subprocess.Popen(
        [*command, "--device", "cpu"], stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )  # fmt: skip
    while not (output / LOG).exists() or not log_of(output):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    *epochs, last = process.communicate()[1].strip().splitlines()
    assert process.returncode == 130
    assert last == "pediatric-renal-seg: stopped; the same command goes on from the last epoch."
    assert all(line.startswith(("pose", "crop", "unet")) for line in epochs)


LONGER = {**SHORT["unet"], "epochs": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"features": 4},
        {"method": "pose", "crop": "full"},
        {"seed": 1},
        {"restored": "probabilities"},
        {"unet": LONGER},
    ],
)
def test_going_on_with_another_configuration_is_refused(config, changes):
    Trainer(config(**SHORT), CPU).run()
    key = next(iter(changes))
    with pytest.raises(InputError, match=f"began with another {key} .* name another output folder"):
        Trainer(config(**{**SHORT, **changes}), CPU)


def test_going_on_with_another_reference_is_refused(config, reference_mask, tmp_path):
    """Its content counts, not its path."""
    first, second = (tmp_path / name for name in ("first.npy", "second.npy"))
    for path in (first, second):
        path.write_bytes(reference_mask.read_bytes())
    Trainer(config(**SHORT, reference_mask=str(first)), CPU).run()
    other = config(**SHORT, reference_mask=str(second))
    Trainer(other, CPU)
    np.save(second, 1 - np.load(reference_mask))
    with pytest.raises(InputError, match=rf"began with another reference_mask \({first}, now {second}\): name another"):
        Trainer(other, CPU)


@pytest.mark.slow
def test_checkpoint_without_checksums_goes_on(config):
    """That of an earlier version."""
    Trainer(config(**SHORT), CPU).run()
    path = config().output / CHECKPOINT
    saved = torch.load(path, weights_only=True)
    del saved["files"]
    torch.save(saved, path)
    Trainer(config(**SHORT), CPU)


@pytest.mark.slow
def test_training_of_an_earlier_version_goes_on_restoring_probabilities(config):
    paper = {**SHORT, "restored": "probabilities"}
    Trainer(config(**paper), CPU).run()
    path = config().output / CHECKPOINT
    saved = torch.load(path, weights_only=True)
    del saved["config"]["restored"]
    torch.save(saved, path)
    Trainer(config(**paper), CPU)
    with pytest.raises(InputError, match="began with another restored"):
        Trainer(config(**SHORT), CPU)


def test_checkpoint_is_on_the_disk_before_it_replaces_the_earlier_one(tmp_path, monkeypatch):
    path, synced, sync = tmp_path / CHECKPOINT, [], os.fsync

    def remember(file):
        sync(file)
        synced.append((os.fstat(file).st_size, load(path) if path.exists() else None))

    monkeypatch.setattr(os, "fsync", remember)
    for epoch in (1, 2):
        save({"epoch": epoch}, path)
    assert synced == [(path.stat().st_size, None), (path.stat().st_size, {"epoch": 1})]
    assert load(path) == {"epoch": 2} and list(tmp_path.iterdir()) == [path]


DAMAGES = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[:-100],
    "a part lost": lambda content: content[:5000] + bytes(5000) + content[10000:],
    "another file": lambda content: b"not a checkpoint",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_is_one_line(config, finished, tmp_path, capsys, damage):
    run = copytree(finished, config().output)
    path = run / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    for call in (["train", tmp_path / "config.json"], ["export", run, tmp_path / "card.json", "--output", "model.pt"]):
        assert main([str(argument) for argument in call]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{path} is damaged: put back a copy of it" in line


# Methods


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "stages", "augmentation"),
    [
        ("unet", ["unet"], "nnunet"),
        ("pose", ["pose", "unet"], "none"),
        ("pose_and_crop", ["pose", "crop", "unet"], "nnunet"),
    ],
)
def test_methods_and_augmentations(config, method, stages, augmentation):
    crop = "quarter" if method == "pose_and_crop" else "full"
    trainer = Trainer(config(**{**SHORT, "crop": crop}, method=method, augmentation=augmentation), CPU)
    model = trainer.run()
    assert list(dict.fromkeys(row["stage"] for row in log_of(trainer.config.output))) == stages
    batch = trainer.validation.examples()
    with torch.inference_mode():
        probabilities, *matrices = model(batch.image, batch.mask)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones_like(batch.image[:, 0]))
    for name, matrix in zip(("pose", "crop"), matrices):
        assert torch.equal(matrix, IDENTITY.expand_as(matrix)) == (name not in stages)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_scriptable(method):
    model = SegmentationPipeline(64, 3, "full", features=2, method=method).eval()
    image, mask = torch.randn(2, 2, 1, 64, 64)
    for eager, scripted in zip(model(image, mask), torch.jit.script(model)(image, mask)):
        torch.testing.assert_close(eager, scripted)


def test_unet_alone_sees_the_slice_as_it_is():
    model = SegmentationPipeline(64, 3, "full", features=2, method="unet").eval()
    image, mask = torch.randn(2, 2, 1, 64, 64)
    expected = torch.softmax(model.unet(image)[0], dim=1)
    torch.testing.assert_close(model(image, mask)[0], expected, atol=1e-4, rtol=0)
