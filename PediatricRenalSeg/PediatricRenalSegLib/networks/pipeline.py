"""Pose STN → crop STN → U-Net → inverse of both: the network that is scripted and shipped."""

from typing import Tuple

import torch
from torch import Tensor, nn

from .affine import compose, invert, resample
from .crop_stn import CropSTN
from .identity import IdentityTransform
from .pose_stn import PoseSTN
from .unet import UNet

CROP_DIVISORS = {"full": 1, "half": 2, "quarter": 4}
METHODS = {"unet": (), "pose": ("pose",), "pose_and_crop": ("pose", "crop")}
"""The STNs before the U-Net, by method: the rows of the paper's tables 2 and 3."""


class SegmentationPipeline(nn.Module):
    """The paper's figure 2 as one module.

    size: side of the square input image in pixels.
    crop: "full", "half" or "quarter": the side of the U-Net's input as a part of ``size``.
    air: normalized intensity of air, the value of places outside the image.
    method: one of ``METHODS``. Absent STNs are identities.

    The slice is resampled once, with the composition of both matrices: the paper's result with one
    interpolation less.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        crop: str = "half",
        features: int = 24,
        air: float = 0.0,
        method: str = "pose_and_crop",
    ) -> None:
        super().__init__()
        self.size = size
        self.crop_size = size // CROP_DIVISORS[crop]
        self.air = air
        self.pose_stn = PoseSTN() if "pose" in METHODS[method] else IdentityTransform()
        self.crop_stn = CropSTN() if "crop" in METHODS[method] else IdentityTransform()
        self.unet = UNet(self.crop_size, classes, features)

    def forward(self, image: Tensor, mask: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Class probabilities in the frame of the input.

        image, mask: ``(B, 1, H, W)`` normalized intensities and foreground mask, H = W = ``size``.
        Returns probabilities ``(B, C, H, W)``, pose matrix and crop matrix ``(B, 2, 3)``.
        """
        pose = self.pose_stn(image, mask)
        crop = self.locate(image, mask, pose)
        logits = self.unet(self.cut(image, pose, crop))
        return self.restore(torch.softmax(logits[0].float(), dim=1), pose, crop, self.size), pose, crop

    def locate(self, image: Tensor, mask: Tensor, pose: Tensor) -> Tensor:
        """Crop matrix ``(B, 2, 3)`` of a slice, given its pose matrix."""
        homogenized = resample(image, pose, self.size, self.size, self.air)
        return self.crop_stn(homogenized, resample(mask, pose, self.size, self.size))

    def cut(self, image: Tensor, pose: Tensor, crop: Tensor) -> Tensor:
        """The cropped, homogenized slice ``(B, 1, crop_size, crop_size)``: the U-Net's input."""
        return resample(image, compose(pose, crop), self.crop_size, self.crop_size, self.air)

    def restore(self, probabilities: Tensor, pose: Tensor, crop: Tensor, size: int) -> Tensor:
        """Probabilities ``(B, C, h, w)`` of the crop → ``(B, C, size, size)`` in the input frame.

        Outside the crop everything is background (class 0).
        """
        back = invert(compose(pose, crop))
        foreground = resample(probabilities[:, 1:], back, size, size)
        background = 1 - foreground.sum(dim=1, keepdim=True)
        return torch.cat([background, foreground], dim=1)
