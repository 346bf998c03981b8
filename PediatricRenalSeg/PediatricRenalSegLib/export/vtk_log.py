"""VTK's own lines on stderr, which are not for the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from vtkmodules.vtkCommonCore import vtkLogger


@contextmanager
def quiet_vtk() -> Iterator[None]:
    """VTK says nothing; what goes wrong is for the caller to notice."""
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(verbosity)
