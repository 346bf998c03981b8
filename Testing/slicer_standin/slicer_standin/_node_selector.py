"""``qMRMLNodeComboBox``: the list in which a node of the scene is chosen."""

from collections.abc import Callable
from typing import Any

import vtk
from PySide6.QtCore import Signal

from ._connections import wire
from ._ctk import qt_property, slicer_widget, stored_property
from ._observers import Observers
from ._pythonqt import qt
from ._scene_widgets import SceneWidget
from ._types import Node, Widget


@slicer_widget
class qMRMLNodeComboBox(SceneWidget, qt.QWidget):
    """Chooses one node of the scene, and offers to create, rename and delete nodes.

    As in Slicer a box without "None" takes the first node there is. Renaming is offered and does nothing here.
    """

    mrmlSceneChanged = Signal(object)
    currentNodeChanged: Any = Signal((object,), (bool,))  # type: ignore[arg-type]  # overloads are not in the stubs
    currentNodeIDChanged = Signal(str)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeRemoved = Signal(object)

    def __init__(self, parent: Widget = None) -> None:
        super().__init__(parent)
        self._box = qt.QComboBox(self)
        self._box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        self._box.minimumContentsLength = 8
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._current_id = ""
        self._attributes: list[tuple[str, str, str | None]] = []
        self._name_observers = Observers(self)
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
    currentNodeID = qt_property(
        str,
        lambda self: self._current_id,
        lambda self, node_id: self.setCurrentNodeID(node_id),
        notify=currentNodeIDChanged,
    )

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        """Show nodes of a type only if they have this attribute (with this value)."""
        self._attributes.append((nodeType, name, value))
        self._scene_changed()

    def currentNode(self) -> Node:
        return self._scene.GetNodeByID(self._current_id) if self._scene and self._current_id else None

    def setCurrentNode(self, node: Node) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        known = node_id in [node.GetID() for node in self._nodes()]
        self._select(node_id if known else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self._nodes()[index])

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Node:
        return self._nodes()[index]

    def addNode(self, nodeType: str = "") -> Node:
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

    def _nodes(self) -> list[Node]:
        if not self._scene:
            return []
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._offers(node)]

    def _offers(self, node: Node) -> bool:
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

    def _select(self, node_id: str, nodes: list[Node] | None = None) -> None:
        changed = node_id != self._current_id
        self._current_id = node_id
        self._fill(self._nodes() if nodes is None else nodes)
        if changed:
            node = self.currentNode()
            self.currentNodeIDChanged.emit(node_id)
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)

    def _fill(self, nodes: list[Node]) -> None:
        """Write the entries anew; the signals of the inner box are not used for this."""
        self._box.clear()
        if self.noneEnabled or not self._current_id:
            self._box.addItem(self.noneDisplay if self.noneEnabled else f"Select a {self._type_label()}", "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        for label, action in self._actions():
            self._box.addItem(label, action)
        self._box.currentIndex = self._box.findData(self._current_id)

    def _actions(self) -> list[tuple[str, Callable[[], object]]]:
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

    def _watch_names(self, nodes: list[Node]) -> None:
        """Follow the names of the nodes that are shown."""
        self._name_observers.remove_all()
        for node in nodes:
            self._name_observers.add(node, vtk.vtkCommand.ModifiedEvent, self._on_node_modified)

    def _on_node_modified(self, node: Node, event: str) -> None:
        index = self._box.findData(node.GetID())
        if index >= 0 and self._box.itemText(index) != node.GetName():
            self._box.setItemText(index, node.GetName())
