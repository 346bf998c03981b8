"""What the parts of the window are given by the module file, which a library file cannot import."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import qt
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode


class Widgets(Protocol):
    """The widgets of the window by their names in the ``.ui`` file, as ``slicer.util.childWidgetVariables`` gives."""

    def __getattr__(self, name: str) -> qt.QWidget: ...


class Logic(Protocol):
    """What the window and the self-test need of ``PediatricRenalSegLogic``, which says what the arguments are."""

    @property
    def running(self) -> bool:
        """Whether a segmentation or an export is under way."""

    def cancel(self) -> None:
        """End what is running."""

    def process(self, inputVolume: vtkMRMLScalarVolumeNode) -> vtkMRMLSegmentationNode:
        """Segment a CT and wait for it."""

    def export(
        self,
        segmentation: vtkMRMLSegmentationNode,
        folder: Path,
        formats: list[str] | None = None,
        overwrite: bool = False,
        waitForCompletion: bool = True,
        onProgress: Callable[[dict], None] = ...,
        onDone: Callable[[Exception | None], None] = ...,
    ) -> None:
        """Write the patient folder of a result."""
