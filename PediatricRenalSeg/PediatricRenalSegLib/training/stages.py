"""The three trainings of the paper, one after the other (section 4, "Training")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.affine import compose, invert, resample
from ..networks.crop_stn import square_box
from ..networks.pipeline import SegmentationPipeline
from .losses import crop_loss, pose_loss, segmentation_loss
from .sampling import Batch, transform_points

LEARNING_RATE = 0.01
STN_MOMENTUM = 0.9
"""The paper gives none for the STNs. It also has 1,250 batches an epoch; with the tenth of that, SGD without
momentum does not arrive."""
BOX_MARGIN = 0.1
"""Rim around the target box, in half images: a box that is a little off must not cut a kidney."""


def poly_rate(progress: float) -> float:
    """Poly schedule with nnU-Net's exponent; progress in [0, 1).

    The paper has it for the U-Net only. The STNs get it too: at a constant rate the validated pose loss kept
    jumping between 9 and 28 percent from one epoch to the next.
    """
    return LEARNING_RATE * (1 - progress) ** 0.9


@dataclass
class PoseStage:
    """STN¹ learns to lay the foreground mask on that of the reference subject."""

    model: SegmentationPipeline
    reference_mask: Tensor
    """``(1, 1, H, W)``."""

    name = "pose"

    def module(self) -> torch.nn.Module:
        return self.model.pose_stn

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.module().parameters(), lr=LEARNING_RATE, momentum=STN_MOMENTUM)

    def loss(self, batch: Batch) -> Tensor:
        pose = self.model.pose_stn(batch.image, batch.mask)
        size = self.model.size
        return pose_loss(resample(batch.mask, pose, size, size), self.reference_mask.to(pose.device))


@dataclass
class CropStage:
    """STN² learns the box of the kidneys and the tumor in the homogenized slice."""

    model: SegmentationPipeline

    name = "crop"

    def module(self) -> torch.nn.Module:
        return self.model.crop_stn

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.module().parameters(), lr=LEARNING_RATE, momentum=STN_MOMENTUM)

    def loss(self, batch: Batch) -> Tensor:
        batch = _labeled(batch)
        with torch.no_grad():
            pose = self.model.pose_stn(batch.image, batch.mask)
        target = target_box(batch.corners, pose, self.model.crop_stn.smallest)
        crop = self.model.locate(batch.image, batch.mask, pose)
        return crop_loss(
            self.model.cut(batch.image, pose, crop), self.model.cut(batch.image, pose, target), crop, target
        )


@dataclass
class UNetStage:
    """The U-Net learns to segment what both STNs deliver."""

    model: SegmentationPipeline

    name = "unet"

    def module(self) -> torch.nn.Module:
        return self.model.unet

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self.module().parameters(), lr=LEARNING_RATE, momentum=0.99, nesterov=True, weight_decay=3e-5
        )

    def loss(self, batch: Batch) -> Tensor:
        model = self.model
        with torch.no_grad():
            pose = model.pose_stn(batch.image, batch.mask)
            crop = compose(model.locate(batch.image, batch.mask, pose), batch.wobble)
        logits = model.unet(model.cut(batch.image, pose, crop))
        levels = [
            model.restore(torch.softmax(level.float(), dim=1), pose, crop, model.size >> n)
            for n, level in enumerate(logits)
        ]
        return segmentation_loss(levels, batch.labels)


def target_box(corners: Tensor, pose: Tensor, smallest: float) -> Tensor:
    """Target crop matrix ``(B, 2, 3)`` of patient boxes ``(B, 4, 2)`` seen through pose matrices ``(B, 2, 3)``."""
    homogenized = transform_points(invert(pose), corners)
    low, high = homogenized.amin(dim=1) - BOX_MARGIN, homogenized.amax(dim=1) + BOX_MARGIN
    side = (high - low).amax(dim=1, keepdim=True)
    center = (low + high) / 2
    return square_box(center - side / 2, center + side / 2, smallest)


def _labeled(batch: Batch) -> Batch:
    known = torch.isfinite(batch.corners).all(dim=2).all(dim=1)
    return Batch(*(value[known] for value in vars(batch).values()))
