"""The window, driven as a user does: real widget, real worker process, real model on a small generated child."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SampleData
import SimpleITK as sitk
import slicer
import vtk
from module_under_test import MODULE, SEGMENT_IDS, TIMEOUT_S
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from vtk.util.numpy_support import vtk_to_numpy

from PediatricRenalSegLib import model_bundle, mrml
from PediatricRenalSegLib.slicer_module import install, results

pytest_plugins = ["module_under_test"]

MODEL = MODULE.parent / "Resources" / "Models" / "stn-unet-v1.pt"
CANCEL_S = 2.0
LONGEST_GAP_S = 0.5
"""A window that waits for its worker stands still for seconds. How short the gaps are on a quiet machine is measured in
``Testing/benchmarks/slicer_module.py``."""
MILLILITERS, MILLIMETERS = 1, 2
"""Columns of the table."""


@pytest.fixture
def run(window, wait_until):
    """Click Segment and wait for the result and its measurements.

    Returns the longest time in seconds between two events while the worker ran.
    """

    def run_once() -> float:
        click(window.ui.segmentButton)
        worker = window.logic._task.worker
        gap = wait_until(lambda: not worker.running, TIMEOUT_S, "the end of the worker")
        wait_until(lambda: not window.logic.running, TIMEOUT_S, "the result")
        wait_until(lambda: "ml" in cell(window, 0, MILLILITERS), TIMEOUT_S, "the measurements")
        return gap

    return run_once


@pytest.fixture
def started(window, child):
    """The window just after the click on Segment."""
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    return window


@pytest.fixture
def running(started, wait_until):
    """The window while the network is at its slices."""
    wait_until(lambda: "s left" in started.ui.statusLabel.text, TIMEOUT_S, "the first slices")
    return started


@pytest.fixture
def result(window, child_segmentation, wait_until):
    """The segmentation of a run, shown for review."""
    window.initializeParameterNode()
    window._parameterNode.outputSegmentation = child_segmentation
    for section in (window.ui.reviewCollapsibleButton, window.ui.exportCollapsibleButton):
        section.collapsed = False
    wait_until(lambda: "ml" in cell(window, 0, MILLILITERS), TIMEOUT_S, "the measurements")
    return child_segmentation


def click(button) -> None:
    assert button.enabled and button.isVisible()
    QTest.mouseClick(button, Qt.LeftButton)


def cell(window, row: int, column: int) -> str:
    return window.ui.reviewTable.item(row, column).text()


def nodes_in_scene() -> list[str]:
    """What the user would notice: names of all nodes but those of the views."""
    scene = slicer.mrmlScene
    return sorted(scene.GetNthNode(i).GetName() or "" for i in range(scene.GetNumberOfNodes()))


def processes_of(group: int) -> list[int]:
    """The processes of a worker's tree, without those that have ended and wait to be collected."""
    table = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in table.splitlines())
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]


def assert_ended(group: int) -> None:
    """The whole tree ends in time; a killed process takes a moment to give its memory back."""
    deadline = time.monotonic() + CANCEL_S
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of(group) == []


def worker_folders() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("PediatricRenalSeg-*")}


def erase(node, segment_id: str, volume) -> None:
    """What erasing a whole segment in the Segment Editor does to the scene."""
    empty = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node, segment_id, volume)


def voxels(node, segment_id: str, volume) -> int:
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).sum())


# Before a run


def test_without_a_volume_the_window_says_so(window, screenshot):
    assert not window.ui.segmentButton.enabled
    assert "No CT is chosen" in window.ui.summaryLabel.text
    for hint in (window.ui.reviewHintLabel, window.ui.exportHintLabel):
        assert "No result yet" in hint.text
    assert not window.ui.exportButton.enabled and not window.ui.reviewTable.enabled
    screenshot(window.parent, "empty")


def test_first_volume_is_chosen_and_can_be_segmented(window, child):
    window.initializeParameterNode()
    assert window.ui.inputSelector.currentNode() is child
    assert window.ui.segmentButton.enabled


def test_transformed_volume_is_refused_until_it_is_hardened(window, child):
    window.initializeParameterNode()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    child.SetAndObserveTransformNodeID(transform.GetID())
    window._update()
    assert not window.ui.segmentButton.enabled
    assert "harden the transform" in window.ui.summaryLabel.text
    assert "harden the transform" in window.ui.segmentButton.toolTip


