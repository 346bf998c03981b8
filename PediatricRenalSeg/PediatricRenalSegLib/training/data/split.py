"""Which patients of a store train and which validate.

``split.json``, where there is one, names the patients of ``training`` and ``validation``; for patients that it
does not name, the name decides (``is_validation``).
"""

import json
import zlib
from pathlib import Path

from ...errors import InputError
from ...output_files import write_text

VALIDATION_SHARE = 0.1
"""About this part of the patients validates."""
SPLIT = "split.json"
"""In the folder of the store."""


def is_validation(patient: str) -> bool:
    """A fixed patient-wise split by name: it does not change when patients join."""
    return place_in_split(patient) < VALIDATION_SHARE * 1000


def place_in_split(patient: str) -> int:
    """0 to 999, the same for a name forever."""
    return zlib.crc32(patient.encode()) % 1000


def read_split(folder: Path) -> dict[str, bool]:
    """Whether a patient named in ``split.json`` is one of validation. Raises ``InputError`` if it is unreadable."""
    path = Path(folder) / SPLIT
    if not path.is_file():
        return {}
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        return {name: validation for validation in (False, True) for name in parts[_part_name(validation)]}
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f'{path} must be a JSON object of two lists of names, "training" and "validation": correct or delete it.'
        ) from None


def write_split(folder: Path, split: dict[str, bool]) -> None:
    """Write ``split.json``; ``split`` as ``read_split`` returns it."""
    parts = {_part_name(value): sorted(name for name in split if split[name] == value) for value in (False, True)}
    write_text(Path(folder) / SPLIT, json.dumps(parts, indent=2) + "\n")


def _part_name(validation: bool) -> str:
    return "validation" if validation else "training"


def with_both_parts(split: dict[str, bool], stored: list[str]) -> dict[str, bool]:
    """Of two patients and more, one at least trains and one validates; the name decides which."""
    ranked = sorted(stored, key=place_in_split)
    if len(ranked) > 1 and not any(split[name] for name in ranked):
        return split | {ranked[0]: True}
    if len(ranked) > 1 and all(split[name] for name in ranked):
        return split | {ranked[-1]: False}
    return split
