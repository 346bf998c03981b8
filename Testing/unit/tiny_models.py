"""Small untrained networks and model files made of them."""

import json
from pathlib import Path

import torch

from PediatricRenalSegLib import model_bundle
from PediatricRenalSegLib.model_bundle import FORMAT, ModelBundle, ModelMetadata, save_torchscript
from PediatricRenalSegLib.networks.pipeline import SegmentationPipeline
from PediatricRenalSegLib.preprocessing import CANVAS, PIXEL_MM, Normalization

NORMALIZATION = Normalization(low=-60.0, high=260.0, mean=110.0, std=60.0)
CLASSES = 3


def untrained_pipeline(
    crop: str = "quarter", features: int = 4, seed: int = 0, size: int = CANVAS
) -> SegmentationPipeline:
    """A pipeline in evaluation mode whose STNs are a little away from the identity, each slice differently."""
    torch.manual_seed(seed)
    network = SegmentationPipeline(size, CLASSES, crop, features, NORMALIZATION.air)
    for stn in (network.pose_stn, network.crop_stn):
        torch.nn.init.normal_(stn.localization.fully2.weight, std=0.05)
        torch.nn.init.normal_(stn.localization.fully2.bias, std=0.1)
    return network.eval()


def metadata(**changes) -> ModelMetadata:
    values = dict(
        format=FORMAT, id="untrained", version="0", license="Apache-2.0", license_notice="", training_domain="nothing",
        limits="everything", input="slices", size=CANVAS, pixel_mm=PIXEL_MM, crop="quarter",
        normalization=NORMALIZATION, labels={"background": 0, "kidney": 1, "tumor": 2},
        scores={"none": {"kidney": 0.0}}, torch=torch.__version__,
    )  # fmt: skip
    return ModelMetadata(**{**values, **changes})


def write_model(path: Path, network: torch.nn.Module | None = None, **changes) -> Path:
    """A model file; ``changes`` to its metadata."""
    save_torchscript(network or untrained_pipeline(), metadata(**changes), b"", path)
    return path


def make_catalogue(folder: Path, monkeypatch, entries: list[dict]) -> None:
    """Make ``folder`` the one of the shipped models for the time of a test."""
    (folder / model_bundle.CATALOGUE).write_text(json.dumps(entries))
    monkeypatch.setattr(model_bundle, "MODELS_FOLDER", folder)


def shipped_model() -> ModelBundle:
    """The default model of the catalogue."""
    return model_bundle.load_model(None, torch.device("cpu"))
