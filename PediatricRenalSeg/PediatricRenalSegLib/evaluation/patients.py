"""Scores of many patients: which files belong together, and what each pair gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..export.report import REPORT, read_structures
from ..export.writers import LABELMAP, SEGMENTATION
from ..reading import read_labels
from ..reading.files import IMAGE_SUFFIXES, is_image_file
from ..reading.segmentations import (
    SUFFIX,
    StoredSegment,
    StoredSegmentation,
    extended,
    is_segmentation_file,
    read_segmentation,
)
from ..structures import RENAL, StructureSet
from ..volume import same_grid
from .metrics import Scores, compare_masks, detect_lesions, dice


@dataclass(frozen=True)
class Row:
    """Scores of one structure, or of one segment with its side, of one patient."""

    patient: str
    structure: str
    """``Structure.name``, or ``Segment.id`` where both files tell right from left."""
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """One prediction of many patients."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    """A sentence for every patient that could not be scored."""

    def of(self, structure: str) -> dict[str, Scores]:
        """Scores by patient."""
        return {row.patient: row.scores for row in self.rows if row.structure == structure}

    def structures(self) -> list[str]:
        """Names of all that was scored, in order."""
        return list(dict.fromkeys(row.structure for row in self.rows))


def evaluate(
    reference: Path,
    prediction: Path,
    progress: Callable[[str], None] = lambda _: None,
    structures: StructureSet | None = None,
) -> Evaluation:
    """Score a file against a file, or a folder against a folder with the same patients.

    A file is a label map (values are ``Structure.label``) or a ``.seg.nrrd``, which may be cropped to its
    segments. structures: what the labels mean; by default the report in a patient folder says it, and without one they
    are those of the shipped models.

    In folders the patient's name is that of the file without its suffix, or of the patient folder that
    holds ``labelmap.nii.gz``. A patient that one folder lacks, or whose files do not fit, is left out with a
    sentence. progress: called with each patient's name. Raises ``InputError`` when nothing can be compared.
    """
    reference, prediction = Path(reference), Path(prediction)
    if reference.is_dir() != prediction.is_dir():
        folder, file = (reference, prediction) if reference.is_dir() else (prediction, reference)
        raise InputError(f'"{folder}" is a folder and "{file}" is not: compare two files or two folders.')
    if not reference.is_dir():
        rows, left_out = _compare(reference.name, reference, prediction, structures)
        return Evaluation(tuple(rows), tuple(left_out))
    references, predictions = find_patients(reference), find_patients(prediction)
    rows, left_out = [], []
    for name in sorted(references.keys() | predictions.keys()):
        lacking = [
            folder for folder, found in ((reference, references), (prediction, predictions)) if name not in found
        ]
        if lacking:
            left_out.append(f'Patient "{name}" is not in "{lacking[0]}": add it there under the same name.')
            continue
        progress(name)
        try:
            scored, unknown = _compare(name, references[name], predictions[name], structures)
            rows += scored
            left_out += unknown
        except InputError as error:
            left_out.append(f'Patient "{name}": {error}')
    if not rows:
        raise InputError(f'No patient of "{reference}" could be compared with "{prediction}". {left_out[0]}')
    return Evaluation(tuple(rows), tuple(left_out))


def dice_by_structure(reference: Path, prediction: Path, structures: StructureSet | None = None) -> dict[str, float]:
    """Dice alone, which is quick, by name of the structure; files and errors as for ``evaluate``."""
    pair = _read_pair(reference, prediction, _meanings(reference, prediction, structures))
    return {name: dice(*masks) for name, masks in pair.items()}


Meanings = tuple[StructureSet, StructureSet]
"""What the labels of reference and prediction mean."""


def _meanings(reference: Path, prediction: Path, structures: StructureSet | None) -> Meanings:
    """What was given; or what the report beside a file tells, or that of the other one; or the shipped structures."""
    if structures:
        return structures, structures
    first, second = _told(reference), _told(prediction)
    return first or second or RENAL, second or first or RENAL


def _told(path: Path) -> StructureSet | None:
    """By the report of the patient folder that a file lies in."""
    report = path.with_name(REPORT)
    is_ours = path.name in (LABELMAP.file, SEGMENTATION.file) and report.is_file()
    return read_structures(report) if is_ours else None


def find_patients(folder: Path) -> dict[str, Path]:
    """Label maps by patient: files in the folder, and ``labelmap.nii.gz`` of patient folders in it.

    Raises ``InputError`` when there are none, or two of one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        is_patient_folder = (path / LABELMAP.file).is_file()
        if path.name.startswith(".") or not (is_patient_folder or is_image_file(path)):
            continue
        name = path.name if is_patient_folder else _without_suffix(path)
        if name in found:
            raise InputError(f'"{folder}" holds two label maps of "{name}": keep one of them.')
        found[name] = path / LABELMAP.file if is_patient_folder else path
    if not found:
        raise InputError(f'"{folder}" holds no label map ({", ".join(IMAGE_SUFFIXES)}) and no patient folder.')
    return found