def test_model_is_described_in_plain_words(window, child, screenshot):
    window.initializeParameterNode()
    window.ui.modelCollapsibleButton.collapsed = False
    for words in ("CC BY 4.0", "Trained on", "generated children", "Limits", "Dice"):
        assert words in window.ui.modelInfoLabel.text
    assert not window.ui.modelPathLineEdit.visible
    screenshot(window.parent, "model")


def test_device_line_names_device_and_memory(window, child, wait_until, screenshot):
    window.initializeParameterNode()
    wait_until(lambda: "Runs on:" in window.ui.summaryLabel.text, TIMEOUT_S, "the device")
    assert "GB of memory free" in window.ui.summaryLabel.text
    screenshot(window.parent, "idle")
    if sys.platform != "darwin":
        window.ui.deviceComboBox.currentText = "Apple GPU"
        assert "no device of the kind that is chosen (Apple GPU)" in window.ui.summaryLabel.text
        assert not window.ui.segmentButton.enabled


def test_first_volume_that_can_be_a_ct_is_chosen(window):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    window.initializeParameterNode()
    assert window._parameterNode.inputVolume is None
    ct = mrml.add_ct_node(slicer.mrmlScene, sitk.Image([8, 8, 8], sitk.sitkInt16), "CT")
    window.initializeParameterNode()
    assert window._parameterNode.inputVolume is ct


def test_model_of_another_installation(window, child):
    """A scene may name a model that this version does not have."""
    window.initializeParameterNode()
    window._parameterNode.model = "stn-unet-v0"
    assert 'There is no model "stn-unet-v0" here' in window.ui.segmentButton.toolTip
    assert not window.ui.segmentButton.enabled
    window.ui.modelComboBox.currentIndex = 0
    assert window.ui.segmentButton.enabled and window._parameterNode.model == "stn-unet-v1"


# A run


def test_segment(window, child, run, screenshot):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(child), study)
    window.initializeParameterNode()
    gap = run()
    node = window._parameterNode.outputSegmentation
    assert list(node.GetSegmentation().GetSegmentIDs()) == SEGMENT_IDS
    assert gap < LONGEST_GAP_S
    assert window.ui.segmentButton.text == "Segment" and not window.ui.progressBar.visible
    assert [float(cell(window, row, MILLILITERS).split()[0]) > 20 for row in range(3)] == [True] * 3
    assert [cell(window, row, MILLIMETERS).endswith(" mm") for row in range(3)] == [True] * 3
    assert node.GetDisplayNode().GetVisibility2D() and node.GetDisplayNode().GetVisibility3D()
    assert all(node.GetClosedSurfaceInternalRepresentation(name).GetNumberOfPoints() > 100 for name in SEGMENT_IDS)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {layer.GetBackgroundVolumeID() for layer in layers} == {child.GetID()}
    assert "Making surfaces" in window.ui.logTextEdit.toPlainText()
    screenshot(window.parent, "done")


def test_cancel_half_way(running, screenshot):
    screenshot(running.parent, "running")
    group, before = running.logic._task.worker.pid, nodes_in_scene()
    assert len(processes_of(group)) >= 2, "the launcher and the worker"
    assert running.ui.segmentButton.text == "Cancel"
    started = time.monotonic()
    click(running.ui.segmentButton)
    assert time.monotonic() - started < LONGEST_GAP_S
    assert_ended(group)
    assert nodes_in_scene() == before
    assert not running.logic.running and running.ui.segmentButton.text == "Segment"
    assert running.ui.statusLabel.text.startswith("Cancelled")


def test_worker_killed_from_outside(running, wait_until, dialogs, screenshot):
    before = nodes_in_scene()
    launcher, *work = sorted(processes_of(running.logic._task.worker.pid))
    for process in work:
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not running.logic.running, TIMEOUT_S)
    assert len(dialogs.shown) == 1 and "The program was stopped, perhaps" in dialogs.texts[0]
    assert "The program was stopped, perhaps" in running.ui.statusLabel.text and running.ui.statusLabel.styleSheet
    assert nodes_in_scene() == before and running.ui.segmentButton.enabled
    screenshot(running.parent, "error")


