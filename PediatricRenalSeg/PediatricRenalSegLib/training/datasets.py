"""Data sets of users: labeled CTs in, a store to train on and a report of what was found wrong out.

``formats`` finds and reads the patients. One that does not pass ``checks`` is left out with a sentence, the others
are stored. Patients whose files and label table are those that they were stored from are kept, so that a broken run
goes on; others are prepared again.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ..output_files import write_text
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
    store = Path(store)
    dataset = open_dataset(Path(folder).resolve(), parse_labels(labels))
    store.mkdir(parents=True, exist_ok=True)
    reports = _kept_reports(store, dataset.name)
    split = {report.patient: is_validation(report.patient) for report in _stored(reports)} | read_split(store)
    for name, sentence in dataset.incomplete.items():
        _leave_out(dataset.name, name, sentence, reports)
    for source in dataset.sources:
        known = reports.get((dataset.name, source.name, False))
        try:
            sha256 = dataset.sha256(source)
            if known and sha256 and known.source_sha256 == sha256:
                continue
            progress(source.name)
            patient, slices, report = _examine(source, dataset, store, known, _stored(reports))
        except InputError as error:
            _leave_out(dataset.name, source.name, str(error), reports)
            continue
        reports[report.key] = replace(report, source_sha256=sha256)
        split.setdefault(source.name, is_validation(source.name))
        # The line before the patient: one in the store without a line is none of ours. What was stored before goes
        # first, or a stop after the line would leave it there as the new patient.
        _stored_file(store, source.name).unlink(missing_ok=True)
        _write(store, reports, split)
        store_slices(store, patient, slices, real_rows(patient))
    stored = [report.patient for report in _stored(reports)]
    split = _with_both_parts(split, stored)
    _write(store, reports, split)
    alone = ["One patient leaves none for validation: add patients."] if len(stored) == 1 else []
    return Prepared(tuple(reports[key] for key in sorted(reports)), (*dataset.notes, *alone), split)


def _leave_out(dataset: str, patient: str, sentence: str, reports: Reports) -> None:
    kept = " The store keeps what it holds under this name." if (dataset, patient, False) in reports else ""
    report = PatientReport(dataset, patient, LEFT_OUT, findings=sentence + kept)
    reports[report.key] = report


def _examine(
    source: Source, dataset: DataSet, store: Path, known: PatientReport | None, stored: list[PatientReport]
) -> tuple[TrainingPatient, PatientSlices, PatientReport]:
    """Read, check and preprocess a patient, that of the line ``known`` if there is one.

    Raises ``InputError`` for one that must be left out.
    """
    ct = read_ct(source.image)
    image, spacing = ct.axial()
    image = clip_hu(image)
    digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
    same_patient = known is not None and known.image_sha256 == digest
    if _stored_file(store, source.name).exists() and not same_patient:
        raise InputError("The store holds another patient of this name: rename one of them.")
    _check_duplicate(digest, [report for report in stored if report is not known])
    patient = TrainingPatient(source.name, "real", image, dataset.read(source, ct), spacing)
    slices = slices_of(patient)
    check_patient(patient, slices.body)
    doubts = doubts_about(patient, slices.body)
    volumes = {f"{structure.name}_ml": round(milliliters(patient, structure.label), 1) for structure in STRUCTURES}
    report = PatientReport(
        dataset=dataset.name,
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
        report.key: report
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
            # Older stores do not say what their patients were made from: these are prepared again.
            rows = [{"source_sha256": "", **row} for row in csv.DictReader(file)]
        return [
            PatientReport(**{field.name: field.type(row[field.name]) for field in fields(PatientReport)})
            for row in rows
        ]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} was changed so that it cannot be read: prepare a new store.") from None
