"""Modal dialogs, answered by the test.

A dialog of the module is the real one: it is shown, and its event loop runs. Only the click is the test's, set
beforehand with ``dialogs.answer``. A message with a single button needs no answer. A question without an answer
is an error, never a wait.
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtWidgets import QMessageBox

from ._pythonqt import qt
from ._types import Widget

LONGEST_MS = 10_000
"""A dialog that its answer has not closed by then is an error."""

Answer = str | os.PathLike | Callable
"""Text of the button to press; path for a file dialog ("" cancels it); or a function that is given the dialog."""


@dataclass(frozen=True)
class ShownDialog:
    """What the user would have seen."""

    title: str
    text: str = ""
    details: str = ""
    buttons: tuple[str, ...] = ()


class UnexpectedDialog(AssertionError):
    """The module asked what the test did not expect."""


class Dialogs:
    """The dialogs that a test has seen, and the answers it gives."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.shown: list[ShownDialog] = []
        self._answers: deque[Answer] = deque()

    def answer(self, *answers: Answer) -> None:
        """Answer the next dialogs that need an answer, in this order."""
        self._answers.extend(answers)

    @property
    def unused_answers(self) -> list[Answer]:
        return list(self._answers)

    @property
    def texts(self) -> list[str]:
        return [dialog.text for dialog in self.shown]

    def run(self, dialog: Widget) -> int:
        """Show a modal dialog, answer it, and return its result."""
        shown = _describe(dialog)
        self.shown.append(shown)
        respond = self._response(dialog, shown)
        qt.QTimer.singleShot(0, respond)
        # slicer.util calls deleteLater before it shows a dialog. Slicer's event loop runs already and waits until
        # the dialog is closed; a test runs outside of any event loop, and the dialog would vanish at once.
        qt.QCoreApplication.removePostedEvents(dialog, qt.QEvent.DeferredDelete.value)
        given_up = []

        def give_up() -> None:
            given_up.append(True)
            dialog.reject()

        guard = qt.QTimer()
        guard.setSingleShot(True)
        guard.timeout.connect(give_up)
        guard.start(LONGEST_MS)
        result = type(dialog).qt_class.exec(dialog)
        guard.stop()
        if given_up:
            raise UnexpectedDialog(f"the answer did not close {shown}")
        return result

    def _response(self, dialog: Widget, shown: ShownDialog) -> Callable[[], None]:
        buttons = _buttons(dialog)
        if isinstance(dialog, qt.QMessageBox) and len(shown.buttons) == 1:
            return buttons[shown.buttons[0]].click
        answer = self._next_answer(shown)
        if callable(answer):
            return lambda: answer(dialog)
        if answer not in buttons:
            raise UnexpectedDialog(f"no button {answer!r} in {shown}")
        return buttons[answer].click

    def path(self, title: str) -> str:
        """Answer to a file dialog."""
        shown = ShownDialog(title)
        self.shown.append(shown)
        answer = self._next_answer(shown)
        if not isinstance(answer, str | os.PathLike):
            raise UnexpectedDialog(f"the answer to {shown} is no path")
        return os.fspath(answer)

    def _next_answer(self, shown: ShownDialog) -> Answer:
        if not self._answers:
            raise UnexpectedDialog(f"the test has no answer to {shown}")
        return self._answers.popleft()


def _describe(dialog: Widget) -> ShownDialog:
    buttons = tuple(_buttons(dialog))
    if isinstance(dialog, qt.QMessageBox):
        return ShownDialog(dialog.windowTitle.strip(), dialog.text, dialog.detailedText, buttons)
    return ShownDialog(dialog.windowTitle.strip(), buttons=buttons)


def _buttons(dialog: Widget) -> dict[str, Widget]:
    """The buttons of a dialog by their text, without the mark of the shortcut."""
    buttons = dialog.buttons() if isinstance(dialog, qt.QMessageBox) else dialog.findChildren(qt.QAbstractButton)
    texts = ((qt.QAbstractButton.qt_class.text(button).replace("&", ""), button) for button in buttons)
    # the button that unfolds the details of a message is no answer
    return {text: button for text, button in texts if text and text not in {"Show Details...", "Hide Details..."}}


def _message_function(icon: QMessageBox.Icon, default_buttons: QMessageBox.StandardButton) -> staticmethod:
    """A static function of QMessageBox such as ``question(parent, title, text, buttons)``."""

    def show(
        parent: Widget,
        title: str,
        text: str,
        buttons: QMessageBox.StandardButton = default_buttons,
        defaultButton: QMessageBox.StandardButton | None = None,
    ) -> QMessageBox.StandardButton:
        box = qt.QMessageBox(icon, title, text, buttons, parent)
        return qt.QMessageBox.StandardButton(box.exec_())

    return staticmethod(show)


def _path_function(dialogs: Dialogs, default_title: str) -> staticmethod:
    """A static function of QFileDialog: in PythonQt it returns the path alone."""

    def ask(parent: Widget = None, title: str = "", *arguments: object, **options: object) -> str:
        return dialogs.path(title or default_title)

    return staticmethod(ask)


def take_over_modal_dialogs(ctk: Any) -> Dialogs:
    """Send every modal dialog of ``qt`` and ``ctk`` to a ``Dialogs``, and return that."""
    dialogs = Dialogs()
    for namespace in (qt, ctk):
        for member in vars(namespace).values():
            if isinstance(member, type) and issubclass(member, qt.QDialog.qt_class):
                for name in ("exec", "exec_"):
                    setattr(member, name, lambda self: dialogs.run(self))
    box = qt.QMessageBox
    box.question = _message_function(box.Question, box.Yes | box.No)
    box.information = _message_function(box.Information, box.Ok)
    box.warning = _message_function(box.Warning, box.Ok)
    box.critical = _message_function(box.Critical, box.Ok)
    qt.QFileDialog.getExistingDirectory = _path_function(dialogs, "Choose a folder")
    qt.QFileDialog.getOpenFileName = _path_function(dialogs, "Open a file")
    qt.QFileDialog.getSaveFileName = _path_function(dialogs, "Save as")
    return dialogs
