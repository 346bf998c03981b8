"""How the value of a parameter lies in a widget, by the widget's class."""

import enum
from pathlib import Path
from typing import Any

import slicer

from ._ctk import ctk
from ._parameter_fields import Choice, Field, Maximum, Minimum, WithinRange
from ._pythonqt import qt
from ._types import Widget


class Connector:
    """Carries one field to and from one widget."""

    signal: str
    """Name of the signal that says that the user changed the value."""

    def __init__(self, widget: Widget, field: Field) -> None:
        self.widget = widget
        self.field = field

    def read(self) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> None:
        raise NotImplementedError


class PropertyConnector(Connector):
    """The value is a property of the widget."""

    property: str

    def read(self) -> Any:
        return self.field.kind(getattr(self.widget, self.property))

    def write(self, value: Any) -> None:
        setattr(self.widget, self.property, str(value) if isinstance(value, Path) else value)


class CheckBox(PropertyConnector):
    property, signal = "checked", "toggled"


class LineEdit(PropertyConnector):
    property, signal = "text", "textChanged"


class PathLine(PropertyConnector):
    property, signal = "currentPath", "currentPathChanged"


class Directory(PropertyConnector):
    property, signal = "directory", "directoryChanged"


class Number(PropertyConnector):
    """A slider or spin box; the range of the field becomes that of the widget."""

    property, signal = "value", "valueChanged"

    def __init__(self, widget: Widget, field: Field) -> None:
        super().__init__(widget, field)
        within = field.annotation(WithinRange)
        lowest, highest = field.annotation(Minimum), field.annotation(Maximum)
        if within:
            widget.setRange(within.minimum, within.maximum)
        elif isinstance(widget, (qt.QSlider, ctk.ctkSliderWidget)) and not (lowest and highest):
            raise RuntimeError(f"{field.name}: a slider needs a parameter with a range")
        else:
            unlimited = 2**31 - 1
            widget.setRange(lowest.minimum if lowest else -unlimited, highest.maximum if highest else unlimited)


class Text(Connector):
    signal = "textChanged"

    def read(self) -> str:
        return self.widget.toPlainText()

    def write(self, value: str) -> None:
        # setting the same text again would move the cursor and say "changed"
        if value != self.widget.toPlainText():
            self.widget.setPlainText(value)


class ChoiceBox(Connector):
    """A combo box filled with the choices, or with the labels of an enumeration."""

    signal = "currentIndexChanged"

    def __init__(self, widget: Widget, field: Field) -> None:
        super().__init__(widget, field)
        choice = field.annotation(Choice)
        if issubclass(field.kind, enum.Enum):
            self.values = list(field.kind)
            labels = [getattr(value, "label", lambda value=value: value.name)() for value in self.values]
        elif choice:
            self.values = list(choice.choices)
            labels = [str(value) for value in self.values]
        else:
            raise RuntimeError(f"{field.name}: a combo box needs an enumeration or the annotation Choice")
        widget.clear()
        widget.addItems(labels)

    def read(self) -> Any:
        return self.values[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = self.values.index(value)


class NodeBox(Connector):
    signal = "currentNodeChanged"

    def __init__(self, widget: Widget, field: Field) -> None:
        super().__init__(widget, field)
        widget.nodeTypes = [field.kind.__name__]

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


CONNECTORS: dict[str, tuple[tuple[type, ...], type[Connector]]] = {
    "QCheckBox": ((bool,), CheckBox),
    "QPushButton": ((bool,), CheckBox),
    "QSlider": ((int,), Number),
    "QSpinBox": ((int,), Number),
    "QDoubleSpinBox": ((float,), Number),
    "ctkSliderWidget": ((float,), Number),
    "QComboBox": ((int, float, str, bool, enum.Enum), ChoiceBox),
    "QLineEdit": ((str,), LineEdit),
    "QTextEdit": ((str,), Text),
    "ctkPathLineEdit": ((Path,), PathLine),
    "ctkDirectoryButton": ((Path,), Directory),
    "qMRMLNodeComboBox": ((slicer.vtkMRMLNode,), NodeBox),
}


def connector_of(widget: Widget, field: Field) -> Connector:
    types, kind = CONNECTORS.get(widget.className(), ((), Connector))
    exact = field.kind in types
    base = any(issubclass(field.kind, one) for one in types if one in (enum.Enum, slicer.vtkMRMLNode))
    if not exact and not base:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{field.kind}' to widget type '{widget.className()}'"
        )
    return kind(widget, field)
