"""The stand-in loads a scripted module, its form and its parameter node as Slicer does."""

import importlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from slicer_standin import Dialogs, Packages, UncaughtExceptions, load_module, unload_module

EXAMPLE = Path(__file__).with_name("example") / "Example.py"


@pytest.fixture
def widget(module_widget: Callable[[Path], Any]) -> Any:
    return module_widget(EXAMPLE)


@pytest.fixture
def volume() -> Any:
    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="CT")


def click(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


# ---------------------------------------------------------------- loading


def test_a_module_is_entered_and_left(widget: Any) -> None:
    assert widget.calls == ["enter"] and widget.parent.isEntered
    slicer.util.selectModule("SegmentEditor")
    assert widget.calls == ["enter", "exit"] and not widget.parent.isEntered
    slicer.util.selectModule("Example")
    assert widget.calls == ["enter", "exit", "enter"]
    assert slicer.util.selectedModule() == "Example"


def test_a_module_is_registered_and_told_of_the_start(widget: Any) -> None:
    assert slicer.modules.example.path == str(EXAMPLE)
    assert slicer.modules.example.title == "Example"
    assert slicer.modules.ExampleInstance.started == 1
    assert slicer.util.getModuleWidget("Example") is widget
    assert slicer.modules.ExampleWidget is widget


def test_a_module_cleans_up_when_it_is_unloaded() -> None:
    load_module(EXAMPLE)
    slicer.util.selectModule("Example")
    widget = slicer.util.getModuleWidget("Example")
    unload_module("Example")
    assert widget.calls == ["enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "example")
    with pytest.raises(RuntimeError, match="deleted"):
        widget.ui.applyButton.text = "its panel is gone"


def test_the_self_test_runs(widget: Any) -> None:
    import Example

    slicer.selfTests["Example"](msec=0)
    assert Example.ExampleTest.ran


def test_reload_makes_the_panel_anew(widget: Any) -> None:
    widget.onReload()
    assert widget.calls == ["enter", "cleanup"]
    assert slicer.util.getModuleWidget("Example") is not widget
    assert slicer.util.getModuleWidget("Example").ui.applyButton is not widget.ui.applyButton


# ---------------------------------------------------------------- the form


def test_the_form_has_its_widgets_and_properties(widget: Any) -> None:
    assert isinstance(widget.ui.inputSelector, slicer.qMRMLNodeComboBox)
    assert list(widget.ui.inputSelector.nodeTypes) == ["vtkMRMLScalarVolumeNode"]
    assert widget.ui.inputSelector.noneEnabled and not widget.ui.inputSelector.addEnabled
    assert widget.ui.folderLineEdit.filters == 0x21
    assert widget.ui.advancedCollapsibleButton.collapsed


def test_the_scene_reaches_the_selector_through_the_connection_of_the_form(widget: Any) -> None:
    assert widget.ui.inputSelector.mrmlScene() is slicer.mrmlScene


def test_an_unknown_widget_class_is_an_error(tmp_path: Path) -> None:
    form = tmp_path / "form.ui"
    form.write_text('<ui version="4.0"><widget class="ctkNothing" name="n"/></ui>')
    with pytest.raises(RuntimeError, match="ctkNothing"):
        slicer.util.loadUI(str(form))


def test_a_connection_to_an_unknown_signal_is_an_error(tmp_path: Path) -> None:
    text = EXAMPLE.with_name("Resources").joinpath("UI/Example.ui").read_text()
    form = tmp_path / "form.ui"
    form.write_text(text.replace("mrmlSceneChanged(", "sceneChanged("))
    with pytest.raises(ValueError, match="no signal"):
        slicer.util.loadUI(str(form))


def test_a_folded_group_shows_its_contents_when_it_is_clicked(widget: Any) -> None:
    group, label = widget.ui.advancedCollapsibleButton, widget.ui.advancedLabel
    assert not label.visible
    QTest.mouseClick(group, Qt.MouseButton.LeftButton, pos=qt.QPoint(20, 10))
    assert not group.collapsed and label.visible
    QTest.mouseClick(group, Qt.MouseButton.LeftButton, pos=qt.QPoint(20, 40))
    assert not group.collapsed, "only the header folds"


# ---------------------------------------------------------------- dialogs and errors


def test_a_question_is_answered(widget: Any, volume: Any, dialogs: Dialogs) -> None:
    widget.parameterNode.inputVolume = volume
    dialogs.answer("No")
    click(widget.ui.applyButton)
    assert slicer.util.arrayFromVolume(volume).max() == 0
    dialogs.answer("Yes")
    click(widget.ui.applyButton)
    assert slicer.util.arrayFromVolume(volume).min() == 1
    assert dialogs.texts == ["Really?", "Really?"]


def test_an_unexpected_question_is_an_error(widget: Any, volume: Any, uncaught: UncaughtExceptions) -> None:
    widget.parameterNode.inputVolume = volume
    click(widget.ui.applyButton)
    assert "Really?" in str(uncaught.take(AssertionError))


def test_an_error_is_shown_with_its_details_and_still_raised(
    widget: Any, dialogs: Dialogs, uncaught: UncaughtExceptions
) -> None:
    click(widget.ui.failButton)
    assert dialogs.texts == ["Failed.\n\ntoo few slices"]
    assert "ValueError: too few slices" in dialogs.shown[0].details
    uncaught.take(ValueError)


def test_in_testing_mode_nothing_is_shown(widget: Any, dialogs: Dialogs, uncaught: UncaughtExceptions) -> None:
    slicer.app.setTestingEnabled(True)
    click(widget.ui.failButton)
    uncaught.take(ValueError)
    slicer.util.confirmYesNoDisplay("Really?")
    assert dialogs.shown == []


# ---------------------------------------------------------------- the parameter node


def test_widgets_follow_the_parameter_node(widget: Any, volume: Any) -> None:
    node = widget.parameterNode
    node.inputVolume, node.smoothing, node.fast, node.note = volume, 0.25, True, "hello"
    assert widget.ui.inputSelector.currentNode() is volume
    assert (widget.ui.smoothingSlider.value, widget.ui.fastCheckBox.checked) == (0.25, True)
    assert widget.ui.noteLineEdit.text == "hello"
    assert widget.ui.smoothingSlider.maximum == 1, "the range of the parameter becomes that of the slider"


def test_the_parameter_node_follows_the_widgets(widget: Any, volume: Any) -> None:
    widget.ui.inputSelector.setCurrentNode(volume)
    widget.ui.smoothingSlider.value = 0.75
    widget.ui.qualityComboBox.currentIndex = 0
    widget.ui.folderLineEdit.currentPath = "elsewhere"
    widget.ui.fastCheckBox.click()
    node = widget.parameterNode
    assert node.inputVolume is volume and widget.ui.applyButton.enabled
    assert (node.smoothing, node.fast, node.folder) == (0.75, True, Path("elsewhere"))
    assert node.quality.name == "FAST" and widget.ui.qualityComboBox.currentText == "Fast, coarse"


def test_nothing_follows_after_disconnecting(widget: Any) -> None:
    widget.parameterNode.disconnectGui(widget.guiTag)
    widget.parameterNode.note = "new"
    assert widget.ui.noteLineEdit.text == "none"
    widget.ui.noteLineEdit.text = "typed"
    assert widget.parameterNode.note == "new"
    widget.guiTag = widget.parameterNode.connectGui(widget.ui)


def test_values_are_checked(widget: Any) -> None:
    with pytest.raises(ValueError, match="range"):
        widget.parameterNode.smoothing = 2.0
    with pytest.raises(TypeError):
        widget.parameterNode.fast = 1
    with pytest.raises(TypeError):
        widget.parameterNode.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    with pytest.raises(ValueError, match="param"):
        widget.parameterNode.connectParametersToGui({"smothing": widget.ui.smoothingSlider})


def test_a_widget_that_slicer_cannot_bind_is_refused(widget: Any) -> None:
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        widget.parameterNode.connectParametersToGui({"note": widget.ui.applyButton})


def test_values_survive_in_the_scene_file(widget: Any, volume: Any, tmp_path: Path) -> None:
    node = widget.parameterNode
    node.inputVolume, node.smoothing, node.count, node.folder = volume, 0.125, 7, tmp_path
    node.quality = type(node.quality).FAST
    bundle = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(bundle))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(bundle))
    loaded = widget.logic.getParameterNode()
    assert loaded.inputVolume.GetName() == "CT" and loaded.inputVolume is not volume
    assert (loaded.smoothing, loaded.count, loaded.folder) == (0.125, 7, tmp_path)
    assert loaded.quality.name == "FAST" and loaded.fast is False


