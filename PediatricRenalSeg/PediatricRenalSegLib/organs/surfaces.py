"""Closed surfaces of the segments, in LPS millimeters."""

import numpy as np
import SimpleITK as sitk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import (
    vtkAppendPolyData,
    vtkDecimatePro,
    vtkFlyingEdges3D,
    vtkPolyDataNormals,
    vtkReverseSense,
    vtkWindowedSincPolyDataFilter,
)

from ..threads import side_by_side
from ..volume import LabelVolume

TRIANGLES = 40_000
"""Most triangles of one component: fine enough to print, light enough for a tablet."""

SPECK_ML = 0.05
"""Components below this volume get no surface: they are smaller than anything a model can show."""

GRID_POINTS = 250_000
"""About how many points the isotropic grid of a component has: some 20 000 triangles for a compact one."""

FINEST_MM = 0.5
"""Smallest spacing of that grid."""

SLICE_SIGMA = 0.7
"""Standard deviation of the smoothing along an axis, in voxels of that axis ..."""

LEAST_SIGMA_MM = 1.2
"""... and at least this: the length of the steps that a CT's pixels leave on a contour."""

THICK_SLICE_WEIGHT = 1.5
"""Most that a step across thick slices counts more than its length in the distance field."""


def closed_surfaces(labels: LabelVolume) -> dict[str, vtkPolyData]:
    """One closed, smooth surface a segment, by segment id; a segment without voxels is left out.

    Points are LPS mm in the physical space of the image, whatever its direction; triangles and point
    normals face outward. Each component encloses the volume of its voxels: the smoothed distance field is
    contoured at the level that keeps it, and the rest is made up by a shift along the normals.
    """
    boxes = _boxes(labels.image)
    present = [segment for segment in labels.structures.segments if segment.value in boxes]
    made = side_by_side(lambda segment: _segment_surface(labels.image, boxes[segment.value], segment.value), present)
    return {segment.id: surface for segment, surface in zip(present, made, strict=True) if surface}


def _boxes(labels: sitk.Image) -> dict[int, tuple[int, ...]]:
    """First index and size ``(x, y, z)`` of the box around each value."""
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputePerimeterOff()
    shapes.Execute(labels)
    return {value: shapes.GetBoundingBox(value) for value in shapes.GetLabels()}


def _segment_surface(labels: sitk.Image, box: tuple[int, ...], value: int) -> vtkPolyData | None:
    """All components of a value together; ``None`` if there are specks alone."""
    mask = sitk.RegionOfInterest(labels, box[3:], box[:3]) == value
    parts = [_component_surface(component) for component in _component_masks(mask)]
    return _joined(parts) if parts else None


def _component_masks(mask: sitk.Image) -> list[sitk.Image]:
    """Each component of a 0/1 image, cropped to its box."""
    numbered = sitk.ConnectedComponent(mask, True)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputePerimeterOff()
    shapes.Execute(numbered)
    masks = []
    for number in shapes.GetLabels():
        if shapes.GetPhysicalSize(number) >= SPECK_ML * 1000:
            box = shapes.GetBoundingBox(number)
            masks.append(sitk.RegionOfInterest(numbered, box[3:], box[:3]) == number)
    return masks


def _component_surface(mask: sitk.Image) -> vtkPolyData:
    """The surface of one component in LPS mm."""
    volume = float(sitk.GetArrayViewFromImage(mask).sum()) * float(np.prod(mask.GetSpacing()))
    field = _isotropic(_smooth_distance(mask))
    surface = _smoothed(_contour(field, volume))
    surface = _with_outward_triangles(_in_physical_space(surface, field))
    return _with_volume(surface, volume)


