"""The logic without a window, the way between CT node, files and segmentation node, and what loading imports."""

import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from module_under_test import MODULE, SEGMENT_IDS, TIMEOUT_S

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.export.image import write_image
from PediatricRenalSegLib.export.segmentation import described
from PediatricRenalSegLib.slicer_module import jobs, results
from PediatricRenalSegLib.slicer_module.worker import WorkerError
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.volume import LabelVolume, same_grid

pytest_plugins = ["module_under_test"]

TURN = np.radians(20)
OBLIQUE = np.array([[1, 0, 0], [0, np.cos(TURN), -np.sin(TURN)], [0, np.sin(TURN), np.cos(TURN)]])
GRIDS = {
    "axial": np.eye(3),
    "feet first": np.diag([1.0, 1, -1]),
    "flipped in plane": np.diag([-1.0, -1, 1]),
    "left-handed": np.diag([-1.0, 1, 1]),
    "coronal": np.eye(3)[[0, 2, 1]],
    "sagittal": np.eye(3)[[2, 0, 1]],
    "oblique": OBLIQUE,
    "oblique and flipped": OBLIQUE @ np.diag([1.0, -1, -1]),
}


def image_on(direction: np.ndarray, pixel: int) -> sitk.Image:
    """An anisotropic grid of 9 × 8 × 7 voxels with other values in every voxel."""
    array = np.arange(9 * 8 * 7).reshape(7, 8, 9)
    image = sitk.Cast(sitk.GetImageFromArray(array.astype(np.int16)), pixel)
    image.SetSpacing([0.7, 1.1, 3.0])
    image.SetOrigin([-31.0, 12.5, 400.25])
    image.SetDirection(direction.ravel())
    return image


@pytest.fixture(params=list(GRIDS.values()), ids=list(GRIDS))
def ct(request):
    return image_on(request.param, sitk.sitkInt16)


def labels_on(ct: sitk.Image) -> sitk.Image:
    """One voxel of each segment at places that no flip or exchange of axes leaves alone, and a block."""
    array = np.zeros(ct.GetSize()[::-1], np.uint8)
    array[1, 2, 3], array[2, 5, 1] = 1, 2
    array[4:6, 3:5, 5:8] = 3
    labels = sitk.GetImageFromArray(array)
    labels.CopyInformation(ct)
    return labels


# Geometry


def test_ct_node_and_image_are_the_same_voxels_at_the_same_places(fresh_slicer, ct):
    node = mrml.add_ct_node(slicer.mrmlScene, ct, "CT")
    back = mrml.ct_image(node)
    assert same_grid(back, ct) and sitk.Hash(back) == sitk.Hash(ct)


def test_ct_node_lies_where_slicer_puts_the_file(fresh_slicer, ct, tmp_path):
    """Slicer's own reader is the judge of LPS and RAS; it turns left-handed axes round, places stay the same."""
    path = tmp_path / "ct.nrrd"
    sitk.WriteImage(ct, str(path))
    read = slicer.util.loadVolume(str(path))
    as_read = sitk.Resample(mrml.ct_image(read), ct, sitk.Transform(), sitk.sitkNearestNeighbor, -9999)
    assert sitk.Hash(as_read) == sitk.Hash(ct)


def test_part_of_a_ct_lies_where_it_is_cut_from(fresh_slicer, ct):
    node = mrml.add_ct_node(slicer.mrmlScene, ct, "CT")
    part = mrml.ct_image(node, (slice(2, 5), slice(1, 4), slice(3, 8)))
    assert same_grid(part, sitk.RegionOfInterest(ct, [5, 3, 3], [3, 1, 2]))
    assert sitk.Hash(part) == sitk.Hash(sitk.RegionOfInterest(ct, [5, 3, 3], [3, 1, 2]))


