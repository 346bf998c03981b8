"""A headless stand-in for the Slicer application, for tests of scripted modules.

MRML (slicer-core) and Qt (PySide6) are real; the rest is written anew, see ``../README.md``. ``start`` must run
before anything imports ``qt``, ``ctk`` or a part of ``slicer`` that the wheel does not have.
"""

from .start import StandIn, start

__all__ = ["StandIn", "start"]
