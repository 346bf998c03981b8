"""One call of the command line, as a process tree of its own that is looked at and never waited for.

The worker writes to two files, and ``poll`` reads what is new in them. So no pipe can fill up and block the worker,
and no thread is needed to drain one: in Slicer, Python threads stand still while the event loop waits.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from slicer.i18n import tr as _

LIBRARY_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that holds the package ``PediatricRenalSegLib``."""

MODULE = "PediatricRenalSegLib.cli"
DONE, WRONG_INPUT = 0, 2
"""Exit codes of the command line."""

FIRST_KILLED = 128
"""Launchers and Windows give codes from here on to what was ended from outside; POSIX gives negative ones."""

PREFIX = "pediatric-renal-seg: "
"""What the command line writes before the sentence that says why it stopped."""

DETAIL_LINES = 50
LOWER_PRIORITY = 5
"""Niceness of the worker: the window stays quick when the network takes all cores."""


class WorkerError(RuntimeError):
    """The worker did not succeed; the message is one sentence, ``details`` are its last lines."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.details = details


class Worker:
    """A running call of the command line.

    arguments: those of the command line. folder: an existing folder for the two files.
    """

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._events_path, self._log_path = folder / "events.txt", folder / "log.txt"
        with self._events_path.open("wb") as events, self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [python_executable(), "-m", MODULE, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=log,
                env=_environment(),
                **_own_process_tree(),
            )
        if sys.platform != "win32":
            os.setpriority(os.PRIO_PGRP, self._process.pid, LOWER_PRIORITY)
        self._read = 0

    @property
    def pid(self) -> int:
        """Of the process, and on POSIX of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def new_lines(self) -> list[str]:
        """Complete lines of the standard output that were not given before."""
        with self._events_path.open("rb") as file:
            file.seek(self._read)
            complete, newline, _rest = file.read().rpartition(b"\n")
        self._read += len(complete) + len(newline)
        return complete.decode("utf-8", "replace").splitlines()

    def output(self) -> str:
        """All of the standard output."""
        return self._events_path.read_text(encoding="utf-8", errors="replace")

    def log(self) -> str:
        """The last lines of the standard error."""
        text = self._log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-DETAIL_LINES:])

    def check(self) -> None:
        """Raise ``WorkerError`` if the process, which must have ended, did not succeed."""
        code, log = self._process.returncode, self.log()
        if code == DONE:
            return
        sentences = [line.removeprefix(PREFIX) for line in log.splitlines() if line.startswith(PREFIX)]
        if code == WRONG_INPUT and sentences:
            raise WorkerError(sentences[-1], log)
        if 0 < code < FIRST_KILLED and "memory" not in log.lower():
            raise WorkerError(_("The program stopped because of an error in it: please report the details."), log)
        raise WorkerError(
            _("The program was stopped, perhaps because memory ran out: close other programs and try again."), log
        )

    def kill(self) -> None:
        """End the whole process tree now. ``PythonSlicer`` is a launcher: ending it alone would leave the worker."""
        if sys.platform != "win32":
            # it has ended, and all its children too; macOS calls that a lack of permission
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self.running:
            command = ["taskkill", "/T", "/F", "/PID", str(self._process.pid)]
            subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
        self._process.wait()


def event(line: str) -> dict | None:
    """The progress event in a line of ``--progress json``, or ``None``."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "stage" in values else None


def python_executable() -> str:
    """Slicer's Python, or the one that runs this where there is no Slicer."""
    return shutil.which("PythonSlicer") or sys.executable


def _environment() -> dict[str, str]:
    """The worker's; Slicer's own stays as it is."""
    path = os.pathsep.join(filter(None, [str(LIBRARY_FOLDER), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def _own_process_tree() -> dict:
    if sys.platform != "win32":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