def test_labels_lie_exactly_on_the_voxels_of_the_ct(fresh_slicer, ct, tmp_path):
    """There and back, and as Slicer reads the same labels from the command line's file."""
    labels = LabelVolume(labels_on(ct), RENAL)
    volume = mrml.add_ct_node(slicer.mrmlScene, ct, "CT")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mrml.fill_segmentation(node, labels, volume)
    back = mrml.labels_of(node, volume, RENAL).image
    assert same_grid(back, ct) and sitk.Hash(back) == sitk.Hash(labels.image)
    write_image(tmp_path / "segmentation.seg.nrrd", described(labels))
    read = slicer.util.loadSegmentation(str(tmp_path / "segmentation.seg.nrrd"))
    assert sitk.Hash(mrml.labels_of(read, volume, RENAL).image) == sitk.Hash(labels.image)
    for name in SEGMENT_IDS:
        made = slicer.util.arrayFromSegmentBinaryLabelmap(node, name, volume)
        np.testing.assert_array_equal(made, slicer.util.arrayFromSegmentBinaryLabelmap(read, name, volume))


def test_box_of_the_segments_has_a_rim_inside_the_scan(fresh_slicer):
    ct = image_on(np.eye(3), sitk.sitkInt16)
    volume = mrml.add_ct_node(slicer.mrmlScene, ct, "CT")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mrml.fill_segmentation(node, LabelVolume(labels_on(ct), RENAL), volume)
    box = mrml.segments_box(node, volume, RENAL)
    assert box == (slice(0, 7), slice(1, 7), slice(0, 9))
    inside = sitk.GetArrayFromImage(mrml.labels_of(node, volume, RENAL, box).image)
    np.testing.assert_array_equal(inside, sitk.GetArrayFromImage(labels_on(ct))[box])


def test_segments_on_a_finer_grid_come_back_to_the_ct(fresh_slicer):
    """The Segment Editor may have been given another geometry."""
    ct = image_on(OBLIQUE, sitk.sitkInt16)
    fine = sitk.Expand(labels_on(ct), [2, 2, 2], sitk.sitkNearestNeighbor)
    volume = mrml.add_ct_node(slicer.mrmlScene, ct, "CT")
    fine_volume = mrml.add_ct_node(slicer.mrmlScene, sitk.Cast(fine, sitk.sitkInt16), "fine")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mrml.fill_segmentation(node, LabelVolume(fine, RENAL), fine_volume)
    assert sitk.Hash(mrml.labels_of(node, volume, RENAL).image) == sitk.Hash(labels_on(ct))


def test_names_colors_and_codes_are_those_of_the_table(fresh_slicer, child_segmentation):
    for row in RENAL.segments:
        segment = child_segmentation.GetSegmentation().GetSegment(row.id)
        assert segment.GetName() == row.display_name
        assert segment.GetColor() == pytest.approx([channel / 255 for channel in row.color])
        terms = segment.GetTerminology()
        assert f"~{row.structure.type.scheme}^{row.structure.type.value}^" in terms
        assert (row.side is None) or f"^{row.side.value}^{row.side.meaning}" in terms


def test_without_a_finding_there_are_three_empty_segments(fresh_slicer, child):
    empty = sitk.Image(child.GetImageData().GetDimensions(), sitk.sitkUInt8)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mrml.fill_segmentation(node, LabelVolume(empty, RENAL), child)
    mrml.show(node, smooth=True)
    assert list(node.GetSegmentation().GetSegmentIDs()) == SEGMENT_IDS
    assert not sitk.GetArrayFromImage(mrml.labels_of(node, child, RENAL).image).any()


# Refusals


def refusal(node) -> str:
    with pytest.raises(InputError) as error:
        mrml.check_ct_node(node)
    return str(error.value)


def test_no_volume():
    assert "No CT is chosen" in refusal(None)


def test_label_map(fresh_slicer):
    assert "is a label map" in refusal(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels"))


def test_empty_volume(fresh_slicer):
    assert '"Empty" holds no image' in refusal(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))


def test_color_volume(fresh_slicer):
    image = vtk.vtkImageData()
    image.SetDimensions(6, 6, 6)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    node.SetAndObserveImageData(image)
    assert "is a color image" in refusal(node)


def test_too_few_slices(fresh_slicer):
    image = sitk.Image([64, 64, 3], sitk.sitkInt16)
    assert "has only 3 slices, fewer than 5" in refusal(mrml.add_ct_node(slicer.mrmlScene, image, "Scout"))


def test_transform(fresh_slicer, child):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    child.SetAndObserveTransformNodeID(transform.GetID())
    assert "is moved by a transform" in refusal(child)


