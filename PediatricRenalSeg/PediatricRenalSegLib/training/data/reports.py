"""``patients.csv``: what became of every patient of the data sets that were put into a store."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...output_files import write_text
from ...structures import StructureSet

REPORT = "patients.csv"
"""In the folder of the store."""
STORED, CHECK, LEFT_OUT = "stored", "check", "left out"
"""What becomes of a patient: see ``PatientReport.outcome``."""


@dataclass(frozen=True)
class PatientReport:
    """One line of ``patients.csv``."""

    dataset: str
    patient: str
    outcome: str
    """``STORED``; ``CHECK``: stored, but deserves a look; ``LEFT_OUT``."""
    slices: int = 0
    milliliters: dict[str, float] = field(default_factory=dict)
    """Volume by name of the structure; none of a patient who is left out."""
    image_sha256: str = ""
    """Of the voxels, which stay the same where the image is saved in another way."""
    source_sha256: str = ""
    """``DataSet.sha256`` when the patient was stored."""
    findings: str = ""

    @property
    def key(self) -> tuple[str, str, bool]:
        """A stored patient has a second line when what its files hold now is left out."""
        return self.dataset, self.patient, self.outcome == LEFT_OUT


Reports = dict[tuple[str, str, bool], PatientReport]
"""By ``PatientReport.key``."""


def write_reports(store: Path, reports: Reports, structures: StructureSet) -> None:
    """Write ``patients.csv``, with a column of milliliters for every structure."""
    text = io.StringIO()
    volumes = [_column(row.name) for row in structures]
    header = ["dataset", "patient", "outcome", "slices", *volumes, "image_sha256", "source_sha256", "findings"]
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    for key in sorted(reports):
        values = dict(vars(reports[key]))
        milliliters = values.pop("milliliters")
        writer.writerow({**values, **{_column(name): volume for name, volume in milliliters.items()}})
    write_text(store / REPORT, text.getvalue())


def read_reports(store: Path, structures: StructureSet) -> list[PatientReport]:
    """The lines of ``patients.csv``, none where there is no such file.

    Raises ``InputError`` if it cannot be read.
    """
    path = store / REPORT
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_report(row, structures) for row in csv.DictReader(file)]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} was changed so that it cannot be read: prepare a new store.") from None


def _report(row: dict[str, str], structures: StructureSet) -> PatientReport:
    return PatientReport(
        dataset=row["dataset"],
        patient=row["patient"],
        outcome=row["outcome"],
        slices=int(row["slices"]),
        milliliters={each.name: float(text) for each in structures if (text := row[_column(each.name)])},
        image_sha256=row["image_sha256"],
        # Older stores do not say what their patients were made from: these are prepared again.
        source_sha256=row.get("source_sha256", ""),
        findings=row["findings"],
    )


def _column(structure: str) -> str:
    """Of the structure with this name."""
    return f"{structure}_ml"
