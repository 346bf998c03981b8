"""``qt.QUiLoader``: Qt's own reader of Designer files, with the widgets of ``qt``, ``ctk`` and ``slicer``.

Two things that Qt cannot do with widgets written in Python are done here: connections between MRML signals and
slots, and properties whose value is an enumeration of such a widget. Stricter than Slicer: a widget class that
is not known is an error, where Slicer puts a plain QWidget.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import SIGNAL, QObject

from ._connections import known_signal
from ._ctk import WIDGETS
from ._pythonqt import qt
from ._types import Widget

MRML_OR_CTK = re.compile(r"(ctk|qMRML|qSlicer)\w+")


@dataclass(frozen=True)
class Connection:
    sender: str
    signal: str
    receiver: str
    slot: str


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a ``.ui`` file; a Python subclass is asked for every widget, layout and action."""

    def load(  # type: ignore[override]  # no path, which Slicer's loader does not take either
        self, device: QtCore.QIODevice, parent: Widget = None
    ) -> Widget:
        """The widget described by an open QFile. Raises ``RuntimeError`` when it cannot be made."""
        tree = ElementTree.fromstring(bytes(device.readAll().data()).decode())
        _check_classes(tree)
        connections = _take_connections(tree)
        enumerations = _take_enumerations(tree)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        root = super().load(buffer, parent)
        if root is None:
            raise RuntimeError(self.errorString())
        for widget_name, property_name, value in enumerations:
            setattr(_named(root, widget_name), property_name, value)
        for connection in connections:
            sender = _named(root, connection.sender)
            slot = getattr(_named(root, connection.receiver), connection.slot.partition("(")[0])
            QObject.connect(sender, SIGNAL(known_signal(sender, connection.signal)), slot)
        return root

    def createWidget(self, class_name: str, parent: Widget = None, name: str = "") -> Widget:
        return _named_new(WIDGETS.get(class_name) or getattr(qt, class_name), parent, name)

    def createLayout(self, class_name: str, parent: QObject | None = None, name: str = "") -> QtWidgets.QLayout:
        return _named_new(getattr(qt, class_name), parent, name)

    def createAction(self, parent: QObject | None = None, name: str = "") -> QtGui.QAction:
        return _named_new(qt.QAction, parent, name)


def _named_new(cls: type[Any], parent: QObject | None, name: str) -> Any:
    # a layout within a layout has the outer one for parent, which its constructor does not take
    instance = cls(parent) if parent is None or isinstance(parent, qt.QWidget) else cls()
    instance.setObjectName(name)
    return instance


def _named(root: Widget, name: str) -> Any:
    found = root if root.objectName == name else root.findChild(qt.QObject, name)
    if found is None:
        raise RuntimeError(f"the .ui file names {name!r}, which it does not contain")
    return found


def _check_classes(tree: ElementTree.Element) -> None:
    unknown = {widget.get("class", "") for widget in tree.iter("widget")} - set(WIDGETS) - set(vars(qt))
    if unknown:
        raise RuntimeError(f"the stand-in has no widget class {', '.join(sorted(unknown))}")


def _take_connections(tree: ElementTree.Element) -> list[Connection]:
    """Remove and return what the file connects."""
    element = tree.find("connections")
    if element is None:
        return []
    tree.remove(element)
    parts = ("sender", "signal", "receiver", "slot")
    return [Connection(*(connection.findtext(part, "") for part in parts)) for connection in element]


def _take_enumerations(tree: ElementTree.Element) -> list[tuple[str, str, int]]:
    """Remove and return the properties set to enumerations of ctk and MRML: widget, property, value."""
    taken = []
    for widget in tree.iter("widget"):
        for element in widget.findall("property"):
            text = element.findtext("set") or element.findtext("enum") or ""
            if MRML_OR_CTK.match(text):
                widget.remove(element)
                taken.append((widget.get("name", ""), element.get("name", ""), _enumeration_value(text)))
    return taken


def _enumeration_value(text: str) -> int:
    """``ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable`` as a number."""
    value = 0
    for flag in text.split("|"):
        class_name, *_, name = flag.split("::")
        value |= int(getattr(WIDGETS[class_name], name))
    return value
