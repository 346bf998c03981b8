"""The ``qMRML`` widgets of ``slicer``: real Qt widgets that show and change the real scene."""

import slicer
import vtk
from PySide6.QtCore import Property, Qt, Signal

from ._connections import wire
from ._ctk import ctkCollapsibleButton, slicer_widget, stored_property
from ._pythonqt import qt

SCENE_CHANGES = (
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
    slicer.vtkMRMLScene.EndBatchProcessEvent,
    slicer.vtkMRMLScene.EndImportEvent,
    slicer.vtkMRMLScene.EndCloseEvent,
)


class SceneWidget:
    """Mixin: the widget knows a scene; ``_scene_changed`` is called when nodes came or went."""

    _scene = None
    _scene_tags = ()

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is self._scene:
            return
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._scene_tags = [scene.AddObserver(event, self._on_scene_event) for event in SCENE_CHANGES] if scene else ()
        self._scene_changed()
        self.mrmlSceneChanged.emit(scene)

    def _on_scene_event(self, scene, event) -> None:
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


@slicer_widget
class qMRMLNodeComboBox(SceneWidget, qt.QWidget):
    """Chooses one node of the scene, and offers to create, rename and delete nodes.

    As in Slicer a box without "None" takes the first node there is. Renaming is offered and does nothing here.
    """

    mrmlSceneChanged = Signal(object)
    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeRemoved = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._box = qt.QComboBox(self)
        self._box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        self._box.minimumContentsLength = 8
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._current_id = ""
        self._attributes: list[tuple[str, str, str | None]] = []
        self._watched: dict[str, tuple] = {}
        wire(self._box.activated, self._on_activated)

    def _refresh(self) -> None:
        self._scene_changed()

    nodeTypes = stored_property("QStringList", [], changed=_refresh)
    showChildNodeTypes = stored_property(bool, True, changed=_refresh)
    showHidden = stored_property(bool, False, changed=_refresh)
    noneEnabled = stored_property(bool, False, changed=_refresh)
    noneDisplay = stored_property(str, "None", changed=_refresh)
    addEnabled = stored_property(bool, True, changed=_refresh)
    removeEnabled = stored_property(bool, True, changed=_refresh)
    editEnabled = stored_property(bool, False, changed=_refresh)
    renameEnabled = stored_property(bool, False, changed=_refresh)
    baseName = stored_property(str, "")
    nodeTypeLabel = stored_property(str, "", changed=_refresh)
    selectNodeUponCreation = stored_property(bool, True)
    interactionNodeSingletonTag = stored_property(str, "")
    currentNodeID = Property(
        str,
        lambda self: self._current_id,
        lambda self, node_id: self.setCurrentNodeID(node_id),
        notify=currentNodeIDChanged,
    )

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        """Show nodes of a type only if they have this attribute (with this value)."""
        self._attributes.append((nodeType, name, value))
        self._scene_changed()

    def currentNode(self):
        return self._scene.GetNodeByID(self._current_id) if self._scene and self._current_id else None

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        known = node_id in [node.GetID() for node in self._nodes()]
        self._select(node_id if known else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self._nodes()[index])

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int):
        return self._nodes()[index]

    def addNode(self, nodeType: str = ""):
        """Create a node as the user does with "Create new …"."""
        class_name = nodeType or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or self._type_label())
        node = self._scene.AddNewNodeByClass(class_name, name)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        self.nodeAboutToBeRemoved.emit(node)
        self._scene.RemoveNode(node)

    # ---------------------------------------------------------------- the nodes

    def _nodes(self) -> list:
        if not self._scene:
            return []
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._offers(node)]

    def _offers(self, node) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        fits = node.IsA if self.showChildNodeTypes else node.GetClassName().__eq__
        return any(fits(name) for name in self.nodeTypes) and all(
            node.GetAttribute(name) == value if value is not None else node.GetAttribute(name) is not None
            for node_type, name, value in self._attributes
            if node.IsA(node_type)
        )

    def _type_label(self) -> str:
        if self.nodeTypeLabel or not self.nodeTypes or not self._scene:
            return self.nodeTypeLabel
        node = self._scene.CreateNodeByClass(self.nodeTypes[0])
        node.UnRegister(None)
        return node.GetNodeTagName()

    # ---------------------------------------------------------------- what is shown

    def _scene_changed(self) -> None:
        nodes = self._nodes()
        self._watch_names(nodes)
        ids = [node.GetID() for node in nodes]
        if self._current_id not in ids:
            self._select(ids[0] if ids and not self.noneEnabled else "", nodes)
        else:
            self._fill(nodes)

    def _select(self, node_id: str, nodes: list | None = None) -> None:
        changed = node_id != self._current_id
        self._current_id = node_id
        self._fill(self._nodes() if nodes is None else nodes)
        if changed:
            node = self.currentNode()
            self.currentNodeIDChanged.emit(node_id)
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)

    def _fill(self, nodes: list) -> None:
        """Write the entries anew; the signals of the inner box are not used for this."""
        self._box.clear()
        if self.noneEnabled or not self._current_id:
            self._box.addItem(self.noneDisplay if self.noneEnabled else f"Select a {self._type_label()}", "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        for label, action in self._actions():
            self._box.addItem(label, action)
        self._box.currentIndex = self._box.findData(self._current_id)

    def _actions(self) -> list[tuple[str, object]]:
        if not self._scene or not self.nodeTypes:
            return []
        label, chosen = self._type_label(), bool(self._current_id)
        offered = (
            (self.addEnabled, f"Create new {label}", self.addNode),
            (self.renameEnabled and chosen, f"Rename current {label}", lambda: None),
            (self.removeEnabled and chosen, f"Delete current {label}", self.removeCurrentNode),
        )
        return [(text, action) for is_offered, text, action in offered if is_offered]

    def _on_activated(self, index: int) -> None:
        data = self._box.itemData(index)
        if callable(data):
            self._fill(self._nodes())
            data()
        else:
            self._select(data)

    def _watch_names(self, nodes: list) -> None:
        """Follow the names of the nodes that are shown."""
        now = {node.GetID(): node for node in nodes}
        for node_id in set(self._watched) - set(now):
            node, tag = self._watched.pop(node_id)
            node.RemoveObserver(tag)
        for node_id in set(now) - set(self._watched):
            node = now[node_id]
            self._watched[node_id] = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_node_modified))

    def _on_node_modified(self, node, event) -> None:
        index = self._box.findData(node.GetID())
        if index >= 0 and self._box.itemText(index) != node.GetName():
            self._box.setItemText(index, node.GetName())


