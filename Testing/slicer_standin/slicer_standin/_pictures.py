"""Pictures of the module's panel, as wide as in Slicer and as high as its contents."""

from pathlib import Path

import slicer

from ._application import PANEL_WIDTH
from ._pythonqt import qt
from ._types import Widget


def screenshot(widget: Widget, path: Path, width: int = PANEL_WIDTH) -> Path:
    """Draw a widget with everything in it, parts scrolled off the window included, into a PNG file."""
    slicer.app.processEvents()
    around = qt.QSize(widget.window().size) - widget.size
    widget.window().resize(qt.QSize(width, _full_height(widget, width)) + around)
    slicer.app.processEvents()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"{path} cannot be written")
    return path


def _full_height(widget: Widget, width: int) -> int:
    if widget.hasHeightForWidth():
        return widget.heightForWidth(width)
    return max(widget.sizeHint.height(), widget.minimumSizeHint.height())
