"""What the module asks for when packages are missing, and the sample child."""

import sys
from pathlib import Path

import pytest
import qt
import SampleData
import slicer
from module_under_test import TIMEOUT_S, click, erase, voxels

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import install

pytest_plugins = ["module_under_test"]


def test_pytorch_extension_missing(window, child, dialogs, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    packages.set_pytorch_extension(False)
    window.initializeParameterNode()
    assert "torch" in window.ui.summaryLabel.text
    click(window.ui.segmentButton)
    assert "extension 'PyTorch'" in dialogs.texts[0] and not window.logic.running


def test_pytorch_declined(window, child, dialogs, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    packages.torch_installed = False
    dialogs.answer("Cancel")
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    assert "PyTorch was not installed" in dialogs.texts[-1]
    assert packages.installed == [] and not window.logic.running


def test_installation_that_fails(window, child, dialogs, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    packages.torch_installed = False
    packages.installing_fails = True
    dialogs.answer("OK")
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    assert "The installation failed" in dialogs.texts[-1] and "The installation failed" in window.ui.statusLabel.text
    assert not window.logic.running and window.ui.segmentButton.enabled


def test_sample_child_and_export_install_first_too(window, result, dialogs, packages, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    packages.set_pytorch_extension(False)
    window.ui.inputHintLabel.linkActivated.emit("sample")
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    click(window.ui.exportButton)
    assert len(dialogs.texts) == 2 and all("extension 'PyTorch'" in text for text in dialogs.texts)
    assert not window.logic.running


def test_with_pytorch_nothing_is_missing(dialogs, packages):
    assert install.missing_packages() == []
    install.ensure_installed()
    assert dialogs.texts == [] and packages.installed == []


@pytest.mark.parametrize("version", ["5.10", "5.12"])
@pytest.mark.parametrize("answer", ["OK", "Cancel"])
def test_packages_are_installed_after_asking(dialogs, packages, monkeypatch, tmp_path, version, answer):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# what is needed\na-package-that-is-absent>=1.0\nnumpy>=1.0\n")
    monkeypatch.setattr(install, "REQUIREMENTS", requirements)
    packages.set_slicer_version(version)
    dialogs.answer(answer)
    if answer == "OK":
        install.ensure_installed()
        assert packages.installed == ["a-package-that-is-absent>=1.0"]
    else:
        with pytest.raises(install.NotInstalled, match="a-package-that-is-absent"):
            install.ensure_installed()
        assert packages.installed == []


@pytest.fixture
def package_missing(packages, monkeypatch, tmp_path):
    """A package that will be installed after a question."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a-package-that-is-absent>=1.0\n")
    monkeypatch.setattr(install, "REQUIREMENTS", requirements)


def test_ct_that_changes_while_packages_are_installed(window, child, dialogs, package_missing):
    """What was checked before the question need not be true after it."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")

    def move_and_agree(dialog) -> None:
        child.SetAndObserveTransformNodeID(transform.GetID())
        dialog.button(qt.QMessageBox.Ok).click()

    window.initializeParameterNode()
    dialogs.answer(move_and_agree)
    click(window.ui.segmentButton)
    assert "is moved by a transform" in dialogs.texts[-1] and not window.logic.running


def test_result_that_changes_while_packages_are_installed(window, result, child, dialogs, package_missing):
    def erase_and_agree(dialog) -> None:
        erase(result, "tumor", child)
        dialog.button(qt.QMessageBox.Ok).click()

    dialogs.answer(erase_and_agree)
    click(window.ui.segmentButton)
    assert "holds segments that were made, corrected or checked by hand" in dialogs.texts[-1]
    assert not window.logic.running and voxels(result, "tumor", child) == 0


def test_sample_child_is_offered(window):
    (source,) = slicer.modules.sampleDataSources["Pediatric Renal Segmentation"]
    assert source.sampleName == "GeneratedChild" and Path(source.thumbnailFileName).is_file()


def test_sample_data_says_what_is_missing(window, dialogs, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    packages.set_pytorch_extension(False)
    SampleData.SampleDataLogic().downloadSamples("GeneratedChild")
    assert "extension 'PyTorch'" in dialogs.texts[0]


@pytest.mark.slow
def test_sample_child_from_the_window(window, wait_until):
    window.ui.inputHintLabel.linkActivated.emit("sample")
    wait_until(lambda: not window.logic.running, 4 * TIMEOUT_S, "the child")
    node = slicer.util.getNode("GeneratedChild")
    mrml.check_ct_node(node)
    assert node.GetStorageNode() is None
    assert window._parameterNode.inputVolume is node and window.ui.segmentButton.enabled
