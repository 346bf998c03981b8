"""The module ``qt`` behaves as PythonQt does, and is strict where a mistake would go unnoticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import pytest
import qt
import slicer
from slicer_standin import Dialogs, UncaughtExceptions, UnexpectedDialog, _dialogs


def test_properties_are_attributes() -> None:
    button = qt.QPushButton("Segment")
    button.enabled = False
    button.toolTip = "Choose a CT"
    button.name = "applyButton"
    assert (button.text, button.enabled, button.toolTip, button.objectName) == (
        "Segment",
        False,
        "Choose a CT",
        "applyButton",
    )
    assert button.className() == "QPushButton" and not button.isEnabled()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("enable", True, AttributeError), ("clicked", print, AttributeError), ("enabled", [1], TypeError)],
)
def test_a_misspelled_or_wrong_property_is_an_error(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        setattr(qt.QPushButton("Segment"), name, value)


def test_a_subclass_takes_attributes_of_its_own() -> None:
    class Dialog(qt.QDialog):
        def __init__(self) -> None:
            super().__init__()
            self.results: list[int] = []
            self.connect("finished(int)", self.results.append)

    dialog = Dialog()
    dialog.accept()
    assert dialog.results == [1] and isinstance(dialog, qt.QWidget)


def test_signals_are_connected_by_their_signature() -> None:
    button = qt.QPushButton()
    calls: list[object] = []
    button.connect("clicked(bool)", calls.append)
    button.connect("clicked()", lambda: calls.append("no argument"))
    button.clicked.connect(lambda: calls.append("PySide"))
    button.click()
    assert calls == [False, "no argument", "PySide"]
    assert button.disconnect("clicked(bool)", calls.append)
    assert not button.disconnect("clicked(bool)", calls.append)
    button.click()
    assert len(calls) == 5


def test_an_unknown_signal_is_an_error() -> None:
    with pytest.raises(ValueError, match="no signal clicked"):
        qt.QPushButton().connect("clicked(int)", print)


def test_classes_are_related_as_in_qt() -> None:
    assert isinstance(qt.QPushButton(), qt.QWidget) and not isinstance(qt.QPushButton(), qt.QDialog)
    assert issubclass(qt.QPushButton, qt.QAbstractButton)
    assert isinstance(ctk.ctkCollapsibleButton(), qt.QWidget)


def test_children_are_found_by_class() -> None:
    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    label = qt.QLabel("x")
    layout.addWidget(label)
    assert parent.findChildren(qt.QLabel) == [label] and parent.layout() is layout


def test_virtual_getters_are_properties_too() -> None:
    """Qt itself calls them while it draws: a Python attribute must not be in its way."""
    bar = qt.QProgressBar()
    bar.maximum = 120
    bar.value = 30
    assert bar.grab().width() > 0 and bar.text == "25%"
    assert bar.sizeHint.height() > 5 and bar.minimumSizeHint.height() > 5


def test_parts_that_qt_made_have_the_manners_too() -> None:
    table = qt.QTableWidget(2, 2)
    header = table.horizontalHeader()
    header.visible = False
    assert header.isHidden() and table.horizontalHeader() == header and not table.horizontalHeader().visible
    header.setStretchLastSection(True)
    assert header.stretchLastSection and header.sizeHint.height() > 5
    with pytest.raises(AttributeError):
        header.visble = True
    box = qt.QSpinBox()
    box.value = 7
    assert box.lineEdit().text == "7"


def test_timers_run(wait_until: Callable[..., float]) -> None:
    calls = []
    qt.QTimer.singleShot(0, lambda: calls.append("once"))
    timer = qt.QTimer()
    timer.interval = 1
    timer.connect("timeout()", lambda: calls.append("again"))
    timer.start()
    wait_until(lambda: calls.count("again") >= 3, timeout=5)
    timer.stop()
    assert calls.count("once") == 1 and not timer.active


def test_a_process_runs(wait_until: Callable[..., float], tmp_path: Path) -> None:
    import sys

    process, codes = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: codes.append(code))
    process.start(sys.executable, ["-c", "print('done')"])
    wait_until(lambda: codes, timeout=30)
    assert codes == [0] and bytes(process.readAllStandardOutput()).strip() == b"done"


def test_an_exception_in_a_slot_is_noticed(uncaught: UncaughtExceptions) -> None:
    def fail() -> None:
        raise KeyError("lost")

    button = qt.QPushButton()
    button.clicked.connect(fail)
    button.click()
    uncaught.take(KeyError)


def test_an_exception_in_an_observer_is_noticed(uncaught: UncaughtExceptions) -> None:
    def fail(caller: Any, event: str) -> None:
        raise KeyError("lost")

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.AddObserver("ModifiedEvent", fail)
    node.Modified()
    uncaught.take(KeyError)


def test_a_folder_is_asked_for(dialogs: Dialogs, tmp_path: Path) -> None:
    line = ctk.ctkPathLineEdit()
    paths: list[str] = []
    line.filters = ctk.ctkPathLineEdit.Dirs
    line.connect("currentPathChanged(QString)", paths.append)
    dialogs.answer(tmp_path)
    line.findChild(qt.QToolButton).click()
    assert paths == [str(tmp_path)] and line.currentPath == str(tmp_path)
    dialogs.answer("")
    line.findChild(qt.QToolButton).click()
    assert Path(line.currentPath) == tmp_path, "cancelled: unchanged"


def test_a_message_with_buttons_of_its_own(dialogs: Dialogs) -> None:
    box = qt.QMessageBox()
    box.text = "There is a result."
    replace = box.addButton("Replace", qt.QMessageBox.AcceptRole)
    box.addButton("Keep both", qt.QMessageBox.RejectRole)
    dialogs.answer("Replace")
    box.exec_()
    assert box.clickedButton() is replace
    assert dialogs.shown[0].buttons == ("Replace", "Keep both")


def test_an_answer_that_leaves_the_dialog_open_is_an_error(dialogs: Dialogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dialogs, "LONGEST_MS", 50)
    box = qt.QMessageBox(qt.QMessageBox.Question, "Title", "Sure?", qt.QMessageBox.Yes | qt.QMessageBox.No)
    dialogs.answer(lambda dialog: None)
    with pytest.raises(UnexpectedDialog, match="did not close"):
        box.exec_()


def test_static_questions(dialogs: Dialogs) -> None:
    dialogs.answer("No")
    assert qt.QMessageBox.question(None, "Title", "Sure?") == qt.QMessageBox.No
    qt.QMessageBox.warning(None, "Title", "Careful")
    assert dialogs.texts == ["Sure?", "Careful"]
    dialogs.answer("scan.nii.gz")
    assert qt.QFileDialog.getOpenFileName(None, "Open") == "scan.nii.gz"
