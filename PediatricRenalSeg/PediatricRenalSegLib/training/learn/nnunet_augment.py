"""nnU-Net's data augmentation of 2D slices, composed of MONAI's transforms: the baseline of the paper's table 2."""

import math

import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandRotated,
    RandScaleIntensity,
    RandScaleIntensityFixedMean,
    RandSimulateLowResolution,
    RandZoomd,
)
from torch import Tensor

from ...models.normalization import Normalization
from .batch import Batch, StoredSlices, as_stored, join, transform_points

KEYS = ("image", "mask", "labels")
"""What MONAI moves together."""


class NnUNetAugmentation:
    """Ranges and probabilities of nnU-Net v2 for square 2D patches (``nnUNetTrainer.get_training_transforms``).

    F. Isensee et al., Nature Methods 18 (2021), 203–211. What differs: a zoom, a contrast and a gamma are drawn evenly
    from their ranges, of which nnU-Net takes the part below 1 in half of all cases.
    """

    def __init__(self) -> None:
        self.spatial = Compose(
            [
                RandRotated(KEYS, math.pi, 0, 0, prob=0.2, mode=("bilinear", "nearest", "nearest")),
                RandZoomd(
                    KEYS, prob=0.2, min_zoom=1 / 1.4, max_zoom=1 / 0.7, mode=("bilinear", *2 * ["nearest-exact"])
                ),
                RandFlipd(KEYS, prob=0.5, spatial_axis=0),
                RandFlipd(KEYS, prob=0.5, spatial_axis=1),
            ]
        )
        # The probability of blur and low resolution is that of the transform times that of the one channel.
        blur = (0.5, 1.0)
        self.intensities = Compose(
            [
                RandGaussianNoise(prob=0.1, std=0.1),
                RandGaussianSmooth(prob=0.2 * 0.5, sigma_x=blur, sigma_y=blur),
                RandScaleIntensity(prob=0.15, factors=(-0.25, 0.25)),
                RandScaleIntensityFixedMean(prob=0.15, factors=(-0.25, 0.25), preserve_range=True),
                RandSimulateLowResolution(prob=0.25 * 0.5, zoom_range=(0.5, 1.0), upsample_mode="bicubic"),
                RandAdjustContrast(prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
                RandAdjustContrast(prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            ]
        )

    def __call__(self, slices: StoredSlices, normalization: Normalization, seed: int) -> Batch:
        """Slices drawn anew, normalized first as in nnU-Net; the same seed gives the same."""
        self.spatial.set_random_state(seed)
        self.intensities.set_random_state(seed)
        whole = as_stored(slices, normalization)
        return join([self._one(whole.select(slice(n, n + 1))) for n in range(len(whole.image))])

    def _one(self, batch: Batch) -> Batch:
        values = (batch.image[0], batch.mask[0], batch.labels.float())
        moved = self.spatial({key: MetaTensor(value, affine=torch.eye(3)) for key, value in zip(KEYS, values)})
        image, mask, labels = (moved[key].as_tensor() for key in KEYS)
        return Batch(
            image=self.intensities(image).as_tensor()[None],
            mask=mask[None],
            labels=labels.long(),
            corners=_moved_points(moved["image"].affine, batch.corners, batch.image.shape[-1]),
            wobble=batch.wobble,
        )


def _moved_points(affine: Tensor, points: Tensor, size: int) -> Tensor:
    """Where ``(B, P, 2)`` points (x, y) go.

    affine: ``(3, 3)`` from (row, column) of the moved image to that of the stored one, as MONAI keeps it.
    """
    pixels = ((points + 1) * size - 1) / 2
    back = torch.linalg.inv(affine.double()).float()[None, :2]
    return (2 * transform_points(back, pixels.flip(-1)).flip(-1) + 1) / size - 1
