"""How good a stage is on the validation patients."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...models.normalization import Normalization
from ..data.split import SPLIT
from ..data.store import SliceStore
from .batch import Batch, StoredSlices, as_stored
from .distributed import part_of_process, total
from .stages import Stage, UNetStage

SLICES = 256
"""So many validated slices tell epochs apart and take a fraction of an epoch's time."""
BATCH_SIZE = 16
"""Of all processes together; a matter of memory alone."""
EXAMPLES = 4
"""Slices in a picture."""


@dataclass(frozen=True)
class Score:
    """How good a stage is."""

    value: float
    """Higher is better: the mean of ``dice`` for the U-Net, minus the loss for the STNs."""
    dice: dict[str, float]
    """By structure that the slices show, over the pixels of all of them; empty for the STNs."""


class Validation:
    """Up to ``SLICES`` slices of a store: evenly over the patients of a kind, the kinds as in a training batch.

    store: its labels are channels of the network (``SliceStore.in_channels``).

    Raises ``InputError`` if the slices show no structure.
    """

    def __init__(
        self,
        store: SliceStore,
        shares: dict[str, float],
        normalization: Normalization,
        device: torch.device,
        bfloat16: bool,
    ) -> None:
        self.store = store
        self.structures = store.structures
        self.normalization = normalization
        self.device = device
        self.bfloat16 = bfloat16
        self.rows = _validated_rows(store, shares)
        self.shown = [structure for structure in store.structures if (store.labels[self.rows] == structure.label).any()]
        if not self.shown:
            raise InputError(
                f"The validation patients show no {store.structures.text}: name others in the store's {SPLIT}."
            )

    def batches(self) -> Iterator[Batch]:
        """This process's part of each batch, without augmentation."""
        for rows in np.array_split(self.rows, -(-len(self.rows) // BATCH_SIZE)):
            slices = StoredSlices.of(self.store, part_of_process(rows.tolist()))
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
            parts = [_overlap(stage.model(batch.image, batch.mask)[0], batch.labels) for batch in self.batches()]
        overlap, size = total(torch.stack(parts).sum(dim=0))
        dice = (2 * overlap / size).tolist()
        shown = {structure.name: dice[structure.label - 1] for structure in self.shown}
        return Score(float(np.mean(list(shown.values()))), shown)


def _validated_rows(store: SliceStore, shares: dict[str, float]) -> np.ndarray:
    """Each kind has its part of ``SLICES``, or all of its slices where these are fewer."""
    parts = {kind: shares.get(kind, 0) for kind in np.unique(store.kinds)}
    if not any(parts.values()):  # the training sees other kinds alone
        parts = dict.fromkeys(parts, 1)
    rows = []
    for kind, part in parts.items():
        found = np.flatnonzero(store.kinds == kind)
        count = min(len(found), round(SLICES * part / sum(parts.values())))
        rows.append(found[np.linspace(0, len(found) - 1, count).astype(int)])
    return np.concatenate(rows)


def _overlap(probabilities: Tensor, labels: Tensor) -> Tensor:
    """``(2, classes - 1)`` pixels: intersections, and sizes of prediction plus reference."""
    predicted = probabilities.argmax(dim=1)
    foreground = range(1, probabilities.shape[1])
    overlap = [((predicted == k) & (labels == k)).sum() for k in foreground]
    size = [(predicted == k).sum() + (labels == k).sum() for k in foreground]
    return torch.stack([torch.stack(overlap), torch.stack(size)])
