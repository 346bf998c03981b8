"""How good a stage is on the validation patients."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..preprocessing import Normalization
from ..structures import STRUCTURES
from .batch import Batch, StoredSlices, as_stored
from .distributed import part_of_process, total
from .stages import Stage, UNetStage
from .store import SliceStore

SLICES = 256
BATCH_SIZE = 16
EXAMPLES = 4


@dataclass(frozen=True)
class Score:
    value: float
    """Higher is better: the mean of ``dice`` for the U-Net, minus the loss for the STNs."""
    dice: dict[str, float]
    """By structure, over the pixels of all slices; empty for the STNs."""


class Validation:
    """Up to ``SLICES`` slices of a store, evenly over all patients."""

    def __init__(self, store: SliceStore, normalization: Normalization, device: torch.device, bfloat16: bool):
        self.store = store
        self.normalization = normalization
        self.device = device
        self.bfloat16 = bfloat16
        self.rows = np.linspace(0, len(store) - 1, min(SLICES, len(store))).astype(int)

    def batches(self) -> Iterator[Batch]:
        """This process's part of each batch, without augmentation."""
        for rows in np.array_split(self.rows, -(-len(self.rows) // BATCH_SIZE)):
            slices = StoredSlices.of(self.store, part_of_process(rows))
            yield as_stored(slices, self.normalization).to(self.device)

    def examples(self) -> Batch:
        """Some slices to look at, evenly among the labeled ones."""
        labeled = self.rows[self.store.labels[self.rows].any(axis=(1, 2))]
        rows = labeled[np.linspace(0, len(labeled) - 1, EXAMPLES).astype(int)]
        return as_stored(StoredSlices.of(self.store, rows), self.normalization).to(self.device)

    def score(self, stage: Stage) -> Score:
        """Validate what a stage trains."""
        stage.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            if not isinstance(stage, UNetStage):
                return Score(-float(np.mean([stage(batch).item() for batch in self.batches()])), {})
            sums = sum(_overlap(stage.model(batch.image, batch.mask)[0], batch.labels) for batch in self.batches())
        overlap, size = total(sums)
        dice = (2 * overlap / size.clamp_min(1)).tolist()
        return Score(float(np.mean(dice)), {structure.name: dice[structure.label - 1] for structure in STRUCTURES})


def _overlap(probabilities: Tensor, labels: Tensor) -> Tensor:
    """``(2, classes - 1)`` pixels: intersections, and sizes of prediction plus reference."""
    predicted = probabilities.argmax(dim=1)
    foreground = range(1, probabilities.shape[1])
    overlap = [((predicted == k) & (labels == k)).sum() for k in foreground]
    size = [(predicted == k).sum() + (labels == k).sum() for k in foreground]
    return torch.stack([torch.stack(overlap), torch.stack(size)])
