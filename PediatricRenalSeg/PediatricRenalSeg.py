"""The Slicer module PediatricRenalSeg: metadata, window, logic and self-test.

The window binds widgets, the logic starts worker processes; what they do is in ``PediatricRenalSegLib``. This file
imports nothing that Slicer does not bring, so that Slicer starts whether or not PyTorch is installed.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.export.writers import DEFAULT_MESH
from PediatricRenalSegLib.slicer_module import install, jobs, results, sample_data, self_test
from PediatricRenalSegLib.slicer_module.devices import Devices
from PediatricRenalSegLib.slicer_module.export_panel import ExportPanel
from PediatricRenalSegLib.slicer_module.parameters import PediatricRenalSegParameterNode
from PediatricRenalSegLib.slicer_module.review_panel import ReviewPanel
from PediatricRenalSegLib.slicer_module.status_panel import StatusPanel
from PediatricRenalSegLib.slicer_module.task import Task
from PediatricRenalSegLib.volume import LabelVolume

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class PediatricRenalSeg(ScriptedLoadableModule):
    """Title, category and help of the module."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Pediatric Renal Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["PediatricRenalSeg maintainers"]
        self.parent.helpText = _(
            "<p>Segments the kidneys and a renal tumor in abdominal CT of children and makes 3D models of them.</p>"
            "<p>Choose a CT, click <b>Segment</b>, look at the slices to check, correct the segments, and write the "
            "patient folder.</p>"
            "<p><b>Research use only.</b> This is not a medical device: a physician must review every result.</p>"
        )
        self.parent.acknowledgementText = _(
            "The method is that of G. La Barbera et al., Automatic size and pose homogenization with Spatial "
            "Transformer Network to improve and accelerate pediatric segmentation, ISBI 2021, "
            "doi:10.1109/ISBI48211.2021.9434090."
        )
        slicer.app.connect("startupCompleted()", sample_data.register)


class PediatricRenalSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The window: input, device and Segment; the sections Model, Review and Export are panels of the library."""

    logic: PediatricRenalSegLogic

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode: PediatricRenalSegParameterNode | None = None
        self._parameterNodeGuiTag = -1
        self._smoothSurfaces: bool | None = None

    # Life of the window

    def setup(self) -> None:
        """Called when the user opens the module for the first time."""
        # scipy comes with it, which Slicer's start shall not wait for
        from PediatricRenalSegLib.slicer_module.model_panel import ModelPanel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PediatricRenalSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PediatricRenalSegLogic()
        self.status = StatusPanel(self.ui.progressBar, self.ui.statusLabel, self.ui.logTextEdit)
        self.model = ModelPanel(self.ui)
        self.devices = Devices(self.logic.listDevices, self._update)
        self.review = ReviewPanel(self.ui, self.logic.measure)
        self.export = ExportPanel(self.ui, self.logic, self.review, self._update)
        self._connect()
        self.initializeParameterNode()

    def _connect(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartSaveEvent, lambda caller, event: self.review.note_time())
        self.ui.inputHintLabel.connect("linkActivated(QString)", self.onHint)
        self.ui.segmentButton.connect("clicked()", self.onSegmentButton)

    def cleanup(self) -> None:
        """Called when the application closes and the window is destroyed."""
        self.logic.cancel()
        self.devices.clean_up()
        self.review.clean_up()
        self.logic.removeObservers()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.review.enter()
        self.devices.ask()

    def exit(self) -> None:
        """Called each time the user opens another module. A running segmentation goes on."""
        self.review.leave()
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Developer mode: the library is loaded anew too."""
        for name in [name for name in sys.modules if name.startswith("PediatricRenalSegLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Parameters

    def onSceneStartClose(self, _caller: vtk.vtkObject, _event: str) -> None:
        """What runs belongs to the scene that goes."""
        self.logic.cancel()
        self.status.idle()
        self.export.reset()
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller: vtk.vtkObject, _event: str) -> None:
        """Another scene is there, or an empty one."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Bind the widgets to the scene's parameter node; without a choice the first CT there is is chosen."""
        node = self.logic.getParameterNode()
        self.setParameterNode(node)
        if not node.inputVolume:
            node.inputVolume = next(filter(_canBeCT, slicer.util.getNodesByClass(VOLUME_CLASS)), None)

    def setParameterNode(self, parameterNode: PediatricRenalSegParameterNode | None) -> None:
        """Bind the widgets to a parameter node, or to none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)  # type: ignore[attr-defined]  # of the wrapper
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._parameterNode = parameterNode
        self._smoothSurfaces = parameterNode.smoothSurfaces if parameterNode else None
        if parameterNode:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)  # type: ignore[attr-defined]  # of the wrapper
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._update()

    def _update(self, _caller: vtk.vtkObject | None = None, _event: str = "") -> None:
        """Bring the window up to date with the parameters and with what runs."""
        node = self._parameterNode
        self.model.show(node)
        self.review.set_node(node.outputSegmentation if node else None, node.inputVolume if node else None)
        self.export.show(node)
        if node:
            self._updateSurfaces(node)
            self._updateSegmentButton(node)

    def _updateSurfaces(self, node: PediatricRenalSegParameterNode) -> None:
        """Follow the check box for smooth surfaces."""
        if self._smoothSurfaces != node.smoothSurfaces:
            self._smoothSurfaces = node.smoothSurfaces
            if node.outputSegmentation:
                mrml.make_surfaces(node.outputSegmentation, node.smoothSurfaces)

    def _updateSegmentButton(self, node: PediatricRenalSegParameterNode) -> None:
        button, problem = self.ui.segmentButton, self._problem(node)
        isRunning = self.logic.running and not self.export.running
        button.text = _("Cancel") if isRunning else _("Segment")
        button.enabled = isRunning or not (self.logic.running or problem)
        button.toolTip = (
            _("Stop; the scene stays as it is.") if isRunning else problem or _("Find the model's structures.")
        )
        self.ui.summaryLabel.text = f"<b>{html.escape(problem)}</b>" if problem else self.devices.summary(node.device)
        self.ui.summaryLabel.visible = bool(self.ui.summaryLabel.text)

    def _problem(self, node: PediatricRenalSegParameterNode) -> str:
        """Why the chosen CT, model and device cannot be used; empty if they can."""
        try:
            mrml.check_ct_node(node.inputVolume)
        except InputError as error:
            return str(error)
        return self.devices.problem(node.device) or self.model.problem

    # Input

    def onHint(self, link: str) -> None:
        """The links under the list of volumes."""
        if link == "dicom":
            slicer.util.selectModule("DICOM")
            return
        try:
            self.logic.loadSampleChild(waitForCompletion=False, onDone=self._onSampleDone)
            self.status.busy(sample_data.GENERATING)
        except Exception as error:  # whatever it is, the user is told
            self.status.error(_("The child could not be generated."), error)
        self._update()

    def _onSampleDone(self, child: vtkMRMLScalarVolumeNode | None, error: Exception | None) -> None:
        if error:
            self.status.error(_("The child could not be generated."), error)
        else:
            self.status.idle(_("The child is loaded: click Segment."))
            self.logic.getParameterNode().inputVolume = child
        self._update()

    # Segment

    def onSegmentButton(self) -> None:
        """Segment, or cancel what is running."""
        if self.logic.running:
            self.logic.cancel()
            self.status.idle(_("Cancelled. The scene is as it was."))
        elif self._parameterNode:
            self._start(self._parameterNode)
        self._update()

    def _start(self, node: PediatricRenalSegParameterNode) -> None:
        goOn, target = _target(node.inputVolume, node.outputSegmentation)
        if not goOn:
            return
        self.ui.logTextEdit.clear()
        self.status.busy(_("Starting…"))
        try:
            self.logic.process(
                node.inputVolume,
                target,
                self.model.model,
                node.device.value,
                node.smoothSurfaces,
                waitForCompletion=False,
                onProgress=self.status.progress,
                onDone=self._onSegmented,
            )
        except Exception as error:  # whatever it is, the user is told
            self.status.error(_("The CT cannot be segmented."), error)

    def _onSegmented(self, segmentation: vtkMRMLSegmentationNode | None, error: Exception | None) -> None:
        if error:
            self.status.error(_("The CT could not be segmented."), error)
        else:
            self.status.idle(_("Done: look at the slices to check and at the warnings."))
            # not that of the window, which is none while another module is on the screen
            self.logic.getParameterNode().outputSegmentation = segmentation
            self.ui.reviewCollapsibleButton.collapsed = False
            self.ui.exportCollapsibleButton.collapsed = False
            self.export.reset()
            self.review.refresh()
        self.devices.ask()
        self._update()


def _canBeCT(volume: vtkMRMLVolumeNode) -> bool:
    try:
        mrml.check_ct_node(volume)
    except InputError:
        return False
    return True


def _target(
    volume: vtkMRMLVolumeNode, result: vtkMRMLSegmentationNode | None
) -> tuple[bool, vtkMRMLSegmentationNode | None]:
    """Whether to go on, and the segmentation that the new result replaces. What a person did is never lost."""
    if result is None or results.ct_of(result) is not volume:
        return True, None
    if not results.has_work_in_it(result, volume):
        return True, result
    question = _(
        '"{name}" holds corrections or check marks. It stays as it is, and the new result goes into a new '
        "segmentation. Go on?"
    )
    return slicer.util.confirmOkCancelDisplay(question.format(name=result.GetName())), None


class PediatricRenalSegLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Segments, exports and measures in worker processes; works without the window, in scripts."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self._task: Task | None = None
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, lambda caller, event: self.cancel())

    def getParameterNode(self) -> PediatricRenalSegParameterNode:
        """What the user chose, as the scene holds it."""
        node = super().getParameterNode()
        return PediatricRenalSegParameterNode(node)  # type: ignore[call-arg]  # the wrapper makes the constructor

    @property
    def running(self) -> bool:
        """Whether a segmentation or an export is under way."""
        return self._task is not None and self._task.active

    def cancel(self) -> None:
        """End what is running, with all its processes; the scene stays as it is."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def process(
        self,
        inputVolume: vtkMRMLScalarVolumeNode,
        outputSegmentation: vtkMRMLSegmentationNode | None = None,
        model: str = "",
        device: str = "auto",
        smoothSurfaces: bool = True,
        waitForCompletion: bool = True,
        onProgress: Callable[[dict], None] = lambda event: None,
        onDone: Callable[[vtkMRMLSegmentationNode | None, Exception | None], None] = lambda node, error: None,
    ) -> vtkMRMLSegmentationNode | None:
        """Segment a CT. Can be used without the window.

        inputVolume: abdominal CT in Hounsfield units, any orientation, under no transform.
        outputSegmentation: its segments are replaced; ``None`` for a new node, which is made when all went well.
        model: id of the catalogue or path of a model file; empty for the default.
        device: auto, cpu, cuda or mps.
        waitForCompletion: block, and return the segmentation; otherwise return ``None`` at once.
        onProgress: told the events of the command line, with stage, done, total and seconds_left.
        onDone: told the segmentation, or what went wrong; not after ``cancel``.

        Raises ``InputError`` (a ``ValueError``) for a volume that is no CT and for a segmentation with work in it,
        ``NotInstalled`` when PyTorch is missing, ``WorkerError`` (with the worker's last lines in ``details``) when
        the run fails; without waiting the last one goes to ``onDone``.
        """
        self._makeReady()
        mrml.check_ct_node(inputVolume)
        if outputSegmentation is not None:
            results.check_replaceable(outputSegmentation, inputVolume)
        outcome: list[vtkMRMLSegmentationNode] = []

        def take(labels: LabelVolume, report: dict) -> None:
            node = outputSegmentation or self._newSegmentation(inputVolume)
            results.take(node, labels, report, inputVolume, smoothSurfaces)
            outcome.append(node)

        self._run(
            lambda done: jobs.segment(inputVolume, model, device, take, onProgress, done),
            lambda error: onDone(outcome[0] if outcome else None, error),
            waitForCompletion,
        )
        return outcome[0] if outcome else None

    def export(
        self,
        segmentation: vtkMRMLSegmentationNode,
        folder: Path,
        formats: list[str] | None = None,
        overwrite: bool = False,
        waitForCompletion: bool = True,
        onProgress: Callable[[dict], None] = lambda event: None,
        onDone: Callable[[Exception | None], None] = lambda error: None,
    ) -> None:
        """Write the patient folder of a result as it is now, corrections included. Can be used without the window.

        formats: of ``export.writers.MESH_FORMATS``; ``None`` for STL. Raises as ``process``.
        """
        self._makeReady()
        wanted = formats or [DEFAULT_MESH]
        self._run(
            lambda done: jobs.export(segmentation, Path(folder), wanted, overwrite, onProgress, done),
            onDone,
            waitForCompletion,
        )

    def loadSampleChild(
        self,
        waitForCompletion: bool = True,
        onDone: Callable[[vtkMRMLScalarVolumeNode | None, Exception | None], None] = lambda node, error: None,
    ) -> vtkMRMLScalarVolumeNode | None:
        """Show the CT of a generated child; see ``sample_data.load_child``."""
        self._makeReady()
        outcome: list[vtkMRMLScalarVolumeNode] = []
        self._run(
            lambda done: sample_data.load_child(outcome.append, done),
            lambda error: onDone(outcome[0] if outcome else None, error),
            waitForCompletion,
        )
        return outcome[0] if outcome else None

    def measure(
        self,
        segmentation: vtkMRMLSegmentationNode,
        onMeasured: Callable[[dict], None],
        onDone: Callable[[Exception | None], None],
    ) -> Task:
        """Measure the segments as they are now; see ``jobs.measure``."""
        return jobs.measure(segmentation, onMeasured, onDone)

    def listDevices(self, onDevices: Callable[[list[dict]], None]) -> Task:
        """Ask a worker process what devices there are; see ``jobs.list_devices``."""
        return jobs.list_devices(onDevices, lambda error: None)

    def _makeReady(self) -> None:
        """Install what is missing; then nothing may run. Inputs are checked after it: they may change meanwhile."""
        install.ensure_installed()
        if self.running:
            raise InputError(_("Another segmentation or export is running: wait for it or cancel it."))

    def _run(self, start: Callable[[jobs.Done], Task], onDone: jobs.Done, waitForCompletion: bool) -> None:
        """Start the task that is the one that runs, until it is done."""

        def done(error: Exception | None) -> None:
            self._task = None
            onDone(error)

        self._task = start(done)
        if waitForCompletion:
            self._task.wait()

    def _newSegmentation(self, volume: vtkMRMLScalarVolumeNode) -> vtkMRMLSegmentationNode:
        name = slicer.mrmlScene.GenerateUniqueName(_("{name} segmentation").format(name=volume.GetName()))
        return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)


class PediatricRenalSegTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: developer mode, "Reload and Test". Uses a generated child, PyTorch and the bundled model."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """What "Reload and Test" calls."""
        self.setUp()
        self.test_generatedChild()

    def test_generatedChild(self) -> None:
        """Segment, correct and export a generated child."""
        self_test.segment_correct_and_export(self, PediatricRenalSegLogic())
