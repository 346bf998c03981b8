"""``preview.png``: three slices with contours, the models, and a legend; drawn without a display."""

import ctypes.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  what draws registers itself when it is imported
from PIL import Image, ImageDraw, ImageFont
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges2D, vtkStripper
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkCamera,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkWindowToImageFilter,
)

from ..structures import Segment
from ..threads import side_by_side
from ..volume import LabelVolume, Spacing
from .result import Result
from .vtk_log import quiet_vtk

PANEL = 640
"""Pixels along a side of each of the four panels."""

GAP, LEGEND = 6, 84
"""Pixels between panels, and height of a row of the legend."""

LEGEND_COLUMNS = 3
"""Segments in a row of the legend: more would be written over one another."""

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
"""Red, green and blue: dark, as the reading room, with writing that outlines do not outshine; chosen by eye."""


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


@dataclass(frozen=True)
class _View:
    """What the slice panels show, in mm on the axial array."""

    center: np.ndarray
    """``(z, y, x)``."""
    length: float
    """Side of the square."""

    @classmethod
    def around_structures(cls, labels: LabelVolume) -> "_View":
        """With a margin; of the whole volume if there are none."""
        array, spacing = labels.axial()
        depth, height, width = array.shape
        boxes = list(labels.boxes.values()) or [(slice(0, depth), slice(0, height), slice(0, width))]
        low = np.min([[s.start for s in box] for box in boxes], axis=0) * spacing
        high = np.max([[s.stop - 1 for s in box] for box in boxes], axis=0) * spacing
        return cls((low + high) / 2, max(MARGIN * float((high - low).max()), SMALLEST_VIEW_MM))


