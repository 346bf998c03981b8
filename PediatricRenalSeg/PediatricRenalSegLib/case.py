"""The way of a case from top to bottom: CT in, patient folder out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import __version__
from .checks import CheckWarning
from .export.patient_folder import check_mesh_formats, check_patient_folder, write_patient_folder
from .export.report import Review, RunRecord, read_run
from .inference import BATCH_SIZE, Progress, ProgressCallback, SlicePredictions, choose_device, run_network
from .label_files import read_labels_on
from .measurements import Measurements, measure
from .model_bundle import load_model
from .postprocessing import axial_labels, split_segments
from .preprocessing import SliceStack, preprocess
from .reading import read_ct
from .slice_checks import slices_to_check
from .surfaces import closed_surfaces
from .volume import CTVolume, LabelVolume


@dataclass(frozen=True)
class CaseResult:
    """What a run yields beside the files."""

    ct: CTVolume
    labels: LabelVolume
    measurements: Measurements
    run: RunRecord


def segment_case(
    source: Path,
    output: Path,
    model: str | None = None,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    mesh_formats: Sequence[str] = ("stl",),
    overwrite: bool = False,
    progress: ProgressCallback = lambda _: None,
    log: Callable[[str], None] = lambda _: None,
) -> CaseResult:
    """Segment one CT and write its patient folder.

    source: DICOM folder or file, NIfTI, NRRD, MHA. output: the patient folder to make. model: id of a shipped
    model or path of a file. mesh_formats: of ``MESH_FORMATS``. progress: called at the start of every stage and
    between batches; raising ``Cancelled`` from it stops the run. log: called with a line on what was read.

    Nothing is written unless everything succeeds. Raises ``InputError`` when the input or the call is wrong, and
    ``OSError`` when a file cannot be written.
    """
    output = Path(output)
    check_mesh_formats(mesh_formats)
    check_patient_folder(output, overwrite)
    stages = _Stages(progress)
    with stages("model"):
        chosen = choose_device(device)
        bundle = load_model(model, chosen)
    with stages("read"):
        ct = read_ct(Path(source))
    log(f"input: {ct.source}")
    with stages("preprocess"):
        stack = preprocess(ct, bundle.metadata.normalization)
    with stages("network"):
        predictions = run_network(bundle, stack, chosen, batch_size, progress)
    with stages("postprocess"):
        labels, notes, doubts = label_volume(ct, stack, predictions)
        to_check = slices_to_check(predictions.probabilities, stack, ct)
    run = RunRecord(
        version=__version__,
        model_id=bundle.metadata.id,
        model_sha256=bundle.sha256,
        input=ct.source,
        timing_seconds=stages.seconds,
        parameters={"device": str(chosen), "batch_size": batch_size, "mesh_formats": list(mesh_formats)},
        notes=tuple(notes),
        doubts=tuple(doubts),
        slices_to_check=tuple(map(asdict, to_check)),
    )
    return _write_case(ct, labels, run, output, mesh_formats, overwrite, stages)


def revise_case(
    source: Path,
    corrected: Path,
    report: Path,
    output: Path,
    mesh_formats: Sequence[str] = ("stl",),
    overwrite: bool = False,
    progress: ProgressCallback = lambda _: None,
) -> CaseResult:
    """Write the patient folder of a segmentation that a person corrected: models and measurements are made anew.

    source: the CT, as for ``segment_case``. corrected: a label map on its grid with the values of ``SEGMENTS``.
    report: ``report.json`` of the run that was corrected, which says what model it was. Raises as ``segment_case``.
    """
    check_mesh_formats(mesh_formats)
    check_patient_folder(output, overwrite)
    stages = _Stages(progress)
    with stages("read"):
        run = read_run(report)
        ct = read_ct(source)
        labels = read_labels_on(ct, corrected)
    run = replace(
        run,
        version=__version__,
        parameters={**run.parameters, "mesh_formats": list(mesh_formats)},
        review=run.review or Review(edited=True),
    )
    return _write_case(ct, labels, run, output, mesh_formats, overwrite, stages)


def _write_case(
    ct: CTVolume,
    labels: LabelVolume,
    run: RunRecord,
    output: Path,
    mesh_formats: Sequence[str],
    overwrite: bool,
    stages: "_Stages",
) -> CaseResult:
    """From the segments, of the model or corrected, to the patient folder."""
    with stages("surfaces"):
        surfaces = closed_surfaces(labels)
    with stages("measure"):
        measurements = measure(labels, ct)
    with stages("write"):
        write_patient_folder(
            output, ct, labels, surfaces, measurements, run, mesh_formats=mesh_formats, overwrite=overwrite
        )
    return CaseResult(ct, labels, replace(measurements, warnings=(*run.doubts, *measurements.warnings)), run)


def label_volume(
    ct: CTVolume, stack: SliceStack, predictions: SlicePredictions
) -> tuple[LabelVolume, list[str], list[CheckWarning]]:
    """Probabilities of the slices → segments on the grid of the CT; notes and warnings of ``split_segments``."""
    labels = axial_labels(predictions.probabilities, stack)
    segments, notes, warnings = split_segments(labels, stack.body, stack.grid.axial_spacing)
    return LabelVolume.from_axial(segments, ct), notes, warnings


class _Stages:
    """Announces each stage and takes its time."""

    def __init__(self, progress: ProgressCallback):
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.progress(Progress(name, 0, 1))
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
