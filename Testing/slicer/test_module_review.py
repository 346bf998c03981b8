"""A result in the window: table, slices to check, check marks, editor, and what becomes of it in another run."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from module_under_test import MILLILITERS, MODEL, SEGMENT_IDS, TIMEOUT_S, cell, click, erase, report_of, voxels
from PySide6.QtCore import Qt
from vtk.util.numpy_support import vtk_to_numpy

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import results
from PediatricRenalSegLib.structures import RENAL

pytest_plugins = ["module_under_test"]


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
    before = mrml.labels_of(result, child, RENAL)
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor | kidney, result, "kidney_left", child)
    assert sitk.Hash(mrml.labels_of(result, child, RENAL).image) == sitk.Hash(before.image)
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
    slices = report_of(result)["slices_to_check"]
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
    window.ui.reviewTable.item(2, 0).setCheckState(Qt.CheckState.Checked)
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.CheckState.Checked)
    assert results.checked(result) == {"kidney_right", "tumor"}
    window.ui.reviewTable.item(2, 0).setCheckState(Qt.CheckState.Unchecked)
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
    assert report_of(result)["model"]["id"] == "stn-unet-v1" and results.review_seconds(result) < 90
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
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.CheckState.Checked)
    dialogs.answer("Cancel")
    click(window.ui.segmentButton)
    assert not window.logic.running and window._parameterNode.outputSegmentation is result
