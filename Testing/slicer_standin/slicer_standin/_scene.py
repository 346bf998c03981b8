"""A MRML scene with what the Slicer application puts around it: logics, default nodes, file access."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer
import vtk

from ._types import Node, Scene, VtkObject

SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}

MODULE_LOGICS = {
    # Colors comes first: the logics after it look for default colors.
    "Colors": slicer.vtkSlicerColorLogic,
    "Volumes": slicer.vtkSlicerVolumesLogic,
    "Terminologies": slicer.vtkSlicerTerminologiesModuleLogic,
    "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
    "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
    "Markups": slicer.vtkSlicerMarkupsLogic,
    "Models": slicer.vtkSlicerModelsLogic,
    "Tables": slicer.vtkSlicerTablesLogic,
    "Texts": slicer.vtkSlicerTextsLogic,
    "Transforms": slicer.vtkSlicerTransformLogic,
    "VolumeRendering": slicer.vtkSlicerVolumeRenderingLogic,
}


@dataclass
class SceneEnvironment:
    """One scene and the objects that Slicer keeps beside it; all of them live as long as this does."""

    scene: slicer.vtkMRMLScene
    application_logic: slicer.vtkSlicerApplicationLogic
    module_logics: dict[str, object]
    slice_logics: dict[str, slicer.vtkMRMLSliceLogic]
    kept_alive: list = field(default_factory=list)

    def close(self) -> None:
        """Empty the scene for good. Observers would be called while it is deleted, with no scene to speak of."""
        self.scene.RemoveAllObservers()
        self.scene.Clear(True)


def new_scene() -> SceneEnvironment:
    """An empty scene as Slicer has it after its start."""
    scene = slicer.vtkMRMLScene()
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.GetColorLogic().SetMRMLScene(scene)
    application_logic.GetColorLogic().AddDefaultColorNodes()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    application_logic.SetSliceLogics(vtk.vtkCollection())
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    environment = SceneEnvironment(
        scene=scene,
        application_logic=application_logic,
        module_logics=_module_logics(application_logic),
        slice_logics={name: _slice_logic(name, application_logic) for name in SLICE_VIEWS},
        kept_alive=_remote_file_access(application_logic),
    )
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)  # makes it
    SubjectHierarchyItems(scene)
    return environment


def _module_logics(application_logic: VtkObject) -> dict[str, VtkObject]:
    # Slicer's color and terminology files are not in the wheel of slicer-core; each logic says so, at length.
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        return {name: _module_logic(name, application_logic) for name in MODULE_LOGICS}
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


def _module_logic(name: str, application_logic: VtkObject) -> VtkObject:
    logic = MODULE_LOGICS[name]()
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(application_logic.GetMRMLScene())
    application_logic.SetModuleLogic(name, logic)
    return logic


def _slice_logic(name: str, application_logic: VtkObject) -> slicer.vtkMRMLSliceLogic:
    """The logic of one slice view: its slice and composite nodes are in the scene, nothing is drawn."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(application_logic.GetMRMLScene())
    slice_node = logic.AddSliceNode(name)
    slice_node.SetOrientation(SLICE_VIEWS[name])
    slice_node.SetMappedInLayout(True)
    application_logic.GetSliceLogics().AddItem(logic)
    return logic


def _remote_file_access(application_logic: VtkObject) -> list:
    """What reading an ``.mrb`` needs: a cache folder and the managers that use it."""
    scene = application_logic.GetMRMLScene()
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.SetMRMLApplicationLogic(application_logic)
    folder = tempfile.TemporaryDirectory(prefix="slicer-cache-")
    remote.GetCacheManager().SetRemoteCacheDirectory(folder.name)
    data = slicer.vtkDataIOManagerLogic()
    data.SetMRMLScene(scene)
    data.SetMRMLApplicationLogic(application_logic)
    data.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    return [remote, data, folder]


class SubjectHierarchyItems:
    """Gives every data node an item in the subject hierarchy, as Slicer's Qt plug-ins do."""

    DATA_NODES = (
        "vtkMRMLVolumeNode",
        "vtkMRMLSegmentationNode",
        "vtkMRMLModelNode",
        "vtkMRMLMarkupsNode",
        "vtkMRMLTransformNode",
        "vtkMRMLTableNode",
        "vtkMRMLTextNode",
    )

    def __init__(self, scene: Scene) -> None:
        observe(scene, slicer.vtkMRMLScene.NodeAddedEvent, self._node_added)
        observe(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._node_removed)
        scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, self._import_ended)

    def _node_added(self, scene: Scene, node: Node) -> None:
        # an imported scene brings its own subject hierarchy, which names its nodes after all have been read
        if not scene.IsImporting():
            self._add_item(scene, node)

    def _import_ended(self, scene: Scene, event: str) -> None:
        for class_name in self.DATA_NODES:
            for node in slicer.util.getNodesByClass(class_name, scene):
                self._add_item(scene, node)

    def _add_item(self, scene: Scene, node: Node) -> None:
        if node.GetHideFromEditors() or not any(node.IsA(name) for name in self.DATA_NODES):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def _node_removed(self, scene: Scene, node: Node) -> None:
        if scene.IsClosing() or not any(node.IsA(name) for name in self.DATA_NODES):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)


def observe(subject: VtkObject, event: int, handler: Callable[[Any, Any], None]) -> int:
    """Call ``handler(subject, object)`` at an event that comes with an object; returns the observer's tag."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def called(caller: VtkObject, event_id: str, call_data: VtkObject) -> None:
        handler(caller, call_data)

    return subject.AddObserver(event, called)
