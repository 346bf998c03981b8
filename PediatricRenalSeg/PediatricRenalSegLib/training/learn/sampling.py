"""Which slices a training sees, and in what order.

What an epoch consists of depends on the seed, the stage and the number of the epoch alone, and how a slice is
augmented on the seed drawn with it: a training that is resumed, or shared by several processes, sees the same
slices as one that is not.
"""

import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ...errors import InputError
from ...models.normalization import Normalization
from ..data.store import SliceStore
from .augment import Augmentation
from .batch import Batch, StoredSlices, as_stored, join
from .distributed import part_of_process


class Draw(NamedTuple):
    """One slice of a batch."""

    row: int
    """In the store."""
    seed: int
    """Of its augmentation."""


class Sampler:
    """Draws slices with the paper's oversampling and the shares of the kinds.

    At least a third of a batch's slices holds a kidney and another third a tumor (paper section 4, "Training"). In
    general every structure has an equal part, and slices of all sorts have one more.

    Raises ``InputError`` if the store has no patients of these kinds.
    """

    def __init__(self, store: SliceStore, shares: dict[str, float], seed: int) -> None:
        self.seed = seed
        present = {kind: share for kind, share in shares.items() if (store.kinds == kind).any() and share > 0}
        if not present:
            kinds = ", ".join(sorted(set(store.kinds)))
            raise InputError(f"The store has patients of the kinds {kinds}, but shares gives none of them a part.")
        self.kinds = list(present)
        self.weights = np.array(list(present.values())) / sum(present.values())
        self.labels = [structure.label for structure in store.structures]
        contains = {label: store.contains(label) for label in self.labels}
        self.pools = {
            (kind, label): pool
            for kind in self.kinds
            for label, found in ((0, np.ones(len(store), bool)), *contains.items())
            if len(pool := np.flatnonzero((store.kinds == kind) & found))
        }

    def epoch(self, stage: int, number: int, batches: int, size: int) -> list[list[Draw]]:
        """The batches of one epoch of a stage."""
        rng = np.random.default_rng([self.seed, stage, number])
        oversampled = math.ceil(size / (1 + len(self.labels)))
        return [
            [Draw(self._row(position // oversampled, rng), int(rng.integers(2**32))) for position in range(size)]
            for _ in range(batches)
        ]

    def _row(self, turn: int, rng: np.random.Generator) -> int:
        """A slice that holds the structure whose ``turn`` it is, from 0; after the last structure, any slice."""
        label = self.labels[turn] if turn < len(self.labels) else 0
        label = label if any((kind, label) in self.pools for kind in self.kinds) else 0
        weights = self.weights * [(kind, label) in self.pools for kind in self.kinds]
        kind = self.kinds[rng.choice(len(self.kinds), p=weights / weights.sum())]
        pool = self.pools[kind, label]
        return int(pool[rng.integers(len(pool))])


class TrainingSlices(Dataset):
    """Augmented slices: ``slices[draw]`` is a batch of one."""

    def __init__(self, store: SliceStore, normalization: Normalization, augmentation: str) -> None:
        self.store = store
        self.normalization = normalization
        self.augment = _augmentation(augmentation)

    def __getitem__(self, draw: Draw) -> Batch:
        return self.augment(StoredSlices.of(self.store, [draw.row]), self.normalization, draw.seed)

    def batches(self, epoch: Sequence[Sequence[Draw]], workers: int) -> Iterator[Batch]:
        """This process's part of each batch of an epoch, augmented by so many worker processes."""
        parts = [part_of_process(draws) for draws in epoch]
        loader = DataLoader(
            self, batch_sampler=parts, collate_fn=join, num_workers=workers, worker_init_fn=_accept_termination
        )
        with _signals_blocked():
            started = iter(loader)
        yield from started


def _augmentation(name: str) -> Callable[[StoredSlices, Normalization, int], Batch]:
    if name == "nnunet":
        from .nnunet_augment import NnUNetAugmentation  # MONAI takes seconds to import

        return NnUNetAugmentation()
    return _unchanged if name == "none" else Augmentation()


def _unchanged(slices: StoredSlices, normalization: Normalization, _: int) -> Batch:
    return as_stored(slices, normalization)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """No Ctrl-C while processes fork: Python loses an exception that falls into it.

    The forked ones keep it blocked: Ctrl-C goes to all processes, and the one that waits for them ends them.
    """
    if sys.platform == "win32":  # has neither forks nor these masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _accept_termination(_: int) -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
