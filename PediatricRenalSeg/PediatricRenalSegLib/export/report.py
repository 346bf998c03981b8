"""``report.json``: what was found, how, and with which model; no patient identity."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..measurements import Measurements
from ..structures import SEGMENTS

NOTICE = "For research use only. Not a medical device: not for diagnosis or treatment without review by a physician."


@dataclass(frozen=True)
class RunRecord:
    """How a result came about; nothing in it may identify the patient."""

    version: str
    """Of this software."""
    model_id: str
    model_sha256: str
    input: str = ""
    """What was read and what was not, as ``CTVolume.source`` says."""
    timing_seconds: dict[str, float] = field(default_factory=dict)
    """By stage."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the user chose; JSON values only."""
    notes: tuple[str, ...] = ()
    """What the stages changed or assumed and nobody needs to check, such as removed specks."""


def write_report(path: Path, measurements: Measurements, run: RunRecord, files: dict[str, str]) -> None:
    """Write the report as JSON with stable order of keys; ``files`` of the folder by name, with their SHA-256."""
    report = {
        "notice": NOTICE,
        "version": run.version,
        "model": {"id": run.model_id, "sha256": run.model_sha256},
        "input": run.input,
        "structures": [_structure(segment) for segment in SEGMENTS],
        "measurements": _measured(measurements),
        "warnings": [asdict(warning) for warning in measurements.warnings],
        "notes": list(run.notes),
        "timing_seconds": run.timing_seconds,
        "parameters": run.parameters,
        "files": files,
    }
    path.write_text(json.dumps(_rounded(report), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _structure(segment) -> dict[str, Any]:
    return {
        "segment_id": segment.id,
        "name": segment.display_name,
        "segment_value": segment.value,
        "label": segment.structure.label,
        "color": list(segment.color),
        "code": asdict(segment.structure.type),
        "side": asdict(segment.side) if segment.side else None,
    }


def _measured(measurements: Measurements) -> dict[str, Any]:
    values = measurements.to_dict()
    return {"segments": values["segments"], "contacts": values["contacts"]}


def _rounded(value: Any) -> Any:
    """Hundredths of ml, mm, mm², HU and seconds are more than the segmentation can tell."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
