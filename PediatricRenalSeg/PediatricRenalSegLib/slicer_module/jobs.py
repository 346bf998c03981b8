"""What is done in worker processes: segment, export, measure, list devices, generate a child."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import SimpleITK as sitk
import slicer
from slicer import vtkMRMLSegmentationNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _

from .. import mrml
from ..errors import InputError
from ..export.writers import SEGMENTATION
from ..structures import StructureSet
from ..volume import LabelVolume
from . import results
from .task import Task
from .worker import WorkerError

CT, LABELS, REPORT, RESULT = "ct.nrrd", "labels.nrrd", "report.json", "result"

SAMPLE_NAME, SAMPLE_AGE, SAMPLE_SEED = "GeneratedChild", 3, 1
"""The child of ``demo``, the same on every computer."""

Done = Callable[[Exception | None], None]
"""Told at the end what went wrong, or ``None``; not after ``cancel``."""

Progress = Callable[[dict], None]
"""Told the events of the command line."""


def segment(
    volume: vtkMRMLVolumeNode,
    model: str,
    device: str,
    take: Callable[[LabelVolume, dict], None],
    progress: Progress,
    done: Done,
) -> Task:
    """Segment a CT node. ``take`` gets the label volume and the report of the run."""
    name, grid = volume.GetName(), mrml.grid_of(volume)

    def prepare(folder: Path) -> list[str]:
        _write(folder / CT, mrml.ct_image(volume))
        chosen = ["--model", model] if model else []
        output = ["--output", str(folder / RESULT), "--write", "segmentation", "--progress", "json"]
        return ["segment", str(folder / CT), *output, "--device", device, *chosen]

    def finish(folder: Path, _output: str) -> None:
        if volume.GetScene() is None:
            raise InputError(_('"{name}" was removed while it was segmented: nothing was kept.').format(name=name))
        if mrml.grid_of(volume) != grid:
            text = _('"{name}" was moved or replaced while it was segmented: nothing was kept, segment it again.')
            raise InputError(text.format(name=name))
        report = json.loads((folder / RESULT / REPORT).read_text(encoding="utf-8"))
        image = sitk.ReadImage(str(folder / RESULT / SEGMENTATION.file))
        take(LabelVolume(image, StructureSet.from_list(report["structure_set"])), report)

    return Task(prepare, finish, progress, lambda error: done(_with_name_of_ct(error, name)))


def export(
    node: vtkMRMLSegmentationNode, output: Path, formats: Sequence[str], overwrite: bool, progress: Progress, done: Done
) -> Task:
    """Write the patient folder of the segments as they are now."""
    from ..export.patient_folder import remove_unfinished  # needs packages that may have to be installed first

    volume = results.check_exportable(node)
    name = volume.GetName()

    def prepare(folder: Path) -> list[str]:
        _write(folder / CT, mrml.ct_image(volume))
        _write(folder / LABELS, mrml.labels_of(node, volume, results.structures(node)).image)
        inputs = [str(folder / CT), str(folder / LABELS), _write_report(folder, results.reviewed_report(node, volume))]
        meshes = [option for name in formats for option in ("--mesh", name)]
        again = ["--overwrite"] if overwrite else []
        return ["revise", *inputs, "--output", str(output), "--progress", "json", *meshes, *again]

    return Task(
        prepare,
        lambda *_: None,
        progress,
        lambda error: done(_with_name_of_ct(error, name)),
        lambda: remove_unfinished(output),
    )


def measure(node: vtkMRMLSegmentationNode, take: Callable[[dict], None], done: Done) -> Task:
    """Measure the segments as they are now; ``take`` gets ``Measurements`` as a dictionary."""
    volume = results.ct_of(node)

    def prepare(folder: Path) -> list[str]:
        structures = results.structures(node)
        box = mrml.segments_box(node, volume, structures)
        _write(folder / CT, mrml.ct_image(volume, box))
        _write(folder / LABELS, mrml.labels_of(node, volume, structures, box).image)
        report = results.report(node)
        described = ["--report", _write_report(folder, report)] if report else []
        return ["measure", str(folder / CT), str(folder / LABELS), *described]

    return Task(prepare, lambda _, output: take(json.loads(output)), done=done)


def list_devices(take: Callable[[list[dict]], None], done: Done) -> Task:
    """``take`` gets the devices that PyTorch finds, the automatic choice first. PyTorch stays out of this process."""

    def finish(_: Path, output: str) -> None:
        take([json.loads(line) for line in output.splitlines()])

    return Task(lambda _: ["devices", "--json"], finish, done=done)


def generate_child(take: Callable[[vtkMRMLVolumeNode], None], done: Done) -> Task:
    """``take`` gets the node of a generated child's CT, which has no file."""

    def finish(folder: Path, _output: str) -> None:
        image = sitk.ReadImage(str(folder / RESULT / "ct.nii.gz"))
        take(mrml.add_ct_node(slicer.mrmlScene, image, SAMPLE_NAME))

    def prepare(folder: Path) -> list[str]:
        child = ["--age", str(SAMPLE_AGE), "--seed", str(SAMPLE_SEED)]
        return ["demo", "--ct-only", *child, "--output", str(folder / RESULT)]

    return Task(prepare, finish, done=done)


def _write_report(folder: Path, report: dict) -> str:
    path = folder / REPORT
    path.write_text(json.dumps(report), encoding="utf-8")
    return str(path)


def _write(path: Path, image: sitk.Image) -> None:
    """Hand an image to the worker. Raises ``OSError`` when the disk is full, which ITK does not notice itself."""
    try:
        sitk.WriteImage(image, str(path), useCompression=False)
    except RuntimeError as error:
        raise OSError(_("The temporary folder {folder} cannot be written.").format(folder=path.parent)) from error
    if path.stat().st_size < image.GetNumberOfPixels() * image.GetSizeOfPixelComponent():
        raise OSError(_("There is no space left for the temporary folder {folder}.").format(folder=path.parent))


def _with_name_of_ct(error: Exception | None, name: str) -> Exception | None:
    """The worker knows the CT as a file of ours; the user knows it by its name in the scene."""
    if not isinstance(error, WorkerError):
        return error
    return WorkerError(str(error).replace(CT, name), error.details)
