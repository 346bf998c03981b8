"""Results ⇄ MRML nodes; the one place where LPS and RAS meet.

Works in the 3D Slicer application and wherever else the MRML classes are (``slicer-core``). The library needs
neither, so ``slicer`` is imported inside the functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .errors import InputError
from .export.terminology import terminology_entry
from .structures import StructureSet
from .volume import SMALLEST_SLICE_COUNT, Box, LabelVolume

if TYPE_CHECKING:
    from slicer import (
        vtkMRMLScalarVolumeNode,
        vtkMRMLScene,
        vtkMRMLSegmentationNode,
        vtkMRMLVolumeNode,
        vtkOrientedImageData,
    )

BINARY_LABELMAP = "Binary labelmap"
CLOSED_SURFACE = "Closed surface"
SMOOTHING_FACTOR = "Smoothing factor"
SMOOTH, NOT_SMOOTH = 0.5, 0.0
"""Slicer's own default, and the steps of the voxels as they are."""

FILL_OPACITY = 0.3
"""Of the segments in slice views: tissue stays visible under them."""

WINDOW_LEVEL = (400, 50)
"""Of soft tissue, in Hounsfield units."""

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0])
"""Both axes across the patient change their sign."""

Grid = tuple[tuple[int, int, int], list[list[float]], str | None]
"""Size, matrix from voxels to RAS millimeters, and id of the transform that moves them."""


# CT


def check_ct_node(volume: vtkMRMLVolumeNode | None) -> None:
    """Raise ``InputError`` when a node cannot be a CT; whether its values are those of a CT is seen when it is read."""
    if volume is None:
        raise InputError("No CT is chosen: load one and choose it as the input.")
    name = f'"{volume.GetName()}"'
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"{name} is a label map: choose the CT.")
    image = volume.GetImageData() if volume.IsA("vtkMRMLVolumeNode") else None
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"{name} holds no image: choose the CT.")
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{name} is a color image or a vector field: choose the CT.")
    if _is_frame_of_a_sequence(volume):
        raise InputError(f"{name} shows one time point of a sequence: clone it in the Data module and choose the copy.")
    if volume.GetParentTransformNode() is not None:
        raise InputError(f"{name} is moved by a transform: harden the transform in the Data module, then go on.")
    if min(image.GetDimensions()) < SMALLEST_SLICE_COUNT:
        count = min(image.GetDimensions())
        raise InputError(
            f"{name} has only {count} slice{'s' * (count > 1)}, fewer than {SMALLEST_SLICE_COUNT}: "
            "choose the complete series."
        )


def _is_frame_of_a_sequence(volume: vtkMRMLVolumeNode) -> bool:
    import slicer

    scene = volume.GetScene()
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene) if scene else ()
    return any(browser.IsProxyNodeID(volume.GetID()) for browser in browsers)


def add_ct_node(scene: vtkMRMLScene, image: sitk.Image, name: str) -> vtkMRMLScalarVolumeNode:
    """A new volume node with the voxels of an image on exactly their grid, shown as abdomen CT is looked at."""
    data = vtk.vtkImageData()
    data.SetDimensions(image.GetSize())
    data.GetPointData().SetScalars(numpy_to_vtk(sitk.GetArrayViewFromImage(image).ravel(), deep=True))
    matrix = vtk.vtkMatrix4x4()
    axes = RAS_FROM_LPS @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    for row, (values, place) in enumerate(zip(axes, RAS_FROM_LPS @ image.GetOrigin(), strict=True)):
        for column, value in enumerate((*values, place)):
            matrix.SetElement(row, column, value)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(data)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(*WINDOW_LEVEL)
    return node


def ct_image(volume: vtkMRMLVolumeNode, box: Box | None = None) -> sitk.Image:
    """The voxels of a volume node on exactly their grid (LPS); with ``box`` a part of them."""
    box = box or _whole(volume)
    return _on_grid(np.ascontiguousarray(_array_of(volume.GetImageData())[box]), volume, box)


def _whole(volume: vtkMRMLVolumeNode) -> Box:
    x, y, z = (slice(0, count) for count in volume.GetImageData().GetDimensions())
    return z, y, x


def _on_grid(array: np.ndarray, volume: vtkMRMLVolumeNode, box: Box) -> sitk.Image:
    """The image of an array that fills ``box`` of a volume."""
    ras = _ijk_to_ras(volume)
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetDirection((RAS_FROM_LPS @ ras[:3, :3] / spacing).ravel())
    first = [side.start for side in box[::-1]]
    image.SetOrigin(RAS_FROM_LPS @ (ras[:3, :3] @ first + ras[:3, 3]))
    return image


