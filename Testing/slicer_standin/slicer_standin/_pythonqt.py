"""The module ``qt``: the Qt classes of PySide6 with the manners of PythonQt, through which Slicer offers Qt.

The widgets, layouts, events and signals are those of Qt. What differs between PySide6 and PythonQt, and is
bridged here:

- a Qt property is an attribute: ``button.text``, ``button.enabled = False``;
- ``button.connect("clicked(bool)", function)`` and ``button.disconnect(...)`` take the signature as text;
- a connected function is held until it is disconnected or its sender is deleted (``_connections``);
- ``object.name`` is the object name, ``object.className()`` the class name;
- ``dialog.exec_()``;
- a Qt object takes no attribute that its class does not have, so a misspelled property is an error.

PySide6 finds ``connect`` in the type's own dictionary, so its classes cannot be changed in place: every QObject
class gets one subclass here. Two such classes are not related in Python where their C++ classes are; their
metaclass answers ``isinstance`` and ``issubclass`` as if they were.
"""

import types
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, SignalInstance

from . import _connections

VIRTUAL_GETTERS = {"sizeHint", "minimumSizeHint", "text"}
"""Properties whose C++ getter is virtual in some class: they are read through that getter. Read as a property they
would call themselves, because Qt takes a Python attribute of that name for an override."""

STATIC_METHODS = {"QTimer": {"singleShot"}}
"""Properties with the name of a static method that is used far more often."""

MADE_BY_QT = {"horizontalHeader", "verticalHeader", "header", "lineEdit", "horizontalScrollBar", "verticalScrollBar"}
"""Methods that return parts made by Qt, which are of PySide6's own classes."""

IS_SLICER_CLASS = "is_slicer_class"
"""Attribute of the classes that take no attribute they do not have; classes of a module's own take any."""

NOT_IMITATED = {"QInputDialog", "QColorDialog", "QFontDialog"}
"""Their static methods would wait for a user who is not there."""


class RelatedByQt(type(QObject)):  # type: ignore[misc]  # the metaclass of PySide6 has no name
    """Metaclass: classes are related as their Qt classes are."""

    def __instancecheck__(cls, instance: object) -> bool:
        base = cls.__dict__.get("qt_class")
        return isinstance(instance, base) if base else super().__instancecheck__(instance)

    def __subclasscheck__(cls, other: type) -> bool:
        base = cls.__dict__.get("qt_class")
        return issubclass(other, base) if base else super().__subclasscheck__(other)


def connect(self: QObject, *arguments: Any) -> bool:
    """``connect(signature, function)``, or ``connect(sender, signature, function)``.

    Raises ``ValueError`` when the sender has no such signal; PythonQt only returns False.
    """
    _connections.connect(*_sender_first(self, arguments))
    return True


def disconnect(self: QObject, *arguments: Any) -> bool:
    """The reverse of ``connect``, or of all that were made with a signature; False when there was none."""
    return _connections.disconnect(*_sender_first(self, arguments))


def _sender_first(receiver: QObject, arguments: tuple) -> tuple:
    return arguments if isinstance(arguments[0], QObject) else (receiver, *arguments)


def _with_held_slots(sender: QObject, value: Any) -> Any:
    """A value; a signal as one that holds its slots."""
    return _connections.BoundSignal(sender, value) if isinstance(value, SignalInstance) else value


class PythonQtManners:
    """What every class of ``qt`` has beside its properties; mixed into the class dictionary, not inherited."""

    def className(self) -> str:
        return type(self).__name__

    def __getattribute__(self: Any, name: str) -> Any:
        get = type(self).qt_class.__getattribute__
        # PySide6 crashes here if the class has a metaclass of its own
        is_qt = not name.startswith("__") and name not in get(self, "__dict__")
        if is_qt and not shiboken6.isValid(self):
            raise RuntimeError(f"{type(self).__name__}.{name}: the Qt object was deleted")
        return _with_held_slots(self, get(self, name))

    def __setattr__(self: Any, name: str, value: Any) -> None:
        is_property = isinstance(getattr(type(self), name, None), (property, QtCore.Property))
        # PySide6 makes the named widgets of a .ui file attributes of the outermost one; so does PythonQt
        is_child = isinstance(value, QObject) and QObject.objectName(value) == name
        is_free = not type(self).__dict__.get(IS_SLICER_CLASS, False) or name.startswith("_")
        if not (is_property or is_child or is_free):
            raise AttributeError(f"{type(self).__name__} has no property {name}")
        type(self).qt_class.__setattr__(self, name, value)

    @classmethod
    def __init_subclass__(cls) -> None:
        for method in (connect, disconnect):
            setattr(cls, method.__name__, method)

    def findChildren(self: Any, kind: type = QObject, *arguments: Any, **options: Any) -> list[Any]:
        return QObject.findChildren(self, kind.__dict__.get("qt_class", kind), *arguments, **options)

    def findChild(self: Any, kind: type = QObject, *arguments: Any, **options: Any) -> Any:
        return QObject.findChild(self, kind.__dict__.get("qt_class", kind), *arguments, **options)


