"""A small scripted module: the tests of the stand-in use it as the tests of the project use the real one."""

import enum
from pathlib import Path
from typing import Annotated, Any

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Example(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Example")
        parent.categories = ["Examples"]
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)
        self.started = 0

    def onStartupCompleted(self) -> None:
        self.started += 1


class Quality(enum.Enum):
    FAST = "fast"
    FINE = "fine"

    def label(self) -> str:
        return _("Fast, coarse") if self is Quality.FAST else _("Slow, fine")


@parameterNodeWrapper
class ExampleParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    count: Annotated[int, Default(3)]
    fast: bool = False
    note: str = "none"
    quality: Quality = Quality.FINE
    folder: Path = Path("somewhere")


class ExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls: list[str] = []

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        form = slicer.util.loadUI(self.resourcePath("UI/Example.ui"))
        self.layout.addWidget(form)
        self.ui = slicer.util.childWidgetVariables(form)
        form.setMRMLScene(slicer.mrmlScene)
        self.logic = ExampleLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.failButton.connect("clicked(bool)", self.onFailButton)
        self.parameterNode = self.logic.getParameterNode()
        self.guiTag = self.parameterNode.connectGui(self.ui)
        self.addObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self.updateButtons()

    def enter(self) -> None:
        self.calls.append("enter")

    def exit(self) -> None:
        self.calls.append("exit")

    def cleanup(self) -> None:
        self.calls.append("cleanup")
        self.parameterNode.disconnectGui(self.guiTag)
        self.removeObservers()

    def updateButtons(self, caller: Any = None, event: str | None = None) -> None:
        self.ui.applyButton.enabled = self.parameterNode.inputVolume is not None

    def onApplyButton(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            if slicer.util.confirmYesNoDisplay(_("Really?")):
                self.logic.process(self.parameterNode.inputVolume)

    def onFailButton(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("Failed.")):
            raise ValueError("too few slices")


class ExampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self) -> Any:
        node = super().getParameterNode()
        return ExampleParameterNode(node)  # type: ignore[call-arg]  # the decorator makes the constructor

    def process(self, inputVolume: vtkMRMLScalarVolumeNode) -> None:
        array = slicer.util.arrayFromVolume(inputVolume)
        array += 1
        slicer.util.arrayFromVolumeModified(inputVolume)


class ExampleTest(ScriptedLoadableModuleTest):
    ran = False

    def runTest(self) -> None:
        self.delayDisplay("Running")
        type(self).ran = True
