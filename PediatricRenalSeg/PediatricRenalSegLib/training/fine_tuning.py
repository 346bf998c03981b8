"""Weights to begin with: those of a finished model."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..model_bundle import load_model, read_reference_mask
from ..networks.pipeline import METHODS
from ..preprocessing import Normalization
from ..volume import InputError
from .config import StageConfig, TrainingConfig, check_config


@dataclass(frozen=True)
class StartModel:
    """What a training takes from a model file."""

    weights: dict[str, Tensor]
    normalization: Normalization
    reference_mask: np.ndarray | None
    """``(H, W)``; ``None`` for a model without pose STN."""
    shape: dict[str, str | int]
    """The keys of a configuration that decide on the network: method, crop, features."""


def load_start_model(path: Path) -> StartModel:
    """Read a model file. Raises ``InputError`` if it is none."""
    bundle = load_model(str(path), torch.device("cpu"))
    weights = bundle.network.state_dict()
    stns = tuple(name for name in ("pose", "crop") if any(key.startswith(f"{name}_stn.") for key in weights))
    method = next(method for method, needed in METHODS.items() if needed == stns)
    mask = read_reference_mask(path)
    return StartModel(
        weights=weights,
        normalization=bundle.metadata.normalization,
        reference_mask=np.load(io.BytesIO(mask)) if mask else None,
        shape={"method": method, "crop": bundle.metadata.crop, "features": len(weights["unet.first.0.weight"])},
    )


def check_shape(start: StartModel, config: TrainingConfig) -> None:
    """Raise ``InputError`` if the configuration wants another network than that of the model."""
    for key, value in start.shape.items():
        if getattr(config, key) != value:
            raise InputError(
                f"The model {config.start} has {key} {value!r}, the configuration {getattr(config, key)!r}: "
                "make them the same."
            )


def fine_tuning_config(model: Path, store: Path, output: Path, trainable: str, epochs: int) -> TrainingConfig:
    """The configuration that trains the U-Net of a model file on, its STNs left as they are."""
    if not model.is_file():
        raise InputError(f"There is no model to start from at {model}.")
    stay = StageConfig(epochs=0)
    shape = load_start_model(model).shape
    config = TrainingConfig(
        store, output, start=model, trainable=trainable, pose=stay, crop_stage=stay, unet=StageConfig(epochs), **shape
    )
    check_config(config)
    return config
