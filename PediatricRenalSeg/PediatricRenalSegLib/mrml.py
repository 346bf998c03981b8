"""Results ⇄ MRML nodes; the one place where LPS and RAS meet.

Works in the 3D Slicer application and wherever else the MRML classes are (``slicer-core``). The library needs
neither, so ``slicer`` is imported inside the functions.
"""

import hashlib

import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .export.segmentation import terminology_entry
from .structures import SEGMENTS
from .volume import InputError, LabelVolume

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

SMALLEST_SLICE_COUNT = 5

Box = tuple[slice, slice, slice]
"""Part of a volume's array, ``(z, y, x)``."""

WHOLE: Box = (slice(None), slice(None), slice(None))


# CT


def check_ct_node(volume) -> None:
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


def _is_frame_of_a_sequence(volume) -> bool:
    scene = volume.GetScene()
    browsers = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode") if scene else ()
    return any(browser.IsProxyNodeID(volume.GetID()) for browser in browsers)


def add_ct_node(scene, image: sitk.Image, name: str):
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


def ct_image(volume, box: Box = WHOLE) -> sitk.Image:
    """The voxels of a volume node on exactly their grid (LPS); with ``box`` a part of them."""
    return _on_grid(np.ascontiguousarray(_array_of(volume.GetImageData())[box]), volume, box)


def _on_grid(array: np.ndarray, volume, box: Box) -> sitk.Image:
    """The image of an array that fills ``box`` of a volume."""
    ras = _ijk_to_ras(volume)
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetDirection((RAS_FROM_LPS @ ras[:3, :3] / spacing).ravel())
    first = [side.start or 0 for side in box[::-1]]
    image.SetOrigin(RAS_FROM_LPS @ (ras[:3, :3] @ first + ras[:3, 3]))
    return image


def _ijk_to_ras(volume) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def grid_of(volume) -> tuple:
    """Where the voxels of a volume node lie in the scene: two nodes or times with equal grids can be compared."""
    return volume.GetImageData().GetDimensions(), _ijk_to_ras(volume).tolist(), volume.GetTransformNodeID()


def ras(position_mm) -> tuple[float, float, float]:
    """A place in LPS mm as Slicer has it."""
    return tuple(float(value) for value in RAS_FROM_LPS @ position_mm)


# Segmentation


def fill_segmentation(node, labels: LabelVolume, volume) -> None:
    """Replace the segments of a segmentation node by those of a label volume that lies on the grid of a CT node.

    All segments of ``SEGMENTS`` are made, those without voxels too, with names, colors and SNOMED CT codes. The
    node gets the CT as its reference geometry and its place in the subject hierarchy.
    """
    import slicer

    array = sitk.GetArrayViewFromImage(labels.image)
    if array.shape[::-1] != volume.GetImageData().GetDimensions():
        raise ValueError("the labels do not lie on the grid of the volume")
    labelmap = _oriented_labelmap(array, volume)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation = node.GetSegmentation()
    segmentation.RemoveAllSegments()
    for row in SEGMENTS:
        segment = slicer.vtkSegment()
        segment.SetName(row.display_name)
        segment.SetColor([channel / 255 for channel in row.color])
        segment.SetTerminology(terminology_entry(row))
        segment.SetLabelValue(row.value)
        segment.AddRepresentation(BINARY_LABELMAP, labelmap)
        segmentation.AddSegment(segment, row.id)
    _place_beside(node, volume)


def _oriented_labelmap(array: np.ndarray, volume):
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
    sides = []
    for axis in range(3):
        found = np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis})))
        sides.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 1))
    return tuple(sides)


def _place_beside(node, volume) -> None:
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


def show(node, smooth: bool) -> None:
    """Show the segments in slice views and, as closed surfaces, in 3D."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(CLOSED_SURFACE)
    display.SetOpacity2DFill(FILL_OPACITY)
    make_surfaces(node, smooth)


def make_surfaces(node, smooth: bool) -> None:
    """Make Slicer's closed surfaces anew, smoothed or with the steps of the voxels; not where they are the source."""
    segmentation = node.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != BINARY_LABELMAP:
        return
    segmentation.SetConversionParameter(SMOOTHING_FACTOR, str(SMOOTH if smooth else NOT_SMOOTH))
    node.RemoveClosedSurfaceRepresentation()
    node.CreateClosedSurfaceRepresentation()


