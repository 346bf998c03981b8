"""The patient folder: everything a case yields, complete or not at all."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import vtk

from ..measurements import Measurements
from ..structures import SEGMENTS
from ..volume import CTVolume, InputError, LabelVolume
from . import mesh
from .labelmap import write_labelmap
from .preview import write_preview
from .report import RunRecord, write_report
from .segmentation import write_segmentation

LABELMAP = "labelmap.nii.gz"
SEGMENTATION = "segmentation.seg.nrrd"
REPORT = "report.json"
PREVIEW = "preview.png"
MODELS = "models"
SCENE = "structures"
"""Stem of the model files that hold all segments."""

MESH_FORMATS = ("stl", "ply", "obj", "glb")
"""STL and PLY are one file a segment; OBJ and GLB hold them all."""


def check_patient_folder(folder: Path, overwrite: bool) -> None:
    """Raise ``InputError`` if a result may not be written to ``folder``: before the work, not after."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the result.")
    if not overwrite:
        raise InputError(f"{folder} exists already: choose another folder or allow overwriting.")
    if any(folder.iterdir()) and not (folder / REPORT).is_file():
        raise InputError(f"{folder} holds other files and no earlier result: choose another folder.")


def write_patient_folder(
    folder: Path,
    ct: CTVolume,
    labels: LabelVolume,
    surfaces: dict[str, vtk.vtkPolyData],
    measurements: Measurements,
    run: RunRecord,
    *,
    mesh_formats: Sequence[str] = ("stl",),
    overwrite: bool = False,
) -> None:
    """Write all files beside ``folder`` and rename at the end, so that it is never half written.

    With ``overwrite`` an earlier result is removed once the new one is complete; files in it that are not
    ours are kept and move to the new folder.
    """
    folder = folder.resolve()
    check_patient_folder(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    unfinished = folder.parent / f".{folder.name}.{mark}.unfinished"
    unfinished.mkdir()
    try:
        _write_files(unfinished, ct, labels, surfaces, measurements, run, mesh_formats)
        _replace(folder, unfinished, folder.parent / f".{folder.name}.{mark}.earlier")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_files(folder, ct, labels, surfaces, measurements, run, mesh_formats) -> None:
    write_labelmap(folder / LABELMAP, labels)
    write_segmentation(folder / SEGMENTATION, labels)
    write_preview(folder / PREVIEW, ct, labels, surfaces, measurements)
    _write_models(folder / MODELS, surfaces, mesh_formats)
    write_report(folder / REPORT, measurements, run)


def _write_models(folder: Path, surfaces: dict[str, vtk.vtkPolyData], mesh_formats: Sequence[str]) -> None:
    unknown = set(mesh_formats) - set(MESH_FORMATS)
    if unknown:
        raise InputError(f"{', '.join(sorted(unknown))} is no mesh format: choose from {', '.join(MESH_FORMATS)}.")
    folder.mkdir()
    for segment in SEGMENTS:
        if segment.id in surfaces and "stl" in mesh_formats:
            mesh.write_stl(folder / f"{segment.id}.stl", surfaces[segment.id])
        if segment.id in surfaces and "ply" in mesh_formats:
            mesh.write_ply(folder / f"{segment.id}.ply", surfaces[segment.id], segment.color)
    if surfaces and "obj" in mesh_formats:
        mesh.write_obj(folder / f"{SCENE}.obj", surfaces)
    if surfaces and "glb" in mesh_formats:
        mesh.write_glb(folder / f"{SCENE}.glb", surfaces)


def _replace(folder: Path, finished: Path, earlier: Path) -> None:
    """Rename ``finished`` to ``folder``; an earlier result there is put aside first and put back on failure."""
    if not folder.exists():
        finished.rename(folder)
        return
    folder.rename(earlier)
    try:
        finished.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    _clear(earlier, folder)


def _clear(earlier: Path, folder: Path) -> None:
    """Remove our files from an earlier result, move all others to ``folder``, remove what is empty."""
    for path in sorted(earlier.rglob("*"), reverse=True):
        relative = path.relative_to(earlier)
        if relative in _our_files() and path.is_file():
            path.unlink()
        elif path.is_dir() and not path.is_symlink():
            _remove_or_move_directory(path, folder / relative)
        else:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            path.rename(folder / relative)
    earlier.rmdir()


def _remove_or_move_directory(path: Path, target: Path) -> None:
    """All files in ``path`` are gone by now: a directory that is not ours stays, even when empty."""
    if path.name != MODELS:
        target.mkdir(parents=True, exist_ok=True)
    path.rmdir()


def _our_files() -> set[Path]:
    single = {Path(LABELMAP), Path(SEGMENTATION), Path(REPORT), Path(PREVIEW)}
    segments = {Path(MODELS, f"{segment.id}.{ending}") for segment in SEGMENTS for ending in ("stl", "ply")}
    return single | segments | {Path(MODELS, f"{SCENE}.{ending}") for ending in ("obj", "mtl", "glb")}