@pytest.mark.slow
def test_volume_that_is_no_ct(window, child, wait_until, dialogs):
    """The worker's sentence reaches the user with the name of the volume, and its log is in the details."""
    slicer.util.updateVolumeFromArray(child, np.abs(slicer.util.arrayFromVolume(child)))
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    wait_until(lambda: not window.logic.running, TIMEOUT_S)
    assert '"Child" is not a CT in Hounsfield units' in dialogs.texts[0]
    assert "pediatric-renal-seg:" in dialogs.shown[0].details
    assert window._parameterNode.outputSegmentation is None


@pytest.mark.slow
def test_model_file_that_is_corrupt(window, child, wait_until, dialogs, tmp_path):
    """What can be seen without PyTorch is said at once; what only loading shows comes from the worker."""
    window.initializeParameterNode()
    window.ui.modelComboBox.currentIndex = window.ui.modelComboBox.count - 1
    window.ui.modelCollapsibleButton.collapsed = False
    assert window.ui.modelPathLineEdit.visible and "Choose the model file" in window.ui.summaryLabel.text
    no_model, hollow = tmp_path / "text.pt", tmp_path / "hollow.pt"
    no_model.write_bytes(b"not a model")
    window.ui.modelPathLineEdit.currentPath = str(no_model)
    assert "text.pt is not a TorchScript model" in window.ui.modelInfoLabel.text
    assert "text.pt is not a TorchScript model" in window.ui.summaryLabel.text and not window.ui.segmentButton.enabled
    with zipfile.ZipFile(MODEL) as model, zipfile.ZipFile(hollow, "w") as copy:
        (metadata,) = [name for name in model.namelist() if name.endswith("/extra/metadata.json")]
        copy.writestr(metadata, model.read(metadata))
    window.ui.modelPathLineEdit.currentPath = str(hollow)
    click(window.ui.segmentButton)
    wait_until(lambda: not window.logic.running, TIMEOUT_S)
    assert "hollow.pt is not a TorchScript model" in dialogs.texts[0]


def test_window_opens_with_a_damaged_model(monkeypatch, tmp_path, child, module_widget):
    (tmp_path / "catalogue.json").write_text((MODEL.parent / "catalogue.json").read_text())
    (tmp_path / MODEL.name).write_bytes(b"not a model")
    monkeypatch.setattr(model_bundle, "MODELS_FOLDER", tmp_path)
    window = module_widget(MODULE)
    assert f"{MODEL.name} is not a TorchScript model" in window.ui.summaryLabel.text


def test_scene_closed_during_a_run(started):
    group = started.logic._task.worker.pid
    slicer.mrmlScene.Clear()
    assert not started.logic.running
    assert_ended(group)
    slicer.app.processEvents()
    assert started._parameterNode.inputVolume is None and not started.ui.segmentButton.enabled
    assert started.ui.segmentButton.text == "Segment" and not started.ui.progressBar.visible


@pytest.mark.slow
def test_other_module_during_a_run(started, wait_until):
    """The run goes on, the result is there on return, and nothing is left in the temporary folder."""
    assert worker_folders()
    slicer.util.selectModule("Data")
    wait_until(lambda: not started.logic.running, TIMEOUT_S)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    slicer.util.selectModule("PediatricRenalSeg")
    assert started._parameterNode.outputSegmentation is slicer.util.getNode("Child kidneys and tumor")
    assert started.ui.exportButton.enabled
    started.review.clean_up()
    assert not worker_folders()


def test_quit_during_a_run(started):
    group = started.logic._task.worker.pid
    started.cleanup()
    assert_ended(group)


@pytest.mark.slow
def test_ct_removed_during_a_run(started, wait_until, dialogs):
    slicer.mrmlScene.RemoveNode(started._parameterNode.inputVolume)
    wait_until(lambda: not started.logic.running, TIMEOUT_S)
    assert '"Child" was removed' in dialogs.texts[0]
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


@pytest.mark.slow
def test_ct_moved_during_a_run(started, child, wait_until, dialogs):
    child.SetOrigin(1, 2, 3)
    wait_until(lambda: not started.logic.running, TIMEOUT_S)
    assert '"Child" was moved or replaced' in dialogs.texts[0]
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_other_work_during_a_run_is_refused(started, dialogs):
    started.ui.inputHintLabel.linkActivated.emit("sample")
    assert "Another segmentation or export is running" in dialogs.texts[0]
    assert started.logic.running and started.ui.segmentButton.text == "Cancel"


