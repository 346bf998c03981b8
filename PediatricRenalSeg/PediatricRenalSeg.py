"""The Slicer module PediatricRenalSeg: metadata, parameters, window, logic and self-test.

The window binds widgets, the logic starts worker processes; what they do is in ``PediatricRenalSegLib``. This file
imports nothing that Slicer does not bring, so that Slicer starts whether or not PyTorch is installed.
"""

import enum
import html
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import install, jobs, results
from PediatricRenalSegLib.slicer_module.export_panel import ExportPanel
from PediatricRenalSegLib.slicer_module.review_panel import ReviewPanel
from PediatricRenalSegLib.slicer_module.status_panel import StatusPanel
from PediatricRenalSegLib.slicer_module.task import Task
from PediatricRenalSegLib.volume import InputError

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"
GENERATING = _("Generating a child; this takes about a minute…")


class PediatricRenalSeg(ScriptedLoadableModule):
    """Title, category and help of the module."""

    def __init__(self, parent):
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
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the generated child in the Sample Data module. Nothing is downloaded: this computer generates it."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=_("Pediatric Renal Segmentation"),
        sampleName="GeneratedChild",
        uris="",
        fileNames="GeneratedChild.nii.gz",
        nodeNames="GeneratedChild",
        thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "PediatricRenalSeg.png"),
        customDownloader=loadSampleChild,
    )


def loadSampleChild(source) -> None:
    """What the Sample Data module calls; the CT comes into the scene when it is generated."""

    def tell(child: vtkMRMLScalarVolumeNode | None, error: Exception | None) -> None:
        slicer.util.showStatusMessage("")
        if error is not None:
            slicer.util.errorDisplay(str(error))

    try:
        PediatricRenalSegLogic().loadSampleChild(waitForCompletion=False, onDone=tell)
        slicer.util.showStatusMessage(GENERATING)
    except (install.NotInstalled, OSError) as error:
        tell(None, error)


class Device(enum.Enum):
    """Where the network runs; the values are those of the command line."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """As the list shows it."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CPU: _("Processor"),
            Device.CUDA: _("NVIDIA GPU"),
            Device.MPS: _("Apple GPU"),
        }[self]


