"""Work for a worker process, with its files in a temporary folder, watched by a timer of the event loop."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import qt

from .worker import Worker, event

INTERVAL_MS = 100
"""How often a worker is looked at: seldom enough to cost nothing, often enough for a smooth bar."""

_active: set["Task"] = set()
"""Tasks under way, so that nobody has to hold them, and so that none outlives the application."""


def _nothing(*_: object) -> None:
    """In place of a callback that nobody gave, or whose time is over."""


class Task:
    """A worker that is started, watched, and followed by something.

    prepare: writes what the worker reads into the folder and returns its arguments. finish: takes the result from
    the folder when the worker succeeded; it gets the standard output too. progress: told every progress event.
    done: told at the end, with the exception or ``None``, but not after ``cancel``. All are called in the thread of
    the window. clean_up: called when the worker is no more, however it ended. The folder is removed in every case,
    and nothing in it bears a name of the patient. A task that is over holds none of the callbacks, which may hold a CT.
    """

    def __init__(
        self,
        prepare: Callable[[Path], list[str]],
        finish: Callable[[Path, str], None],
        progress: Callable[[dict], None] = _nothing,
        done: Callable[[Exception | None], None] = _nothing,
        clean_up: Callable[[], None] = _nothing,
    ) -> None:
        self._finish, self._progress, self._done, self._clean_up = finish, progress, done, clean_up
        self._folder = Path(tempfile.mkdtemp(prefix="PediatricRenalSeg-"))
        try:
            self.worker = Worker(prepare(self._folder), self._folder)
        except BaseException:
            self._remove_folder()
            raise
        self.active = True
        _active.add(self)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._look)
        self._timer.start()

    def cancel(self) -> None:
        """End the worker at once; nothing is called any more."""
        if self.active:
            self._close()

    def wait(self) -> None:
        """Block until the end, for scripts. Raises what went wrong; an interrupt ends the worker too."""
        self._timer.stop()
        try:
            while self.worker.running:
                self._tell_progress()
                time.sleep(INTERVAL_MS / 1000)
        except BaseException:
            self._close()
            raise
        error = self._end()
        if error is not None:
            raise error

    def _look(self) -> None:
        """What the timer does."""
        if not self.active:
            return
        self._tell_progress()
        if self.active and not self.worker.running:
            self._end()

    def _tell_progress(self) -> None:
        for line in self.worker.new_lines():
            values = event(line)
            if values is not None:
                self._progress(values)

    def _end(self) -> Exception | None:
        self._timer.stop()
        self._tell_progress()
        error = None
        try:
            self.worker.check()
            self._finish(self._folder, self.worker.output())
        except Exception as problem:  # whatever it is, the user is told
            error = problem
        done = self._done
        self._close()
        done(error)
        return error

    def _close(self) -> None:
        self.active = False
        _active.discard(self)
        self._timer.stop()
        # PythonQt holds a connected function where the garbage collector does not see it: this task would stay for good
        self._timer.disconnect("timeout()", self._look)
        self.worker.kill()
        self._remove_folder()
        self._clean_up()
        self._finish = self._progress = self._done = self._clean_up = _nothing

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@atexit.register
def cancel_all() -> None:
    """End all workers."""
    for task in list(_active):
        task.cancel()
