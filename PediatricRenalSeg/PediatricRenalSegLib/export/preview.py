"""``preview.png``: three slices with contours, the models, and a legend; drawn without a display."""

import ctypes.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import vtk
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..measurements import Measurements
from ..structures import SEGMENTS, Segment
from ..volume import CTVolume, LabelVolume

PANEL = 640
"""Pixels along a side of each of the four panels."""

GAP, LEGEND = 6, 84
"""Pixels between panels, and height of the legend."""

OVERSAMPLING = 2
"""Contours and models are drawn this much larger and scaled down, which smooths their edges."""

WINDOW_HU = (-160.0, 240.0)
"""Soft tissue window: level 40, width 400."""

MARGIN = 1.4
"""The panels show this many times the longest extent of the structures."""

SMALLEST_VIEW_MM = 120.0
SUBSTANTIAL = 0.25
"""Share of its largest section from which on a segment counts as shown by a slice."""

FILL = 0.28
"""Opacity of the area inside a contour."""

BACKGROUND = (14, 16, 20)
TEXT = (232, 234, 237)
FAINT = (150, 156, 164)


@dataclass(frozen=True)
class _Plane:
    """How a slice lies in the panel, radiological convention: patient's Right at the left of the picture."""

    axis: int
    """Array axis ``(z, y, x)`` the slice is perpendicular to."""
    title: str
    letters: tuple[str, str, str, str]
    """Left, right, top, bottom."""


PLANES = (
    _Plane(0, "Axial", ("R", "L", "A", "P")),
    _Plane(1, "Coronal", ("R", "L", "S", "I")),
    _Plane(2, "Sagittal", ("A", "P", "S", "I")),
)


def write_preview(
    path: Path,
    ct: CTVolume,
    labels: LabelVolume,
    surfaces: dict[str, vtk.vtkPolyData],
    measurements: Measurements,
) -> None:
    """Draw axial, coronal and sagittal slices through the structures, the models, and volumes in ml."""
    segments, spacing = labels.axial()
    intensities, _ = ct.axial()
    center, length = _view(segments, spacing)
    side = 2 * PANEL + GAP
    picture = Image.new("RGB", (side, side + GAP + LEGEND), BACKGROUND)
    places = [(0, 0), (PANEL + GAP, 0), (0, PANEL + GAP)]
    for plane, place in zip(PLANES, places, strict=True):
        picture.paste(_slice_panel(plane, intensities, segments, spacing, center, length), place)
    picture.paste(_model_panel(surfaces), (PANEL + GAP, PANEL + GAP))
    _draw_legend(ImageDraw.Draw(picture), side + GAP, side, measurements)
    picture.save(path)


def _view(segments: np.ndarray, spacing) -> tuple[np.ndarray, float]:
    """Center of the structures ``(z, y, x)`` in mm and side of the square to show; the volume if none."""
    boxes = [box for box in ndimage.find_objects(segments, len(SEGMENTS)) if box]
    boxes = boxes or [tuple(slice(0, size) for size in segments.shape)]
    low = np.min([[s.start for s in box] for box in boxes], axis=0) * spacing
    high = np.max([[s.stop - 1 for s in box] for box in boxes], axis=0) * spacing
    return (low + high) / 2, max(MARGIN * float((high - low).max()), SMALLEST_VIEW_MM)


