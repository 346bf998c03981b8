"""Batches of training slices."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.affine import invert
from ..preprocessing import AIR_HU, Normalization
from ..structures import STRUCTURES
from .augment import Augmentation, Girth, move
from .store import SliceStore

OVERSAMPLED_SHARE = 1 / 3
"""At least this part of a batch's slices holds each structure (paper section 4, "Training")."""


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
        return Batch(*(value.to(device) for value in vars(self).values()))


class Sampler:
    """Draws slices with the paper's oversampling and the shares of the kinds.

    The state of the two random generators is the state of the sampler (``state_dict``).
    """

    def __init__(self, store: SliceStore, shares: dict[str, float], normalization: Normalization, seed: int):
        self.store = store
        self.normalization = normalization
        self.augmentation = Augmentation()
        self.numbers = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        present = {kind: share for kind, share in shares.items() if (store.kinds == kind).any() and share > 0}
        if not present:
            raise ValueError(f"The store holds no slices of the kinds {', '.join(shares)}.")
        self.kinds = list(present)
        self.weights = np.array(list(present.values())) / sum(present.values())
        contains = {structure.label: store.contains(structure.label) for structure in STRUCTURES}
        self.pools = {
            (kind, label): pool
            for kind in self.kinds
            for label, found in ((0, np.ones(len(store), bool)), *contains.items())
            if len(pool := np.flatnonzero((store.kinds == kind) & found))
        }

    def draw(self, size: int) -> Batch:
        """The next batch, augmented."""
        rows = np.array([self._row(position / size) for position in range(size)])
        return self._augmented(rows)

    def _row(self, position: float) -> int:
        """A slice for the place ``position`` in [0, 1) of the batch: the first third holds the first structure…"""
        turn = int(position / OVERSAMPLED_SHARE)
        label = STRUCTURES[turn].label if turn < len(STRUCTURES) else 0
        label = label if any((kind, label) in self.pools for kind in self.kinds) else 0
        weights = self.weights * [(kind, label) in self.pools for kind in self.kinds]
        kind = self.kinds[self.numbers.choice(len(self.kinds), p=weights / weights.sum())]
        pool = self.pools[kind, label]
        return int(pool[self.numbers.integers(len(pool))])

    def _augmented(self, rows: np.ndarray) -> Batch:
        matrix = self.augmentation.matrix(len(rows), self.generator)
        images, masks, labels = (
            torch.from_numpy(values[rows]) for values in (self.store.images, self.store.masks, self.store.labels)
        )
        girth = Girth.of(masks[:, None], self.augmentation.girths(len(rows), self.generator))
        hu, mask, labels = move(images[:, None].float(), masks[:, None], labels, matrix, girth)
        hu = self.augmentation.distractors(hu, labels, self.generator)
        hu = self.augmentation.intensities(hu, self.generator)
        corners = box_corners(torch.from_numpy(self.store.boxes[rows]))
        return Batch(
            image=normalized(hu, mask, self.normalization),
            mask=mask,
            labels=labels,
            corners=transform_points(invert(matrix), girth.target(corners)),
            wobble=self.augmentation.wobbles(len(rows), self.generator),
        )

    def state_dict(self) -> dict:
        return {"numbers": self.numbers.bit_generator.state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        self.numbers.bit_generator.state = state["numbers"]
        self.generator.set_state(state["generator"])


def as_stored(store: SliceStore, rows: np.ndarray, normalization: Normalization) -> Batch:
    """The given slices without augmentation, for validation."""
    mask = torch.from_numpy(store.masks[rows])[:, None].float()
    return Batch(
        image=normalized(torch.from_numpy(store.images[rows])[:, None].float(), mask, normalization),
        mask=mask,
        labels=torch.from_numpy(store.labels[rows]).long(),
        corners=box_corners(torch.from_numpy(store.boxes[rows])),
        wobble=torch.eye(2, 3).expand(len(rows), 2, 3),
    )


def normalized(hu: Tensor, mask: Tensor, normalization: Normalization) -> Tensor:
    """As ``preprocessing.preprocess``: air outside the body, clip, z-score."""
    hu = torch.where(mask > 0.5, hu, float(AIR_HU))
    return (hu.clamp(normalization.low, normalization.high) - normalization.mean) / normalization.std


def box_corners(boxes: Tensor) -> Tensor:
    """``(B, 4)`` x0, y0, x1, y1 → ``(B, 4, 2)`` corners."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)


def transform_points(theta: Tensor, points: Tensor) -> Tensor:
    """Apply ``(B, 2, 3)`` to ``(B, P, 2)`` points; no matrix product, for the reason given in ``networks.affine``."""
    return (theta[:, None, :, :2] * points[:, :, None, :]).sum(dim=3) + theta[:, None, :, 2]


def labeled_normalization(store: SliceStore) -> Normalization:
    """The paper's clip and z-score numbers from the labeled voxels of a store."""
    hu = store.images[store.labels > 0].astype(np.float32)
    low, high = np.percentile(hu, [0.5, 99.5])
    clipped = np.clip(hu, low, high)
    return Normalization(float(low), float(high), float(clipped.mean()), float(clipped.std()))
