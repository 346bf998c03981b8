"""The training loop: stages, epochs, checkpoints, resume."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ...models.normalization import Normalization
from ...networks.pipeline import SegmentationPipeline
from ..data.store import SliceStore, channels_of, open_store
from .batch import labeled_normalization
from .checkpoint import (
    BEST,
    CHECKPOINT,
    channels_in,
    load,
    load_checkpoint,
    save,
    sha256_of_files,
)
from .config import StageConfig, TrainingConfig
from .distributed import check_batch_size, share_training, wait_for_all
from .fine_tuning import check_shape, load_start_model
from .log import Epoch, TrainingLog
from .pictures import overview
from .reference import read_reference
from .sampling import Sampler, TrainingSlices
from .stages import Stage, UNetStage, optimizer_of, poly_rate, stages_of, trained_parameters
from .validation import Validation

EPOCHS_BEFORE_STOPPING = 50
"""Of the U-Net (paper section 4, "Training")."""
LARGEST_GRADIENT = 12.0
"""Norm at which gradients are clipped, as in nnU-Net."""


@dataclass
class RunProgress:
    """How far a run is."""

    stage: int = 0
    epoch: int = 0
    """Finished ones of the stage."""
    best: float = -np.inf
    """Best validation of the stage."""
    best_epoch: int = 0


class Trainer:
    """One run in ``config.output``: continues from its checkpoint when there is one.

    Raises ``InputError`` for a store, a start model or an earlier run that do not fit.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        for length in (config.pose, config.crop_stage, config.unet):
            check_batch_size(length.batch_size)
        self.config = config
        self.device = device
        stored = open_store(config.store, validation=False)
        self.files = sha256_of_files(config)
        saved = load_checkpoint(config, self.files)
        begin = saved or _beginning(config, stored)
        self.structures, self.channels = stored.structures, channels_in(begin)
        training = stored.in_channels(self.channels)
        self.normalization = Normalization(**begin["normalization"])
        self.reference_mask: Tensor | None = begin["reference_mask"]
        torch.manual_seed(config.seed)
        self.model = build_model(config, self.normalization, len(self.channels))
        if begin["model"]:
            self.model.load_state_dict(begin["model"])
        # Channels last: on a processor the convolutions are half again as fast.
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
        self.average = AveragedModel(self.model.unet, use_buffers=True)
        self.stages = [
            (stage.to(device), length) for stage, length in stages_of(config, self.model, self.reference_mask)
        ]
        self.sampler = Sampler(training, config.shares, config.seed)
        self.slices = TrainingSlices(training, self.normalization, config.augmentation)
        validated = open_store(config.store, validation=True).in_channels(self.channels)
        self.validation = Validation(validated, config.shares, self.normalization, device, config.bfloat16)
        self.progress = RunProgress()
        self.optimizer_state: dict[str, Any] | None = None
        self.history: list[Epoch] = []
        if saved:
            self._restore(saved)

    def run(self) -> SegmentationPipeline:
        """Train what is left and return the model with the U-Net that ``config.keep`` says."""
        self.config.output.mkdir(parents=True, exist_ok=True)
        with closing(TrainingLog(self.config.output, self.structures, self.history, *self._batches())) as self.log:
            while self.progress.stage < len(self.stages):
                self._run_stage(*self.stages[self.progress.stage])
                self.progress = RunProgress(self.progress.stage + 1)
                self.optimizer_state = None
                self._save()
        wait_for_all()
        self.model.load_state_dict(load(self.config.output / BEST))
        return self.model.eval()

    def _run_stage(self, stage: Stage, length: StageConfig) -> None:
        self.model.requires_grad_(False)
        for part in stage.trained:
            part.requires_grad_(True)
        if self._is_start(stage):
            self._finish_epoch(stage, None, 0.0, time.monotonic())
        if self.progress.epoch >= length.epochs:
            return
        loss, optimizer = share_training(stage), optimizer_of(stage, self.config)
        if self.optimizer_state:
            optimizer.load_state_dict(self.optimizer_state)
        while self.progress.epoch < length.epochs and not self._stalled(stage, length):
            started = time.monotonic()
            rate = poly_rate(self.config, self.progress.epoch / length.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            mean_loss = self._run_epoch(stage, loss, optimizer, length)
            self.progress.epoch += 1
            self.optimizer_state = optimizer.state_dict()
            self._finish_epoch(stage, mean_loss, rate, started)

    def _run_epoch(self, stage: Stage, loss: nn.Module, optimizer: torch.optim.SGD, length: StageConfig) -> float:
        """Mean loss of one epoch. ``loss`` is the stage, or the stage as all processes share it."""
        stage.eval()
        for part in stage.trained:
            part.train()
        draws = self.sampler.epoch(self.progress.stage, self.progress.epoch, length.batches, length.batch_size)
        losses = []
        for batch in self.slices.batches(draws, self.config.workers):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
                value = loss(batch.to(self.device))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(trained_parameters(stage), LARGEST_GRADIENT)
            optimizer.step()
            if self._is_averaging(stage, length):
                self.average.update_parameters(self.model.unet)
            losses.append(value.item())
            self.log.count_batch()
        return float(np.mean(losses))

    def _finish_epoch(self, stage: Stage, loss: float | None, rate: float, started: float) -> None:
        """Validate, keep the network if it is the best one or any will do, save, log."""
        with self._averaged_unet():
            score = self.validation.score(stage)
            is_kept = score.value > self.progress.best or self.config.keep == "last"
            if is_kept:
                self.progress.best, self.progress.best_epoch = score.value, self.progress.epoch
            if is_kept and isinstance(stage, UNetStage):
                save(self.model.state_dict(), self.config.output / BEST)
                self.log.show(overview(self.model, self.validation.examples(), self.validation.structures))
        seconds = time.monotonic() - started
        self.history.append(Epoch(stage.name, self.progress.epoch, loss, score.value, score.dice, rate, seconds))
        self._save()
        self.log.tell()

    def _is_start(self, stage: Stage) -> bool:
        """Whether this is the U-Net of a start model that was not trained on yet: it is validated first."""
        return bool(self.config.start) and isinstance(stage, UNetStage) and self.progress.best == -np.inf

    def _is_averaging(self, stage: Stage, length: StageConfig) -> bool:
        """Whether the weights of this epoch belong to the average."""
        return isinstance(stage, UNetStage) and self.progress.epoch >= self._start_of_average(length)

    def _start_of_average(self, length: StageConfig) -> float:
        return (1 - self.config.averaged) * length.epochs

    @contextmanager
    def _averaged_unet(self) -> Iterator[None]:
        """The model with the average of the U-Net's weights, once there is one, instead of the last ones."""
        last = {name: value.clone() for name, value in self.model.unet.state_dict().items()}
        if self.average.n_averaged:
            self.model.unet.load_state_dict(self.average.module.state_dict())
        yield
        self.model.unet.load_state_dict(last)

    def _stalled(self, stage: Stage, length: StageConfig) -> bool:
        """Whether the U-Net no longer gets better. The average may: epochs before it do not count."""
        counted_from = self._start_of_average(length) if self.config.averaged else 0
        since = self.progress.epoch - max(self.progress.best_epoch, counted_from)
        is_long_enough = self.progress.epoch >= EPOCHS_BEFORE_STOPPING
        return isinstance(stage, UNetStage) and is_long_enough and since >= self.config.patience

    def _batches(self) -> tuple[int, int]:
        """How many there are in all stages, and how many of them are done."""
        lengths = [length for _, length in self.stages]
        stage = self.progress.stage
        done = sum(length.epochs * length.batches for length in lengths[:stage])
        if stage < len(lengths):
            done += self.progress.epoch * lengths[stage].batches
        return sum(length.epochs * length.batches for length in lengths), done

    def _save(self) -> None:
        state = {
            "config": self.config.to_dict(),
            "files": self.files,
            "normalization": asdict(self.normalization),
            "reference_mask": self.reference_mask,
            "structures": self.structures.to_list(),
            "channels": self.channels,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer_state,
            "progress": asdict(self.progress),
            "history": [asdict(epoch) for epoch in self.history],
        }
        save(state, self.config.output / CHECKPOINT)

    def _restore(self, saved: dict[str, Any]) -> None:
        self.average.load_state_dict(saved["average"])
        self.optimizer_state = saved["optimizer"]
        self.progress = RunProgress(**saved["progress"])
        self.history = [Epoch(**epoch) for epoch in saved["history"]]


def _beginning(config: TrainingConfig, training: SliceStore) -> dict[str, Any]:
    """What a new run begins with, under the names of a checkpoint."""
    if config.start:
        start = load_start_model(config.start)
        check_shape(start, config)
        mask, normalization, weights = start.reference_mask, start.normalization, start.weights
        channels = start.channels
    else:
        mask, normalization, weights = None, labeled_normalization(training), None
        channels = channels_of(training.structures)
    if config.reference_mask:
        mask = read_reference(config.reference_mask)
    as_tensor = None if mask is None else torch.from_numpy(mask).float()[None, None]
    return {
        "normalization": asdict(normalization),
        "reference_mask": as_tensor,
        "channels": channels,
        "model": weights,
    }


def build_model(config: TrainingConfig, normalization: Normalization, classes: int) -> SegmentationPipeline:
    """The untrained network of a configuration. classes: channels, that of the background among them."""
    return SegmentationPipeline(config.size, classes, config.crop, config.features, normalization.air, config.method)
