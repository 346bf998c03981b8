"""The training loop: stages, checkpoints, resume, log."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..networks.pipeline import SegmentationPipeline
from ..preprocessing import Normalization
from ..structures import STRUCTURES
from ..volume import InputError
from .config import StageConfig, TrainingConfig
from .sampling import Sampler, as_stored, labeled_normalization
from .stages import CropStage, PoseStage, UNetStage, poly_rate
from .store import open_store

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
EPOCHS_BEFORE_STOPPING = 50
VALIDATION_SLICES = 256
LOG_COLUMNS = ["stage", "epoch", "loss", "validation", "learning_rate", "seconds"]


class Trainer:
    """One run in ``config.output``: continues from its checkpoint when there is one."""

    def __init__(self, config: TrainingConfig, device: torch.device):
        self.config = config
        self.device = device
        self.training = open_store(config.store, validation=False)
        self.validation = open_store(config.store, validation=True)
        self.checkpoint_path = config.output / CHECKPOINT
        saved = _load_checkpoint(self.checkpoint_path, config)
        self.normalization = Normalization(**saved["normalization"]) if saved else labeled_normalization(self.training)
        torch.manual_seed(config.seed)
        # Channels last: on a processor the convolutions are half again as fast.
        self.model = build_model(config, self.normalization).to(device, memory_format=torch.channels_last)
        self.reference_mask = torch.from_numpy(np.load(config.reference_mask)).float()[None, None]
        self.sampler = Sampler(self.training, config.shares, self.normalization, config.seed)
        self.stages = [
            (PoseStage(self.model, self.reference_mask), config.pose),
            (CropStage(self.model), config.crop_stage),
            (UNetStage(self.model), config.unet),
        ]
        self.progress = {"stage": 0, "epoch": 0, "best": -np.inf, "best_epoch": 0}
        self.optimizer_state = None
        self.average = AveragedModel(self.model.unet, use_buffers=True)
        if saved:
            self._restore(saved)

    def run(self) -> SegmentationPipeline:
        """Train what is left and return the model with the best validated U-Net."""
        self.config.output.mkdir(parents=True, exist_ok=True)
        while self.progress["stage"] < len(self.stages):
            stage, length = self.stages[self.progress["stage"]]
            self._run_stage(stage, length)
            self.progress = {"stage": self.progress["stage"] + 1, "epoch": 0, "best": -np.inf, "best_epoch": 0}
            self.optimizer_state = None
            self._save()
        self.model.load_state_dict(torch.load(self.config.output / BEST, map_location="cpu", weights_only=True))
        return self.model.eval()

    def _run_stage(self, stage, length: StageConfig) -> None:
        optimizer = stage.optimizer()
        if self.optimizer_state:
            optimizer.load_state_dict(self.optimizer_state)
        while self.progress["epoch"] < length.epochs and not self._stalled(stage):
            started = time.monotonic()
            rate = poly_rate(self.progress["epoch"] / length.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = self._run_epoch(stage, optimizer, length)
            self.progress["epoch"] += 1
            with self._averaged_unet():
                score = self._validate(stage)
                if score > self.progress["best"]:
                    self.progress.update(best=score, best_epoch=self.progress["epoch"])
                    if stage.name == "unet":
                        _save_atomically(self.model.state_dict(), self.config.output / BEST)
            self.optimizer_state = optimizer.state_dict()
            self._log([stage.name, self.progress["epoch"], loss, score, rate, time.monotonic() - started])
            self._save()

    def _run_epoch(self, stage, optimizer, length: StageConfig) -> float:
        """Mean loss of one epoch."""
        self.model.eval()
        stage.module().train()
        losses = []
        title = f"{stage.name} {self.progress['epoch'] + 1}/{length.epochs}"
        with tqdm(range(length.batches), title, unit="batch", mininterval=2) as bar:
            for _ in bar:
                batch = self.sampler.draw(length.batch_size).to(self.device)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
                    loss = stage.loss(batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(stage.module().parameters(), 12.0)
                optimizer.step()
                if self._is_averaging(stage, length):
                    self.average.update_parameters(self.model.unet)
                losses.append(loss.item())
                bar.set_postfix(loss=f"{np.mean(losses):.3f}")
        return float(np.mean(losses))

    def _is_averaging(self, stage, length: StageConfig) -> bool:
        """Whether the weights of this epoch belong to the average."""
        return stage.name == "unet" and self.progress["epoch"] >= (1 - self.config.averaged) * length.epochs

    @contextmanager
    def _averaged_unet(self) -> Iterator[None]:
        """The model with the average of the U-Net's weights, once there is one, instead of the last ones."""
        last = {name: value.clone() for name, value in self.model.unet.state_dict().items()}
        if self.average.n_averaged:
            self.model.unet.load_state_dict(self.average.module.state_dict())
        yield
        self.model.unet.load_state_dict(last)

    def _validate(self, stage) -> float:
        """Validation score, higher is better: mean foreground Dice for the U-Net, minus the loss for the STNs."""
        self.model.eval()
        rows = np.linspace(0, len(self.validation) - 1, min(VALIDATION_SLICES, len(self.validation))).astype(int)
        batches = [
            as_stored(self.validation, part, self.normalization).to(self.device)
            for part in np.array_split(rows, -(-len(rows) // 16))
        ]
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            if stage.name != "unet":
                return -float(np.mean([stage.loss(batch).item() for batch in batches]))
            counts = sum(_overlap(self.model(batch.image, batch.mask)[0], batch.labels) for batch in batches)
        return float((2 * counts[0] / counts[1].clamp_min(1)).mean())

    def _stalled(self, stage) -> bool:
        since = self.progress["epoch"] - self.progress["best_epoch"]
        return (
            stage.name == "unet" and self.progress["epoch"] >= EPOCHS_BEFORE_STOPPING and since >= self.config.patience
        )

    def _log(self, row: list) -> None:
        path = self.config.output / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(LOG_COLUMNS)
            writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in row])

    def _save(self) -> None:
        state = {
            "config": self.config.to_dict(),
            "normalization": asdict(self.normalization),
            "reference_mask": self.reference_mask,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer_state,
            "progress": self.progress,
            "sampler": self.sampler.state_dict(),
        }
        _save_atomically(state, self.checkpoint_path)

    def _restore(self, saved: dict) -> None:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer_state = saved["optimizer"]
        self.progress = saved["progress"]
        self.sampler.load_state_dict(saved["sampler"])


def _load_checkpoint(path: Path, config: TrainingConfig) -> dict | None:
    """What an earlier run left; raises ``InputError`` if that was a run of another kind."""
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=False)
    for key in ("crop", "features", "seed"):
        before, now = saved["config"][key], getattr(config, key)
        if before != now:
            raise InputError(
                f"The training in {path.parent} began with {key} {before!r}, not {now!r}: name another output folder."
            )
    return saved


def build_model(config: TrainingConfig, normalization: Normalization) -> SegmentationPipeline:
    """The untrained network of a configuration."""
    classes = 1 + len(STRUCTURES)
    return SegmentationPipeline(config.size, classes, config.crop, config.features, normalization.air)


def _overlap(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``(2, classes - 1)``: intersections, and sizes of prediction plus reference."""
    predicted = probabilities.argmax(dim=1)
    rows = [
        [((predicted == k) & (labels == k)).sum(), (predicted == k).sum() + (labels == k).sum()]
        for k in range(1, probabilities.shape[1])
    ]
    return torch.tensor(rows, dtype=torch.float64).T


def _save_atomically(state: dict, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
