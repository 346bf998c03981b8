"""The way of a case: CT in, segments in memory, patient folder out.

``segment`` and ``finish`` are the two halves, for whoever has a CT in memory or several cases and one model;
``segment_case`` and ``revise_case`` are the shell around them that reads and writes files.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import __version__
from .body import body_mask
from .export.patient_folder import check_patient_folder, write_patient_folder
from .export.report import Review, RunRecord, read_run, read_structures
from .export.result import Result
from .export.writers import DEFAULT_WRITERS, check_writers, need_surfaces
from .organs.measure import Measurements, measure
from .organs.sides import split_segments
from .pipelines.base import Pipeline, check_prediction
from .pipelines.doubt import slices_to_check
from .pipelines.load import load_pipeline
from .progress import NETWORK, ProgressCallback, Stages, ignore
from .reading import read_ct
from .reading.label_files import read_labels_on
from .volume import CTVolume, LabelVolume


@dataclass(frozen=True)
class Segmentation:
    """What a pipeline made of a CT, in memory."""

    ct: CTVolume
    labels: LabelVolume
    run: RunRecord


@dataclass(frozen=True)
class CaseResult:
    """What a run yields beside the files."""

    ct: CTVolume
    labels: LabelVolume
    measurements: Measurements
    run: RunRecord


def segment(ct: CTVolume, pipeline: Pipeline, progress: ProgressCallback = ignore) -> Segmentation:
    """Segment one CT in memory; nothing is written.

    pipeline: of ``pipelines.load.load_pipeline``; one serves many cases. progress: called at the start of every stage
    and between batches; what it raises ends the run. Raises ``InputError`` when the CT shows no body or does not fit
    into memory.

    >>> pipeline = load_pipeline()
    >>> results = [segment(read_ct(folder), pipeline) for folder in folders]
    """
    stages = Stages(progress)
    with stages("preprocess"):
        array, spacing = ct.axial()
        body = body_mask(array, spacing)
    with stages(NETWORK):
        prediction = pipeline.predict(ct, body, progress)
    with stages("postprocess"):
        structures = pipeline.bundle.structures
        check_prediction(prediction, array.shape, pipeline.bundle.metadata)
        segments, notes, doubts = split_segments(prediction.labels, body, spacing, structures)
        labels = LabelVolume.from_axial(segments, ct, structures)
        to_check = slices_to_check(prediction.doubt, ct)
    run = RunRecord(
        version=__version__,
        model_id=pipeline.bundle.metadata.id,
        model_sha256=pipeline.bundle.sha256,
        input=ct.source,
        timing_seconds=stages.seconds,
        parameters=pipeline.parameters,
        notes=tuple(notes),
        doubts=tuple(doubts),
        slices_to_check=tuple(map(asdict, to_check)),
    )
    return Segmentation(ct, labels, run)


def finish(
    segmentation: Segmentation,
    output: Path,
    writers: Sequence[str] = DEFAULT_WRITERS,
    overwrite: bool = False,
    progress: ProgressCallback = ignore,
) -> CaseResult:
    """Measure segments and write their patient folder: all of it or nothing.

    writers: names of ``export.writers.WRITERS``; surfaces are made only if one of them needs them. Raises
    ``InputError`` for an unknown name or a folder that may not be written, and ``OSError`` when a file cannot be.
    """
    check_writers(writers)
    check_patient_folder(output, overwrite)
    ct, labels = segmentation.ct, segmentation.labels
    stages = Stages(progress)
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(measure, labels, ct)
        surfaces = {}
        if need_surfaces(writers):
            with stages("surfaces"):
                from .organs.surfaces import closed_surfaces  # VTK, which not every run needs

                surfaces = closed_surfaces(labels)
        with stages("measure"):
            measurements = measuring.result()
    run = replace(
        segmentation.run,
        timing_seconds={**segmentation.run.timing_seconds, **stages.seconds},
        parameters={**segmentation.run.parameters, "writers": list(writers)},
    )
    with stages("write"):
        write_patient_folder(output, Result(ct, labels, surfaces, measurements, run), writers, overwrite)
    seconds = {**run.timing_seconds, **stages.seconds}
    warnings = (*run.doubts, *measurements.warnings)
    return CaseResult(ct, labels, replace(measurements, warnings=warnings), replace(run, timing_seconds=seconds))


def segment_case(
    source: Path,
    output: Path,
    model: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    writers: Sequence[str] = DEFAULT_WRITERS,
    overwrite: bool = False,
    progress: ProgressCallback = ignore,
    log: Callable[[str], None] = lambda _: None,
) -> CaseResult:
    """Segment one CT and write its patient folder.

    source: DICOM folder or file, NIfTI, NRRD, MHA. output: the patient folder to make. model, device, batch_size: as
    for ``load_pipeline``. writers: as for ``finish``. progress: as for ``segment``. log: called with a line on what was
    read.

    Nothing is written unless everything succeeds. Raises ``InputError`` when the input or the call is wrong, and
    ``OSError`` when a file cannot be written.
    """
    output = Path(output)
    check_writers(writers)
    check_patient_folder(output, overwrite)
    stages = Stages(progress)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_ct, Path(source))  # meanwhile torch is imported
        with stages("model"):
            pipeline = load_pipeline(model, device, batch_size)
        with stages("read"):
            ct = reading.result()
    log(f"input: {ct.source}")
    segmentation = segment(ct, pipeline, progress)
    run = replace(segmentation.run, timing_seconds={**stages.seconds, **segmentation.run.timing_seconds})
    return finish(replace(segmentation, run=run), output, writers, overwrite, progress)


def revise_case(
    source: Path,
    corrected: Path,
    report: Path,
    output: Path,
    writers: Sequence[str] = DEFAULT_WRITERS,
    overwrite: bool = False,
    progress: ProgressCallback = ignore,
) -> CaseResult:
    """Write the patient folder of a segmentation that a person corrected: models and measurements are made anew.

    source: the CT, as for ``segment_case``. corrected: a label map on its grid with the values of the segments.
    report: ``report.json`` of the run that was corrected, which says what model it was and what its structures are.
    Raises as ``segment_case``.
    """
    check_writers(writers)
    check_patient_folder(output, overwrite)
    stages = Stages(progress)
    with stages("read"):
        run = read_run(report)
        ct = read_ct(source)
        labels = read_labels_on(ct, corrected, read_structures(report))
    run = replace(run, version=__version__, review=run.review or Review(edited=True))
    return finish(Segmentation(ct, labels, run), output, writers, overwrite, progress)
