"""The window, driven as a user does: real widget, real worker process, real model on a small generated child."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from module_under_test import (
    MILLILITERS,
    MILLIMETERS,
    MODEL,
    MODULE,
    SEGMENT_IDS,
    TIMEOUT_S,
    cell,
    click,
    erase,
    format_boxes,
    voxels,
)
from PySide6.QtCore import Qt

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.models import catalogue
from PediatricRenalSegLib.slicer_module import results

pytest_plugins = ["module_under_test"]

CANCEL_S = 2.0
LONGEST_GAP_S = 0.5
"""A window that waits for its worker stands still for seconds. How short the gaps are on a quiet machine is measured in
``Testing/benchmarks/slicer_module.py``."""


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


# Before a run


def test_without_a_volume_the_window_says_so(window, screenshot):
    assert not window.ui.segmentButton.enabled
    assert "No CT is chosen" in window.ui.summaryLabel.text
    for hint in (window.ui.reviewHintLabel, window.ui.exportHintLabel):
        assert "No result yet" in hint.text
    assert not window.ui.exportButton.enabled and not window.ui.reviewTable.enabled
    assert window.ui.reviewTable.rowCount == 0, "which structures there will be depends on the model"
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
    log = window.ui.logTextEdit.toPlainText()
    assert "Measuring" in log and "Making surfaces" not in log, "Slicer makes its own, so the worker makes none"
    screenshot(window.parent, "done")


def test_table_needs_no_second_worker_after_a_run(window, child, child_segmentation, wait_until):
    """The run has measured what it found; only edits are measured anew."""
    window.initializeParameterNode()
    window._parameterNode.outputSegmentation = child_segmentation
    assert "ml" in cell(window, 0, MILLILITERS) and window.review._task is None
    erase(child_segmentation, "kidney_left", child)
    wait_until(lambda: window.review._task is not None, TIMEOUT_S, "the worker that measures")


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
    monkeypatch.setattr(catalogue, "MODELS_FOLDER", tmp_path)
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
    assert started._parameterNode.outputSegmentation is slicer.util.getNode("Child segmentation")
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


# Scene


def test_scene_saved_and_restored(window, result, child, tmp_path):
    window._parameterNode.caseName = "case-07"
    window._parameterNode.meshFormats = "ply,glb"
    window.ui.smoothCheckBox.checked = False
    window.ui.reviewTable.item(1, 0).setCheckState(Qt.CheckState.Checked)
    report, before = results.report(result), [voxels(result, name, child) for name in SEGMENT_IDS]
    scene = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(scene)
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(scene)
    slicer.app.processEvents()
    node = window._parameterNode
    assert (node.caseName, node.smoothSurfaces) == ("case-07", False)
    assert [text for text, box in format_boxes(window).items() if box.checked] == ["PLY", "GLB"]
    assert window.ui.caseNameLineEdit.text == "case-07" and not window.ui.smoothCheckBox.checked
    assert node.inputVolume.GetName() == "Child"
    restored = node.outputSegmentation
    assert results.report(restored) == report
    assert results.checked(restored) == {"kidney_left"}
    assert window.ui.reviewTable.item(1, 0).checkState() == Qt.CheckState.Checked
    assert [voxels(restored, name, node.inputVolume) for name in SEGMENT_IDS] == before
    assert not results.is_edited(restored, node.inputVolume)
    assert results.ct_of(restored) is node.inputVolume
