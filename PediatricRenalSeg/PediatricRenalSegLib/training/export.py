"""From a finished training to a model file."""

import io
import json
from pathlib import Path

import numpy as np
import torch

from ..model_bundle import FORMAT, CatalogueEntry, ModelMetadata, file_sha256, load_model, save_torchscript
from ..preprocessing import PIXEL_MM, Normalization
from ..structures import STRUCTURES
from ..volume import InputError
from .checkpoint import BEST, CHECKPOINT
from .config import TrainingConfig
from .log import Epoch
from .model_card import model_card
from .store import write_text
from .trainer import build_model

CARD_FIELDS = ("id", "version", "license", "license_notice", "training_domain", "limits", "scores")
TOLERANCE = 1e-5


def export_model(run: Path, card: Path, output: Path) -> CatalogueEntry:
    """Write the U-Net that a training folder keeps as a model file and check it against the eager network.

    card: JSON file with the ``CARD_FIELDS`` of the metadata; everything else the training knows. Both together
    make the readable card beside the model file (``.md``). Returns the model's entry for the catalogue. Raises
    ``InputError`` when the folder holds no training or the card lacks a field.
    """
    checkpoint = run / CHECKPOINT
    if not checkpoint.is_file() or not (run / BEST).is_file():
        raise InputError(f"{run} holds no {CHECKPOINT} and {BEST}: give the output folder of a training of the U-Net.")
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    config = TrainingConfig.from_dict(saved["config"])
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
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    save_torchscript(network, metadata, _mask_file(saved["reference_mask"]), partial)
    _check(network, partial)
    partial.replace(output)
    entry = CatalogueEntry(metadata.id, output.name, file_sha256(output), output.stat().st_size)
    history = [Epoch(**epoch) for epoch in saved.get("history", [])]
    write_text(output.with_suffix(".md"), model_card(metadata, config, history, entry.sha256))
    return entry


def _mask_file(mask: torch.Tensor | None) -> bytes:
    """The ``.npy`` file of the reference mask ``(1, 1, H, W)``; empty without one."""
    file = io.BytesIO()
    if mask is not None:
        np.save(file, mask[0, 0].numpy().astype(np.uint8))
    return file.getvalue()


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
    # In the same layout: sums in another order differ by up to 1e-4 where the input is noise.
    network = network.to(memory_format=torch.channels_last)
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
