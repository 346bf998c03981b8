"""How a run is doing: progress bar, one sentence, and the lines of the log."""

import traceback
from html import escape

import qt
import slicer

from . import progress

ERROR_STYLE = "background-color: #f8d7da; color: #58151c; border-radius: 3px; padding: 6px;"


class StatusPanel:
    """Shows progress, results and errors of one kind of work.

    bar, label: below the button that starts the work. log: takes the stages, and the details of errors.
    """

    def __init__(self, bar: qt.QProgressBar, label: qt.QLabel, log: qt.QPlainTextEdit) -> None:
        self._bar, self._label, self._log = bar, label, log
        self.idle()

    def busy(self, text: str) -> None:
        """Something began and does not yet say how far it is."""
        self._bar.setRange(0, 0)
        self._bar.visible = True
        self._say(text)

    def progress(self, event: dict) -> None:
        """Show a progress event of the command line."""
        percent, text = progress.describe(event)
        self._bar.setRange(0, 100)
        self._bar.value = percent
        self._say(text)
        if event["done"] == 0:
            self._log.appendPlainText(text)

    def idle(self, text: str = "") -> None:
        """Nothing runs; ``text`` says how it ended."""
        self._bar.visible = False
        self._say(text)

    def error(self, title: str, error: Exception) -> None:
        """Say what went wrong in a red box and in a dialog whose details are the last lines of the worker."""
        details = getattr(error, "details", "") or "".join(traceback.format_exception(error))
        self.idle(f"<b>{escape(title)}</b><br>{escape(str(error))}")
        self._label.styleSheet = ERROR_STYLE
        self._log.appendPlainText(details)
        slicer.util.errorDisplay(f"{title}\n\n{error}", detailedText=details)

    def _say(self, text: str) -> None:
        self._label.styleSheet = ""
        self._label.text = text
        self._label.visible = bool(text)
