"""A connected slot is held as PythonQt holds it: unseen by the garbage collector, until it is let go."""

import gc
import sys
import weakref
from collections.abc import Callable

import ctk
import pytest
import qt
import shiboken6


class Receiver:
    """Something whose method is a slot."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def note(self, *_: object) -> None:
        self.calls.append("called")


def receiver_of(timer: qt.QTimer) -> weakref.ref[Receiver]:
    """Connect a receiver that nobody else holds."""
    receiver = Receiver()
    timer.connect("timeout()", receiver.note)
    return weakref.ref(receiver)


def is_alive(reference: weakref.ref) -> bool:
    gc.collect()
    return reference() is not None


def test_a_slot_lives_until_it_is_disconnected(wait_until: Callable[..., float]) -> None:
    timer = qt.QTimer()
    reference = receiver_of(timer)
    assert is_alive(reference)
    receiver = reference()
    assert receiver is not None
    calls = receiver.calls
    timer.start(1)
    wait_until(lambda: calls, timeout=5)
    assert timer.disconnect("timeout()", receiver.note)
    del receiver
    assert not is_alive(reference)


def delete_by_qt(timer: qt.QTimer) -> None:
    shiboken6.delete(timer)


def delete_with_parent(timer: qt.QTimer) -> None:
    parent = qt.QObject()
    timer.setParent(parent)
    shiboken6.delete(parent)


def delete_later(timer: qt.QTimer) -> None:
    timer.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete.value)


@pytest.mark.parametrize("delete", [delete_by_qt, delete_with_parent, delete_later])
def test_a_slot_lives_until_its_sender_is_deleted(delete: Callable[[qt.QTimer], None]) -> None:
    timer = qt.QTimer()
    receiver = receiver_of(timer)
    assert is_alive(receiver)
    delete(timer)
    assert not is_alive(receiver)


def test_a_slot_dies_with_a_sender_that_nobody_holds() -> None:
    timer = qt.QTimer()
    receiver = receiver_of(timer)
    del timer
    assert not is_alive(receiver)


def test_what_owns_a_timer_that_calls_it_is_never_freed() -> None:
    class Owner(Receiver):
        def __init__(self) -> None:
            super().__init__()
            self.timer = qt.QTimer()
            self.timer.connect("timeout()", self.note)

    reference = weakref.ref(Owner())
    assert is_alive(reference)
    owner = reference()
    assert owner is not None
    owner.timer.disconnect("timeout()", owner.note)
    del owner
    assert not is_alive(reference)


def test_nobody_shows_the_reference() -> None:
    timer, slot = qt.QTimer(), Receiver().note
    before = gc.get_referrers(slot)
    timer.connect("timeout()", slot)
    assert len(gc.get_referrers(slot)) == len(before)


def connect_by_signature(timer: qt.QTimer, slot: Callable) -> None:
    assert timer.connect("timeout()", slot)


def connect_by_signal(timer: qt.QTimer, slot: Callable) -> None:
    assert timer.timeout.connect(slot)


def disconnect_by_signature(timer: qt.QTimer, slot: Callable) -> bool:
    return timer.disconnect("timeout()", slot)


def disconnect_by_signal(timer: qt.QTimer, slot: Callable) -> bool:
    return timer.timeout.disconnect(slot)


def disconnect_all(timer: qt.QTimer, slot: Callable) -> bool:
    return timer.disconnect("timeout()")


@pytest.mark.parametrize("make_slot", [lambda: lambda: None, lambda: Receiver().note], ids=["function", "method"])
@pytest.mark.parametrize("connect", [connect_by_signature, connect_by_signal])
@pytest.mark.parametrize("disconnect", [disconnect_by_signature, disconnect_by_signal, disconnect_all])
def test_no_reference_is_left_after_disconnecting(make_slot: Callable, connect: Callable, disconnect: Callable) -> None:
    timer, slot = qt.QTimer(), make_slot()
    before = sys.getrefcount(slot)
    for _ in range(3):
        connect(timer, slot)
        assert sys.getrefcount(slot) > before
        assert disconnect(timer, slot)
        assert sys.getrefcount(slot) == before
        assert not disconnect(timer, slot)


@pytest.mark.parametrize("connect", [connect_by_signature, connect_by_signal])
def test_no_reference_is_left_after_the_sender(connect: Callable) -> None:
    timer, slot = qt.QTimer(), lambda: None
    before = sys.getrefcount(slot)
    connect(timer, slot)
    del timer
    assert sys.getrefcount(slot) == before


def test_each_connection_is_undone_alone() -> None:
    button, receiver = qt.QPushButton(), Receiver()
    for _ in range(2):
        button.connect("clicked()", receiver.note)
    button.click()
    assert len(receiver.calls) == 2
    assert button.disconnect("clicked()", receiver.note)
    button.click()
    assert len(receiver.calls) == 3
    assert button.disconnect("clicked()", receiver.note) and not button.disconnect("clicked()", receiver.note)


def test_other_signals_of_the_sender_stay_connected() -> None:
    button, receiver = qt.QPushButton(), Receiver()
    button.connect("clicked()", receiver.note)
    button.connect("pressed()", receiver.note)
    assert button.disconnect("pressed()")
    button.click()
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("kind", [ctk.ctkPathLineEdit, ctk.ctkSliderWidget, ctk.ctkCollapsibleButton])
def test_widgets_of_the_stand_in_do_not_hold_themselves(kind: type) -> None:
    """In Slicer they are written in C++."""
    widget = weakref.ref(kind())
    assert not is_alive(widget)