def _smooth_distance(mask: sitk.Image) -> sitk.Image:
    """Smoothed signed distance, positive inside, with a margin so that the zero level is closed.

    Interpolating distance between slices follows the slope from one contour to the next (Raya and Udupa,
    IEEE Trans Med Imaging 1990;9:32-42), where interpolating the mask would leave a staircase. Steps across
    thick slices count more than their length, so that the contours decide on flat slopes too.
    """
    spacing = np.array(mask.GetSpacing())
    sigma = np.maximum(SLICE_SIGMA * spacing, LEAST_SIGMA_MM)
    margin = [int(count) for count in np.ceil(3 * sigma / spacing) + 2]
    field = sitk.ConstantPad(mask, margin, margin, 0)
    field.SetSpacing(spacing * np.clip(spacing / spacing.min(), 1, THICK_SLICE_WEIGHT))
    field = sitk.SignedMaurerDistanceMap(field, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    field.SetSpacing(spacing)
    return sitk.SmoothingRecursiveGaussian(field, sigma)


def _isotropic(field: sitk.Image) -> sitk.Image:
    """The field on an isotropic grid of about ``GRID_POINTS`` points with the same axes."""
    lengths = [(size - 1) * step for size, step in zip(field.GetSize(), field.GetSpacing(), strict=True)]
    step = max((float(np.prod(lengths)) / GRID_POINTS) ** (1 / 3), FINEST_MM)
    size = [int(length / step) + 1 for length in lengths]
    spacing = [length / (count - 1) for length, count in zip(lengths, size, strict=True)]
    place = (field.GetOrigin(), spacing, field.GetDirection())
    return sitk.Resample(field, size, sitk.Transform(), sitk.sitkBSpline, *place)


def _contour(field: sitk.Image, volume: float) -> vtkPolyData:
    """The level of the field that encloses ``volume`` mm³, in mm along the axes of the field."""
    values = sitk.GetArrayViewFromImage(field)
    enclosed = volume / float(np.prod(field.GetSpacing()))
    image = vtkImageData()
    image.SetDimensions(field.GetSize())
    image.SetSpacing(field.GetSpacing())
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    contour = vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.SetValue(0, float(np.partition(values.ravel(), int(-enclosed))[int(-enclosed)]))
    contour.Update()
    return contour.GetOutput()


def _smoothed(surface: vtkPolyData) -> vtkPolyData:
    """Windowed-sinc smoothing, which does not shrink, and decimation that keeps the surface closed."""
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(surface)
    smooth.SetNumberOfIterations(20)
    smooth.SetPassBand(0.05)
    smooth.NormalizeCoordinatesOn()
    decimate = vtkDecimatePro()
    decimate.SetInputConnection(smooth.GetOutputPort())
    decimate.SetTargetReduction(max(0.0, 1 - TRIANGLES / surface.GetNumberOfCells()))
    decimate.PreserveTopologyOn()
    decimate.Update()
    return decimate.GetOutput()


def _in_physical_space(surface: vtkPolyData, field: sitk.Image) -> vtkPolyData:
    """Turn mm along the axes of the field into LPS mm."""
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    direction = np.reshape(field.GetDirection(), (3, 3))
    return _with_points(surface, points @ direction.T + field.GetOrigin())


def _with_points(surface: vtkPolyData, points: np.ndarray) -> vtkPolyData:
    moved = vtkPolyData()
    moved.SetPolys(surface.GetPolys())
    moved.SetPoints(vtkPoints())
    moved.GetPoints().SetData(numpy_to_vtk(points.astype(np.float32), deep=True))
    return moved


def _with_outward_triangles(surface: vtkPolyData) -> vtkPolyData:
    if _volume_and_area(surface)[0] > 0:
        return surface
    reverse = vtkReverseSense()
    reverse.SetInputData(surface)
    reverse.Update()
    return reverse.GetOutput()


def _with_volume(surface: vtkPolyData, volume: float) -> vtkPolyData:
    """Shift the points along their normals until the surface encloses ``volume`` mm³; add normals."""
    for _ in range(2):
        surface = _with_normals(surface)
        enclosed, area = _volume_and_area(surface)
        normals = vtk_to_numpy(surface.GetPointData().GetNormals())
        points = vtk_to_numpy(surface.GetPoints().GetData()) + normals * (volume - enclosed) / area
        surface = _with_points(surface, points)
    return _with_normals(surface)


def _with_normals(surface: vtkPolyData) -> vtkPolyData:
    normals = vtkPolyDataNormals()
    normals.SetInputData(surface)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _volume_and_area(surface: vtkPolyData) -> tuple[float, float]:
    """Enclosed volume in mm³ (divergence theorem; negative where triangles face inward) and area in mm²."""
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    a, b, c = (points - points.mean(axis=0))[triangles].transpose(1, 0, 2)
    crossed = np.cross(b - a, c - a)
    return float(np.einsum("ij,ij->", a, crossed)) / 6, float(np.linalg.norm(crossed, axis=1).sum()) / 2


def _joined(parts: list[vtkPolyData]) -> vtkPolyData:
    append = vtkAppendPolyData()
    for part in parts:
        append.AddInputData(part)
    append.Update()
    return append.GetOutput()