def test_temporary_folder_that_cannot_be_written(window, child, dialogs, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    assert "absent" in dialogs.texts[0] and not window.logic.running and window.ui.segmentButton.enabled


# Installation


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


# Review


def test_table_follows_edits(window, result, child, wait_until):
    before = cell(window, 0, MILLILITERS)
    erase(result, "kidney_left", child)
    wait_until(lambda: cell(window, 1, MILLILITERS) == "–", TIMEOUT_S, "the new measurements")
    assert cell(window, 0, MILLILITERS) == before
    assert "Only one kidney was found" in window.ui.warningsLabel.text


def test_numbers_of_earlier_segments_are_taken_away(window, result, child):
    erase(result, "kidney_left", child)
    assert [cell(window, row, MILLILITERS) for row in range(3)] == ["…"] * 3


def test_result_can_be_put_away_and_chosen_again(window, result, wait_until):
    window.ui.outputSelector.setCurrentNode(None)
    assert "No result yet" in window.ui.reviewHintLabel.text and not window.ui.exportButton.enabled
    window.ui.outputSelector.setCurrentNode(result)
    wait_until(lambda: "ml" in cell(window, 0, MILLILITERS), TIMEOUT_S, "the measurements")
    assert not window.ui.reviewHintLabel.visible and window.ui.exportButton.enabled


def test_result_of_another_ct_is_named_and_its_ct_shown(window, result, child, child_scan):
    other = mrml.add_ct_node(slicer.mrmlScene, child_scan[0], "Other")
    slicer.util.setSliceViewerLayers(background=other)
    window.ui.inputSelector.setCurrentNode(other)
    assert 'a result of "Child", not of the CT' in window.ui.reviewHintLabel.text
    click(window.ui.nextSliceButton)
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {layer.GetBackgroundVolumeID() for layer in layers} == {child.GetID()}


def test_segments_that_are_kept_as_surfaces(window, result, child, dialogs, wait_until, tmp_path):
    """Their voxels are gone: neither measured as empty, nor exported as empty, nor replaced."""
    result.GetSegmentation().SetSourceRepresentationName(mrml.CLOSED_SURFACE)
    sentence = "choose &quot;Binary labelmap&quot; as its source representation"
    wait_until(lambda: sentence in window.ui.warningsLabel.text, TIMEOUT_S, "the warning")
    assert results.has_work_in_it(result, child)
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    click(window.ui.exportButton)
    assert "kept as closed surface" in dialogs.texts[0] and not window.logic.running
    surface = result.GetClosedSurfaceInternalRepresentation("tumor")
    click(window.ui.smoothCheckBox)
    assert result.GetClosedSurfaceInternalRepresentation("tumor") is surface, "the only form they have"


def test_edit_under_another_segment_is_an_edit(result, child):
    """With overlap allowed in the Segment Editor; the label map alone would not show it."""
    tumor = slicer.util.arrayFromSegmentBinaryLabelmap(result, "tumor", child)
    kidney = slicer.util.arrayFromSegmentBinaryLabelmap(result, "kidney_left", child)
    before = mrml.labels_of(result, child)
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor | kidney, result, "kidney_left", child)
    assert sitk.Hash(mrml.labels_of(result, child).image) == sitk.Hash(before.image)
    assert results.is_edited(result, child)


def test_moved_result_is_not_replaced(window, result, child, wait_until):
    assert not results.has_work_in_it(result, child)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    result.SetAndObserveTransformNodeID(transform.GetID())
    assert results.has_work_in_it(result, child)
    wait_until(lambda: "moved by a transform" in window.ui.warningsLabel.text, TIMEOUT_S, "the warning")


def test_volumes_of_the_table_are_those_of_the_voxels(window, result, child):
    for row, name in enumerate(SEGMENT_IDS):
        expected = voxels(result, name, child) * np.prod(child.GetSpacing()) / 1000
        assert float(cell(window, row, MILLILITERS).split()[0]) == pytest.approx(expected, abs=0.06)


def test_slices_to_check(window, result, child):
    slices = results.report(result)["slices_to_check"]
    assert 2 <= len(slices) and not window.ui.previousSliceButton.enabled
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    heights = []
    for _ in slices:
        click(window.ui.nextSliceButton)
        heights.append(red.GetSliceOffset())
    assert heights == sorted(heights) and len(set(heights)) == len(slices)
    assert heights == pytest.approx([one["position_mm"][2] for one in slices], abs=0.01)
    assert not window.ui.nextSliceButton.enabled
    click(window.ui.previousSliceButton)
    assert red.GetSliceOffset() == pytest.approx(heights[-2])
    assert f"Slice {len(slices) - 1} of {len(slices)}" in window.ui.sliceLabel.text


