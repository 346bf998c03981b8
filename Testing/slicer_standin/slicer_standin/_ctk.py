"""The module ``ctk``: the widgets of the Common Toolkit that scripted modules use, written anew on Qt."""

import types
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import Property, QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QPainter

from ._connections import wire
from ._pythonqt import IS_SLICER_CLASS, qt
from ._types import Widget

WIDGETS: dict[str, type] = {}
"""The widget classes of ``ctk`` and ``slicer`` by name, for the loader of ``.ui`` files."""


WidgetClass = TypeVar("WidgetClass", bound=type)


def slicer_widget(cls: WidgetClass) -> WidgetClass:
    """Class decorator: the widget can be named in a ``.ui`` file and takes no attribute it does not have."""
    WIDGETS[cls.__name__] = cls
    setattr(cls, IS_SLICER_CLASS, True)
    return cls


def qt_property(
    kind: type | str, read: Callable[[Any], Any], write: Callable[[Any, Any], None], notify: Any = None
) -> Any:
    """A Qt property of a widget. The stubs of PySide6 do not know that its value is not a ``Property``."""
    return Property(kind, read, write, notify=notify)  # type: ignore[arg-type]  # it takes names of C++ types too


def stored_property(kind: type | str, default: Any, changed: Callable[[Any], None] | None = None) -> Any:
    """A Qt property that only keeps its value; ``changed(self)`` is called after it took another one."""
    key = object()

    def read(self: Widget) -> Any:
        return self.__dict__.get("_stored", {}).get(key, default)

    def write(self: Widget, value: Any) -> None:
        if read(self) == value:
            return
        self.__dict__.setdefault("_stored", {})[key] = value
        if changed:
            changed(self)

    return qt_property(kind, read, write)


HEADER_HEIGHT = 24
NO_LIMIT = 16777215  # QWIDGETSIZE_MAX, which PySide6 does not offer


@slicer_widget
class ctkCollapsibleButton(qt.QAbstractButton):
    """A header; a click on it folds what lies below."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(arguments[-1] if arguments and isinstance(arguments[-1], qt.QWidget) else None)
        if arguments and isinstance(arguments[0], str):
            self.text = arguments[0]
        self._folded_children: list[Widget] = []
        self.setContentsMargins(2, HEADER_HEIGHT, 2, 2)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self.setMinimumHeight(HEADER_HEIGHT)
        wire(self.toggled, self._on_toggled)

    collapsed = qt_property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))
    flat = stored_property(bool, False)

    def setCollapsed(self, value: bool) -> None:
        self.collapsed = value

    def _on_toggled(self, checked: bool) -> None:
        if checked:
            self._unfold()
        else:
            self._fold()
        self.contentsCollapsed.emit(not checked)

    def _fold(self) -> None:
        children = [child for child in self.children() if isinstance(child, qt.QWidget) and child.isVisibleTo(self)]
        for child in children:
            child.hide()
            child.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
        self._folded_children += children
        self.setMaximumHeight(HEADER_HEIGHT)

    def _unfold(self) -> None:
        self.setMaximumHeight(NO_LIMIT)
        for child in self._folded_children:
            hidden_meanwhile = child.isHidden() and child.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
            child.setVisible(not hidden_meanwhile)
        self._folded_children = []

    def showEvent(self, event: QEvent) -> None:
        # a .ui file folds the group before it fills it
        if self.collapsed:
            self._fold()

    def hitButton(self, position: QPoint) -> bool:
        return position.y() < HEADER_HEIGHT

    def paintEvent(self, event: QEvent) -> None:
        painter = QPainter(self)
        header = qt.QRect(0, 0, self.width, HEADER_HEIGHT - 2)
        option = qt.QStyleOptionButton()
        option.initFrom(self)
        option.rect = header
        self.style().drawPrimitive(qt.QStyle.PE_PanelButtonCommand, option, painter, self)
        option.rect = qt.QRect(6, 0, 12, header.height())
        arrow = qt.QStyle.PE_IndicatorArrowRight if self.collapsed else qt.QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(arrow, option, painter, self)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextShowMnemonic
        painter.drawText(header.adjusted(24, 0, -4, 0), flags, self.text)
        painter.end()


@slicer_widget
class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A group box whose contents can be folded."""

    collapsed = stored_property(bool, False, changed=lambda self: self._fold())

    def _fold(self) -> None:
        self.setMaximumHeight(HEADER_HEIGHT if self.collapsed else NO_LIMIT)