SEGMENTATION_CHANGES = (
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentsOrderModified,
)


class SegmentationWidget(SceneWidget):
    """Mixin: the widget knows a segmentation node; ``_segments_changed`` is called when its segments change."""

    _segmentation_node = None
    _segmentation_tags = ()

    def segmentationNode(self):
        return self._segmentation_node

    def setSegmentationNode(self, node) -> None:
        if node is self._segmentation_node:
            return
        if self._segmentation_node is not None:
            segmentation = self._segmentation_node.GetSegmentation()
            for tag in self._segmentation_tags:
                segmentation.RemoveObserver(tag)
        self._segmentation_node = node
        self._segmentation_tags = (
            [node.GetSegmentation().AddObserver(event, self._on_segments) for event in SEGMENTATION_CHANGES]
            if node
            else ()
        )
        self._segments_changed()

    def _on_segments(self, segmentation, event) -> None:
        self._segments_changed()

    def _segments_changed(self) -> None:
        """Nothing to update."""


@slicer_widget
class qMRMLSegmentsTableView(SegmentationWidget, qt.QWidget):
    """The list of segments with color and name; showing and hiding from the list is not imitated."""

    mrmlSceneChanged = Signal(object)
    selectionChanged = Signal(object, object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._table = qt.QTableWidget(0, 2, self)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.setColumnWidth(0, 30)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    selectionMode = Property(
        int,
        lambda self: self._table.selectionMode.value,
        lambda self, mode: self._table.setSelectionMode(qt.QAbstractItemView.SelectionMode(mode)),
    )
    headerVisible = stored_property(bool, True)
    visibilityColumnVisible = stored_property(bool, True)
    colorColumnVisible = stored_property(bool, True)
    opacityColumnVisible = stored_property(bool, True)
    statusColumnVisible = stored_property(bool, False)
    readOnly = stored_property(bool, False)

    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return [self._table.item(row, 1).data(Qt.UserRole) for row in rows]

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        for row in range(self._table.rowCount):
            if self._table.item(row, 1).data(Qt.UserRole) in ids:
                self._table.selectRow(row)

    def _segments_changed(self) -> None:
        segmentation = self._segmentation_node.GetSegmentation() if self._segmentation_node else None
        ids = segmentation.GetSegmentIDs() if segmentation else ()
        self._table.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = segmentation.GetSegment(segment_id)
            color = qt.QTableWidgetItem()
            color.setBackground(qt.QColor.fromRgbF(*segment.GetColor()))
            name = qt.QTableWidgetItem(segment.GetName())
            name.setData(Qt.UserRole, segment_id)
            self._table.setItem(row, 0, color)
            self._table.setItem(row, 1, name)


@slicer_widget
class qMRMLSegmentationShow3DButton(SegmentationWidget, qt.QPushButton):
    """Makes and removes the closed surfaces of a segmentation."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.text = "Show 3D"
        self.setCheckable(True)
        self.setEnabled(False)
        wire(self.clicked, self._on_clicked)

    def _segments_changed(self) -> None:
        node = self._segmentation_node
        self.setEnabled(node is not None and node.GetSegmentation().GetNumberOfSegments() > 0)
        closed_surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        self.setChecked(node is not None and node.GetSegmentation().ContainsRepresentation(closed_surface))

    def _on_clicked(self, checked: bool) -> None:
        if checked:
            self._segmentation_node.CreateClosedSurfaceRepresentation()
        else:
            self._segmentation_node.RemoveClosedSurfaceRepresentation()


@slicer_widget
class qMRMLSegmentEditorWidget(SegmentationWidget, qt.QWidget):
    """The frame of the Segment Editor: which segmentation, volume and segment are edited, on the real node.

    No effect is offered: nothing can be painted here. A test that needs an edit changes the segment itself, as
    an effect does (``slicer.util.updateSegmentBinaryLabelmapFromArray``).
    """

    mrmlSceneChanged = Signal(object)
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    currentSegmentIDChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._editor_node = None
        self._segments = qMRMLSegmentsTableView(self)
        self._segments._table.setFixedHeight(110)
        note = qt.QLabel("(the effects of the Segment Editor)", self)
        note.setAlignment(Qt.AlignCenter)
        note.setEnabled(False)
        note.setMinimumHeight(60)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._segments)
        layout.addWidget(note)

    segmentationNodeSelectorVisible = stored_property(bool, True)
    sourceVolumeNodeSelectorVisible = stored_property(bool, True)
    switchToSegmentationsButtonVisible = stored_property(bool, True)
    autoShowSourceVolumeNode = stored_property(bool, True)
    unorderedEffectsVisible = stored_property(bool, True)
    maximumNumberOfUndoStates = stored_property(int, 10)
    readOnly = stored_property(bool, False)

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self.segmentationNodeSelectorVisible = visible

    def setSourceVolumeNodeSelectorVisible(self, visible: bool) -> None:
        self.sourceVolumeNodeSelectorVisible = visible

    def setSwitchToSegmentationsButtonVisible(self, visible: bool) -> None:
        self.switchToSegmentationsButtonVisible = visible

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self.maximumNumberOfUndoStates = number

    def setEffectNameOrder(self, names: list[str]) -> None:
        """There are no effects to order."""

    def mrmlSegmentEditorNode(self):
        return self._editor_node

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._editor_node = node
        super().setSegmentationNode(node.GetSegmentationNode() if node else None)

    def setSegmentationNode(self, node) -> None:
        """Raises ``RuntimeError`` without a segment editor node; Slicer only logs an error."""
        if self._editor_node is None:
            raise RuntimeError("setMRMLSegmentEditorNode comes before setSegmentationNode")
        self._editor_node.SetAndObserveSegmentationNode(node)
        super().setSegmentationNode(node)
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self):
        return self._editor_node.GetSourceVolumeNode() if self._editor_node else None

    def setSourceVolumeNode(self, node) -> None:
        self._editor_node.SetAndObserveSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:
        return (self._editor_node.GetSelectedSegmentID() or "") if self._editor_node else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._editor_node.SetSelectedSegmentID(segment_id)
        self.currentSegmentIDChanged.emit(segment_id)

    def activeEffect(self) -> None:
        """No effect is ever active."""

    def setActiveEffect(self, effect) -> None:
        if effect is not None:
            raise NotImplementedError("the stand-in has no effects of the Segment Editor")

    def setActiveEffectByName(self, name: str) -> None:
        """The name is kept in the segment editor node, as in Slicer; the effect does nothing."""
        self._editor_node.SetActiveEffectName(name)

    def installKeyboardShortcuts(self, parent=None) -> None:
        """No effects, no shortcuts."""

    uninstallKeyboardShortcuts = installKeyboardShortcuts

    def setupViewObservations(self) -> None:
        """There are no views to observe."""

    removeViewObservations = setupViewObservations

    def updateWidgetFromMRML(self) -> None:
        self._segments_changed()

    def _segments_changed(self) -> None:
        self._segments.setSegmentationNode(self._segmentation_node)


def add_to(namespace) -> None:
    """Put the widget classes into ``slicer``."""
    for name, member in list(globals().items()):
        if name.startswith(("qMRML", "qSlicer")):
            setattr(namespace, name, member)
