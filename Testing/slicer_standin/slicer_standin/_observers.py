"""Observers of VTK objects that belong to a widget."""

import functools
import weakref
from collections.abc import Callable

from PySide6.QtCore import SIGNAL, QObject

from ._types import VtkObject, Widget


class Observers:
    """They do not hold the widget and go when it is deleted, as those of a widget that is written in C++."""

    def __init__(self, widget: Widget) -> None:
        self._tags: list[tuple[VtkObject, int]] = []
        QObject.connect(widget, SIGNAL("destroyed()"), functools.partial(Observers.remove_all, self))

    def add(self, subject: VtkObject, event: int, method: Callable[[VtkObject, str], None]) -> None:
        """Call a method of the widget at an event of an object."""
        reference = weakref.WeakMethod(method)

        def called(caller: VtkObject, event_name: str) -> None:
            method = reference()
            if method is not None:
                method(caller, event_name)

        self._tags.append((subject, subject.AddObserver(event, called)))

    def remove_all(self) -> None:
        for subject, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags.clear()
