"""The files of a training that hold weights, each written as a whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import torch

from ..volume import InputError
from .config import TrainingConfig
from .distributed import is_first_process

CHECKPOINT = "checkpoint.pt"
"""Everything that a training needs to go on."""
BEST = "best.pt"
"""The network that the training would end with now: see ``TrainingConfig.keep``."""
UNCHANGEABLE = ("method", "crop", "features", "seed", "trainable")


def load_checkpoint(config: TrainingConfig) -> dict | None:
    """What an earlier run left; raises ``InputError`` if that was a run of another kind."""
    path = config.output / CHECKPOINT
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=False)
    began = TrainingConfig.from_dict(saved["config"])
    for key in UNCHANGEABLE:
        before, now = getattr(began, key), getattr(config, key)
        if before != now:
            raise InputError(
                f"The training in {path.parent} began with {key} {before!r}, not {now!r}: name another output folder."
            )
    return saved


def save(state: Mapping, path: Path) -> None:
    """Write a file that ``torch.load`` reads; the first process alone does."""
    if not is_first_process():
        return
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
