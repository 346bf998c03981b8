"""Widgets of ``slicer`` that know the scene: real Qt widgets over real MRML."""

import functools

import slicer
from PySide6.QtCore import Signal, SignalInstance

from ._ctk import ctkCollapsibleButton, slicer_widget
from ._observers import Observers
from ._pythonqt import qt
from ._types import Scene

SCENE_CHANGES = (
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
    slicer.vtkMRMLScene.EndBatchProcessEvent,
    slicer.vtkMRMLScene.EndImportEvent,
    slicer.vtkMRMLScene.EndCloseEvent,
)


class SceneWidget:
    """Mixin: the widget knows a scene; ``_scene_changed`` is called when nodes came or went."""

    mrmlSceneChanged: SignalInstance
    _scene: Scene = None

    @functools.cached_property
    def _scene_observers(self) -> Observers:
        return Observers(self)

    def mrmlScene(self) -> Scene:
        return self._scene

    def setMRMLScene(self, scene: Scene) -> None:
        if scene is self._scene:
            return
        self._scene_observers.remove_all()
        self._scene = scene
        if scene:
            for event in SCENE_CHANGES:
                self._scene_observers.add(scene, event, self._on_scene_event)
        self._scene_changed()
        self.mrmlSceneChanged.emit(scene)

    def _on_scene_event(self, scene: Scene, event: str) -> None:
        if not scene.IsBatchProcessing():
            self._scene_changed()

    def _scene_changed(self) -> None:
        """Nothing to update."""


@slicer_widget
class qMRMLWidget(SceneWidget, qt.QWidget):
    """A widget that passes its scene on, by the connections of the ``.ui`` file."""

    mrmlSceneChanged = Signal(object)


@slicer_widget
class qSlicerWidget(SceneWidget, qt.QWidget):
    """As qMRMLWidget."""

    mrmlSceneChanged = Signal(object)


@slicer_widget
class qMRMLCollapsibleButton(SceneWidget, ctkCollapsibleButton):
    """A collapsible button that knows the scene."""

    mrmlSceneChanged = Signal(object)