@parameterNodeWrapper
class PediatricRenalSegParameterNode:
    """What the user chose; saved with the scene.

    inputVolume: the CT.
    outputSegmentation: the result that is reviewed.
    model: id of the catalogue, empty for the first of it, or ``file`` for ``modelFile``.
    modelFile: path of a model file of the user's own.
    device: where the network runs.
    smoothSurfaces: whether the 3D view shows smooth surfaces or the steps of the voxels.
    caseName: name of the patient folder.
    exportStl, exportObj, exportPly, exportGlb: formats of the exported models.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    model: str = ""
    modelFile: str = ""
    device: Device = Device.AUTO
    smoothSurfaces: bool = True
    caseName: str = "case-01"
    exportStl: bool = True
    exportObj: bool = False
    exportPly: bool = False
    exportGlb: bool = False


class PediatricRenalSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The window: input, device and Segment; the sections Model, Review and Export are panels of the library."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: PediatricRenalSegLogic | None = None
        self._parameterNode: PediatricRenalSegParameterNode | None = None
        self._parameterNodeGuiTag = None
        self._smoothSurfaces: bool | None = None
        self._devices: list[dict] = []
        self._deviceTask: Task | None = None

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
        if self._deviceTask is not None:
            self._deviceTask.cancel()
        self.review.clean_up()
        self.logic.removeObservers()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.review.enter()
        self._askForDevices()

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

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self.logic.cancel()
        self.status.idle()
        self.export.reset()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller=None, event=None) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Bind the widgets to the scene's parameter node; without a choice the first CT there is is chosen."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = next(filter(_canBeCT, slicer.util.getNodesByClass(VOLUME_CLASS)), None)

    def setParameterNode(self, parameterNode) -> None:
        """Bind the widgets to a parameter node, or to none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._parameterNode = parameterNode
        self._smoothSurfaces = parameterNode.smoothSurfaces if parameterNode else None
        if parameterNode:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._update()

    def _update(self, caller=None, event=None) -> None:
        """Bring the window up to date with the parameters and with what runs."""
        node = self._parameterNode
        self.model.show(node)
        self.review.set_node(node.outputSegmentation if node else None, node.inputVolume if node else None)
        self.export.show(node)
        if node:
            self._updateSurfaces()
            self._updateSegmentButton()

    def _updateSurfaces(self) -> None:
        """Follow the check box for smooth surfaces."""
        node = self._parameterNode
        if self._smoothSurfaces != node.smoothSurfaces:
            self._smoothSurfaces = node.smoothSurfaces
            if node.outputSegmentation:
                mrml.make_surfaces(node.outputSegmentation, node.smoothSurfaces)

    def _updateSegmentButton(self) -> None:
        button, problem = self.ui.segmentButton, self._problem()
        isRunning = self.logic.running and not self.export.running
        button.text = _("Cancel") if isRunning else _("Segment")
        button.enabled = isRunning or not (self.logic.running or problem)
        button.toolTip = (
            _("Stop; the scene stays as it is.") if isRunning else problem or _("Segment kidneys and tumor.")
        )
        self.ui.summaryLabel.text = f"<b>{html.escape(problem)}</b>" if problem else self._summary()
        self.ui.summaryLabel.visible = bool(self.ui.summaryLabel.text)

    def _problem(self) -> str:
        """Why the chosen CT, model and device cannot be used; empty if they can."""
        try:
            mrml.check_ct_node(self._parameterNode.inputVolume)
        except InputError as error:
            return str(error)
        if self._devices and not self._chosenDevices():
            text = _("This computer has no device of the kind that is chosen ({device}): choose another one.")
            return text.format(device=self._parameterNode.device.label())
        return self.model.problem

    def _summary(self) -> str:
        """What will run where."""
        missing = install.missing_packages()
        if missing:
            return _("Will be installed first, after asking: {names}.").format(names=", ".join(missing))
        for device in self._chosenDevices():
            if device["free_bytes"] is None:
                return _("Runs on: {name}").format(name=device["name"])
            text = _("Runs on: {name}, {free:.0f} GB of memory free")
            return text.format(name=device["name"], free=device["free_bytes"] / 2**30)
        return ""

    # Device

    def _askForDevices(self) -> None:
        if not self._devices and not install.missing_packages():
            self._deviceTask = self.logic.listDevices(self._onDevices)

    def _onDevices(self, devices: list[dict]) -> None:
        self._devices = devices
        self._update()

    def _chosenDevices(self) -> list[dict]:
        """The devices there are of the kind that is chosen; the first is the one that is taken."""
        chosen = self._parameterNode.device
        return [device for device in self._devices if chosen in (Device.AUTO, Device(device["id"]))]

    # Input

    def onHint(self, link: str) -> None:
        """The links under the list of volumes."""
        if link == "dicom":
            slicer.util.selectModule("DICOM")
            return
        try:
            self.logic.loadSampleChild(waitForCompletion=False, onDone=self._onSampleDone)
            self.status.busy(GENERATING)
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
        else:
            self._start()
        self._update()

    def _start(self) -> None:
        node = self._parameterNode
        goOn, target = self._target()
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

    def _target(self) -> tuple[bool, vtkMRMLSegmentationNode | None]:
        """Whether to go on, and the segmentation that the new result replaces. What a person did is never lost."""
        volume, result = self._parameterNode.inputVolume, self._parameterNode.outputSegmentation
        if result is None or results.ct_of(result) is not volume:
            return True, None
        if not results.has_work_in_it(result, volume):
            return True, result
        question = _(
            '"{name}" holds corrections or check marks. It stays as it is, and the new result goes into a new '
            "segmentation. Go on?"
        )
        return slicer.util.confirmOkCancelDisplay(question.format(name=result.GetName())), None

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
        self._askForDevices()
        self._update()


def _canBeCT(volume) -> bool:
    try:
        mrml.check_ct_node(volume)
    except InputError:
        return False
    return True


class PediatricRenalSegLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Segments, exports and measures in worker processes; works without the window, in scripts."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self._task: Task | None = None
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, lambda caller, event: self.cancel())

    def getParameterNode(self) -> PediatricRenalSegParameterNode:
        return PediatricRenalSegParameterNode(super().getParameterNode())

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
        self._checkFree()
        mrml.check_ct_node(inputVolume)
        if outputSegmentation is not None:
            results.check_replaceable(outputSegmentation, inputVolume)
        install.ensure_installed()
        outcome: list[vtkMRMLSegmentationNode] = []

        def take(labels, report: dict) -> None:
            node = outputSegmentation or self._newSegmentation(inputVolume)
            results.take(node, labels, report, inputVolume, smoothSurfaces)
            outcome.append(node)

        def done(error: Exception | None) -> None:
            self._task = None
            onDone(outcome[0] if outcome else None, error)

        self._task = jobs.segment(inputVolume, model, device, take, onProgress, done)
        if waitForCompletion:
            self._task.wait()
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

        formats: of stl, obj, ply and glb. Raises as ``process``.
        """
        self._checkFree()
        install.ensure_installed()

        def done(error: Exception | None) -> None:
            self._task = None
            onDone(error)

        self._task = jobs.export(segmentation, Path(folder), formats or ["stl"], overwrite, onProgress, done)
        if waitForCompletion:
            self._task.wait()

    def loadSampleChild(
        self,
        waitForCompletion: bool = True,
        onDone: Callable[[vtkMRMLScalarVolumeNode | None, Exception | None], None] = lambda node, error: None,
    ) -> vtkMRMLScalarVolumeNode | None:
        """Generate a child of three years with a renal tumor and show its CT. It takes about a minute."""
        self._checkFree()
        install.ensure_installed()
        outcome: list[vtkMRMLScalarVolumeNode] = []

        def take(node: vtkMRMLScalarVolumeNode) -> None:
            outcome.append(node)
            slicer.util.setSliceViewerLayers(background=node, fit=True)

        def done(error: Exception | None) -> None:
            self._task = None
            onDone(outcome[0] if outcome else None, error)

        self._task = jobs.generate_child(take, done)
        if waitForCompletion:
            self._task.wait()
        return outcome[0] if outcome else None

    def measure(self, segmentation: vtkMRMLSegmentationNode, onMeasured, onDone) -> Task:
        """Measure the segments as they are now; see ``jobs.measure``."""
        return jobs.measure(segmentation, onMeasured, onDone)

    def listDevices(self, onDevices: Callable[[list[dict]], None]) -> Task:
        """Ask a worker process what devices there are; see ``jobs.list_devices``."""
        return jobs.list_devices(onDevices, lambda error: None)

    def _checkFree(self) -> None:
        if self.running:
            raise InputError(_("Another segmentation or export is running: wait for it or cancel it."))

    def _newSegmentation(self, volume: vtkMRMLScalarVolumeNode) -> vtkMRMLSegmentationNode:
        name = slicer.mrmlScene.GenerateUniqueName(_("{name} kidneys and tumor").format(name=volume.GetName()))
        return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)


class PediatricRenalSegTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: developer mode, "Reload and Test". Uses a generated child, PyTorch and the bundled model."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_generatedChild()

    def test_generatedChild(self) -> None:
        """Segment, correct and export a generated child."""
        from PediatricRenalSegLib.synthetic import training_scan

        self.delayDisplay("Generating a child")
        scan = training_scan(age_years=2, seed=10, slices=20, matrix=160)
        volume = mrml.add_ct_node(slicer.mrmlScene, scan.to_sitk()[0], "Child")
        logic = PediatricRenalSegLogic()
        self.delayDisplay("Segmenting")
        node = logic.process(volume)
        self.assertEqual(list(node.GetSegmentation().GetSegmentIDs()), ["kidney_right", "kidney_left", "tumor"])
        self.assertIs(results.ct_of(node), volume)
        for name in ("kidney_right", "kidney_left"):
            voxels = int(slicer.util.arrayFromSegmentBinaryLabelmap(node, name, volume).sum())
            self.assertGreater(voxels * np.prod(volume.GetSpacing()) / 1000, 5, "milliliters")
            self.assertGreater(node.GetClosedSurfaceInternalRepresentation(name).GetNumberOfPoints(), 100)
        self.delayDisplay("Correcting and exporting")
        empty = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node, "kidney_left", volume)
        self.assertTrue(results.is_edited(node, volume))
        with tempfile.TemporaryDirectory() as folder:
            logic.export(node, Path(folder) / "case", ["stl", "glb"])
            written = {path.name for path in (Path(folder) / "case" / "models").iterdir()}
        self.assertIn("kidney_right.stl", written)
        self.assertIn("structures.glb", written)
        self.assertNotIn("kidney_left.stl", written)
        self.delayDisplay("Test passed")
