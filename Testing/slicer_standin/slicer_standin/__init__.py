"""A headless stand-in for the Slicer application, for tests of scripted modules; see ``../README.md``.

MRML (slicer-core) and Qt (PySide6) are real; the rest is written anew. ``start`` must run before anything imports
``qt``, ``ctk`` or a part of ``slicer`` that the wheel does not have. What is not named here or in ``fixtures`` is
nobody's business outside.
"""

from ._dialogs import Dialogs, UnexpectedDialog
from ._event_loop import wait_until
from ._packages import Packages
from ._pictures import screenshot
from ._scripted_module import load_module, unload_module
from ._start import StandIn, start
from ._uncaught import UncaughtExceptions

__all__ = [
    "Dialogs",
    "Packages",
    "StandIn",
    "UncaughtExceptions",
    "UnexpectedDialog",
    "load_module",
    "screenshot",
    "start",
    "unload_module",
    "wait_until",
]