def _ijk_to_ras(volume: vtkMRMLVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def grid_of(volume: vtkMRMLVolumeNode) -> Grid:
    """Where the voxels of a volume node lie in the scene: two nodes or times with equal grids can be compared."""
    return volume.GetImageData().GetDimensions(), _ijk_to_ras(volume).tolist(), volume.GetTransformNodeID()


def ras(position_mm: Sequence[float]) -> tuple[float, float, float]:
    """A place in LPS mm as Slicer has it."""
    x, y, z = position_mm
    return -x, -y, z


# Segmentation


def fill_segmentation(node: vtkMRMLSegmentationNode, labels: LabelVolume, volume: vtkMRMLVolumeNode) -> None:
    """Replace the segments of a segmentation node by those of a label volume that lies on the grid of a CT node.

    All segments of its structures are made, those without voxels too, with names, colors and SNOMED CT codes. The
    node gets the CT as its reference geometry and its place in the subject hierarchy. Raises ``ValueError`` for labels
    on another grid.
    """
    import slicer

    array = sitk.GetArrayViewFromImage(labels.image)
    if array.shape[::-1] != volume.GetImageData().GetDimensions():
        raise ValueError("the labels do not lie on the grid of the volume")
    labelmap = _oriented_labelmap(array, volume)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation = node.GetSegmentation()
    segmentation.RemoveAllSegments()
    for row in labels.structures.segments:
        segment = slicer.vtkSegment()
        segment.SetName(row.display_name)
        segment.SetColor([channel / 255 for channel in row.color])
        segment.SetTerminology(terminology_entry(row))
        segment.SetLabelValue(row.value)
        segment.AddRepresentation(BINARY_LABELMAP, labelmap)
        segmentation.AddSegment(segment, row.id)
    _place_beside(node, volume)


def _oriented_labelmap(array: np.ndarray, volume: vtkMRMLVolumeNode) -> vtkOrientedImageData:
    """The labels as Slicer keeps them: one image for all segments, cropped to what is not background."""
    import slicer

    box = _box_of(array)
    first = [side.start for side in box[::-1]]
    last = [side.stop - 1 for side in box[::-1]]
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent([bound for pair in zip(first, last) for bound in pair])
    labelmap.GetPointData().SetScalars(numpy_to_vtk(array[box].ravel(), deep=True))
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    labelmap.SetGeometryFromImageToWorldMatrix(matrix)
    return labelmap


def _box_of(array: np.ndarray) -> Box:
    """Where an array is not zero; one voxel if nowhere."""
    return _side_of(array, 0), _side_of(array, 1), _side_of(array, 2)


def _side_of(array: np.ndarray, axis: int) -> slice:
    found = np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis})))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 1)


