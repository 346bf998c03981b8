"""Slices on their way from the store to the network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models.normalization import Normalization
from ...volume import AIR_HU
from ..data.store import SliceStore


@dataclass(frozen=True)
class StoredSlices:
    """Slices as the store holds them."""

    hu: Tensor
    """``(B, 1, H, W)`` float."""
    mask: Tensor
    """``(B, 1, H, W)`` float 0/1."""
    labels: Tensor
    """``(B, H, W)`` uint8."""
    corners: Tensor
    """``(B, 4, 2)``: the patient box's corners (x, y); NaN where nothing is labeled."""

    @classmethod
    def of(cls, store: SliceStore, rows: np.ndarray | Sequence[int]) -> "StoredSlices":
        """Those of some rows of a store."""
        return cls(
            hu=torch.from_numpy(store.images[rows])[:, None].float(),
            mask=torch.from_numpy(store.masks[rows])[:, None].float(),
            labels=torch.from_numpy(store.labels[rows]),
            corners=box_corners(torch.from_numpy(store.boxes[rows])),
        )


@dataclass(frozen=True)
class Batch:
    """Slices as the network sees them."""

    image: Tensor
    """``(B, 1, H, W)`` normalized."""
    mask: Tensor
    """``(B, 1, H, W)`` float 0/1."""
    labels: Tensor
    """``(B, H, W)`` int64."""
    corners: Tensor
    """``(B, 4, 2)``: the patient box's corners (x, y); NaN where nothing is labeled."""
    wobble: Tensor
    """``(B, 2, 3)``: by how much the U-Net's input differs from what the STNs deliver."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(*(value.to(device) for value in vars(self).values()))

    def select(self, rows: Tensor | slice) -> "Batch":
        """Some of its slices."""
        return Batch(*(value[rows] for value in vars(self).values()))


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    return Batch(*(torch.cat(values) for values in zip(*(vars(batch).values() for batch in batches))))


def as_stored(slices: StoredSlices, normalization: Normalization) -> Batch:
    """Slices without augmentation."""
    return Batch(
        image=normalized(slices.hu, slices.mask, normalization),
        mask=slices.mask,
        labels=slices.labels.long(),
        corners=slices.corners,
        wobble=torch.eye(2, 3).expand(len(slices.hu), 2, 3),
    )


def normalized(hu: Tensor, mask: Tensor, normalization: Normalization) -> Tensor:
    """As ``pipelines.canvas.preprocess``: air outside the body, clip, z-score."""
    hu = torch.where(mask > 0.5, hu, float(AIR_HU))
    return (hu.clamp(normalization.low, normalization.high) - normalization.mean) / normalization.std


def labeled_normalization(store: SliceStore) -> Normalization:
    """The paper's clip and z-score numbers from the labeled voxels of a store."""
    hu = store.images[store.labels > 0].astype(np.float32)
    low, high = np.percentile(hu, [0.5, 99.5])
    clipped = np.clip(hu, low, high)
    return Normalization(float(low), float(high), float(clipped.mean()), float(clipped.std()))


def box_corners(boxes: Tensor) -> Tensor:
    """``(B, 4)`` x0, y0, x1, y1 → ``(B, 4, 2)`` corners."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)


def transform_points(theta: Tensor, points: Tensor) -> Tensor:
    """Apply ``(B, 2, 3)`` to ``(B, P, 2)`` points; no matrix product, for the reason given in ``networks.affine``."""
    return (theta[:, None, :, :2] * points[:, :, None, :]).sum(dim=3) + theta[:, None, :, 2]
