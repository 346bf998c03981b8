"""Weights to begin with: those of a finished model."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...models.bundle import STN_UNET, load_bundle, read_reference_mask
from ...models.normalization import Normalization
from ...networks.pipeline import METHODS
from ...pipelines.canvas import DEFAULT_CANVAS
from .config import StageConfig, TrainingConfig, check_config


@dataclass(frozen=True)
class StartModel:
    """What a training takes from a model file."""

    weights: dict[str, Tensor]
    normalization: Normalization
    reference_mask: np.ndarray | None
    """``(H, W)``; ``None`` for a model without pose STN."""
    channels: tuple[str, ...]
    """As ``ModelMetadata.channels``."""
    method: str
    crop: str
    features: int
    """As those of a ``TrainingConfig``: together they decide on the network."""


def load_start_model(path: Path) -> StartModel:
    """Read a model file. Raises ``InputError`` if it is none, or one of another kind or canvas than a training's."""
    bundle = load_bundle(path, torch.device("cpu"))
    metadata = bundle.metadata
    if metadata.kind != STN_UNET:
        raise InputError(f"{path.name} is a model of the kind {metadata.kind!r}: only {STN_UNET!r} can be trained on.")
    size, pixel_mm = metadata.input["size"], metadata.input["pixel_mm"]
    if (size, pixel_mm) != (DEFAULT_CANVAS.size, DEFAULT_CANVAS.pixel_mm):
        raise InputError(
            f"{path.name} sees slices of {size}² pixels of {pixel_mm:g} mm, but a store has {DEFAULT_CANVAS.size}² of "
            f"{DEFAULT_CANVAS.pixel_mm:g} mm: choose another model."
        )
    weights = bundle.network.state_dict()
    stns = tuple(name for name in ("pose", "crop") if any(key.startswith(f"{name}_stn.") for key in weights))
    method = next(method for method, needed in METHODS.items() if needed == stns)
    mask = read_reference_mask(path)
    return StartModel(
        weights=weights,
        normalization=metadata.normalization,
        reference_mask=np.load(io.BytesIO(mask)) if mask else None,
        channels=metadata.channels,
        method=method,
        crop=metadata.input["crop"],
        features=len(weights["unet.first.0.weight"]),
    )


def check_shape(start: StartModel, config: TrainingConfig) -> None:
    """Raise ``InputError`` if the configuration wants another network than that of the model."""
    for key in ("method", "crop", "features"):
        value = getattr(start, key)
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
    start = load_start_model(model)
    config = TrainingConfig(
        store,
        output,
        method=start.method,
        crop=start.crop,
        features=start.features,
        pose=stay,
        crop_stage=stay,
        unet=StageConfig(epochs),
        start=model,
        trainable=trainable,
    )
    check_config(config)
    return config
