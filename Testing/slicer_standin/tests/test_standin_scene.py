"""The scene around a module: files, subject hierarchy, slice views, and the widgets that show nodes."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import shiboken6
import slicer
import vtk


@pytest.fixture
def volume() -> Any:
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    node = slicer.util.addVolumeFromArray(voxels, name="CT")
    node.SetSpacing(1.5, 2.0, 3.0)
    node.SetOrigin(-10.0, 20.0, 5.0)
    return node


@pytest.fixture
def segmentation(volume: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Result")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("kidney_left", "Left kidney", (0.7, 0.4, 0.3))
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 1:4, 2:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "kidney_left", volume)
    return node


def node_box(**properties: object) -> Any:
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    for name, value in properties.items():
        setattr(box, name, value)
    return box


def entries(box: Any) -> list[str]:
    inner = box.findChild(qt.QComboBox)
    return [inner.itemText(index) for index in range(inner.count)]


# ---------------------------------------------------------------- files


def test_a_volume_keeps_voxels_and_geometry_in_a_file(volume: Any, tmp_path: Path) -> None:
    path = tmp_path / "ct.nrrd"
    assert slicer.util.saveNode(volume, str(path))
    loaded = slicer.util.loadVolume(str(path))
    assert loaded.GetName() == "ct" and loaded is not volume
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
    assert loaded.GetSpacing() == volume.GetSpacing()
    assert loaded.GetOrigin() == pytest.approx(volume.GetOrigin())


def test_a_segmentation_keeps_its_segments_in_a_file(volume: Any, segmentation: Any, tmp_path: Path) -> None:
    path = tmp_path / "result.seg.nrrd"
    assert slicer.util.saveNode(segmentation, str(path))
    loaded = slicer.util.loadSegmentation(str(path))
    assert loaded.GetSegmentation().GetSegmentIDs() == ("kidney_left",)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(loaded, "kidney_left", volume).sum() == 18


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nothing.nrrd"):
        slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"))


def test_a_bundle_restores_the_scene(volume: Any, segmentation: Any, tmp_path: Path) -> None:
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.mrmlScene.GetFirstNodeByName("CT") is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    loaded = slicer.util.getNode("Result")
    assert loaded.GetSegmentation().GetSegment("kidney_left").GetName() == "Left kidney"
    assert slicer.util.arrayFromVolume(slicer.util.getNode("CT")).max() == 119


def test_a_closed_surface_can_be_made(segmentation: Any) -> None:
    button = slicer.qMRMLSegmentationShow3DButton()
    button.setSegmentationNode(segmentation)
    button.click()
    surface = vtk.vtkPolyData()
    assert segmentation.GetClosedSurfaceRepresentation("kidney_left", surface)
    assert surface.GetNumberOfPolys() > 0 and button.checked


# ---------------------------------------------------------------- subject hierarchy and views


def test_data_nodes_have_items_in_the_subject_hierarchy(volume: Any, segmentation: Any, tmp_path: Path) -> None:
    def names() -> list[str]:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        items = vtk.vtkIdList()
        hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
        return sorted(hierarchy.GetItemName(items.GetId(index)) for index in range(items.GetNumberOfIds()))

    assert names() == ["CT", "Result"]
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.RemoveNode(segmentation)
    assert names() == ["CT"]
    slicer.mrmlScene.Clear()
    assert names() == []
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert names() == ["CT", "Result"]


def test_slice_views_show_and_jump(volume: Any) -> None:
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, -12.0, 24.0, 8.0)
    assert red.sliceLogic().GetSliceOffset() == pytest.approx(8.0)
    assert slicer.app.layoutManager().sliceWidget("Green").sliceLogic().GetSliceOffset() == pytest.approx(24.0)


# ---------------------------------------------------------------- node selector


def test_a_selector_follows_the_scene() -> None:
    box = node_box(noneEnabled=True, addEnabled=False)
    box.setMRMLScene(slicer.mrmlScene)
    assert entries(box) == ["None"] and box.currentNode() is None
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    assert entries(box) == ["None", "CT"] and box.currentNode() is None
    box.setCurrentNode(volume)
    volume.SetName("Abdomen")
    assert entries(box)[:2] == ["None", "Abdomen"] and box.findChild(qt.QComboBox).currentText == "Abdomen"
    slicer.mrmlScene.Clear()
    assert entries(box) == ["None"] and box.currentNode() is None


def test_a_selector_without_none_takes_the_first_node() -> None:
    box = node_box()
    box.setMRMLScene(slicer.mrmlScene)
    assert entries(box)[0].startswith("Select a ")
    first = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "first")
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "second")
    assert box.currentNode() is first
    slicer.mrmlScene.RemoveNode(first)
    assert box.currentNode() is second


def test_a_selector_says_what_changed() -> None:
    box = node_box(noneEnabled=True)
    box.setMRMLScene(slicer.mrmlScene)
    nodes: list[Any] = []
    valid: list[bool] = []
    ids: list[str] = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
    box.connect("currentNodeChanged(bool)", valid.append)
    box.currentNodeIDChanged.connect(ids.append)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    box.setCurrentNode(volume)
    box.setCurrentNode(volume)
    box.setCurrentNode(None)
    assert nodes == [volume, None] and valid == [True, False] and ids == [volume.GetID(), ""]


def test_a_selector_creates_and_deletes_nodes() -> None:
    box = node_box(baseName="New CT", noneEnabled=True)
    box.setMRMLScene(slicer.mrmlScene)
    inner = box.findChild(qt.QComboBox)
    inner.activated.emit(inner.findText("Create new Volume"))
    assert box.currentNode().GetName() == "New CT"
    inner.activated.emit(inner.findText("Delete current Volume"))
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == [] and box.currentNode() is None


def test_labelmaps_are_volumes_only_with_child_types() -> None:
    box = node_box(noneEnabled=True, addEnabled=False)
    box.setMRMLScene(slicer.mrmlScene)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert entries(box) == ["None", "labels"]
    box.showChildNodeTypes = False
    assert entries(box) == ["None"]


@pytest.mark.parametrize("delete", [shiboken6.delete, lambda box: None], ids=["by Qt", "by Python"])
def test_a_deleted_selector_follows_nothing(delete: Callable[[Any], None]) -> None:
    box = node_box()
    box.setMRMLScene(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    freed: list[str] = []
    volume.AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: freed.append("CT"))
    delete(box)
    del box
    volume.SetName("Abdomen")
    del volume
    slicer.mrmlScene.Clear()
    gc.collect()
    assert freed == ["CT"]


# ---------------------------------------------------------------- segments


def test_a_segments_table_follows_the_segmentation(segmentation: Any) -> None:
    table = slicer.qMRMLSegmentsTableView()
    table.setSegmentationNode(segmentation)
    inner = table.findChild(qt.QTableWidget)
    assert inner.item(0, 1).text() == "Left kidney"
    segmentation.GetSegmentation().AddEmptySegment("tumor", "Renal tumor")
    assert inner.rowCount == 2
    segmentation.GetSegmentation().GetSegment("tumor").SetName("Mass")
    assert inner.item(1, 1).text() == "Mass"
    table.setSelectedSegmentIDs(["tumor"])
    assert table.selectedSegmentIDs() == ["tumor"]


def test_the_segment_editor_keeps_its_choices_in_the_scene(volume: Any, segmentation: Any) -> None:
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    with pytest.raises(RuntimeError, match="setMRMLSegmentEditorNode"):
        editor.setSegmentationNode(segmentation)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("kidney_left")
    assert node.GetSegmentationNode() is segmentation and node.GetSourceVolumeNode() is volume
    assert editor.currentSegmentID() == "kidney_left"
