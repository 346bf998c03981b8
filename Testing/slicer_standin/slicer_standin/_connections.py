"""Connections of signals to slots, with the manners of PythonQt: a slot is held until it is disconnected.

PySide6 lets go of the object whose method is a slot. PythonQt holds it, by a reference that Python's garbage collector
cannot see, until the slot is disconnected or the sender is deleted. So an object that owns a timer and has connected
it to a method of its own is never freed, nor is anything that it holds.
"""

import ctypes
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import shiboken6
from PySide6.QtCore import SIGNAL, QMetaObject, QObject, SignalInstance

Slot = Callable[..., object]

MRML_POINTER = re.compile(r"\b(?:vtk|qMRML)\w*\s*\*")
"""An MRML or VTK object in a signature: a Python object for PySide6."""

SIGNATURE = re.compile(r"\w+\(.*\)")
"""A signal's own signature, which PySide6 tells only in the text of the object."""


class HeldSlot:
    """One strong reference to a slot, counted but shown by no object, as one that C++ holds."""

    def __init__(self, slot: Slot) -> None:
        self._address = id(slot)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(slot))

    @property
    def slot(self) -> Slot:
        return ctypes.cast(self._address, ctypes.py_object).value

    def release(self) -> None:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self.slot))


@dataclass(frozen=True, eq=False)
class Connection:
    """One slot connected to one signal."""

    signature: str
    held: HeldSlot
    handle: QMetaObject.Connection


_connections: dict[int, list[Connection]] = {}
"""By the address of the sender in C++: a reference to its Python object would keep that alive."""


def connect(sender: QObject, signature: str, slot: Slot) -> None:
    """Connect a slot and hold it. Raises ``ValueError`` when the sender has no such signal."""
    signature = known_signal(sender, signature)
    _hold(sender, signature, slot, QObject.connect(sender, SIGNAL(signature), slot))


def disconnect(sender: QObject, signature: str, slot: Slot | None = None) -> bool:
    """Disconnect and release a slot, or all slots of a signal; False when there was none."""
    signature = known_signal(sender, signature)
    connections = _connections.get(_address(sender), [])
    fitting = [one for one in connections if one.signature == signature]
    if slot is not None:
        fitting = [one for one in fitting if one.held.slot == slot][:1]
    for connection in fitting:
        connections.remove(connection)
        QObject.disconnect(connection.handle)
        connection.held.release()
    return bool(fitting)


def known_signal(sender: QObject, signature: str) -> str:
    """The signature as Qt writes it. Raises ``ValueError`` when the sender has no such signal."""
    plain = MRML_POINTER.sub("PyObject", signature)
    normalized = QMetaObject.normalizedSignature(plain).toStdString()  # type: ignore[arg-type]  # text, not bytes
    if sender.metaObject().indexOfSignal(normalized) < 0:
        raise ValueError(f"{type(sender).__name__} has no signal {signature}")
    return normalized


def _hold(sender: QObject, signature: str, slot: Slot, handle: QMetaObject.Connection) -> None:
    address = _address(sender)
    if address not in _connections:
        _connections[address] = []
        QObject.connect(sender, SIGNAL("destroyed()"), functools.partial(_release_all, address))
    _connections[address].append(Connection(signature, HeldSlot(slot), handle))


def _release_all(address: int) -> None:
    for connection in _connections.pop(address):
        connection.held.release()


def _address(sender: QObject) -> int:
    return shiboken6.getCppPointer(sender)[0]


class BoundSignal:
    """A signal of an object, such as ``button.clicked``; ``qt_signal`` is that of PySide6."""

    def __init__(self, sender: QObject, qt_signal: SignalInstance) -> None:
        self.qt_signal = qt_signal
        self._sender = sender

    def __getitem__(self, argument_types: type) -> "BoundSignal":
        overload = self.qt_signal[argument_types]  # type: ignore[index]  # overloads are not in the stubs
        return BoundSignal(self._sender, overload)

    def connect(self, slot: Slot) -> bool:
        _hold(self._sender, self._signature, slot, self.qt_signal.connect(slot))
        return True

    def disconnect(self, slot: Slot | None = None) -> bool:
        return disconnect(self._sender, self._signature, slot)

    def emit(self, *values: object) -> None:
        self.qt_signal.emit(*values)

    @property
    def _signature(self) -> str:
        match = SIGNATURE.search(str(self.qt_signal))
        assert match, f"PySide6 writes signals in another way: {self.qt_signal}"
        return match.group()


def wire(signal: BoundSignal | SignalInstance, slot: Slot | BoundSignal | SignalInstance) -> None:
    """Connect a signal within a widget, as Slicer's widgets do in C++: nothing is held."""
    _of_qt(signal).connect(_of_qt(slot))


def _of_qt(signal_or_slot: Any) -> Any:
    return signal_or_slot.qt_signal if isinstance(signal_or_slot, BoundSignal) else signal_or_slot