def test_time_sequence(fresh_slicer, child):
    sequence = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceNode())
    sequence.SetDataNodeAtValue(child, "0")
    browser = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(child, sequence, False)
    assert "one time point of a sequence" in refusal(child)


def test_looking_for_sequences_leaves_nothing_behind(fresh_slicer, child):
    """The window asks at every change; a list of nodes that nobody gives back would hold the browsers for good."""
    browser = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    before = browser.GetReferenceCount()
    for _ in range(10):
        mrml.check_ct_node(child)
    assert browser.GetReferenceCount() == before


def test_transformed_segmentation(fresh_slicer, child, child_segmentation):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    child_segmentation.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="moved by a transform"):
        mrml.labels_of(child_segmentation, child, RENAL)


# Measurements


def test_measurements_of_the_run_are_those_of_the_command(child, child_segmentation, wait_until):
    """So nothing is measured anew while nothing was edited. What the run was not sure of cannot be measured."""
    of_the_run = results.measurements(child_segmentation, child)
    assert of_the_run is not None
    printed: list[dict] = []
    task = jobs.measure(child_segmentation, printed.append, lambda error: None)
    wait_until(lambda: not task.active, TIMEOUT_S, "the measurements")
    assert printed == [of_the_run] and of_the_run["segments"] and of_the_run["contacts"]
    doubts = results.doubts(child_segmentation)
    assert [doubt["code"] for doubt in doubts] == ["part_removed"] and doubts[0] not in of_the_run["warnings"]


def test_edited_segments_have_no_measurements_of_the_run(child, child_segmentation):
    child_segmentation.GetSegmentation().RemoveSegment("tumor")
    assert results.measurements(child_segmentation, child) is None


# Scripts


@pytest.fixture
def scripted(fresh_slicer, window):
    """A logic of one's own, as a script makes it."""
    return sys.modules["PediatricRenalSeg"].PediatricRenalSegLogic()


@pytest.mark.slow
def test_process_waits_and_returns_the_segmentation(scripted, child, tmp_path):
    events: list[dict] = []
    node = scripted.process(child, device="cpu", onProgress=events.append)
    assert list(node.GetSegmentation().GetSegmentIDs()) == SEGMENT_IDS and results.ct_of(node) is child
    stages = list(dict.fromkeys(event["stage"] for event in events))
    assert stages == ["model", "read", "preprocess", "network", "postprocess", "measure", "write"]
    scripted.export(node, tmp_path / "case", ["glb"])
    assert (tmp_path / "case" / "models" / "structures.glb").is_file()
    with pytest.raises(WorkerError, match="exists already"):
        scripted.export(node, tmp_path / "case", ["glb"])


def test_process_never_takes_segments_of_a_person(scripted, child):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    node.GetSegmentation().AddEmptySegment("liver", "Liver")
    with pytest.raises(InputError, match='"Mine" holds segments'):
        scripted.process(child, node)


def test_one_run_at_a_time(scripted, child):
    scripted.process(child, waitForCompletion=False)
    with pytest.raises(InputError, match="Another segmentation or export is running"):
        scripted.process(child)
    scripted.cancel()


def test_segmentation_of_other_origin_cannot_be_exported(scripted, child, tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    with pytest.raises(InputError, match="was not made by this module"):
        scripted.export(node, tmp_path / "case")


def test_environment_of_slicer_is_left_alone(scripted, child):
    before = dict(os.environ)
    scripted.process(child, waitForCompletion=False)
    scripted.cancel()
    assert dict(os.environ) == before


@pytest.mark.slow
def test_self_test_of_the_module(window):
    """What "Reload and Test" runs."""
    slicer.selfTests["PediatricRenalSeg"]()


# Loading


@pytest.mark.slow
def test_loading_imports_nothing_that_slicer_lacks():
    """Neither torch nor what comes with it, and none of the heavy packages: Slicer loads every module at its start."""
    script = f"""
import sys
sys.path[:0] = {[str(MODULE.parent), str(MODULE.parents[1] / "Testing" / "slicer_standin")]!r}
import slicer_standin
slicer_standin.start()
before = set(sys.modules)
import PediatricRenalSeg
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(sorted(new & {{"torch", "skimage", "scipy", "pydicom", "tqdm", "PIL", "highdicom"}}))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stderr
