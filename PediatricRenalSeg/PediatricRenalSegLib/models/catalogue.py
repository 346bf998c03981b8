"""The models that are shipped, and where a model of any name lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .bundle import ModelBundle, file_sha256, load_bundle

if TYPE_CHECKING:
    import torch

_LIBRARY = Path(__file__).resolve().parents[1]
MODELS_FOLDER = (_LIBRARY if (_LIBRARY / "Resources").is_dir() else _LIBRARY.parent) / "Resources" / "Models"
"""Beside the library, where Slicer wants it; in a wheel within it (``setup.py`` copies it there)."""
CATALOGUE = "catalogue.json"
"""Its name in the folder of the models."""


@dataclass(frozen=True)
class CatalogueEntry:
    """A shipped model."""

    id: str
    file: str
    sha256: str
    bytes: int

    @property
    def path(self) -> Path:
        """Where its file lies."""
        return MODELS_FOLDER / self.file


def catalogue() -> list[CatalogueEntry]:
    """The shipped models; the first is the default."""
    entries = json.loads((MODELS_FOLDER / CATALOGUE).read_text(encoding="utf-8"))
    return [CatalogueEntry(**entry) for entry in entries]


def model_path(name: str | None) -> Path:
    """The file of a shipped model by its id (``None`` or empty: the default), or of a local one by its path.

    Raises ``InputError`` when there is no such model.
    """
    return _find(name)[0]


def load_model(name: str | None, device: torch.device) -> ModelBundle:
    """Load a shipped model by id (``None``: the default) or a local file by path.

    Raises ``InputError`` when there is no such model, a shipped file is not what the catalogue says, or the
    file is no model.
    """
    path, entry = _find(name)
    if entry:
        check_file(entry)
    return load_bundle(path, device)


def check_file(entry: CatalogueEntry) -> None:
    """Raise ``InputError`` when a shipped file is not what the catalogue says."""
    if file_sha256(entry.path) != entry.sha256:
        raise InputError(
            f"The model file {entry.path.name} is damaged (its SHA-256 is not the catalogue's); install it again."
        )


def _find(name: str | None) -> tuple[Path, CatalogueEntry | None]:
    """The file of a model, and its entry if it is a shipped one."""
    shipped = {entry.id: entry for entry in catalogue()}
    name = name or next(iter(shipped), "default")
    entry = shipped.get(name)
    path = entry.path if entry else Path(name)
    if not path.is_file():
        raise InputError(f"No model {name!r}: it is neither a file nor one of those shipped ({', '.join(shipped)}).")
    return path, entry
