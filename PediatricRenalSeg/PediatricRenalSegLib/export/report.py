"""``report.json``: what was found, how, and with which model; no patient identity."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..checks import DOUBTS, CheckWarning
from ..errors import InputError
from ..organs.measure import Measurements
from ..structures import RENAL, Segment, StructureSet

REPORT = "report.json"
"""Its name in the patient folder."""
NOTICE = "For research use only. Not a medical device: not for diagnosis or treatment without review by a physician."

JSON = Any
"""Anything that JSON can say."""


@dataclass(frozen=True)
class Review:
    """What a person did with a result."""

    edited: bool
    """Whether segments are no longer those of the model."""
    checked: tuple[str, ...] = ()
    """Ids of the segments that were marked as checked."""
    seconds: float = 0.0
    """Time the result was on the screen for review."""


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
    doubts: tuple[CheckWarning, ...] = ()
    """What the stages were not sure of: warnings that cannot be found in the segments afterwards."""
    slices_to_check: tuple[dict[str, Any], ...] = ()
    """``SliceToCheck`` as dictionaries, from the lowest slice to the highest."""
    review: Review | None = None
    """``None`` for a result as the model gave it."""


def write_report(
    path: Path, structures: StructureSet, measurements: Measurements, run: RunRecord, files: dict[str, str]
) -> None:
    """Write the report as JSON with stable order of keys; ``files`` of the folder by name, with their SHA-256."""
    report = {
        "notice": NOTICE,
        "version": run.version,
        "model": {"id": run.model_id, "sha256": run.model_sha256},
        "input": run.input,
        "structures": [_segment(segment) for segment in structures.segments],
        "structure_set": structures.to_list(),
        "measurements": _measured(measurements),
        "warnings": [asdict(warning) for warning in (*run.doubts, *measurements.warnings)],
        "notes": list(run.notes),
        "slices_to_check": list(run.slices_to_check),
        "review": asdict(run.review) if run.review else None,
        "timing_seconds": run.timing_seconds,
        "parameters": run.parameters,
        "files": files,
    }
    # the rows of the model as they are: what is read from them must not change
    report = {name: value if name == "structure_set" else rounded(value) for name, value in report.items()}
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_structures(path: Path) -> StructureSet:
    """The structures of the model behind a report. Raises ``InputError`` when the file is no report of this program."""
    report = _read(path)
    if "structure_set" not in report:  # version 0.1, which had no others
        return RENAL
    rows = report["structure_set"]
    if not isinstance(rows, list) or not rows:
        raise _no_report(path)
    return StructureSet.from_list(rows)


def read_run(path: Path) -> RunRecord:
    """How the result of a report came about. Raises ``InputError`` when the file is no report of this program."""
    report = _read(path)
    if not all(isinstance(report.get(name), dict) for name in ("model", "timing_seconds", "parameters")):
        raise _no_report(path)
    try:
        return RunRecord(
            version=report["version"],
            model_id=report["model"]["id"],
            model_sha256=report["model"]["sha256"],
            input=report["input"],
            timing_seconds=report["timing_seconds"],
            parameters=report["parameters"],
            notes=tuple(report["notes"]),
            doubts=tuple(CheckWarning(**w) for w in report["warnings"] if w["code"] in DOUBTS),
            slices_to_check=tuple(report["slices_to_check"]),
            review=_review(report["review"]),
        )
    except (KeyError, TypeError, AttributeError):
        raise _no_report(path) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name the report.json of a result.") from None
    except ValueError:
        raise _no_report(path) from None
    if not isinstance(report, dict):
        raise _no_report(path)
    return report


def _no_report(path: Path) -> InputError:
    return InputError(f"{path} is not a report of this program: name the report.json of a result.")


def _review(values: dict[str, Any] | None) -> Review | None:
    return Review(**{**values, "checked": tuple(values["checked"])}) if values else None


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "segment_id": segment.id,
        "name": segment.display_name,
        "segment_value": segment.value,
        "structure": segment.structure.name,
        "label": segment.structure.label,
        "color": list(segment.color),
        "code": asdict(segment.structure.type),
        "side": asdict(segment.side) if segment.side else None,
    }


def _measured(measurements: Measurements) -> dict[str, Any]:
    values = measurements.to_dict()
    return {"segments": values["segments"], "contacts": values["contacts"]}


def rounded(value: JSON) -> JSON:
    """Hundredths of ml, mm, mm², HU and seconds are more than the segmentation can tell."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
