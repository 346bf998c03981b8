"""A model: one TorchScript file with its metadata inside.

Torch is imported when a model is loaded, not before: Slicer shows what a model is before PyTorch is installed.

The metadata lie in torch's extra files under ``metadata.json``, the place where MONAI puts them too. Weights are
stored in half precision (bfloat16) and used in single precision. A TorchScript file is code: a shipped one is used
only if its SHA-256 is the catalogue's, any other only if the user named it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..structures import StructureSet, known_structures
from .normalization import Normalization

if TYPE_CHECKING:
    import torch

METADATA = "metadata.json"
REFERENCE_MASK = "reference_mask.npy"
FORMAT = 2
STN_UNET = "stn-unet"
"""Kind of the paper's pipeline, and of every model of format 1."""
BACKGROUND = "background"
"""Name of the channel of all that is no structure."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def are_scores(value: object) -> bool:
    """Whether these are ``ModelMetadata.scores``."""
    if not isinstance(value, dict) or not all(isinstance(scores, dict) for scores in value.values()):
        return False
    return all(type(number) in (int, float) for scores in value.values() for number in scores.values())


_TEXTS = ("kind", "id", "version", "license", "license_notice", "training_domain", "limits", "torch")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(_TEXTS, (_is_text, "a text")),
    "input": (lambda value: isinstance(value, dict), "an object"),
    "normalization": (lambda value: isinstance(value, dict), "an object"),
    "structures": (lambda value: isinstance(value, list), "a list"),
    "channels": (lambda value: isinstance(value, list) and all(map(_is_text, value)), "a list of names"),
    "scores": (are_scores, "numbers by name by data set"),
}
"""What each field of the metadata must be, as they may come from any file."""


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says about itself."""

    format: int
    kind: str
    """The pipeline that the model is for: a key of ``pipelines.load.KINDS``, or a plug-in's."""
    id: str
    version: str
    license: str
    license_notice: str
    training_domain: str
    """In plain words: what the model was trained on."""
    limits: str
    """In plain words: where it was never tried."""
    input: dict[str, Any]
    """The input contract of its kind, such as the size of a slice and of its pixels."""
    normalization: Normalization
    structures: StructureSet
    channels: tuple[str, ...]
    """What each channel of the network's output is: "background" or the name of a structure."""
    scores: dict[str, dict[str, float]]
    """By data set: mean Dice by structure and whatever else was measured."""
    torch: str
    """Version that wrote the file."""

    @property
    def channel_labels(self) -> tuple[int, ...]:
        """The label that each channel stands for, 0 for background."""
        return tuple(0 if name == BACKGROUND else self.structures.named(name).label for name in self.channels)

    def to_json(self) -> str:
        """``from_json`` is the way back."""
        return json.dumps({**asdict(self), "structures": self.structures.to_list()}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Raises ``InputError`` for an unknown format, missing values, or channels that are no structures."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError:
            values = None
        if isinstance(values, dict) and values.get("format") == 1:
            values = _from_format_1(values)
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or values.get("format") != FORMAT or names - set(values):
            raise InputError(f"The model's metadata are not of format {FORMAT}; use a model exported by this version.")
        for name, (is_right, what) in _FIELDS.items():
            if not is_right(values[name]):
                raise InputError(f"The model's metadata are wrong: {name} must be {what}; export it again.")
        known = {name: values[name] for name in names}
        known["normalization"] = Normalization.from_dict(values["normalization"])
        known["structures"] = StructureSet.from_list(values["structures"])
        known["channels"] = tuple(values["channels"])
        metadata = cls(**known)
        metadata._check_channels()
        return metadata

    def _check_channels(self) -> None:
        """Background first, then every structure once, in any order."""
        foreground = sorted(name for name in self.channels if name != BACKGROUND)
        names = sorted(row.name for row in self.structures)
        if not names or self.channels[:1] != (BACKGROUND,) or foreground != names:
            raise InputError(
                f"The model's channels are {', '.join(map(str, self.channels))}, but must be background and then each "
                f"of its structures once ({', '.join(row.name for row in self.structures)}): export it again."
            )


def _from_format_1(values: dict[str, Any]) -> dict[str, Any] | None:
    """The metadata of version 0.1: labels by name, which stand for the channels in their order."""
    try:
        labels = values["labels"]
        return {
            **values,
            "format": FORMAT,
            "kind": STN_UNET,
            "input": {name: values[name] for name in ("size", "pixel_mm", "crop")},
            "structures": known_structures(labels).to_list(),
            "channels": sorted(labels, key=lambda name: labels[name]),
        }
    except (KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class ModelBundle:
    """A loaded model."""

    network: torch.nn.Module
    """TorchScript. What goes in and comes out is for its kind to say; ``pipelines`` knows."""
    metadata: ModelMetadata
    sha256: str

    @property
    def structures(self) -> StructureSet:
        """What the model segments."""
        return self.metadata.structures


def load_bundle(path: Path, device: torch.device) -> ModelBundle:
    """Load a model file, its weights in single precision.

    Raises ``InputError`` when the file is no model of this program.
    """
    network, metadata = _load_torchscript(path, device)
    return ModelBundle(network, metadata, file_sha256(path))


def read_metadata(path: Path) -> ModelMetadata:
    """What a model file says about itself, without torch.

    Raises ``InputError`` when the file is no model of this program.
    """
    try:
        return ModelMetadata.from_json(_read_extra(path, METADATA).decode())
    except UnicodeDecodeError:
        raise _no_model(path) from None


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
        raise _no_model(path) from None
    except StopIteration:
        raise _incomplete(path, name) from None


def save_torchscript(network: torch.nn.Module, metadata: ModelMetadata, reference_mask: bytes, path: Path) -> None:
    """Script a network and write it in half precision, with its metadata and the reference subject's mask (``.npy``).

    The network itself stays as it is.
    """
    import torch

    scripted = torch.jit.script(in_half_precision(network.eval().cpu()))
    torch.jit.save(scripted, path, _extra_files={METADATA: metadata.to_json(), REFERENCE_MASK: reference_mask})


def in_half_precision(network: torch.nn.Module) -> torch.nn.Module:
    """A copy whose weights are bfloat16, the precision in which processors and graphics cards multiply them here.

    So a model says the same from its file as it did before, which float16 would not give: it rounds a second time.
    Vectors (biases, batch normalization) stay in single precision; they are a thousandth of the file.
    """
    import torch

    copied = copy.deepcopy(network)
    for parameter in copied.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.to(torch.bfloat16)
    return copied


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load_torchscript(path: Path, device: torch.device) -> tuple[torch.nn.Module, ModelMetadata]:
    """The one place that knows the file format."""
    import torch

    extra: dict[str, str | bytes] = {METADATA: ""}
    try:
        network = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    except RuntimeError:
        raise _no_model(path) from None
    text = extra[METADATA]
    if not text:
        raise _incomplete(path, METADATA)
    # Channels last: on a processor the convolutions are half again as fast.
    network = network.eval().float().to(memory_format=torch.channels_last)
    return network, ModelMetadata.from_json(text.decode() if isinstance(text, bytes) else text)


def _no_model(path: Path) -> InputError:
    return InputError(f"{path.name} is not a TorchScript model or is damaged; choose another file.")


def _incomplete(path: Path, name: str) -> InputError:
    return InputError(f"{path.name} holds no {name}; export the model with `pediatric-renal-seg export`.")
