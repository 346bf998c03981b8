"""Small untrained networks and model files made of them."""

import json
from pathlib import Path

import torch

from PediatricRenalSegLib.models import catalogue
from PediatricRenalSegLib.models.bundle import FORMAT, STN_UNET, ModelBundle, ModelMetadata, save_torchscript
from PediatricRenalSegLib.models.normalization import Normalization
from PediatricRenalSegLib.networks.crop_stn import CropSTN
from PediatricRenalSegLib.networks.pipeline import SegmentationPipeline
from PediatricRenalSegLib.networks.pose_stn import PoseSTN
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS
from PediatricRenalSegLib.structures import RENAL

NORMALIZATION = Normalization(low=-60.0, high=260.0, mean=110.0, std=60.0)
CLASSES = 3


def untrained_pipeline(
    crop: str = "quarter",
    features: int = 4,
    seed: int = 0,
    size: int = DEFAULT_CANVAS.size,
    classes: int = CLASSES,
) -> SegmentationPipeline:
    """A pipeline in evaluation mode whose STNs are a little away from the identity, each slice differently."""
    torch.manual_seed(seed)
    network = SegmentationPipeline(size, classes, crop, features, NORMALIZATION.air)
    for stn in (network.pose_stn, network.crop_stn):
        assert isinstance(stn, (PoseSTN, CropSTN))
        last = stn.localization.fully2
        assert last.bias is not None
        torch.nn.init.normal_(last.weight, std=0.05)
        torch.nn.init.normal_(last.bias, std=0.1)
    return network.eval()


def metadata(**changes) -> ModelMetadata:
    values = dict(
        format=FORMAT, kind=STN_UNET, id="untrained", version="0", license="Apache-2.0", license_notice="",
        training_domain="nothing", limits="everything",
        input={"size": DEFAULT_CANVAS.size, "pixel_mm": DEFAULT_CANVAS.pixel_mm, "crop": "quarter"},
        normalization=NORMALIZATION, structures=RENAL, channels=("background", "kidney", "tumor"),
        scores={"none": {"kidney": 0.0}}, torch=torch.__version__,
    )  # fmt: skip
    return ModelMetadata(**{**values, **changes})


def write_model(path: Path, network: torch.nn.Module | None = None, **changes) -> Path:
    """A model file; ``changes`` to its metadata."""
    save_torchscript(network or untrained_pipeline(), metadata(**changes), b"", path)
    return path


def make_catalogue(folder: Path, monkeypatch, entries: list[dict]) -> None:
    """Make ``folder`` the one of the shipped models for the time of a test."""
    (folder / catalogue.CATALOGUE).write_text(json.dumps(entries))
    monkeypatch.setattr(catalogue, "MODELS_FOLDER", folder)


def shipped_model() -> ModelBundle:
    """The default model of the catalogue."""
    return catalogue.load_model(None, torch.device("cpu"))
