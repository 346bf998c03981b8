"""From a finished training to a model file."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...models.bundle import (
    FORMAT,
    STN_UNET,
    ModelMetadata,
    are_scores,
    file_sha256,
    in_half_precision,
    load_bundle,
    save_torchscript,
)
from ...models.catalogue import CatalogueEntry
from ...models.normalization import Normalization
from ...networks.pipeline import SegmentationPipeline
from ...output_files import check_outputs, whole_file, write_text
from ...pipelines.canvas import DEFAULT_CANVAS
from .checkpoint import BEST, CHECKPOINT, channels_in, load, structures_in
from .config import TrainingConfig
from .log import Epoch
from .model_card import model_card
from .trainer import build_model

CARD_TEXTS = ("id", "version", "license", "license_notice", "training_domain", "limits")
"""Keys of a card that are texts."""
CARD_FIELDS = (*CARD_TEXTS, "scores")
"""All keys of a card."""
CARD_SUFFIX = ".md"
"""Of the readable card beside the model file."""
TOLERANCE = 1e-5
"""Largest difference of probabilities between the file and the network: sums are taken in another order."""


def export_model(run: Path, card: Path, output: Path, overwrite: bool = False) -> CatalogueEntry:
    """Write the U-Net that a training folder keeps as a model file and check it against the eager network.

    card: JSON file with the ``CARD_FIELDS`` of the metadata; everything else the training knows. Both together
    make the readable card beside the model file (``.md``). Returns the model's entry for the catalogue.

    Raises ``InputError`` when the folder holds no training or a damaged one, the card is wrong, ``output`` does not end
    in ``.pt``, or a file is there already and ``overwrite`` is not given.
    """
    _check_output(output, overwrite)
    checkpoint = run / CHECKPOINT
    if not checkpoint.is_file() or not (run / BEST).is_file():
        raise InputError(f"{run} holds no {CHECKPOINT} and {BEST}: give the output folder of a training of the U-Net.")
    saved = load(checkpoint)
    config = TrainingConfig.from_dict(saved["config"])
    normalization = Normalization(**saved["normalization"])
    channels = channels_in(saved)
    network = build_model(config, normalization, len(channels))
    network.load_state_dict(load(run / BEST))
    network.eval()
    metadata = ModelMetadata(
        format=FORMAT,
        kind=STN_UNET,
        input={"size": config.size, "pixel_mm": DEFAULT_CANVAS.pixel_mm, "crop": config.crop},
        normalization=normalization,
        structures=structures_in(saved),
        channels=channels,
        torch=torch.__version__,
        **_read_card(card),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as partial:
        save_torchscript(network, metadata, _mask_file(saved["reference_mask"]), partial)
        _check(network, partial)
        entry = CatalogueEntry(metadata.id, output.name, file_sha256(partial), partial.stat().st_size)
        history = [Epoch(**epoch) for epoch in saved.get("history", [])]
        text = model_card(metadata, config, history, entry.sha256)
    write_text(output.with_suffix(CARD_SUFFIX), text)
    return entry


def _check_output(path: Path, overwrite: bool) -> None:
    if path.suffix != ".pt":
        raise InputError(f"The model is a .pt file: name {path.with_suffix('.pt')} instead of {path}.")
    check_outputs((path, path.with_suffix(CARD_SUFFIX)), overwrite)


def _mask_file(mask: torch.Tensor | None) -> bytes:
    """The ``.npy`` file of the reference mask ``(1, 1, H, W)``; empty without one."""
    file = io.BytesIO()
    if mask is not None:
        np.save(file, mask[0, 0].numpy().astype(np.uint8))
    return file.getvalue()


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The model card {path} cannot be read ({error}); give a JSON file.") from None
    if not isinstance(card, dict):
        raise InputError(f"The model card {path} must be a JSON object of {', '.join(CARD_FIELDS)}.")
    for name in CARD_FIELDS:
        if name not in card:
            raise InputError(f"The model card {path} lacks {name!r}.")
    for name in CARD_TEXTS:
        if not isinstance(card[name], str):
            raise InputError(f"The model card {path} must have a text as {name!r}, not {card[name]!r}.")
    if not are_scores(card["scores"]):
        raise InputError(
            f"The model card {path} must have numbers by name by data set as 'scores', such as "
            f'{{"our children": {{"kidney Dice": 0.9}}}}, not {card["scores"]!r}.'
        )
    return {name: card[name] for name in CARD_FIELDS}


def _check(network: SegmentationPipeline, path: Path) -> None:
    """The file must say what the eager network says with weights of half precision."""
    exported = load_bundle(path, torch.device("cpu")).network
    # In the same layout: sums in another order differ by up to 1e-4 where the input is noise.
    rounded = in_half_precision(network).float()
    rounded = rounded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    generator = torch.Generator().manual_seed(0)
    size = (2, 1, network.size, network.size)
    image = torch.randn(size, generator=generator)
    mask = (torch.rand(size, generator=generator) > 0.5).float()
    with torch.inference_mode():
        pairs = zip(rounded(image, mask), exported(image, mask))
        difference = max((eager - scripted).abs().max().item() for eager, scripted in pairs)
    if difference > TOLERANCE:
        raise RuntimeError(f"The exported network differs from the eager one by {difference:g}.")