def write_preview(path: Path, result: Result) -> None:
    """Draw axial, coronal and sagittal slices through the structures, the models, and volumes in ml."""
    view = _View.around_structures(result.labels)
    side = 2 * PANEL + GAP
    legend_rows = -(-len(result.labels.structures.segments) // LEGEND_COLUMNS)
    picture = Image.new("RGB", (side, side + GAP + legend_rows * LEGEND), BACKGROUND)
    places = [(0, 0), (PANEL + GAP, 0), (0, PANEL + GAP)]
    panels = side_by_side(lambda plane: _slice_panel(plane, result, view), PLANES)
    for panel, place in zip(panels, places, strict=True):
        picture.paste(panel, place)
    picture.paste(_model_panel(result), (PANEL + GAP, PANEL + GAP))
    _draw_legend(ImageDraw.Draw(picture), side + GAP, side, result)
    picture.save(path)


def _slice_panel(plane: _Plane, result: Result, view: _View) -> Image.Image:
    index = _best_slice(result.labels, plane.axis)
    low, high = WINDOW_HU
    intensities, spacing = result.ct.axial()
    gray = _resampled(np.take(intensities, index, axis=plane.axis), plane, spacing, view, low)
    gray = np.clip((gray - low) / (high - low), 0, 1)[..., None] * 255
    colored = np.repeat(gray, 3, axis=2)
    cut = np.take(result.labels.axial()[0], index, axis=plane.axis)
    outlines = []
    for segment in result.labels.structures.segments:
        if not (cut == segment.value).any():
            continue
        share = _resampled(cut == segment.value, plane, spacing, view, 0)
        alpha = FILL * np.clip(share, 0, 1)[..., None]
        colored = (1 - alpha) * colored + alpha * np.array(segment.color, np.float32)
        outlines += [(segment.color, line) for line in contours(share)]
    panel = Image.fromarray(colored.round().astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    for color, line in outlines:
        draw.line([(x, y) for x, y in line], fill=color, width=2 * OVERSAMPLING, joint="curve")
    panel = panel.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(panel)
    _draw_letters(draw, plane.letters)
    _draw_title(draw, plane.title)
    _draw_scale(draw, PANEL / view.length)
    return panel


def _best_slice(labels: LabelVolume, axis: int) -> int:
    """The slice with most segments cut substantially, and of these the one with the largest relative sections."""
    array, _ = labels.axial()
    score = np.zeros(array.shape[axis])
    for segment in labels.structures.segments:
        if segment.id in labels.boxes:
            box = labels.boxes[segment.id]
            area = (array[box] == segment.value).sum(axis=tuple(i for i in range(3) if i != axis))
            share = area / area.max()
            score[box[axis]] += share + (share >= SUBSTANTIAL)
    return int(score.argmax()) if score.any() else array.shape[axis] // 2


def _resampled(cut: np.ndarray, plane: _Plane, spacing: Spacing, view: _View, outside: float) -> np.ndarray:
    """A slice on the pixels of an oversampled panel, mm to scale; Superior is up."""
    rows, columns = [axis for axis in range(3) if axis != plane.axis]
    image = sitk.GetImageFromArray(cut.astype(np.float32))
    image.SetSpacing((spacing[columns], spacing[rows]))
    pixels = PANEL * OVERSAMPLING
    step = view.length / pixels
    first = [view.center[axis] - view.length / 2 + step / 2 for axis in (columns, rows)]
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
    image = vtkImageData()
    image.SetDimensions(columns, rows, 1)
    image.SetOrigin(-1, -1, 0)
    image.GetPointData().SetScalars(numpy_to_vtk(framed.ravel(), deep=True))
    edges = vtkFlyingEdges2D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeScalarsOff()
    joined = vtkStripper()
    joined.SetInputConnection(edges.GetOutputPort())
    joined.SetMaximumLength(framed.size)  # the default of 1000 points would cut a long line open
    joined.Update()
    lines = joined.GetOutput().GetLines()
    if not lines.GetNumberOfCells():
        return []
    points = _points(joined.GetOutput())[:, :2]
    members, starts = (vtk_to_numpy(one) for one in (lines.GetConnectivityArray(), lines.GetOffsetsArray()))
    return [points[line] for line in np.split(members, starts[1:-1])]


def _model_panel(result: Result) -> Image.Image:
    """The models seen from the front, a little from the patient's left and from above."""
    if result.surfaces and not _has_opengl():
        panel = Image.new("RGB", (PANEL, PANEL), BACKGROUND)
        _draw_title(ImageDraw.Draw(panel), "No 3D view: this machine has no OpenGL (libEGL)")
        return panel
    panel = _rendered(result) if result.surfaces else Image.new("RGB", (PANEL, PANEL), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    _draw_letters(draw, ("R", "L", "S", "I"))
    _draw_title(draw, "From the front")
    return panel


def _has_opengl() -> bool:
    """VTK ends the whole process with a segmentation fault on a Linux machine without any OpenGL library."""
    if sys.platform != "linux":
        return True
    return any(ctypes.util.find_library(name) for name in ("EGL", "GL", "OSMesa"))


def _rendered(result: Result) -> Image.Image:
    renderer = vtkRenderer()
    renderer.SetBackground([channel / 255 for channel in BACKGROUND])
    renderer.SetUseDepthPeeling(True)
    renderer.SetMaximumNumberOfPeels(8)
    for segment in result.segments_with_surface:
        renderer.AddActor(_actor(segment, result.surfaces[segment.id]))
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(0, -1, 0)
    camera.SetViewUp(0, 0, 1)
    camera.Azimuth(15)
    camera.Elevation(10)
    _fit(renderer, camera, np.concatenate([_points(surface) for surface in result.surfaces.values()]))
    return _screenshot(renderer)


def _fit(renderer: vtkRenderer, camera: vtkCamera, points: np.ndarray) -> None:
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


def _points(surface: vtkPolyData) -> np.ndarray:
    return vtk_to_numpy(surface.GetPoints().GetData())


def _actor(segment: Segment, surface: vtkPolyData) -> vtkActor:
    """Organs are opaque, what lies in a region of one is translucent, so that the organ behind it shows."""
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(surface)
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor([channel / 255 for channel in segment.color])
    look.SetOpacity(0.55 if segment.structure.region else 1.0)
    look.SetAmbient(0.12)
    look.SetDiffuse(0.85)
    look.SetSpecular(0.25)
    look.SetSpecularPower(25)
    return actor


def _screenshot(renderer: vtkRenderer) -> Image.Image:
    """Render off screen; VTK's remark that there is no display is not for the user."""
    with quiet_vtk():
        window = vtkRenderWindow()
        window.SetOffScreenRendering(True)
        window.SetMultiSamples(0)
        window.SetAlphaBitPlanes(True)
        window.SetSize(PANEL * OVERSAMPLING, PANEL * OVERSAMPLING)
        window.AddRenderer(renderer)
        window.Render()
        grab = vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1]
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
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


def _draw_legend(draw: ImageDraw.ImageDraw, top: int, width: int, result: Result) -> None:
    """A swatch, the name and the volume of each segment."""
    segments = result.labels.structures.segments
    column = width / min(len(segments), LEGEND_COLUMNS)
    for position, segment in enumerate(segments):
        row, place = divmod(position, LEGEND_COLUMNS)
        y = top + row * LEGEND
        left = place * column + 24
        measured = result.measurements.of(segment.id)
        value = f"{measured.volume_ml:.0f} ml" if measured else "not found"
        ink = TEXT if measured else FAINT
        draw.rounded_rectangle((left, y + 22, left + 36, y + 58), 8, fill=segment.color if measured else FAINT)
        draw.text((left + 52, y + 40), segment.display_name, fill=ink, font=_font(24), anchor="lm")
        draw.text((left + column - 48, y + 40), value, fill=ink, font=_font(24), anchor="rm")
