"""The forms of a user's data set: where its patients lie, and what their labels mean.

- nnU-Net's: ``dataset.json``, ``imagesTr/NAME_0000.nii.gz`` and ``labelsTr/NAME.nii.gz`` (other file endings as
  ``dataset.json`` says); its label names tell the structures;
- 3D Slicer's: ``NAME.seg.nrrd`` beside ``NAME.nrrd`` (or another CT file); segments are told by id, name or
  terminology.

What is none of the structures asked for is background.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...models.bundle import BACKGROUND, file_sha256
from ...reading import read_labels
from ...reading.files import IMAGE_SUFFIXES, SUFFIXES_WITH_SEPARATE_DATA, is_image_file
from ...reading.segmentations import (
    SUFFIX,
    StoredSegment,
    StoredSegmentation,
    extended,
    read_segmentation,
    structure_named,
)
from ...structures import Structure, StructureSet
from ...volume import SAME_GRID_TOLERANCE, CTVolume, axial, same_grid

DATASET_JSON = "dataset.json"
"""nnU-Net's description of a data set."""
FIRST_CHANNEL = "_0000"
"""nnU-Net's ending of an image: the CT, its only channel."""
IGNORE = "ignore"
"""nnU-Net's name for voxels that nobody labeled."""


@dataclass(frozen=True)
class Source:
    """The two files of a patient."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class DataSet:
    """What a folder holds."""

    name: str
    """That of the folder."""
    sources: tuple[Source, ...]
    incomplete: dict[str, str]
    """A sentence for every patient with one of the two files only."""
    read: Callable[[Source, CTVolume], np.ndarray]
    """Labels ``(z, y, x)`` uint8 of a patient in the axial order of the CT; raises ``InputError``."""
    label_table: dict[int, int] | dict[str, int]
    """What ``read`` takes from the description and the call: labels by value, or by name."""
    notes: list[str]
    """Sentences on the whole data set; reading may add to them."""

    def sha256(self, source: Source) -> str:
        """Of all that a patient is made from, both files and the label table, to see when one of them changes.

        Empty where a file is but a header, whose voxels may change without it. Raises ``InputError`` when a file
        cannot be opened.
        """
        digests = []
        for path in (source.image, source.labels):
            if path.name.lower().endswith(SUFFIXES_WITH_SEPARATE_DATA):
                return ""
            try:
                digests.append(file_sha256(path))
            except OSError as error:
                raise InputError(f'"{path.name}" may not be opened; check your access rights.') from error
        return hashlib.sha256(f"{digests} {sorted(self.label_table.items())}".encode()).hexdigest()


def parse_labels(pairs: Sequence[str], structures: StructureSet) -> dict[str, int]:
    """Labels by name from ``NAME=STRUCTURE``; the structure may be "background".

    Raises ``InputError`` for another structure.
    """
    labels = {BACKGROUND: 0, **{row.name: row.label for row in structures}}
    given = {}
    for pair in pairs:
        name, _, structure = pair.rpartition("=")
        if not name or structure not in labels:
            raise InputError(f"{pair!r} does not say what a label is: write NAME=STRUCTURE with {_one_of(labels)}.")
        given[name] = labels[structure]
    return given


def open_dataset(folder: Path, given: dict[str, int], structures: StructureSet) -> DataSet:
    """Find the patients of a data set.

    given: labels by name, before what the names say. structures: those that are looked for. Raises ``InputError`` for
    a folder that is no data set, and where a label that is given does not occur.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: name the folder of a data set.")
    if (folder / DATASET_JSON).is_file():
        return _open_nnunet(folder, given, structures)
    if any(folder.glob(f"*{SUFFIX}")):
        return _open_slicer(folder, given, structures)
    raise InputError(f"{folder} is no data set: it holds neither {DATASET_JSON} (nnU-Net) nor NAME{SUFFIX} beside CTs.")


# nnU-Net


