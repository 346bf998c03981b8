"""From a finished training to a model file."""

import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from ..model_bundle import FORMAT, CatalogueEntry, ModelMetadata, file_sha256, load_model, save_torchscript
from ..preprocessing import PIXEL_MM, Normalization
from ..structures import STRUCTURES
from ..volume import InputError
from .config import TrainingConfig
from .trainer import BEST, CHECKPOINT, build_model

CARD_FIELDS = ("id", "version", "license", "license_notice", "training_domain", "limits", "scores")
TOLERANCE = 1e-5


def export_model(run: Path, card: Path, output: Path) -> CatalogueEntry:
    """Write the best U-Net so far of a training folder as a model file and check it against the eager network.

    card: JSON file with the ``CARD_FIELDS`` of the metadata; everything else the training knows. Returns
    the model's entry for the catalogue. Raises ``InputError`` when the folder holds no training or the card
    lacks a field.
    """
    checkpoint = run / CHECKPOINT
    if not checkpoint.is_file() or not (run / BEST).is_file():
        raise InputError(f"{run} holds no {CHECKPOINT} and {BEST}: give the output folder of a training of the U-Net.")
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    known = {field.name for field in fields(TrainingConfig)}
    config = TrainingConfig(**{name: value for name, value in saved["config"].items() if name in known})
    normalization = Normalization(**saved["normalization"])
    network = build_model(config, normalization)
    network.load_state_dict(torch.load(run / BEST, map_location="cpu", weights_only=True))
    network.eval()
    metadata = ModelMetadata(
        format=FORMAT,
        input="axial CT slice: z-scored intensities and foreground mask, each (B, 1, size, size)",
        size=config.size,
        pixel_mm=PIXEL_MM,
        crop=config.crop,
        normalization=normalization,
        labels={"background": 0, **{structure.name: structure.label for structure in STRUCTURES}},
        torch=torch.__version__,
        **_read_card(card),
    )
    mask = io.BytesIO()
    np.save(mask, saved["reference_mask"][0, 0].numpy().astype(np.uint8))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    save_torchscript(network, metadata, mask.getvalue(), partial)
    _check(network, partial)
    partial.replace(output)
    return CatalogueEntry(metadata.id, output.name, file_sha256(output), output.stat().st_size)


def _read_card(path: Path) -> dict:
    try:
        card = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"The model card {path} cannot be read ({error}); give a JSON file.") from None
    missing = [name for name in CARD_FIELDS if name not in card]
    if missing:
        raise InputError(f"The model card {path} lacks {missing[0]!r}.")
    return {name: card[name] for name in CARD_FIELDS}


def _check(network: torch.nn.Module, path: Path) -> None:
    """The file must say what the eager network says."""
    exported = load_model(str(path), torch.device("cpu")).network
    generator = torch.Generator().manual_seed(0)
    size = (2, 1, network.size, network.size)
    image = torch.randn(size, generator=generator)
    mask = (torch.rand(size, generator=generator) > 0.5).float()
    with torch.inference_mode():
        pairs = zip(network(image, mask), exported(image, mask))
        difference = max((eager - scripted).abs().max().item() for eager, scripted in pairs)
    if difference > TOLERANCE:
        path.unlink()
        raise RuntimeError(f"The exported network differs from the eager one by {difference:g}.")
