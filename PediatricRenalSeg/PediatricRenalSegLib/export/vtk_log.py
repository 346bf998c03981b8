"""VTK's own lines on stderr, which are not for the user."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from vtkmodules.vtkCommonCore import vtkLogger


@contextmanager
def quiet_vtk() -> Iterator[None]:
    """VTK says nothing while any thread is in here; what goes wrong is for the caller to notice."""
    with _lock:
        _before.append(_before[0] if _before else vtkLogger.GetCurrentVerbosityCutoff())
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        with _lock:
            verbosity = _before.pop()
            if not _before:
                vtkLogger.SetStderrVerbosity(verbosity)


_lock = Lock()
_before: list[vtkLogger.Verbosity] = []
"""What VTK said before, once for every thread that is in ``quiet_vtk``."""