def pythonqt_class(qt_class: type[QObject]) -> type:
    """The subclass of a QObject class of PySide6 that has the manners of PythonQt."""
    members: dict[str, Any] = {name: _attribute(qt_class, name) for name in _property_names(qt_class)}
    members |= {name: _part_method(getattr(qt_class, name)) for name in MADE_BY_QT & set(dir(qt_class))}
    members |= {name: member for name, member in vars(PythonQtManners).items() if _is_manner(name)}
    members |= {
        "name": _attribute(qt_class, "objectName"),
        "connect": connect,
        "disconnect": disconnect,
        "qt_class": qt_class,
        IS_SLICER_CLASS: True,
        "__module__": "qt",
    }
    if hasattr(qt_class, "exec"):
        members["exec_"] = lambda self, *arguments: self.exec(*arguments)
    return RelatedByQt(qt_class.__name__, (qt_class,), members)


def _is_manner(name: str) -> bool:
    return name in {"__getattribute__", "__setattr__", "__init_subclass__"} or not name.startswith("_")


def _property_names(qt_class: type[QObject]) -> set[str]:
    meta = qt_class.staticMetaObject  # type: ignore[attr-defined]  # not in the stubs
    names = {meta.property(index).name() for index in range(meta.propertyCount())}
    for parent in qt_class.__mro__:
        names -= STATIC_METHODS.get(parent.__name__, set())
    return names


def _attribute(qt_class: type, name: str) -> property:
    def read(self: QObject) -> Any:
        return self.property(name)

    def write(self: QObject, value: Any) -> None:
        if not self.setProperty(name, value):
            raise TypeError(f"{type(self).__name__}.{name} cannot be set to {value!r}")

    return property(getattr(qt_class, name) if name in VIRTUAL_GETTERS else read, write)


def _part_method(method: Callable[[QObject], QObject | None]) -> "Callable[[QObject], Part | None]":
    def get_part(self: QObject) -> Part | None:
        part = method(self)
        return None if part is None else Part(part)  # a combo box that cannot be edited has no line

    return get_part


class Part:
    """A part of a widget that Qt has made, with its properties as attributes.

    It stands before the object, whose class cannot be changed: give Qt ``part.qt_object`` where it wants a widget.
    """

    qt_object: QObject

    def __init__(self, qt_object: QObject) -> None:
        object.__setattr__(self, "qt_object", qt_object)

    def __getattr__(self, name: str) -> Any:
        is_property = self.qt_object.metaObject().indexOfProperty(name) >= 0
        value = self.qt_object.property(name) if is_property else getattr(self.qt_object, name)
        return _with_held_slots(self.qt_object, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.qt_object.metaObject().indexOfProperty(name) < 0:
            raise AttributeError(f"{type(self.qt_object).__name__} has no property {name}")
        self.qt_object.setProperty(name, value)

    def __eq__(self, other: object) -> bool:
        return self.qt_object == getattr(other, "qt_object", other)

    __hash__ = None  # type: ignore[assignment]  # what is equal to something else has no hash


def make_qt_module() -> types.ModuleType:
    """``qt`` with every class of QtCore, QtGui and QtWidgets."""
    qt = types.ModuleType("qt", "Qt with the manners of PythonQt")
    for library in (QtCore, QtGui, QtWidgets):
        for name in dir(library):
            if name.startswith("Q") and name not in NOT_IMITATED:
                setattr(qt, name, _with_manners(getattr(library, name)))
    return qt


def _with_manners(member: Any) -> Any:
    if not (isinstance(member, type) and issubclass(member, QObject)):
        return member
    try:
        return pythonqt_class(member)
    except TypeError:  # a class that Qt does not let anyone derive from
        return member


qt: Any = make_qt_module()