def test_check_marks_and_time_are_kept_in_the_node(window, result):
    window.ui.reviewTable.item(2, 0).setCheckState(Qt.Checked)
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.Checked)
    assert results.checked(result) == {"kidney_right", "tumor"}
    window.ui.reviewTable.item(2, 0).setCheckState(Qt.Unchecked)
    assert results.checked(result) == {"kidney_right"}
    window.review._shown_since -= 90
    slicer.util.selectModule("Data")
    assert results.review_seconds(result) == pytest.approx(90, abs=20)


def test_smoothing_of_the_3d_view(window, result):
    smooth = result.GetClosedSurfaceInternalRepresentation("tumor")
    click(window.ui.smoothCheckBox)
    steps = result.GetClosedSurfaceInternalRepresentation("tumor")
    assert bending(steps) > 1.5 * bending(smooth)


def bending(surface) -> float:
    """Mean curvature, without its sign, over the points of a surface."""
    curvature = vtk.vtkCurvatures()
    curvature.SetInputData(surface)
    curvature.SetCurvatureTypeToMean()
    curvature.Update()
    return float(np.abs(vtk_to_numpy(curvature.GetOutput().GetPointData().GetScalars())).mean())


def test_segment_editor_works_on_the_result(window, result, child, screenshot):
    window.ui.editorCollapsibleButton.collapsed = False
    editor = window.ui.editorCollapsibleButton.findChild(slicer.qMRMLSegmentEditorWidget)
    assert editor.segmentationNode() is result and editor.sourceVolumeNode() is child
    screenshot(window.parent, "editor")
    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    assert editor.segmentationNode() is None


# Run again


@pytest.mark.slow
def test_unedited_result_is_replaced_by_that_of_a_local_model(window, result, run, tmp_path):
    window._parameterNode.modelFile = str(shutil.copy(MODEL, tmp_path / "mine.pt"))
    window._parameterNode.model = "file"
    assert "CC BY 4.0" in window.ui.modelInfoLabel.text
    result.SetAttribute(results.SECONDS, "90")
    run()
    assert results.report(result)["model"]["id"] == "stn-unet-v1" and results.review_seconds(result) < 90
    assert window._parameterNode.outputSegmentation is result
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [result]


@pytest.mark.slow
def test_edited_result_is_kept(window, result, child, run, dialogs):
    erase(result, "tumor", child)
    dialogs.answer("OK")
    run()
    assert "holds corrections" in dialogs.texts[0]
    new = window._parameterNode.outputSegmentation
    assert new is not result and new.GetName() != result.GetName()
    assert voxels(result, "tumor", child) == 0 and voxels(new, "tumor", child) > 0


def test_user_does_not_want_to_run_again(window, result, child, dialogs):
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.Checked)
    dialogs.answer("Cancel")
    click(window.ui.segmentButton)
    assert not window.logic.running and window._parameterNode.outputSegmentation is result


# Export


def export(window, wait_until, folder: Path) -> None:
    window.ui.exportFolderLineEdit.currentPath = str(folder)
    click(window.ui.exportButton)
    wait_until(lambda: not window.logic.running, TIMEOUT_S, "the end of the export")


@pytest.mark.slow
def test_export_of_edited_segments(window, result, child, wait_until, tmp_path, screenshot):
    erase(result, "kidney_left", child)
    result.GetSegmentation().AddEmptySegment("aorta", "Aorta")
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.Checked)
    for box in (window.ui.objCheckBox, window.ui.plyCheckBox, window.ui.glbCheckBox):
        click(box)
    window.ui.caseNameLineEdit.text = "Fall übung 1"
    export(window, wait_until, tmp_path / "Fälle & Pläne")
    folder = tmp_path / "Fälle & Pläne" / "Fall übung 1"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    models = {"kidney_right.stl", "tumor.stl", "kidney_right.ply", "tumor.ply"}
    models |= {"structures.obj", "structures.mtl", "structures.glb"}
    files = {"labelmap.nii.gz", "segmentation.seg.nrrd", "preview.png", "report.json"}
    assert names == files | {f"models/{name}" for name in models}
    report = json.loads((folder / "report.json").read_text())
    assert report["review"]["edited"] and report["review"]["checked"] == ["kidney_right"]
    assert report["model"] == results.report(result)["model"]
    measured = {row["segment_id"]: row["volume_ml"] for row in report["measurements"]["segments"]}
    expected = voxels(result, "tumor", child) * np.prod(child.GetSpacing()) / 1000
    assert set(measured) == {"kidney_right", "tumor"} and measured["tumor"] == pytest.approx(expected, abs=0.01)
    assert "Child" not in (folder / "report.json").read_text()
    told = window.ui.exportStatusLabel
    assert "Written" in told.text and f'href="{folder.as_uri()}"' in told.text and told.openExternalLinks
    assert "Not measured and not exported" in told.text and "Aorta" in told.text
    wait_until(lambda: "Aorta" in window.ui.warningsLabel.text, TIMEOUT_S, "the warning")
    screenshot(window.parent, "exported")


