"""Data sets of users: labeled CTs in, a store to train on and a report of what was found wrong out.

``formats`` finds and reads the patients. One that does not pass ``plausibility`` is left out with a sentence, the
others are stored. Patients whose files and label table are those that they were stored from are kept, so that a broken
run goes on; others are prepared again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ...reading import read_ct
from ...structures import StructureSet
from .formats import DataSet, Source, open_dataset, parse_labels
from .patient import TrainingPatient, clip_hu
from .plausibility import check_patient, doubts_about, milliliters
from .reports import CHECK, LEFT_OUT, STORED, PatientReport, Reports, read_reports, write_reports
from .split import is_validation, read_split, with_both_parts, write_split
from .store import PatientSlices, claim_store, read_structures, real_rows, slices_of, store_slices


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
    folder: Path,
    store: Path,
    labels: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    structures: StructureSet | None = None,
) -> Prepared:
    """Put the patients of a data set into a store and write ``patients.csv`` and ``split.json`` there.

    labels: ``NAME=STRUCTURE`` for names that do not tell the structure. progress: called with each patient's name.
    structures: what the store is to hold; by default what it holds already, in a new store kidney and tumor. Raises
    ``InputError`` when the folder is no data set, ``labels`` do not fit it, or the store is one of other structures.
    """
    store = Path(store)
    wanted = structures or read_structures(store)
    dataset = open_dataset(Path(folder).resolve(), parse_labels(labels, wanted), wanted)
    structures = claim_store(store, wanted)
    reports = _kept_reports(store, dataset.name, structures)
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
            patient, slices, report = _examine(source, dataset, store, structures, known, _stored(reports))
        except InputError as error:
            _leave_out(dataset.name, source.name, str(error), reports)
            continue
        reports[report.key] = replace(report, source_sha256=sha256)
        split.setdefault(source.name, is_validation(source.name))
        # The line before the patient: one in the store without a line is none of ours. What was stored before goes
        # first, or a stop after the line would leave it there as the new patient.
        _stored_file(store, source.name).unlink(missing_ok=True)
        _write(store, reports, split, structures)
        store_slices(store, patient, slices, real_rows(patient))
    stored = [report.patient for report in _stored(reports)]
    split = with_both_parts(split, stored)
    _write(store, reports, split, structures)
    alone = ["One patient leaves none for validation: add patients."] if len(stored) == 1 else []
    return Prepared(tuple(reports[key] for key in sorted(reports)), (*dataset.notes, *alone), split)


def _leave_out(dataset: str, patient: str, sentence: str, reports: Reports) -> None:
    kept = " The store keeps what it holds under this name." if (dataset, patient, False) in reports else ""
    report = PatientReport(dataset, patient, LEFT_OUT, findings=sentence + kept)
    reports[report.key] = report


def _examine(
    source: Source,
    dataset: DataSet,
    store: Path,
    structures: StructureSet,
    known: PatientReport | None,
    stored: list[PatientReport],
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
    patient = TrainingPatient(source.name, "real", image, dataset.read(source, ct), spacing, structures)
    slices = slices_of(patient)
    check_patient(patient, slices.body)
    doubts = doubts_about(patient, slices.body)
    report = PatientReport(
        dataset=dataset.name,
        patient=source.name,
        outcome=CHECK if doubts else STORED,
        slices=len(real_rows(patient)),
        milliliters={row.name: round(milliliters(patient, row.label), 1) for row in structures},
        image_sha256=digest,
        findings=" ".join(doubts),
    )
    return patient, slices, report


def _check_duplicate(digest: str, stored: list[PatientReport]) -> None:
    same = next((report.patient for report in stored if report.image_sha256 == digest), None)
    if same:
        raise InputError(f'The image is that of "{same}": remove one, or a patient may be trained and validated on.')


def _stored(reports: Reports) -> list[PatientReport]:
    return [report for report in reports.values() if report.outcome != LEFT_OUT]


def _kept_reports(store: Path, dataset: str, structures: StructureSet) -> Reports:
    """Lines of earlier runs whose patients are in the store, and all of other data sets' patients left out."""
    return {
        report.key: report
        for report in read_reports(store, structures)
        if (report.dataset != dataset if report.outcome == LEFT_OUT else _stored_file(store, report.patient).exists())
    }


def _stored_file(store: Path, patient: str) -> Path:
    return store / f"{patient}.npz"


def _write(store: Path, reports: Reports, split: dict[str, bool], structures: StructureSet) -> None:
    write_split(store, split)
    write_reports(store, reports, structures)