def _open_nnunet(folder: Path, given: dict[str, int], structures: StructureSet) -> DataSet:
    description = _read_description(folder / DATASET_JSON)
    notes: list[str] = []
    table = _label_table(description, given, structures, folder / DATASET_JSON, notes)
    ending = description.get("file_ending", ".nii.gz")
    images = _named(folder / "imagesTr", FIRST_CHANNEL + ending)
    labels = _named(folder / "labelsTr", ending)
    if not images:
        raise InputError(f"{folder / 'imagesTr'} holds no NAME{FIRST_CHANNEL}{ending}: put the CTs there.")
    lookup = np.zeros(256, np.uint8)
    lookup[list(table)] = list(table.values())

    def read(source: Source, ct: CTVolume) -> np.ndarray:
        stored = read_labels(source.labels, table)
        if not same_grid(ct.image, stored):
            raise _other_grid(source, ct.image, stored)
        return lookup[axial(stored)[0]]

    return DataSet(folder.name, *_paired(images, labels, "label map", f"labelsTr/NAME{ending}"), read, table, notes)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        channels = description.get("channel_names", description.get("modality", {"0": "CT"}))
        regions = _regions(description["labels"])
        understood = all(
            isinstance(value, int) and value in range(256) for values in regions.values() for value in values
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        understood = False
    if not understood:
        raise InputError(f'{path} is no description of an nnU-Net data set with "labels" by name: correct it.')
    if len(channels) != 1:
        raise InputError(f"{path} names {len(channels)} channels: this program takes one, the CT.")
    return description


def _regions(labels: dict[str, Any]) -> dict[str, list[int]]:
    """Values by name; nnU-Net 1 has names by value, nnU-Net 2 knows regions of several values."""
    if all(key.isdigit() for key in labels):
        return {name: [int(value)] for value, name in labels.items()}
    return {name: value if isinstance(value, list) else [value] for name, value in labels.items()}


def _label_table(
    description: dict[str, Any], given: dict[str, int], structures: StructureSet, path: Path, notes: list[str]
) -> dict[int, int]:
    """Label by value in the label maps. Of regions that overlap, the smallest that is known decides."""
    regions = _regions(description["labels"])
    _check_given(given, set(regions), str(path))
    table: dict[int, int] = {}
    by_size = sorted(regions, key=lambda name: len(regions[name]))
    used = {value for name, values in regions.items() if name != IGNORE for value in values}
    for value in sorted(used):
        names = [name for name in by_size if value in regions[name]]
        labels = [_label_of(name, structure_named(name, structures), given) for name in names]
        known = [label for label in labels if label is not None]
        table[value] = known[0] if known else 0
        if not known:
            _note_background(names[0], structures, notes)
    if not any(table.values()):
        raise InputError(
            f"No label of {path} is known as {structures.text} ({', '.join(regions)}): say what they are with "
            "--labels NAME=STRUCTURE."
        )
    return table


# Slicer


def _open_slicer(folder: Path, given: dict[str, int], structures: StructureSet) -> DataSet:
    labels = _named(folder, SUFFIX)
    images = _cts_beside(folder)
    notes: list[str] = []
    if given:
        known: set[str] = set()
        for path in labels.values():
            known.update(_segment_names(path, structures))
        _check_given(given, known, str(folder))

    def read(source: Source, ct: CTVolume) -> np.ndarray:
        stored = read_segmentation(source.labels, structures)
        painted = _painted(stored, _labels_of_segments(stored, source, given, structures, notes))
        placed = extended(stored.image(painted), ct.image)
        if not same_grid(ct.image, placed):
            raise _other_grid(source, ct.image, stored.grid)
        return axial(placed)[0]

    return DataSet(folder.name, *_paired(images, labels, "segmentation", f"NAME{SUFFIX}"), read, given, notes)


def _labels_of_segments(
    stored: StoredSegmentation, source: Source, given: dict[str, int], structures: StructureSet, notes: list[str]
) -> dict[StoredSegment, int]:
    """Labels of the segments that are known; the others are noted. Raises ``InputError`` if none is."""
    labels: dict[StoredSegment, int] = {}
    unknown: list[str] = []
    for segment in stored.segments:
        label = _label_of(segment.name, segment.structure, given)
        if label is None:
            unknown.append(segment.name)
        else:
            labels[segment] = label
    if not labels:
        raise InputError(
            f'No segment of "{source.labels.name}" is known as {structures.text} ({", ".join(unknown)}): name them so, '
            "or say what they are with --labels NAME=STRUCTURE."
        )
    for name in unknown:
        _note_background(name, structures, notes)
    lesions = {row.label for row in structures if row.is_lesion}
    return dict(sorted(labels.items(), key=lambda part: (part[1] in lesions, part[1])))


def _painted(stored: StoredSegmentation, labels: dict[StoredSegment, int]) -> np.ndarray:
    """Label map of segments, one over the other in their order: a tumor lies over its kidney."""
    array = np.zeros(stored.layers.shape[1:], np.uint8)
    for segment, label in labels.items():
        if label:
            array[stored.mask(segment)] = label
    return array


def _segment_names(path: Path, structures: StructureSet) -> list[str]:
    """Segments of a file; none of one that cannot be read, which is said when its patient's turn comes."""
    try:
        return [segment.name for segment in read_segmentation(path, structures).segments]
    except InputError:
        return []


# Both


def _label_of(name: str, structure: Structure | None, given: dict[str, int]) -> int | None:
    if name in given:
        return given[name]
    if name.lower() == BACKGROUND:
        return 0
    return structure.label if structure else None


def _check_given(given: dict[str, int], known: set[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{where} has no label {name!r}: its labels are {', '.join(sorted(known))}.")


def _note_background(name: str, structures: StructureSet, notes: list[str]) -> None:
    one = structures.rows[0].name
    note = f'"{name}" is taken as background; if it is part of a structure, say so with --labels "{name}={one}".'
    if note not in notes:
        notes.append(note)


def _cts_beside(folder: Path) -> dict[str, Path]:
    """CT files by patient. Raises ``InputError`` for two of one name."""
    images: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if is_image_file(path) and not path.name.startswith(".")):
        if path.name.lower().endswith(SUFFIX):
            continue
        suffix = next(suffix for suffix in IMAGE_SUFFIXES[::-1] if path.name.lower().endswith(suffix))
        name = path.name[: -len(suffix)]
        if name in images:
            raise InputError(f'"{images[name].name}" and "{path.name}" have one name: keep one of them in {folder}.')
        images[name] = path
    return images


def _named(folder: Path, ending: str) -> dict[str, Path]:
    paths = sorted(path for path in folder.glob(f"*{ending}") if not path.name.startswith("."))
    return {path.name[: -len(ending)]: path for path in paths}


def _paired(
    images: dict[str, Path], labels: dict[str, Path], what: str, where: str
) -> tuple[tuple[Source, ...], dict[str, str]]:
    """``DataSet.sources`` and ``DataSet.incomplete``."""
    names = sorted(images.keys() | labels.keys())
    sources = tuple(Source(name, images[name], labels[name]) for name in names if name in images and name in labels)
    incomplete = {}
    for name in names:
        if name not in labels:
            incomplete[name] = f'"{images[name].name}" has no {what}: add it as {where.replace("NAME", name)}.'
        elif name not in images:
            incomplete[name] = f'"{labels[name].name}" has no CT: add it under the same name.'
    return sources, incomplete


def _one_of(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _other_grid(source: Source, image: sitk.Image, labels: sitk.Image) -> InputError:
    return InputError(
        f'"{source.labels.name}" lies on another grid than "{source.image.name}" ({_grid_difference(image, labels)}): '
        "save the labels on the grid of the CT."
    )


def _grid_difference(image: sitk.Image, labels: sitk.Image) -> str:
    """What is different, in words."""
    spacings = [" × ".join(f"{mm:.3g}" for mm in each.GetSpacing()) for each in (labels, image)]
    if not np.allclose(image.GetSpacing(), labels.GetSpacing(), atol=SAME_GRID_TOLERANCE):
        return f"spacing {spacings[0]} instead of {spacings[1]} mm"
    if not np.allclose(image.GetDirection(), labels.GetDirection(), atol=SAME_GRID_TOLERANCE):
        return "turned or mirrored"
    if image.GetSize() != labels.GetSize():
        sizes = [" × ".join(map(str, each.GetSize())) for each in (labels, image)]
        return f"{sizes[0]} instead of {sizes[1]} voxels"
    return f"shifted by {np.linalg.norm(np.subtract(labels.GetOrigin(), image.GetOrigin())):.3g} mm"
