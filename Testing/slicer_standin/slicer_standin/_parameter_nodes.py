"""``slicer.parameterNodeWrapper``: typed fields kept in a ``vtkMRMLScriptedModuleNode``, bound to widgets.

Written anew after Slicer's documentation (Parameter Node Wrapper, Slicer developer guide). Values are stored in
the same form, so a scene saved here reads the same in Slicer. Fields may be MRML nodes, ``str``, ``int``,
``float``, ``bool``, ``pathlib.Path`` and ``enum.Enum``; lists, dictionaries, unions and parameter packs are not
imitated and are refused when the class is made. As in Slicer, a widget class is bound only if it is exactly one
of those in ``CONNECTORS``.
"""

import enum
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer
import vtk

from ._ctk import ctk
from ._pythonqt import qt

__all__ = ["parameterNodeWrapper", "isParameterNodeWrapper", "Default", "WithinRange", "Minimum", "Maximum", "Choice"]

# ---------------------------------------------------------------- annotations


@dataclass
class Default:
    """Value of a field at first."""

    value: object


@dataclass
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum:
    minimum: float

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass
class Maximum:
    maximum: float

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass
class Choice:
    choices: list

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


# ---------------------------------------------------------------- how a value lies in the node


@dataclass(frozen=True)
class Field:
    """One parameter: its type, checks and default."""

    name: str
    type: type
    default: object
    annotations: tuple = ()

    @property
    def is_node(self) -> bool:
        return issubclass(self.type, slicer.vtkMRMLNode)

    def annotation(self, kind: type):
        return next((annotation for annotation in self.annotations if isinstance(annotation, kind)), None)

    def check(self, value) -> None:
        """Raises ``TypeError`` or ``ValueError``."""
        accepted = (int, float) if self.type is float else self.type
        if value is None and not self.is_node:
            raise ValueError(f"{self.name}: value must not be None")
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"{self.name}: value must be of type {self.type}, is {value!r}")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)

    def read(self, node):
        if not node.HasParameter(self.name):  # never written, or the scene was closed
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.type is bool:
            return text == "True"
        return self.type[text] if issubclass(self.type, enum.Enum) else self.type(text)

    def write(self, node, value) -> None:
        self.check(value)
        if self.is_node:
            # the empty text says that the field was written: None is a value too
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))


DEFAULTS = {str: "", int: 0, float: 0.0, bool: False, Path: Path()}


def _fields(cls: type) -> dict[str, Field]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: _field(cls, name, hint) for name, hint in hints.items()}


def _field(cls: type, name: str, hint) -> Field:
    is_annotated = typing.get_origin(hint) is typing.Annotated
    kind, *annotations = typing.get_args(hint) if is_annotated else (hint,)
    if not (isinstance(kind, type) and (kind in DEFAULTS or issubclass(kind, (slicer.vtkMRMLNode, enum.Enum)))):
        raise TypeError(f"{cls.__name__}.{name}: the stand-in has no parameters of type {kind}")
    given = next((annotation.value for annotation in annotations if isinstance(annotation, Default)), None)
    if given is None:
        given = next(iter(kind)) if issubclass(kind, enum.Enum) else DEFAULTS.get(kind)
    annotations = tuple(annotation for annotation in annotations if not isinstance(annotation, Default))
    return Field(name, kind, getattr(cls, name, given), annotations)


# ---------------------------------------------------------------- how a value lies in a widget


class Connector:
    """Carries one field to and from one widget."""

    signal: str
    """Name of the signal that says that the user changed the value."""

    def __init__(self, widget, field: Field):
        self.widget = widget
        self.field = field

    def read(self):
        raise NotImplementedError

    def write(self, value) -> None:
        raise NotImplementedError


class PropertyConnector(Connector):
    """The value is a property of the widget."""

    property: str

    def read(self):
        return self.field.type(getattr(self.widget, self.property))

    def write(self, value) -> None:
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

    def __init__(self, widget, field: Field):
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

    def __init__(self, widget, field: Field):
        super().__init__(widget, field)
        choice = field.annotation(Choice)
        if issubclass(field.type, enum.Enum):
            self.values = list(field.type)
            labels = [getattr(value, "label", lambda value=value: value.name)() for value in self.values]
        elif choice:
            self.values = list(choice.choices)
            labels = [str(value) for value in self.values]
        else:
            raise RuntimeError(f"{field.name}: a combo box needs an enumeration or the annotation Choice")
        widget.clear()
        widget.addItems(labels)

    def read(self):
        return self.values[self.widget.currentIndex]

    def write(self, value) -> None:
        self.widget.currentIndex = self.values.index(value)


