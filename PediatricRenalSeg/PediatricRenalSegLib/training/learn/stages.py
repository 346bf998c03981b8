"""The three trainings of the paper, one after the other (section 4, "Training").

A stage is a module that returns the loss of a batch; what it trains is ``trained``.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...networks.affine import compose, invert, resample
from ...networks.crop_stn import CropSTN, square_box
from ...networks.pipeline import METHODS, SegmentationPipeline
from ...networks.unet import UNet
from .batch import Batch, transform_points
from .config import StageConfig, TrainingConfig
from .losses import crop_loss, pose_loss, segmentation_loss

BOX_MARGIN = 0.1
"""Rim around the target box, in half images: a box that is a little off must not cut a kidney."""

OUTSIDE = 10.0
"""Logit of the background against all else outside the crop."""


class PoseStage(nn.Module):
    """STN¹ learns to lay the foreground mask on that of the reference subject."""

    name = "pose"
    reference_mask: Tensor

    def __init__(self, model: SegmentationPipeline, reference_mask: Tensor) -> None:
        """reference_mask: ``(1, 1, H, W)``."""
        super().__init__()
        self.model = model
        self.register_buffer("reference_mask", reference_mask)
        self.trained = [model.pose_stn]

    def forward(self, batch: Batch) -> Tensor:
        """Equation (1) of a batch."""
        pose = self.model.pose_stn(batch.image, batch.mask)
        size = self.model.size
        return pose_loss(resample(batch.mask, pose, size, size), self.reference_mask)


class CropStage(nn.Module):
    """STN² learns the box of the kidneys and the tumor in the homogenized slice."""

    name = "crop"

    def __init__(self, model: SegmentationPipeline) -> None:
        super().__init__()
        self.model = model
        self.trained = [model.crop_stn]

    def forward(self, batch: Batch) -> Tensor:
        """Equation (2) of the slices whose patient has a label."""
        batch = batch.select(torch.isfinite(batch.corners).all(dim=2).all(dim=1))
        with torch.no_grad():
            pose = self.model.pose_stn(batch.image, batch.mask)
        target = target_box(batch.corners, pose, CropSTN.smallest)
        crop = self.model.locate(batch.image, batch.mask, pose)
        return crop_loss(
            self.model.cut(batch.image, pose, crop), self.model.cut(batch.image, pose, target), crop, target
        )


class UNetStage(nn.Module):
    """The U-Net, or a part of it, learns to segment what the STNs deliver."""

    name = "unet"

    def __init__(self, model: SegmentationPipeline, trainable: str, restored: str) -> None:
        """trainable, restored: as in ``TrainingConfig``."""
        super().__init__()
        self.model = model
        self.restored = restored
        self.trained = trainable_parts(model.unet, trainable)

    def forward(self, batch: Batch) -> Tensor:
        """Equation (3) of a batch."""
        model = self.model
        with torch.no_grad():
            pose = model.pose_stn(batch.image, batch.mask)
            crop = compose(model.locate(batch.image, batch.mask, pose), batch.wobble)
        logits = model.unet(model.cut(batch.image, pose, crop))
        restore = restore_logits if self.restored == "logits" else restore_probabilities
        levels = [restore(model, level.float(), pose, crop, model.size >> n) for n, level in enumerate(logits)]
        return segmentation_loss(levels, batch.labels)


def restore_probabilities(model: SegmentationPipeline, logits: Tensor, pose: Tensor, crop: Tensor, size: int) -> Tensor:
    """Probabilities ``(B, C, size, size)`` in the input frame from logits ``(B, C, h, w)`` of the crop."""
    return model.restore(torch.softmax(logits, dim=1), pose, crop, size)


def restore_logits(model: SegmentationPipeline, logits: Tensor, pose: Tensor, crop: Tensor, size: int) -> Tensor:
    """The same, with the softmax after the way back: see ``TrainingConfig.restored``."""
    foreground = logits[:, 1:] - logits[:, :1]
    foreground = resample(foreground, invert(compose(pose, crop)), size, size, outside=-OUTSIDE)
    return torch.softmax(torch.cat([torch.zeros_like(foreground[:, :1]), foreground], dim=1), dim=1)


Stage = PoseStage | CropStage | UNetStage


def stages_of(
    config: TrainingConfig, model: SegmentationPipeline, reference_mask: Tensor | None
) -> list[tuple[Stage, StageConfig]]:
    """The stages of a method with their lengths; a frozen U-Net has no epochs.

    Raises ``InputError`` if the pose STN is to be trained without a reference.
    """
    stages: list[tuple[Stage, StageConfig]] = []
    if "pose" in METHODS[config.method]:
        if reference_mask is None:
            if config.pose.epochs:
                raise InputError(f"The model {config.start} holds no reference subject: give reference_mask.")
            reference_mask = torch.zeros(1, 1, model.size, model.size)  # looked at by nobody
        stages.append((PoseStage(model, reference_mask), config.pose))
    if "crop" in METHODS[config.method]:
        stages.append((CropStage(model), config.crop_stage))
    length = replace(config.unet, epochs=0) if config.trainable == "frozen" else config.unet
    return [*stages, (UNetStage(model, config.trainable, config.restored), length)]


def trainable_parts(unet: UNet, regime: str) -> list[nn.Module]:
    """What a regime of the paper's table 1 trains.

    A block is all that happens at one resolution, as in nnU-Net; ``outer`` is the two finest ones of the encoder
    and of the decoder.
    """
    parts: dict[str, list[nn.Module]] = {
        "all": [unet],
        "decoder": [unet.up, unet.decode, unet.heads],
        "outer": [unet.first, unet.down[0], unet.encode[0], unet.up[-2:], unet.decode[-2:], unet.heads[-2:]],
        "frozen": [],
    }
    return parts[regime]


def trained_parameters(stage: Stage) -> list[nn.Parameter]:
    """All of what a stage trains."""
    return [parameter for part in stage.trained for parameter in part.parameters()]


def optimizer_of(stage: Stage, config: TrainingConfig) -> torch.optim.SGD:
    """Stochastic gradient descent as in the paper, for what the stage trains."""
    parameters = trained_parameters(stage)
    if stage.name == "unet":
        return torch.optim.SGD(
            parameters, config.learning_rate, config.unet_momentum, nesterov=True, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(parameters, config.learning_rate, config.stn_momentum)


def poly_rate(config: TrainingConfig, progress: float) -> float:
    """Learning rate of the poly schedule; progress in [0, 1)."""
    return config.learning_rate * (1 - progress) ** config.poly_exponent


def target_box(corners: Tensor, pose: Tensor, smallest: float) -> Tensor:
    """Target crop matrix ``(B, 2, 3)`` of patient boxes ``(B, 4, 2)`` seen through pose matrices ``(B, 2, 3)``."""
    homogenized = transform_points(invert(pose), corners)
    low, high = homogenized.amin(dim=1) - BOX_MARGIN, homogenized.amax(dim=1) + BOX_MARGIN
    side = (high - low).amax(dim=1, keepdim=True)
    center = (low + high) / 2
    return square_box(center - side / 2, center + side / 2, smallest)