@slicer_widget
class ctkPathLineEdit(qt.QWidget):
    """A line for a path, with a button that asks for it."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    Dirs, Files, Drives, Readable, Writable, Executable = 0x01, 0x02, 0x04, 0x10, 0x20, 0x40
    """QDir filters."""

    def __init__(self, parent: Widget = None) -> None:
        super().__init__(parent)
        self._line = qt.QLineEdit(self)
        self._browse = qt.QToolButton(self)
        self._browse.text = "…"
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(self._browse)
        wire(self._line.textChanged, self.currentPathChanged)
        wire(self._browse.clicked, self.browse)

    currentPath = qt_property(
        str, lambda self: self._line.text, lambda self, path: self.setCurrentPath(path), notify=currentPathChanged
    )
    filters = stored_property(int, Dirs | Files)
    nameFilters = stored_property("QStringList", [])
    label = stored_property(str, "")
    settingKey = stored_property(str, "")
    showHistoryButton = stored_property(bool, True)

    def setCurrentPath(self, path: str) -> None:
        self._line.text = path

    def addCurrentPathToHistory(self) -> None:
        """Slicer's list of earlier paths is not imitated."""

    def browse(self) -> None:
        files_only = self.filters & self.Files and not self.filters & self.Dirs
        if files_only and self.filters & self.Writable:
            path = qt.QFileDialog.getSaveFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        elif files_only:
            path = qt.QFileDialog.getOpenFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        else:
            path = qt.QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        if path:
            self.setCurrentPath(path)


@slicer_widget
class ctkDirectoryButton(qt.QWidget):
    """A button that shows a folder and asks for another one when it is clicked."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(arguments[-1] if arguments and isinstance(arguments[-1], qt.QWidget) else None)
        self._directory = arguments[0] if arguments and isinstance(arguments[0], str) else "."
        self._button = qt.QPushButton(self._directory, self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        wire(self._button.clicked, self.browse)

    directory = qt_property(
        str, lambda self: self._directory, lambda self, path: self.setDirectory(path), notify=directoryChanged
    )
    caption = stored_property(str, "")

    def setDirectory(self, path: str) -> None:
        absolute = qt.QDir(path).absolutePath()
        if absolute == self._directory:
            return
        self._directory = absolute
        self._button.text = absolute
        self.directoryChanged.emit(absolute)

    def browse(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if path:
            self.setDirectory(path)
            self.directorySelected.emit(path)


@slicer_widget
class ctkSliderWidget(qt.QWidget):
    """A slider and a spin box for one number."""

    valueChanged = Signal(float)

    STEPS = 1000

    def __init__(self, parent: Widget = None) -> None:
        super().__init__(parent)
        self._slider = qt.QSlider(Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, self.STEPS)
        self._box = qt.QDoubleSpinBox(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        wire(self._box.valueChanged, self._box_changed)
        wire(self._slider.sliderMoved, self._slider_moved)

    value = qt_property(
        float, lambda self: self._box.value, lambda self, value: self.setValue(value), notify=valueChanged
    )
    minimum = qt_property(float, lambda self: self._box.minimum, lambda self, value: self._box.setMinimum(value))
    maximum = qt_property(float, lambda self: self._box.maximum, lambda self, value: self._box.setMaximum(value))
    singleStep = qt_property(
        float, lambda self: self._box.singleStep, lambda self, value: self._box.setSingleStep(value)
    )
    decimals = qt_property(int, lambda self: self._box.decimals, lambda self, value: self._box.setDecimals(value))
    suffix = qt_property(str, lambda self: self._box.suffix, lambda self, value: self._box.setSuffix(value))
    pageStep = stored_property(float, 10.0)
    tracking = stored_property(bool, True)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)

    def _box_changed(self, value: float) -> None:
        width = self.maximum - self.minimum
        self._slider.value = round(self.STEPS * (value - self.minimum) / width) if width else 0
        self.valueChanged.emit(value)

    def _slider_moved(self, step: int) -> None:
        self.setValue(self.minimum + (self.maximum - self.minimum) * step / self.STEPS)


@slicer_widget
class ctkDoubleSpinBox(qt.QDoubleSpinBox):
    """As QDoubleSpinBox."""


@slicer_widget
class ctkCheckBox(qt.QCheckBox):
    """As QCheckBox."""


@slicer_widget
class ctkComboBox(qt.QComboBox):
    """As QComboBox."""


@slicer_widget
class ctkMenuButton(qt.QPushButton):
    """A button with a menu beside it."""


@slicer_widget
class ctkFittedTextBrowser(qt.QTextBrowser):
    """A text browser; Slicer's is as high as its text."""


@slicer_widget
class ctkMessageBox(qt.QMessageBox):
    """A message box; "do not show again" is kept, but the box is always shown."""

    dontShowAgainSettingsKey = stored_property(str, "")
    dontShowAgainVisible = stored_property(bool, False)


def make_ctk_module() -> types.ModuleType:
    ctk = types.ModuleType("ctk", "widgets of the Common Toolkit")
    for name, member in list(globals().items()):
        if name.startswith("ctk"):
            setattr(ctk, name, member)
    return ctk


ctk: Any = make_ctk_module()
