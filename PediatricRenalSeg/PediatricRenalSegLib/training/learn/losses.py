"""The paper's losses (section 4, equations 1 to 3). Each is minimized.

The batch is that of all processes (``distributed``): sums and means over its slices are taken over all of them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .distributed import mean_over_slices, total

EPSILON = 1e-6
"""Keeps divisions, roots and logarithms finite."""


def pose_loss(homogenized_mask: Tensor, reference_mask: Tensor) -> Tensor:
    """Equation (1): 100 - SoftDice in percent between the homogenized and the reference foreground mask.

    homogenized_mask ``(B, 1, H, W)`` in [0, 1], reference_mask ``(1, 1, H, W)``. Mean over the batch.
    """
    overlap = (homogenized_mask * reference_mask).sum(dim=(1, 2, 3))
    size = homogenized_mask.square().sum(dim=(1, 2, 3)) + reference_mask.square().sum(dim=(1, 2, 3))
    return mean_over_slices(100 - 100 * 2 * overlap / (size + EPSILON))


def crop_loss(crop: Tensor, target_crop: Tensor, theta: Tensor, target_theta: Tensor) -> Tensor:
    """Equation (2): L1 between the cropped images plus L2 between the crop matrices.

    crop, target_crop ``(B, 1, h, w)``; theta, target_theta ``(B, 2, 3)``. The text of the paper names an L1
    (mean absolute) and an L2 (root mean squared) term; so it is here.
    """
    difference = mean_over_slices((theta - target_theta).square().sum(dim=(1, 2)))
    return mean_over_slices((crop - target_crop).abs().mean(dim=(1, 2, 3))) + torch.sqrt(difference + EPSILON)


def segmentation_loss(levels: Sequence[Tensor], reference: Tensor) -> Tensor:
    """Equation (3): cross entropy plus soft Dice of every level n, weighted 1 / 2^n.

    levels: probabilities ``(B, C, H / 2^n, W / 2^n)`` in the input frame, finest first; reference ``(B, H, W)``
    int64 labels. The weights are divided by their sum, as nnU-Net does.
    """
    loss = levels[0].new_zeros(())
    for n, probabilities in enumerate(levels):
        target = F.interpolate(reference[:, None].float(), probabilities.shape[-2:], mode="nearest-exact")[:, 0].long()
        log_probabilities = torch.log(probabilities.clamp_min(EPSILON))
        cross_entropy = mean_over_slices(F.nll_loss(log_probabilities, target, reduction="none").mean(dim=(1, 2)))
        loss = loss + (cross_entropy + soft_dice_loss(probabilities, target)) / 2**n
    return loss / sum(1 / 2**n for n in range(len(levels)))


def soft_dice_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice, mean over the foreground classes, each summed over the whole batch as in 2D nnU-Net.

    probabilities ``(B, C, H, W)``, target ``(B, H, W)`` int64.
    """
    one_hot = F.one_hot(target, probabilities.shape[1]).movedim(-1, 1)[:, 1:].to(probabilities.dtype)
    foreground = probabilities[:, 1:]
    sums = [values.sum(dim=(0, 2, 3)) for values in (foreground * one_hot, foreground + one_hot)]
    overlap, size = total(torch.stack(sums))
    return 1 - ((2 * overlap + 1) / (size + 1)).mean()