def _slice_panel(plane: _Plane, intensities, segments, spacing, center, length) -> Image.Image:
    index = _best_slice(segments, plane.axis)
    low, high = WINDOW_HU
    gray = _resampled(np.take(intensities, index, axis=plane.axis), plane, spacing, center, length, low)
    gray = np.clip((gray - low) / (high - low), 0, 1)[..., None] * 255
    colored = np.repeat(gray, 3, axis=2)
    cut = np.take(segments, index, axis=plane.axis)
    shown = [segment for segment in SEGMENTS if (cut == segment.value).any()]
    outlines = []
    for segment in shown:
        share = _resampled(cut == segment.value, plane, spacing, center, length, 0)
        alpha = FILL * np.clip(share, 0, 1)[..., None]
        colored = (1 - alpha) * colored + alpha * np.array(segment.color)
        outlines += [(segment.color, line) for line in contours(share)]
    panel = Image.fromarray(colored.round().astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    for color, line in outlines:
        draw.line([(x, y) for x, y in line], fill=color, width=2 * OVERSAMPLING, joint="curve")
    panel = panel.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(panel)
    _draw_letters(draw, plane.letters)
    _draw_title(draw, plane.title)
    _draw_scale(draw, PANEL / length)
    return panel


def _best_slice(segments: np.ndarray, axis: int) -> int:
    """The slice with most segments cut substantially, and of these the one with the largest relative sections."""
    score = np.zeros(segments.shape[axis])
    for segment, box in zip(SEGMENTS, ndimage.find_objects(segments, len(SEGMENTS)), strict=True):
        if box:
            area = (segments[box] == segment.value).sum(axis=tuple(i for i in range(3) if i != axis))
            share = area / area.max()
            score[box[axis]] += share + (share >= SUBSTANTIAL)
    return int(score.argmax()) if score.any() else segments.shape[axis] // 2


def _resampled(cut: np.ndarray, plane: _Plane, spacing, center, length, outside: float) -> np.ndarray:
    """A slice on the pixels of an oversampled panel, mm to scale; Superior is up."""
    rows, columns = [axis for axis in range(3) if axis != plane.axis]
    image = sitk.GetImageFromArray(cut.astype(np.float32))
    image.SetSpacing((spacing[columns], spacing[rows]))
    pixels = PANEL * OVERSAMPLING
    step = length / pixels
    first = [center[columns] - length / 2 + step / 2, center[rows] - length / 2 + step / 2]
    grid = sitk.Resample(
        image, [pixels, pixels], sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear,
        first, [step, step], [1, 0, 0, 1], outside,
    )  # fmt: skip
    result = sitk.GetArrayFromImage(grid)
    return result[::-1] if rows == 0 else result


def contours(share: np.ndarray) -> list[np.ndarray]:
    """Where ``share`` passes 0.5, as closed lines ``(n, 2)`` of x and y in pixels; the first point is the last one too.

    A frame of zeros closes the lines at the edge of the panel.
    """
    framed = np.pad(share, 1).astype(np.float32)
    rows, columns = framed.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    image.SetOrigin(-1, -1, 0)
    image.GetPointData().SetScalars(numpy_to_vtk(framed.ravel(), deep=True))
    edges = vtk.vtkFlyingEdges2D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeScalarsOff()
    joined = vtk.vtkStripper()
    joined.SetInputConnection(edges.GetOutputPort())
    joined.SetMaximumLength(framed.size)  # the default of 1000 points would cut a long line open
    joined.Update()
    lines = joined.GetOutput().GetLines()
    if not lines.GetNumberOfCells():
        return []
    points = _points(joined.GetOutput())[:, :2]
    members, starts = (vtk_to_numpy(one) for one in (lines.GetConnectivityArray(), lines.GetOffsetsArray()))
    return [points[line] for line in np.split(members, starts[1:-1])]


def _model_panel(surfaces: dict[str, vtk.vtkPolyData]) -> Image.Image:
    """The models seen from the front, a little from the patient's left and from above."""
    if surfaces and not _has_opengl():
        panel = Image.new("RGB", (PANEL, PANEL), BACKGROUND)
        _draw_title(ImageDraw.Draw(panel), "No 3D view: this machine has no OpenGL (libEGL)")
        return panel
    panel = _rendered(surfaces) if surfaces else Image.new("RGB", (PANEL, PANEL), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    _draw_letters(draw, ("R", "L", "S", "I"))
    _draw_title(draw, "From the front")
    return panel


def _has_opengl() -> bool:
    """VTK ends the whole process with a segmentation fault on a Linux machine without any OpenGL library."""
    if sys.platform != "linux":
        return True
    return any(ctypes.util.find_library(name) for name in ("EGL", "GL", "OSMesa"))


def _rendered(surfaces: dict[str, vtk.vtkPolyData]) -> Image.Image:
    renderer = vtk.vtkRenderer()
    renderer.SetBackground([channel / 255 for channel in BACKGROUND])
    renderer.SetUseDepthPeeling(True)
    renderer.SetMaximumNumberOfPeels(8)
    for segment in SEGMENTS:
        if segment.id in surfaces:
            renderer.AddActor(_actor(segment, surfaces[segment.id]))
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(0, -1, 0)
    camera.SetViewUp(0, 0, 1)
    camera.Azimuth(15)
    camera.Elevation(10)
    _fit(renderer, camera, np.concatenate([_points(surface) for surface in surfaces.values()]))
    return _screenshot(renderer)


def _fit(renderer: vtk.vtkRenderer, camera: vtk.vtkCamera, points: np.ndarray) -> None:
    """Center the projected points ``(n, 3)`` in mm and let them fill most of the picture."""
    forward, up = np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
    across = np.cross(forward, up)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(across, forward), forward])
    seen = points @ axes.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    center = (low + high) / 2 @ axes
    camera.ParallelProjectionOn()
    camera.SetParallelScale(0.6 * float((high - low)[:2].max()))
    camera.SetFocalPoint(center)
    camera.SetPosition(center - forward * 1000)
    renderer.ResetCameraClippingRange()


