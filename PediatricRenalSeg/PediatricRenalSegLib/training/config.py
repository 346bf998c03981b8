"""What a training run is told, read from a JSON file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..networks.pipeline import CROP_DIVISORS
from ..preprocessing import CANVAS
from ..volume import InputError


@dataclass(frozen=True)
class StageConfig:
    """Length of one of the three trainings; an epoch is a fixed number of batches."""

    epochs: int = 50
    batches: int = 100
    batch_size: int = 16


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Paths are relative to the configuration file."""

    store: Path
    """Folder of prepared patients."""
    output: Path
    """Folder for checkpoints and ``log.csv``."""
    reference_mask: Path
    """``.npy`` with the ``(256, 256)`` foreground mask of the reference subject."""
    seed: int = 0
    crop: str = "half"
    features: int = 24
    pose: StageConfig = field(default_factory=StageConfig)
    crop_stage: StageConfig = field(default_factory=StageConfig)
    unet: StageConfig = field(default_factory=lambda: StageConfig(epochs=200))
    patience: int = 20
    """U-Net epochs without a better validation Dice, after the first 50, that end the training."""
    averaged: float = 0.5
    """Last part of the U-Net's epochs over whose weights the mean is taken (Cha et al., SWAD, NeurIPS 2021). On a scan
    that was not trained on, two states of a training 36 epochs apart had a kidney Dice of 0.898 and 0.801, their mean
    0.906; on four others the mean differed by at most 0.01 from the better one."""
    shares: dict[str, float] = field(default_factory=lambda: {"generated": 0.3, "composite": 0.4, "real": 0.3})
    """Part of every batch by the kind of its patients; kinds that a store lacks leave theirs to the others."""
    bfloat16: bool = False
    """Mixed precision; twice as fast on processors with bfloat16 arithmetic."""

    @property
    def size(self) -> int:
        return CANVAS

    def to_dict(self) -> dict:
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def read_config(path: Path) -> TrainingConfig:
    """Read a configuration. Raises ``InputError`` naming the key that is wrong."""
    path = Path(path)
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"No training configuration at {path}; give the path of a JSON file.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON (line {error.lineno}): {error.msg}.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a JSON object of keys and values.")
    known = TrainingConfig.__dataclass_fields__
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"{path} has the unknown key {unknown[0]!r}; known are {', '.join(known)}.")
    missing = sorted({"store", "output", "reference_mask"} - set(values))
    if missing:
        raise InputError(f"{path} lacks the key {missing[0]!r}.")
    for name in ("store", "output", "reference_mask"):
        values[name] = path.parent / values[name]
    for name in ("pose", "crop_stage", "unet"):
        if name in values:
            values[name] = _stage(values[name], name, path)
    config = TrainingConfig(**values)
    if config.crop not in CROP_DIVISORS:
        raise InputError(f"{path}: crop must be one of {', '.join(CROP_DIVISORS)}, not {config.crop!r}.")
    if not config.reference_mask.is_file():
        raise InputError(f"{path}: there is no reference mask at {config.reference_mask}.")
    return config


def _stage(values: dict, name: str, path: Path) -> StageConfig:
    try:
        return StageConfig(**values)
    except TypeError:
        known = ", ".join(StageConfig.__dataclass_fields__)
        raise InputError(f"{path}: {name} takes only {known}.") from None
