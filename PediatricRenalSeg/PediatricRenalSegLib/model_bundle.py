"""Models: one TorchScript file each, with its metadata inside, and the catalogue of those that are shipped.

Torch is imported when a model is loaded, not before: Slicer shows what a model is before PyTorch is installed.

The metadata lie in torch's extra files under ``metadata.json``, the place where MONAI puts them too. A
TorchScript file is code: a shipped one is used only if its SHA-256 is the catalogue's, any other only if the
user named it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from .preprocessing import CANVAS, PIXEL_MM, Normalization
from .structures import STRUCTURES
from .volume import InputError

if TYPE_CHECKING:
    import torch

_LIBRARY = Path(__file__).resolve().parent
MODELS_FOLDER = (_LIBRARY if (_LIBRARY / "Resources").is_dir() else _LIBRARY.parent) / "Resources" / "Models"
"""Beside the library, where Slicer wants it; in a wheel within it (``setup.py`` copies it there)."""
CATALOGUE = "catalogue.json"
METADATA = "metadata.json"
REFERENCE_MASK = "reference_mask.npy"
FORMAT = 1


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says about itself."""

    format: int
    id: str
    version: str
    license: str
    license_notice: str
    training_domain: str
    """In plain words: what the model was trained on."""
    limits: str
    """In plain words: where it was never tried."""
    input: str
    size: int
    """Side of the square input slice in pixels."""
    pixel_mm: float
    crop: str
    """U-Net input as a part of the slice: full, half or quarter."""
    normalization: Normalization
    labels: dict[str, int]
    """Name to value; the names are those of ``structures.STRUCTURES``."""
    scores: dict[str, dict[str, float]]
    """By data set: mean Dice by structure and whatever else was measured."""
    torch: str
    """Version that wrote the file."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Raises ``InputError`` for an unknown format, missing values or labels that the table lacks."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError:
            values = None
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or values.get("format") != FORMAT or names - set(values):
            raise InputError(f"The model's metadata are not of format {FORMAT}; use a model exported by this version.")
        if (values["size"], values["pixel_mm"]) != (CANVAS, PIXEL_MM):
            raise InputError(
                f"The model wants {values['size']} pixels of {values['pixel_mm']} mm, but slices are prepared with "
                f"{CANVAS} pixels of {PIXEL_MM} mm: use a model exported by this version."
            )
        known = {structure.name: structure.label for structure in STRUCTURES}
        unknown = set(values["labels"].items()) - {("background", 0), *known.items()}
        if unknown:
            raise InputError(f"The model predicts {sorted(unknown)[0][0]!r}, which the table of structures lacks.")
        return cls(**{**values, "normalization": Normalization(**values["normalization"])})


@dataclass(frozen=True)
class ModelBundle:
    """A loaded model."""

    network: torch.jit.ScriptModule
    """``(B, 1, H, W) image, (B, 1, H, W) mask -> (B, C, H, W) probabilities, (B, 2, 3) pose, (B, 2, 3) crop``."""
    metadata: ModelMetadata
    sha256: str


@dataclass(frozen=True)
class CatalogueEntry:
    """A shipped model."""

    id: str
    file: str
    sha256: str
    bytes: int

    @property
    def path(self) -> Path:
        return MODELS_FOLDER / self.file


def catalogue() -> list[CatalogueEntry]:
    """The shipped models; the first is the default."""
    entries = json.loads((MODELS_FOLDER / CATALOGUE).read_text())
    return [CatalogueEntry(**entry) for entry in entries]


def load_model(name: str | None, device: torch.device) -> ModelBundle:
    """Load a shipped model by id (``None``: the default) or a local file by path.

    Raises ``InputError`` when there is no such model, a shipped file is not what the catalogue says, or the
    file is no model.
    """
    shipped = {entry.id: entry for entry in catalogue()}
    if name is None:
        name = next(iter(shipped), "default")
    entry = shipped.get(name)
    path = entry.path if entry else Path(name)
    if not path.is_file():
        raise InputError(f"No model {name!r}: it is neither a file nor one of those shipped ({', '.join(shipped)}).")
    sha256 = file_sha256(path)
    if entry and sha256 != entry.sha256:
        raise InputError(
            f"The model file {path.name} is damaged (its SHA-256 is not the catalogue's); install it again."
        )
    network, metadata = _load_torchscript(path, device)
    return ModelBundle(network, metadata, sha256)


def read_metadata(path: Path) -> ModelMetadata:
    """What a model file says about itself, without torch.

    Raises ``InputError`` when the file is no model of this program.
    """
    try:
        return ModelMetadata.from_json(_read_extra(path, METADATA).decode())
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not a TorchScript model or is damaged; choose another file.") from None


def read_reference_mask(path: Path) -> bytes:
    """The ``.npy`` file of the reference subject's mask in a model file; empty for a model without pose STN.

    Raises ``InputError`` when the file is no model of this program.
    """
    return _read_extra(path, REFERENCE_MASK)


def _read_extra(path: Path, name: str) -> bytes:
    """A TorchScript file is a zip archive with the extra files in ``extra``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(entry for entry in archive.namelist() if entry.endswith(f"/extra/{name}")))
    except (OSError, zipfile.BadZipFile):
        raise InputError(f"{path.name} is not a TorchScript model or is damaged; choose another file.") from None
    except StopIteration:
        raise InputError(f"{path.name} holds no {name}; export the model with `pediatric-renal-seg export`.") from None


def save_torchscript(network: torch.nn.Module, metadata: ModelMetadata, reference_mask: bytes, path: Path) -> None:
    """Script a network and write it with its metadata and the reference subject's mask (``.npy`` bytes)."""
    import torch

    scripted = torch.jit.script(network.eval().cpu())
    torch.jit.save(scripted, path, _extra_files={METADATA: metadata.to_json(), REFERENCE_MASK: reference_mask})


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load_torchscript(path: Path, device: torch.device) -> tuple[torch.jit.ScriptModule, ModelMetadata]:
    """The one place that knows the file format."""
    import torch

    extra = {METADATA: ""}
    try:
        network = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    except RuntimeError:
        raise InputError(f"{path.name} is not a TorchScript model or is damaged; choose another file.") from None
    if not extra[METADATA]:
        raise InputError(f"{path.name} holds no {METADATA}; export the model with `pediatric-renal-seg export`.")
    text = extra[METADATA]
    # Channels last: on a processor the convolutions are half again as fast.
    network = network.eval().to(memory_format=torch.channels_last)
    return network, ModelMetadata.from_json(text.decode() if isinstance(text, bytes) else text)