@pytest.mark.slow
def test_existing_folder_is_replaced_only_after_asking(window, result, wait_until, dialogs, tmp_path):
    export(window, wait_until, tmp_path)
    written = (tmp_path / "case-01" / "report.json").stat().st_mtime_ns
    (tmp_path / "case-01" / "notes.txt").write_text("mine")
    dialogs.answer("Cancel")
    export(window, wait_until, tmp_path)
    assert "exists already" in dialogs.texts[0]
    assert (tmp_path / "case-01" / "report.json").stat().st_mtime_ns == written
    dialogs.answer("OK")
    export(window, wait_until, tmp_path)
    assert (tmp_path / "case-01" / "report.json").stat().st_mtime_ns > written
    assert (tmp_path / "case-01" / "notes.txt").read_text() == "mine"


def test_export_folder_is_remembered(window, module_widget, tmp_path):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    window.parent.reload()
    assert slicer.modules.PediatricRenalSegWidget.ui.exportFolderLineEdit.currentPath == str(tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "words"),
    [
        ("", "case-01", "No folder is chosen"),
        ("cases", "case-01", "no complete path"),
        (".", "a/b", "A case needs a name"),
        (".", "..", "A case needs a name"),
    ],
)
def test_export_that_cannot_be_is_one_sentence(window, result, dialogs, tmp_path, folder, name, words):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path) if folder == "." else folder
    window.ui.caseNameLineEdit.text = name
    click(window.ui.exportButton)
    assert words in dialogs.texts[0] and list(tmp_path.iterdir()) == []


def test_cancelled_export_leaves_nothing(window, result, wait_until, tmp_path):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    click(window.ui.exportButton)
    wait_until(lambda: list(tmp_path.iterdir()) != [], TIMEOUT_S, "the unfinished folder")
    assert window.ui.exportButton.text == "Cancel" and not window.ui.segmentButton.enabled
    click(window.ui.exportButton)
    assert list(tmp_path.iterdir()) == [] and window.ui.exportStatusLabel.text.startswith("Cancelled")
    assert window.ui.exportButton.text == "Write patient folder" and window.ui.segmentButton.enabled


@pytest.mark.slow
def test_export_folder_that_cannot_be_written(window, result, wait_until, dialogs, tmp_path):
    (tmp_path / "drive").write_text("a file")
    export(window, wait_until, tmp_path / "drive" / "cases")
    assert "is a file" in dialogs.texts[0] and window.ui.exportStatusLabel.styleSheet


# Scene


def test_scene_saved_and_restored(window, result, child, tmp_path):
    window._parameterNode.caseName = "case-07"
    window.ui.smoothCheckBox.checked = False
    window.ui.reviewTable.item(1, 0).setCheckState(Qt.Checked)
    report, before = results.report(result), [voxels(result, name, child) for name in SEGMENT_IDS]
    scene = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(scene)
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(scene)
    slicer.app.processEvents()
    node = window._parameterNode
    assert (node.caseName, node.smoothSurfaces) == ("case-07", False)
    assert window.ui.caseNameLineEdit.text == "case-07" and not window.ui.smoothCheckBox.checked
    assert node.inputVolume.GetName() == "Child"
    restored = node.outputSegmentation
    assert results.report(restored) == report
    assert results.checked(restored) == {"kidney_left"} and window.ui.reviewTable.item(1, 0).checkState() == Qt.Checked
    assert [voxels(restored, name, node.inputVolume) for name in SEGMENT_IDS] == before
    assert not results.is_edited(restored, node.inputVolume)
    assert results.ct_of(restored) is node.inputVolume


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