# ---------------------------------------------------------------- around


def test_a_stall_of_the_window_is_measured(wait_until: Callable[..., float]) -> None:
    done = []

    def stall() -> None:
        time.sleep(0.2)
        done.append(True)

    qt.QTimer.singleShot(50, stall)
    assert 0.2 <= wait_until(lambda: done, timeout=5) < 2.0
    assert wait_until(lambda: True, timeout=5, start=lambda: time.sleep(0.2)) >= 0.2
    with pytest.raises(TimeoutError, match="the moon"):
        wait_until(lambda: False, timeout=0.05, what="the moon")


def test_python_slicer_is_a_launcher() -> None:
    launcher = shutil.which("PythonSlicer")
    assert launcher is not None
    process = slicer.util.launchConsoleProcess([launcher, "-c", "import os; print(os.getppid())"])
    assert int(process.communicate(timeout=30)[0]) == process.pid, "the interpreter is a child of the launcher"
    assert subprocess.run([launcher, "-c", "raise SystemExit(3)"]).returncode == 3


def test_the_application_says_that_it_quits() -> None:
    calls = []
    slicer.app.connect("aboutToQuit()", lambda: calls.append("quit"))
    slicer.app.announceQuit()
    assert calls == ["quit"]


def test_packages_are_asked_for_and_never_installed(packages: Packages, dialogs: Dialogs) -> None:
    packaging = importlib.import_module("slicer.packaging")
    packages.missing = {"scikit-image"}
    dialogs.answer("Cancel")
    with pytest.raises(RuntimeError, match="declined"):
        packaging.pip_ensure("scikit-image>=0.22")
    dialogs.answer("OK")
    packaging.pip_ensure("scikit-image>=0.22", requester="Example")
    assert packages.installed == ["scikit-image>=0.22"]
    assert packaging.pip_check("scikit-image>=0.22")


