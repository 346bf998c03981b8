"""Data sets of users: labeled CTs in, a store to train on and a report of what was found wrong out.

``formats`` finds and reads the patients. One that does not pass ``checks`` is left out with a sentence, the others
are stored. Patients that are stored already are kept, so that a broken run goes on.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..reading import read_ct
from ..structures import STRUCTURES
from ..volume import InputError
from .checks import check_patient, doubts_about, milliliters
from .formats import DataSet, Source, open_dataset, parse_labels
from .real_data import TrainingPatient, clip_hu
from .store import (
    PatientSlices,
    is_validation,
    place_in_split,
    read_split,
    real_rows,
    slices_of,
    store_slices,
    write_split,
    write_text,
)

REPORT = "patients.csv"
STORED, CHECK, LEFT_OUT = "stored", "check", "left out"


@dataclass(frozen=True)
class PatientReport:
    """One line of ``patients.csv``."""

    dataset: str
    patient: str
    outcome: str
    """``STORED``; ``CHECK``: stored, but deserves a look; ``LEFT_OUT``."""
    slices: int = 0
    kidney_ml: float = 0.0
    tumor_ml: float = 0.0
    image_sha256: str = ""
    findings: str = ""


Reports = dict[tuple[str, str], PatientReport]
"""By data set and patient."""


@dataclass(frozen=True)
class Prepared:
    """The outcome of a run: its patients, and those that other runs put into the store."""

    reports: tuple[PatientReport, ...]
    notes: tuple[str, ...]
    split: dict[str, bool]
    """Whether a patient is one of validation."""

    @property
    def stored(self) -> int:
        """How many patients the store has from data sets."""
        return sum(report.outcome != LEFT_OUT for report in self.reports)

    def text(self) -> str:
        """The report for people."""
        validation = sum(self.split[report.patient] for report in self.reports if report.outcome != LEFT_OUT)
        count = f"In the store: {self.stored - validation} for training, "
        lines = [f"{report.outcome}: {report.patient}: {report.findings}" for report in self.reports if report.findings]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes), f"{count}{validation} for validation"])


def prepare_dataset(
    folder: Path, store: Path, labels: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None
) -> Prepared:
    """Put the patients of a data set into a store and write ``patients.csv`` and ``split.json`` there.

    labels: ``NAME=STRUCTURE`` for names that do not tell the structure. progress: called with each patient's name.
    Raises ``InputError`` when the folder is no data set or ``labels`` do not fit it.
    """
    folder, store = Path(folder).resolve(), Path(store)
    dataset = open_dataset(folder, parse_labels(labels))
    store.mkdir(parents=True, exist_ok=True)
    reports = _kept_reports(store, folder.name)
    split = {report.patient: is_validation(report.patient) for report in _stored(reports)} | read_split(store)
    for name, sentence in dataset.incomplete.items():
        reports[folder.name, name] = PatientReport(folder.name, name, LEFT_OUT, findings=sentence)
    for source in dataset.sources:
        if (folder.name, source.name) in reports:
            continue
        progress(source.name)
        try:
            patient, slices, report = _examine(source, dataset, folder.name, store, _stored(reports))
        except InputError as error:
            left_out = PatientReport(folder.name, source.name, LEFT_OUT, findings=str(error))
            reports[folder.name, source.name] = left_out
            continue
        reports[folder.name, source.name] = report
        split.setdefault(source.name, is_validation(source.name))
        # before the patient itself: one in the store without a line here is none of ours
        _write(store, reports, split)
        store_slices(store, patient, slices, real_rows(patient))
    stored = [report.patient for report in _stored(reports)]
    split = _with_both_parts(split, stored)
    _write(store, reports, split)
    alone = ["One patient leaves none for validation: add patients."] if len(stored) == 1 else []
    return Prepared(tuple(reports[key] for key in sorted(reports)), (*dataset.notes, *alone), split)


def _examine(
    source: Source, dataset: DataSet, dataset_name: str, store: Path, stored: list[PatientReport]
) -> tuple[TrainingPatient, PatientSlices, PatientReport]:
    """Read, check and preprocess a patient. Raises ``InputError`` for one that must be left out."""
    if _stored_file(store, source.name).exists():
        raise InputError("The store holds another patient of this name: rename one of them.")
    ct = read_ct(source.image)
    image, spacing = ct.axial()
    image = clip_hu(image)
    digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
    _check_duplicate(digest, stored)
    patient = TrainingPatient(source.name, "real", image, dataset.read(source, ct), spacing)
    slices = slices_of(patient)
    check_patient(patient, slices.body)
    doubts = doubts_about(patient, slices.body)
    volumes = {f"{structure.name}_ml": round(milliliters(patient, structure.label), 1) for structure in STRUCTURES}
    report = PatientReport(
        dataset=dataset_name,
        patient=source.name,
        outcome=CHECK if doubts else STORED,
        slices=len(real_rows(patient)),
        image_sha256=digest,
        findings=" ".join(doubts),
        **volumes,
    )
    return patient, slices, report


def _check_duplicate(digest: str, stored: list[PatientReport]) -> None:
    same = next((report.patient for report in stored if report.image_sha256 == digest), None)
    if same:
        raise InputError(f'The image is that of "{same}": remove one, or a patient may be trained and validated on.')


def _with_both_parts(split: dict[str, bool], stored: list[str]) -> dict[str, bool]:
    """Of two patients and more, one at least trains and one validates; the name decides which."""
    ranked = sorted(stored, key=place_in_split)
    if len(ranked) > 1 and not any(split[name] for name in ranked):
        return split | {ranked[0]: True}
    if len(ranked) > 1 and all(split[name] for name in ranked):
        return split | {ranked[-1]: False}
    return split


def _stored(reports: Reports) -> list[PatientReport]:
    return [report for report in reports.values() if report.outcome != LEFT_OUT]


def _kept_reports(store: Path, dataset: str) -> Reports:
    """Lines of earlier runs whose patients are in the store, and all of other data sets' patients left out."""
    return {
        (report.dataset, report.patient): report
        for report in _read_reports(store / REPORT)
        if (report.dataset != dataset if report.outcome == LEFT_OUT else _stored_file(store, report.patient).exists())
    }


def _stored_file(store: Path, patient: str) -> Path:
    return store / f"{patient}.npz"


def _write(store: Path, reports: Reports, split: dict[str, bool]) -> None:
    write_split(store, split)
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(PatientReport)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(reports[key]) for key in sorted(reports))
    write_text(store / REPORT, text.getvalue())


def _read_reports(path: Path) -> list[PatientReport]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                PatientReport(**{field.name: field.type(row[field.name]) for field in fields(PatientReport)})
                for row in csv.DictReader(file)
            ]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} was changed so that it cannot be read: prepare a new store.") from None
