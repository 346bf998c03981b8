"""The files of a training that hold weights, each written as a whole or not at all."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...models.bundle import file_sha256
from ...output_files import whole_file
from ...structures import RENAL, StructureSet
from ..data.store import channels_of
from .config import TrainingConfig
from .distributed import is_first_process

CHECKPOINT = "checkpoint.pt"
"""Everything that a training needs to go on."""
BEST = "best.pt"
"""The network that the training would end with now: see ``TrainingConfig.keep``."""
UNCHANGEABLE = ("method", "crop", "features", "seed", "trainable", "restored", "pose", "crop_stage", "unet")
"""Values of the configuration. The lengths are among them because the learning rate depends on them."""
BEGUN_WITH = ("start", "reference_mask")
"""Files that may not change either. They are known by their content: what a path means depends on the working folder,
and there may be another file by now."""


def load_checkpoint(config: TrainingConfig, files: dict[str, str | None]) -> dict[str, Any] | None:
    """What an earlier run left; ``files`` as ``sha256_of_files`` gives them.

    Raises ``InputError`` if that was a run of another kind or its file is damaged.
    """
    path = config.output / CHECKPOINT
    if not path.exists():
        return None
    saved = load(path)
    # Earlier versions had no choice of what is restored.
    before = TrainingConfig.from_dict({"restored": "probabilities", **saved["config"]}).to_dict()
    now = config.to_dict()
    changed = [name for name in UNCHANGEABLE if before[name] != now[name]]
    # Earlier versions kept no checksums.
    changed += [name for name, sha256 in saved.get("files", {}).items() if files[name] != sha256]
    if changed:
        name = changed[0]
        raise InputError(
            f"The training in {path.parent} began with another {name} ({before[name]}, now {now[name]}): "
            "name another output folder."
        )
    return saved


def structures_in(saved: dict[str, Any]) -> StructureSet:
    """Those of the store that a run learned from; those of earlier versions were renal."""
    return StructureSet.from_list(saved["structures"]) if "structures" in saved else RENAL


def channels_in(saved: dict[str, Any]) -> tuple[str, ...]:
    """What the channels of a run's network are."""
    return tuple(saved.get("channels", channels_of(structures_in(saved))))


def sha256_of_files(config: TrainingConfig) -> dict[str, str | None]:
    """Of the files ``BEGUN_WITH``; ``None`` where the configuration names none."""
    paths = {name: getattr(config, name) for name in BEGUN_WITH}
    return {name: path and file_sha256(path) for name, path in paths.items()}


def load(path: Path) -> dict[str, Any]:
    """Read a file that ``save`` wrote; raises ``InputError`` if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # torch itself compares no checksums
                raise zipfile.BadZipFile
        return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError):
        raise InputError(f"{path} is damaged: put back a copy of it, or train again into another folder.") from None


def save(state: Mapping[str, Any], path: Path) -> None:
    """Write a file for ``load``; the first process alone does."""
    if is_first_process():
        with whole_file(path) as partial:
            torch.save(state, partial)