class NodeBox(Connector):
    signal = "currentNodeChanged"

    def __init__(self, widget, field: Field):
        super().__init__(widget, field)
        widget.nodeTypes = [field.type.__name__]

    def read(self):
        return self.widget.currentNode()

    def write(self, value) -> None:
        self.widget.setCurrentNode(value)


CONNECTORS = {
    # widget class: (types of the field, connector)
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


def _connector(widget, field: Field) -> Connector:
    types, kind = CONNECTORS.get(widget.className(), ((), None))
    exact = field.type in types
    base = any(issubclass(field.type, one) for one in types if one in (enum.Enum, slicer.vtkMRMLNode))
    if not exact and not base:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{field.type}' to widget type '{widget.className()}'"
        )
    return kind(widget, field)


# ---------------------------------------------------------------- the class decorator


class ParameterNode:
    """What a wrapped class can do."""

    allParameters: typing.ClassVar[dict[str, Field]] = {}

    def __init__(self, parameterNode, prefix: str | None = None):
        if prefix:
            raise NotImplementedError("the stand-in has no prefixes of parameters")
        self.parameterNode = parameterNode
        self._bindings: dict[int, Binding] = {}
        for name, field in self.allParameters.items():
            if not parameterNode.HasParameter(name):
                field.write(parameterNode, field.default)

    def getValue(self, name: str):
        return _known(self, name).read(self.parameterNode)

    def setValue(self, name: str, value) -> None:
        _known(self, name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(_known(self, name).default)

    def connectGui(self, gui) -> int:
        """Bind the widgets of a form that have the dynamic property ``SlicerParameterName``."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = ((widget.property("SlicerParameterName"), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, widgets: dict) -> int:
        connectors = {name: _connector(widget, _known(self, name)) for name, widget in widgets.items()}
        tag = len(self._bindings)
        self._bindings[tag] = Binding(self, connectors)
        return tag

    def disconnectGui(self, tag: int) -> None:
        binding = self._bindings.pop(tag, None)
        if binding:
            binding.release()

    def AddObserver(self, event, callback, priority=0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: int) -> int:
        return self.parameterNode.EndModify(was_modified)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _known(node: ParameterNode, name: str) -> Field:
    if name not in node.allParameters:
        raise ValueError(f"Cannot find a param with the given name: {name}; there are {list(node.allParameters)}")
    return node.allParameters[name]


class Binding:
    """Widgets and parameter node kept equal, until ``release``."""

    def __init__(self, node: ParameterNode, connectors: dict[str, Connector]):
        self._node = node
        self._connectors = connectors
        self._updating = False
        self._update_widgets()
        self._slots = {name: self._slot(name) for name in connectors}
        for name, connector in connectors.items():
            getattr(connector.widget, connector.signal).connect(self._slots[name])
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_widgets())

    def _slot(self, name: str) -> Callable:
        def changed(*_):
            if not self._updating:
                self._node.setValue(name, self._connectors[name].read())

        return changed

    def _update_widgets(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for name, connector in self._connectors.items():
                connector.write(self._node.getValue(name))
        finally:
            self._updating = False

    def release(self) -> None:
        self._node.RemoveObserver(self._tag)
        for name, connector in self._connectors.items():
            getattr(connector.widget, connector.signal).disconnect(self._slots[name])


def parameterNodeWrapper(cls: type | None = None):
    """Class decorator, with or without parentheses."""
    return _wrap(cls) if cls is not None else _wrap


def _wrap(cls: type) -> type:
    fields = _fields(cls)
    reserved = [name for name in fields if hasattr(ParameterNode, name)]
    if reserved:
        raise ValueError(f"Cannot use reserved name '{reserved[0]}' in a parameterNodeWrapper")
    members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    members |= {name: _field_property(name) for name in fields} | {"allParameters": fields}
    return type(cls.__name__, (ParameterNode, *cls.__bases__[:-1]), members)


def _field_property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def isParameterNodeWrapper(instance_or_class) -> bool:
    cls = instance_or_class if isinstance(instance_or_class, type) else type(instance_or_class)
    return issubclass(cls, ParameterNode)