def test_slicer_5_10_has_no_packaging_module(packages: Packages) -> None:
    packages.set_slicer_version("5.10")
    with pytest.raises(ImportError):
        importlib.import_module("slicer.packaging")
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 10)
    slicer.util.pip_install("scikit-image")
    assert packages.installed == ["scikit-image"]


def test_the_pytorch_extension_can_be_absent_or_without_torch(packages: Packages, dialogs: Dialogs) -> None:
    packages.set_pytorch_extension(False)
    with pytest.raises(ModuleNotFoundError):
        import PyTorchUtils
    packages.set_pytorch_extension(True)
    packages.torch_installed = False
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    dialogs.answer("Cancel")
    assert logic.installTorch(askConfirmation=True) is None and not logic.torchInstalled()
    dialogs.answer("OK")
    assert logic.installTorch(askConfirmation=True).__name__ == "torch"


def test_settings_are_empty_at_first_and_kept(tmp_path: Path) -> None:
    assert slicer.util.settingsValue("Example/Folder", "none") == "none"
    slicer.app.settings().setValue("Example/Folder", "x")
    assert slicer.util.settingsValue("Example/Folder", "none") == "x"
    assert qt.QSettings().value("Example/Folder") == "x"


def test_a_picture_of_the_panel(widget: Any, screenshot: Callable[[Any, str], Path]) -> None:
    picture = qt.QImage(str(screenshot(widget.parent, "example")))
    assert picture.width() == 460 and picture.height() > 200