def _points(surface: vtk.vtkPolyData) -> np.ndarray:
    return vtk_to_numpy(surface.GetPoints().GetData())


def _actor(segment: Segment, surface: vtk.vtkPolyData) -> vtk.vtkActor:
    """Organs are opaque, what lies in a region of one is translucent, so that the organ behind it shows."""
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(surface)
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor([channel / 255 for channel in segment.color])
    look.SetOpacity(0.55 if segment.structure.region else 1.0)
    look.SetAmbient(0.12)
    look.SetDiffuse(0.85)
    look.SetSpecular(0.25)
    look.SetSpecularPower(25)
    return actor


def _screenshot(renderer: vtk.vtkRenderer) -> Image.Image:
    """Render off screen; VTK's remark that there is no display is not for the user."""
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(True)
    window.SetSize(PANEL * OVERSAMPLING, PANEL * OVERSAMPLING)
    window.AddRenderer(renderer)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    vtk.vtkLogger.SetStderrVerbosity(verbosity)
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1]
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_letters(draw: ImageDraw.ImageDraw, letters: tuple[str, str, str, str]) -> None:
    middle, edge = PANEL / 2, 16
    places = ((edge, middle), (PANEL - edge, middle), (middle, edge), (middle, PANEL - edge))
    for letter, place in zip(letters, places, strict=True):
        draw.text(place, letter, fill=TEXT, font=_font(22), anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))


def _draw_title(draw: ImageDraw.ImageDraw, title: str) -> None:
    draw.text((12, 10), title, fill=FAINT, font=_font(18), stroke_width=2, stroke_fill=(0, 0, 0))


def _draw_scale(draw: ImageDraw.ImageDraw, pixels_per_mm: float) -> None:
    """A bar of 5 cm at the lower right."""
    right, y = PANEL - 16, PANEL - 16
    left = right - 50 * pixels_per_mm
    draw.line([(left, y), (right, y)], fill=TEXT, width=3)
    middle = ((left + right) / 2, y - 6)
    draw.text(middle, "5 cm", fill=TEXT, font=_font(16), anchor="mb", stroke_width=2, stroke_fill=(0, 0, 0))


def _draw_legend(draw: ImageDraw.ImageDraw, top: int, width: int, measurements: Measurements) -> None:
    """A swatch, the name and the volume of each segment, in as many columns as there are segments."""
    column = width / len(SEGMENTS)
    for position, segment in enumerate(SEGMENTS):
        left = position * column + 24
        measured = measurements.of(segment.id)
        value = f"{measured.volume_ml:.0f} ml" if measured else "not found"
        ink = TEXT if measured else FAINT
        draw.rounded_rectangle((left, top + 22, left + 36, top + 58), 8, fill=segment.color if measured else FAINT)
        draw.text((left + 52, top + 40), segment.display_name, fill=ink, font=_font(24), anchor="lm")
        draw.text((left + column - 48, top + 40), value, fill=ink, font=_font(24), anchor="rm")
