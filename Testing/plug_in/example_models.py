"""Models of the kind "threshold" and structures that the program's own table does not know."""

from pathlib import Path

import torch

from PediatricRenalSegLib.models.bundle import FORMAT, ModelMetadata, save_torchscript
from PediatricRenalSegLib.models.normalization import Normalization
from PediatricRenalSegLib.structures import (
    ANATOMICAL_STRUCTURE,
    MORPHOLOGICALLY_ALTERED,
    NEOPLASM,
    Code,
    Structure,
    StructureSet,
)

FOLDER = Path(__file__).resolve().parent
"""On the path of a process, it offers the kind "threshold" to it."""

LIVER_CODE = Code("SCT", "10200004", "Liver")
LIVER = StructureSet(
    (
        Structure(1, "liver", "Liver", (221, 130, 101), ANATOMICAL_STRUCTURE, LIVER_CODE, plausible_ml=(50.0, 3000.0)),
        Structure(
            2,
            "liver_tumor",
            "Liver tumor",
            (240, 200, 60),
            MORPHOLOGICALLY_ALTERED,
            NEOPLASM,
            region=LIVER_CODE,
            warn_if_absent=False,
        ),
    )
)


class NoNetwork(torch.nn.Module):
    """A model file needs some network."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


def write_threshold_model(path: Path, structures: StructureSet, windows: dict[str, tuple[float, float]]) -> Path:
    """A model file; windows: lowest and highest HU by name of the structure."""
    metadata = ModelMetadata(
        format=FORMAT,
        kind="threshold",
        id="threshold",
        version="1",
        license="CC0",
        license_notice="",
        training_domain="nothing",
        limits="everything",
        input={"windows": windows},
        normalization=Normalization(-100.0, 300.0, 0.0, 1.0),
        structures=structures,
        channels=("background", *(structure.name for structure in structures)),
        scores={},
        torch=torch.__version__,
    )
    save_torchscript(NoNetwork(), metadata, b"", path)
    return path
