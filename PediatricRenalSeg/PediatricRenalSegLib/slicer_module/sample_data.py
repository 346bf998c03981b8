"""A generated child to try the module with. Nothing is downloaded: this computer generates it."""

from collections.abc import Callable
from pathlib import Path

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from . import install, jobs
from .task import Task

GENERATING = _("Generating a child; this takes about a minute…")
ICON = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "PediatricRenalSeg.png"


def register() -> None:
    """Offer the child in the Sample Data module; called when Slicer has started."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=_("Pediatric Renal Segmentation"),
        sampleName=jobs.SAMPLE_NAME,
        uris="",
        fileNames=f"{jobs.SAMPLE_NAME}.nii.gz",
        nodeNames=jobs.SAMPLE_NAME,
        thumbnailFileName=str(ICON),
        customDownloader=_on_click,
    )


def _on_click(_source: object) -> None:
    """What the Sample Data module calls; the CT comes into the scene when it is generated."""

    def tell(error: Exception | None) -> None:
        slicer.util.showStatusMessage("")
        if error is not None:
            slicer.util.errorDisplay(str(error))

    try:
        install.ensure_installed()
        load_child(lambda child: None, tell)
        slicer.util.showStatusMessage(GENERATING)
    except (install.NotInstalled, OSError) as error:
        tell(error)


def load_child(take: Callable[[vtkMRMLScalarVolumeNode], None], done: jobs.Done) -> Task:
    """Generate a child of three years with a renal tumor and show its CT, which ``take`` gets. It takes about a minute.

    Raises ``OSError`` when the temporary folder cannot be written.
    """

    def show(node: vtkMRMLScalarVolumeNode) -> None:
        take(node)
        slicer.util.setSliceViewerLayers(background=node, fit=True)

    return jobs.generate_child(show, done)