def labels_of(node, volume, box: Box = WHOLE) -> LabelVolume:
    """The segments of ``SEGMENTS`` as they are now in a segmentation node, on the grid of a CT node.

    A label volume holds one segment a voxel: where segments overlap, the later one in the table has it. Segments
    that the table lacks are left out (``other_segments``). Raises as ``check_segmentation_node``.
    """
    check_segmentation_node(node)
    dimensions = volume.GetImageData().GetDimensions()
    labels = np.zeros([len(range(*side.indices(count))) for side, count in zip(box, dimensions[::-1])], np.uint8)
    for row in SEGMENTS:
        if node.GetSegmentation().GetSegment(row.id) is not None:
            _paint(labels, _segment_labelmap(node, row.id, volume), box, row.value)
    return LabelVolume(_on_grid(labels, volume, box))


def check_segmentation_node(node) -> None:
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


def _segment_labelmap(node, segment_id: str, volume):
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


def _paint(labels: np.ndarray, labelmap, box: Box, value: int) -> None:
    """Set ``value`` where a labelmap, whose extent is in voxels of the whole volume, is not 0."""
    if labelmap.IsEmpty():
        return
    extent, source = labelmap.GetExtent(), _array_of(labelmap)
    starts = [side.start or 0 for side in box]
    inner, outer = [], []
    for start, count, low, high in zip(starts, labels.shape, extent[4::-2], extent[5::-2], strict=True):
        first, stop = max(low, start), min(high + 1, start + count)
        inner.append(slice(first - low, max(stop, first) - low))
        outer.append(slice(first - start, max(stop, first) - start))
    labels[tuple(outer)][source[tuple(inner)] != 0] = value


def _array_of(image) -> np.ndarray:
    """The voxels of VTK image data, ``(z, y, x)``."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def segments_box(node, volume) -> Box:
    """Part of the volume that holds all segments, with a rim of one voxel where the volume goes on.

    The rim keeps apart what touches the border of the scan and what does not, so measurements made in the box are
    those of the whole scan. Raises as ``check_segmentation_node``.
    """
    check_segmentation_node(node)
    extents = [
        labelmap.GetExtent()
        for row in SEGMENTS
        if node.GetSegmentation().GetSegment(row.id) is not None
        and not (labelmap := _segment_labelmap(node, row.id, volume)).IsEmpty()
    ]
    if not extents:
        return (slice(0, 1),) * 3
    box = []
    for axis, count in zip((2, 1, 0), volume.GetImageData().GetDimensions()[::-1], strict=True):
        low = min(extent[2 * axis] for extent in extents)
        high = max(extent[2 * axis + 1] for extent in extents)
        box.append(slice(max(low - 1, 0), min(high + 2, count)))
    return tuple(box)


def other_segments(node) -> list[str]:
    """Names of segments that are not in ``SEGMENTS``: a surgeon's own."""
    known = {row.id for row in SEGMENTS}
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(name).GetName() for name in segmentation.GetSegmentIDs() if name not in known]


def fingerprint(node, volume) -> str:
    """Changes with every edit of a voxel, under another segment too, and with every segment added or removed."""
    segmentation = node.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    digest = hashlib.sha256(repr((source, sorted(segmentation.GetSegmentIDs()))).encode())
    for row in SEGMENTS:
        if source == BINARY_LABELMAP and segmentation.GetSegment(row.id) is not None:
            digest.update(row.id.encode() + _voxels_of(_segment_labelmap(node, row.id, volume)))
    return digest.hexdigest()


def _voxels_of(labelmap) -> bytes:
    """Which voxels of the whole volume a labelmap holds; a saved scene may have another border around them."""
    mask = np.zeros((1, 1, 1), bool) if labelmap.IsEmpty() else _array_of(labelmap) != 0
    if not mask.any():
        return b""
    box = _box_of(mask)
    first = [low + side.start for low, side in zip(labelmap.GetExtent()[4::-2], box, strict=True)]
    return repr((first, mask[box].shape)).encode() + np.packbits(mask[box]).tobytes()
