"""Widgets of ``slicer`` for segmentations: the table of segments, Show 3D, and the frame of the Segment Editor."""

import functools

import slicer
from PySide6.QtCore import Qt, Signal

from ._connections import wire
from ._ctk import qt_property, slicer_widget, stored_property
from ._observers import Observers
from ._pythonqt import qt
from ._scene_widgets import SceneWidget
from ._types import Node, VtkObject, Widget

SEGMENTATION_CHANGES = (
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentsOrderModified,
)


class SegmentationWidget(SceneWidget):
    """Mixin: the widget knows a segmentation node; ``_segments_changed`` is called when its segments change."""

    _segmentation_node: Node = None

    @functools.cached_property
    def _segmentation_observers(self) -> Observers:
        return Observers(self)

    def segmentationNode(self) -> Node:
        return self._segmentation_node

    def setSegmentationNode(self, node: Node) -> None:
        if node is self._segmentation_node:
            return
        self._segmentation_observers.remove_all()
        self._segmentation_node = node
        if node:
            for event in SEGMENTATION_CHANGES:
                self._segmentation_observers.add(node.GetSegmentation(), event, self._on_segments)
        self._segments_changed()

    def _on_segments(self, segmentation: VtkObject, event: str) -> None:
        self._segments_changed()

    def _segments_changed(self) -> None:
        """Nothing to update."""


@slicer_widget
class qMRMLSegmentsTableView(SegmentationWidget, qt.QWidget):
    """The list of segments with color and name; showing and hiding from the list is not imitated."""

    mrmlSceneChanged = Signal(object)
    selectionChanged = Signal(object, object)

    def __init__(self, parent: Widget = None) -> None:
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

    selectionMode = qt_property(
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
        return [self._table.item(row, 1).data(Qt.ItemDataRole.UserRole) for row in rows]

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        for row in range(self._table.rowCount):
            if self._table.item(row, 1).data(Qt.ItemDataRole.UserRole) in ids:
                self._table.selectRow(row)

    def _segments_changed(self) -> None:
        segmentation: VtkObject = self._segmentation_node.GetSegmentation() if self._segmentation_node else None
        ids = segmentation.GetSegmentIDs() if segmentation else ()
        self._table.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = segmentation.GetSegment(segment_id)
            color = qt.QTableWidgetItem()
            color.setBackground(qt.QColor.fromRgbF(*segment.GetColor()))
            name = qt.QTableWidgetItem(segment.GetName())
            name.setData(Qt.ItemDataRole.UserRole, segment_id)
            self._table.setItem(row, 0, color)
            self._table.setItem(row, 1, name)


@slicer_widget
class qMRMLSegmentationShow3DButton(SegmentationWidget, qt.QPushButton):
    """Makes and removes the closed surfaces of a segmentation."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: Widget = None) -> None:
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

    def __init__(self, parent: Widget = None) -> None:
        super().__init__(parent)
        self._editor_node: Node = None
        self._segments = qMRMLSegmentsTableView(self)
        self._segments._table.setFixedHeight(110)
        note = qt.QLabel("(the effects of the Segment Editor)", self)
        note.setAlignment(Qt.AlignmentFlag.AlignCenter)
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

    def mrmlSegmentEditorNode(self) -> Node:
        return self._editor_node

    def setMRMLSegmentEditorNode(self, node: Node) -> None:
        self._editor_node = node
        super().setSegmentationNode(node.GetSegmentationNode() if node else None)

    def setSegmentationNode(self, node: Node) -> None:
        """Raises ``RuntimeError`` without a segment editor node; Slicer only logs an error."""
        if self._editor_node is None:
            raise RuntimeError("setMRMLSegmentEditorNode comes before setSegmentationNode")
        self._editor_node.SetAndObserveSegmentationNode(node)
        super().setSegmentationNode(node)
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Node:
        return self._editor_node.GetSourceVolumeNode() if self._editor_node else None

    def setSourceVolumeNode(self, node: Node) -> None:
        self._editor_node.SetAndObserveSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:
        return (self._editor_node.GetSelectedSegmentID() or "") if self._editor_node else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._editor_node.SetSelectedSegmentID(segment_id)
        self.currentSegmentIDChanged.emit(segment_id)

    def activeEffect(self) -> None:
        """No effect is ever active."""

    def setActiveEffect(self, effect: object | None) -> None:
        if effect is not None:
            raise NotImplementedError("the stand-in has no effects of the Segment Editor")

    def setActiveEffectByName(self, name: str) -> None:
        """The name is kept in the segment editor node, as in Slicer; the effect does nothing."""
        self._editor_node.SetActiveEffectName(name)

    def installKeyboardShortcuts(self, parent: Widget = None) -> None:
        """No effects, no shortcuts."""

    uninstallKeyboardShortcuts = installKeyboardShortcuts

    def setupViewObservations(self) -> None:
        """There are no views to observe."""

    removeViewObservations = setupViewObservations

    def updateWidgetFromMRML(self) -> None:
        self._segments_changed()

    def _segments_changed(self) -> None:
        self._segments.setSegmentationNode(self._segmentation_node)
