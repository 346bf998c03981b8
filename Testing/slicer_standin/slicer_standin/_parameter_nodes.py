"""``slicer.parameterNodeWrapper``: typed fields kept in a ``vtkMRMLScriptedModuleNode``, bound to widgets.

Written anew after Slicer's documentation (Parameter Node Wrapper, Slicer developer guide). Values are stored in
the same form, so a scene saved here reads the same in Slicer. Fields may be MRML nodes, ``str``, ``int``,
``float``, ``bool``, ``pathlib.Path`` and ``enum.Enum``; lists, dictionaries, unions and parameter packs are not
imitated and are refused when the class is made. As in Slicer, a widget class is bound only if it is exactly one
of those in ``_widget_connectors.CONNECTORS``.
"""

import typing
from collections.abc import Callable
from typing import Any

import vtk

from ._parameter_fields import Choice, Default, Field, Maximum, Minimum, WithinRange, fields_of
from ._pythonqt import qt
from ._types import Node, Widget
from ._widget_connectors import Connector, connector_of

__all__ = ["parameterNodeWrapper", "isParameterNodeWrapper", "Default", "WithinRange", "Minimum", "Maximum", "Choice"]


class ParameterNode:
    """What a wrapped class can do."""

    allParameters: typing.ClassVar[dict[str, Field]] = {}

    def __init__(self, parameterNode: Node, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("the stand-in has no prefixes of parameters")
        self.parameterNode = parameterNode
        self._bindings: dict[int, Binding] = {}
        for name, field in self.allParameters.items():
            if not parameterNode.HasParameter(name):
                field.write(parameterNode, field.default)

    def getValue(self, name: str) -> Any:
        return _known(self, name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        _known(self, name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(_known(self, name).default)

    def connectGui(self, gui: Any) -> int:
        """Bind the widgets of a form that have the dynamic property ``SlicerParameterName``."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = ((widget.property("SlicerParameterName"), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, widgets: dict[str, Widget]) -> int:
        connectors = {name: connector_of(widget, _known(self, name)) for name, widget in widgets.items()}
        tag = len(self._bindings)
        self._bindings[tag] = Binding(self, connectors)
        return tag

    def disconnectGui(self, tag: int) -> None:
        binding = self._bindings.pop(tag, None)
        if binding:
            binding.release()

    def AddObserver(self, event: int | str, callback: Callable, priority: float = 0.0) -> int:
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

    def __init__(self, node: ParameterNode, connectors: dict[str, Connector]) -> None:
        self._node = node
        self._connectors = connectors
        self._updating = False
        self._update_widgets()
        self._slots = {name: self._slot(name) for name in connectors}
        for name, connector in connectors.items():
            getattr(connector.widget, connector.signal).connect(self._slots[name])
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_widgets())

    def _slot(self, name: str) -> Callable[..., None]:
        def changed(*_: object) -> None:
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


def parameterNodeWrapper(cls: type | None = None) -> type | Callable[[type], type]:
    """Class decorator, with or without parentheses."""
    return _wrap(cls) if cls is not None else _wrap


def _wrap(cls: type) -> type:
    fields = fields_of(cls)
    reserved = [name for name in fields if hasattr(ParameterNode, name)]
    if reserved:
        raise ValueError(f"Cannot use reserved name '{reserved[0]}' in a parameterNodeWrapper")
    members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    members |= {name: _field_property(name) for name in fields} | {"allParameters": fields}
    return type(cls.__name__, (ParameterNode, *cls.__bases__[:-1]), members)


def _field_property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def isParameterNodeWrapper(instance_or_class: object) -> bool:
    cls = instance_or_class if isinstance(instance_or_class, type) else type(instance_or_class)
    return issubclass(cls, ParameterNode)