def read_masks(path: Path, structures: StructureSet) -> dict[str, sitk.Image]:
    """Binary masks by ``Structure.name``, and by ``Segment.id`` too where the file tells the sides.

    Raises ``InputError`` when the file cannot be read or holds other labels than those of ``structures``.
    """
    if is_segmentation_file(path):
        return _masks_of_segmentation(path, structures)
    labels = read_labels(path, (0, *(structure.label for structure in structures)))
    return {structure.name: labels == structure.label for structure in structures}


def _masks_of_segmentation(path: Path, structures: StructureSet) -> dict[str, sitk.Image]:
    stored = read_segmentation(path, structures)
    if not any(part.structure for part in stored.segments):
        names = ", ".join(part.name for part in stored.segments)
        raise InputError(
            f'No segment of "{path}" ({names}) is a {structures.text}: name them so, or say with --model what they are.'
        )
    masks = {}
    for structure in structures:
        parts = [part for part in stored.segments if part.structure == structure]
        masks[structure.name] = _union(stored, parts)
        if structure.paired and all(part.side for part in parts):
            for segment in structures.segments_of(structure):
                masks[segment.id] = _union(stored, [part for part in parts if segment.id.endswith(f"_{part.side}")])
    return masks


def _unknown_segments(path: Path, structures: StructureSet) -> list[str]:
    """A sentence for the segments of a file that are no structure and so in no score."""
    stored = read_segmentation(path, structures) if is_segmentation_file(path) else None
    names = [part.name for part in stored.segments if part.structure is None] if stored else []
    return [f'Segments of "{path}" that are no {structures.text}: {", ".join(names)}.'] if names else []


def _union(stored: StoredSegmentation, parts: list[StoredSegment]) -> sitk.Image:
    array = np.zeros(stored.layers.shape[1:], np.uint8)
    for part in parts:
        array |= stored.mask(part)
    return stored.image(array)


def _compare(
    patient: str, reference: Path, prediction: Path, structures: StructureSet | None
) -> tuple[list[Row], list[str]]:
    """Scores of a patient, and sentences on what is in none of them."""
    meanings = _meanings(reference, prediction, structures)
    rows = _score(patient, reference, prediction, meanings)
    unknown = [_unknown_segments(path, meaning) for path, meaning in zip((reference, prediction), meanings)]
    return rows, [f'Patient "{patient}": {sentence}' for sentences in unknown for sentence in sentences]


def _score(patient: str, reference: Path, prediction: Path, meanings: Meanings) -> list[Row]:
    lesions = {structure.name for structure in meanings[0] if structure.is_lesion}
    rows = []
    for name, masks in _read_pair(reference, prediction, meanings).items():
        found = detect_lesions(*masks) if name in lesions else {}
        rows.append(Row(patient, name, compare_masks(*masks) | found))
    return rows


def _read_pair(reference: Path, prediction: Path, meanings: Meanings) -> dict[str, tuple[sitk.Image, sitk.Image]]:
    """Masks of both by the names that they share.

    Raises ``InputError`` when they share none, or when their grids differ.
    """
    first, second = read_masks(reference, meanings[0]), read_masks(prediction, meanings[1])
    if not first.keys() & second.keys():
        raise InputError(
            f'"{reference}" holds {meanings[0].text}, "{prediction}" {meanings[1].text}: there is nothing to compare.'
        )
    pairs = {
        name: (_uncropped(reference, first[name], second[name]), _uncropped(prediction, second[name], first[name]))
        for name in first
        if name in second
    }
    if not same_grid(*next(iter(pairs.values()))):
        raise InputError(f'"{reference}" and "{prediction}" lie on different grids: compare label maps of the same CT.')
    return pairs


def _uncropped(path: Path, mask: sitk.Image, other: sitk.Image) -> sitk.Image:
    """Slicer saves the part of a segmentation that holds segments; a label map ends where its CT does."""
    return extended(mask, other) if is_segmentation_file(path) else mask


def _without_suffix(path: Path) -> str:
    suffixes = (SUFFIX, *IMAGE_SUFFIXES[::-1])
    return path.name[: -len(next(suffix for suffix in suffixes if path.name.lower().endswith(suffix)))]