def _place_beside(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> None:
    """Put a node where the CT is in the subject hierarchy: under its study."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    ct_item = hierarchy.GetItemByDataNode(volume)
    parent = hierarchy.GetItemParent(ct_item) if ct_item else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def show(node: vtkMRMLSegmentationNode, smooth: bool) -> None:
    """Show the segments in slice views and, as closed surfaces, in 3D."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(CLOSED_SURFACE)
    display.SetOpacity2DFill(FILL_OPACITY)
    make_surfaces(node, smooth)


def make_surfaces(node: vtkMRMLSegmentationNode, smooth: bool) -> None:
    """Make Slicer's closed surfaces anew, smoothed or with the steps of the voxels; not where they are the source."""
    segmentation = node.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != BINARY_LABELMAP:
        return
    segmentation.SetConversionParameter(SMOOTHING_FACTOR, str(SMOOTH if smooth else NOT_SMOOTH))
    node.RemoveClosedSurfaceRepresentation()
    node.CreateClosedSurfaceRepresentation()


def labels_of(
    node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode, structures: StructureSet, box: Box | None = None
) -> LabelVolume:
    """The segments of ``structures`` as they are now in a segmentation node, on the grid of a CT node.

    A label volume holds one segment a voxel: where segments overlap, the later one has it. Segments that are none of
    these are left out (``other_segments``). With ``box`` a part of the grid. Raises as ``check_segmentation_node``.
    """
    check_segmentation_node(node)
    box = box or _whole(volume)
    labels = np.zeros([side.stop - side.start for side in box], np.uint8)
    for row in structures.segments:
        if node.GetSegmentation().GetSegment(row.id) is not None:
            _paint(labels, _segment_labelmap(node, row.id, volume), box, row.value)
    return LabelVolume(_on_grid(labels, volume, box), structures)


def check_segmentation_node(node: vtkMRMLSegmentationNode) -> None:
    """Raise ``InputError`` when the voxels of a segmentation node are not to be had, or are not where it is shown."""
    name = f'"{node.GetName()}"'
    if node.GetParentTransformNode() is not None:
        raise InputError(f"{name} is moved by a transform: remove or harden the transform in the Data module.")
    source = node.GetSegmentation().GetSourceRepresentationName()
    if source != BINARY_LABELMAP:
        raise InputError(
            f"{name} is kept as {source.lower()}: "
            f'choose "{BINARY_LABELMAP}" as its source representation in the Segmentations module.'
        )


def _segment_labelmap(
    node: vtkMRMLSegmentationNode, segment_id: str, volume: vtkMRMLVolumeNode
) -> vtkOrientedImageData:
    """A segment's 0/1 image on the grid of the volume; its extent may be smaller."""
    import slicer

    labelmap = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    reference = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    reference.SetGeometryFromImageToWorldMatrix(matrix)
    resample = slicer.vtkOrientedImageDataResample
    if resample.DoGeometriesMatch(labelmap, reference):
        return labelmap
    size = volume.GetImageData().GetDimensions()
    reference.SetExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    on_grid = slicer.vtkOrientedImageData()
    resample.ResampleOrientedImageToReferenceOrientedImage(labelmap, reference, on_grid)
    return on_grid


def _paint(labels: np.ndarray, labelmap: vtkOrientedImageData, box: Box, value: int) -> None:
    """Set ``value`` where a labelmap, whose extent is in voxels of the whole volume, is not 0."""
    if labelmap.IsEmpty():
        return
    extent, source = labelmap.GetExtent(), _array_of(labelmap)
    inner, outer = [], []
    for side, low, high in zip(box, extent[4::-2], extent[5::-2], strict=True):
        first = max(low, side.start)
        stop = max(min(high + 1, side.stop), first)
        inner.append(slice(first - low, stop - low))
        outer.append(slice(first - side.start, stop - side.start))
    labels[tuple(outer)][source[tuple(inner)] != 0] = value


def _array_of(image: vtk.vtkImageData) -> np.ndarray:
    """The voxels of VTK image data, ``(z, y, x)``."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def segments_box(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode, structures: StructureSet) -> Box:
    """Part of the volume that holds all segments, with a rim of one voxel where the volume goes on.

    The rim keeps apart what touches the border of the scan and what does not, so measurements made in the box are
    those of the whole scan. Raises as ``check_segmentation_node``.
    """
    check_segmentation_node(node)
    extents = [
        labelmap.GetExtent()
        for row in structures.segments
        if node.GetSegmentation().GetSegment(row.id) is not None
        and not (labelmap := _segment_labelmap(node, row.id, volume)).IsEmpty()
    ]
    if not extents:
        return slice(0, 1), slice(0, 1), slice(0, 1)
    lows, highs = np.min(extents, axis=0)[::2].tolist(), np.max(extents, axis=0)[1::2].tolist()
    x, y, z = (
        slice(max(low - 1, 0), min(high + 2, count))
        for low, high, count in zip(lows, highs, volume.GetImageData().GetDimensions(), strict=True)
    )
    return z, y, x


def other_segments(node: vtkMRMLSegmentationNode, structures: StructureSet) -> list[str]:
    """Names of segments that are none of the model's: a surgeon's own."""
    known = {row.id for row in structures.segments}
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(name).GetName() for name in segmentation.GetSegmentIDs() if name not in known]


def fingerprint(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode, structures: StructureSet) -> str:
    """Changes with every edit of a voxel, under another segment too, and with every segment added or removed."""
    segmentation = node.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    digest = hashlib.sha256(repr((source, sorted(segmentation.GetSegmentIDs()))).encode())
    for row in structures.segments:
        if source == BINARY_LABELMAP and segmentation.GetSegment(row.id) is not None:
            digest.update(row.id.encode() + _voxels_of(_segment_labelmap(node, row.id, volume)))
    return digest.hexdigest()


def _voxels_of(labelmap: vtkOrientedImageData) -> bytes:
    """Which voxels of the whole volume a labelmap holds; a saved scene may have another border around them."""
    mask = np.zeros((1, 1, 1), bool) if labelmap.IsEmpty() else _array_of(labelmap) != 0
    if not mask.any():
        return b""
    box = _box_of(mask)
    first = [low + side.start for low, side in zip(labelmap.GetExtent()[4::-2], box, strict=True)]
    return repr((first, mask[box].shape)).encode() + np.packbits(mask[box]).tobytes()
