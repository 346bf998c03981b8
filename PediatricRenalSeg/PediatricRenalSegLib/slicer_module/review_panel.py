"""The part of the window in which a result is looked at: table, slices to check, Segment Editor, time."""

import time
from collections.abc import Callable
from html import escape

import qt
import slicer
import vtk
from slicer import vtkMRMLSegmentationNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .. import mrml
from ..errors import InputError
from ..structures import Segment
from . import results
from .contracts import Widgets
from .task import Task

EDIT_PAUSE_MS = 500
"""The table waits so long after the last edit: a brush stroke is many edits."""

NAME, VOLUME, DIAMETER = range(3)
ROW_PIXELS, SWATCH_PIXELS = 26, 12
"""Height of a row and side of a color sample; chosen by eye."""

NOTHING, MEASURING = "–", "…"
"""In place of a number that there is not, or not yet."""

EDITOR_TAG = "PediatricRenalSeg"
"""Of the Segment Editor's parameter node: the embedded editor does not disturb the one of the Segment Editor module."""

EDITS = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
)


Measure = Callable[[vtkMRMLSegmentationNode, Callable[[dict], None], Callable[[Exception | None], None]], Task]
"""As ``jobs.measure``."""


class ReviewPanel(VTKObservationMixin):
    """Fills the widgets of the section Review and keeps them up to date.

    ui: the widgets by name. measure: starts the task that measures the segments of a node.
    """

    def __init__(self, ui: Widgets, measure: Measure) -> None:
        VTKObservationMixin.__init__(self)
        self.ui = ui
        self.node: vtkMRMLSegmentationNode | None = None
        self._chosen_ct: vtkMRMLVolumeNode | None = None
        self._measure = measure
        self._task: Task | None = None
        self._editor: slicer.qMRMLSegmentEditorWidget | None = None
        self._slice = -1
        self._on_screen = False
        self._shown_since: float | None = None
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(EDIT_PAUSE_MS)
        self._pause.connect("timeout()", self._start_measuring)
        self._set_up_table()
        ui.previousSliceButton.connect("clicked()", lambda: self._go_to_slice(self._slice - 1))
        ui.nextSliceButton.connect("clicked()", lambda: self._go_to_slice(self._slice + 1))
        for button in (ui.previousSliceButton, ui.nextSliceButton):
            button.toolTip = _(
                "Goes to the slices where the model was least sure. A slice counts with the area that may be wrong. "
                "The rest of the slices has to be looked at as well."
            )
        ui.editorCollapsibleButton.connect("contentsCollapsed(bool)", self._on_editor_collapsed)
        self._show()

    def set_node(self, node: vtkMRMLSegmentationNode | None, chosen_ct: vtkMRMLVolumeNode | None) -> None:
        """Show another segmentation, or none; ``chosen_ct`` is the CT that the window would segment."""
        self._chosen_ct = chosen_ct
        if node is not self.node:
            self._change_node(node)
        self._update_hint()

    def _change_node(self, node: vtkMRMLSegmentationNode | None) -> None:
        self._put_away()
        self.removeObservers()
        self.node = node
        if node is not None:
            for edit in EDITS:
                self.addObserver(node, edit, self._on_edited)
        self._show()
        self._start_clock()
        self._update_editor()

    def refresh(self) -> None:
        """The shown segmentation holds a new result: bring it to the views."""
        self._show()
        self._start_clock()
        if self._on_screen:
            show_ct(results.ct_of(self.node))
            slicer.util.resetThreeDViews()

    def _show(self) -> None:
        """Everything but the editor, from the beginning."""
        self._slice = -1
        self._update_rows()
        self._update_slices()
        self._start_measuring()

    def _update_hint(self) -> None:
        """Why there is nothing to review, or what may be mistaken."""
        ct, text = results.ct_of(self.node), ""
        if self.node is None:
            text = _("No result yet: segment a CT, or choose an earlier result.")
        elif ct is None:
            text = _("The CT of this segmentation is not in the scene: load it first.")
        elif ct is not self._chosen_ct:
            text = _('This is a result of "{name}", not of the CT that is chosen above.').format(name=ct.GetName())
        self.ui.reviewHintLabel.text = text
        self.ui.reviewHintLabel.visible = bool(text)

    def enter(self) -> None:
        """The module is on the screen: the time of review runs."""
        self._on_screen = True
        self._start_clock()
        if self._editor is not None:
            self._editor.setupViewObservations()

    def leave(self) -> None:
        """The module goes from the screen."""
        self._on_screen = False
        self._put_away()

    def _put_away(self) -> None:
        """The result goes from the screen."""
        self.note_time()
        self._shown_since = None
        if self._editor is not None:
            self._editor.setActiveEffect(None)
            self._editor.removeViewObservations()

    def _start_clock(self) -> None:
        is_reviewed = self._on_screen and results.report(self.node) is not None
        self._shown_since = time.monotonic() if is_reviewed else None

    def note_time(self) -> None:
        """Add the time since the last note to the node."""
        if self._shown_since is not None and self.node is not None:
            results.add_review_seconds(self.node, time.monotonic() - self._shown_since)
            self._shown_since = time.monotonic()

    def clean_up(self) -> None:
        """The window is closed: nothing goes on, and nothing is held."""
        self.leave()
        self.removeObservers()
        self._pause.stop()
        # PythonQt holds a connected function until its sender is deleted, and this timer lives as long as the panel
        self._pause.disconnect("timeout()", self._start_measuring)
        self._stop_measuring()

    # Table

    def _set_up_table(self) -> None:
        table = self.ui.reviewTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Structure (✓ checked)"), _("Volume"), _("Longest diameter")])
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionMode(qt.QAbstractItemView.NoSelection)
        table.setFocusPolicy(qt.Qt.NoFocus)
        table.verticalHeader().setDefaultSectionSize(ROW_PIXELS)
        table.horizontalHeader().setFixedHeight(ROW_PIXELS)
        table.connect("itemChanged(QTableWidgetItem*)", self._on_item_changed)

    def _segments(self) -> tuple[Segment, ...]:
        """The rows of the table; without a result nobody knows them."""
        return results.structures(self.node).segments if self.node is not None else ()

    def _make_rows(self) -> None:
        """A row for each segment of the model behind the segmentation."""
        table, segments = self.ui.reviewTable, self._segments()
        table.setRowCount(len(segments))
        for row, segment in enumerate(segments):
            name = qt.QTableWidgetItem(segment.display_name)
            name.setIcon(_swatch(segment.color))
            table.setItem(row, NAME, name)
            for column in (VOLUME, DIAMETER):
                item = qt.QTableWidgetItem("")
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
        table.setFixedHeight((len(segments) + 1) * ROW_PIXELS + 2 * table.frameWidth)

    def _update_rows(self) -> None:
        """Names and check marks; the numbers follow when they are measured."""
        marked = results.checked(self.node) if self.node is not None else set()
        table = self.ui.reviewTable
        blocked = table.blockSignals(True)
        self._make_rows()
        for row, segment in enumerate(self._segments()):
            is_marked = segment.id in marked
            table.item(row, NAME).setCheckState(qt.Qt.Checked if is_marked else qt.Qt.Unchecked)
        table.blockSignals(blocked)
        table.enabled = self.node is not None

    def _on_item_changed(self, item: qt.QTableWidgetItem) -> None:
        if self.node is not None and item.column() == NAME:
            results.set_checked(self.node, self._segments()[item.row()].id, item.checkState() == qt.Qt.Checked)

    def _on_edited(self, _caller: vtk.vtkObject, _event: str) -> None:
        self._show_measuring()
        self._pause.start()

    def _start_measuring(self) -> None:
        self._stop_measuring()
        ct = results.ct_of(self.node)
        if self.node is None or ct is None:
            self._show_numbers({}, [])
            return
        try:
            measured = results.measurements(self.node, ct)
            if measured is not None:
                self._on_measured(measured)
                return
            self._show_measuring()
            self._task = self._measure(self.node, self._on_measured, self._on_measured_or_not)
        except (InputError, OSError) as error:
            self._show_numbers({}, [str(error)])

    def _stop_measuring(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    def _on_measured_or_not(self, error: Exception | None) -> None:
        if error is not None:
            self._show_numbers({}, [str(error)])

    def _on_measured(self, values: dict) -> None:
        doubts = [warning["text"] for warning in results.doubts(self.node)]
        warnings = doubts + [warning["text"] for warning in values["warnings"]]
        left_out = results.left_out(self.node)
        if left_out:
            warnings.append(left_out)
        self._show_numbers({row["segment_id"]: row for row in values["segments"]}, warnings)

    def _show_measuring(self) -> None:
        """The numbers are those of earlier segments: take them away until the new ones are there."""
        self._write_numbers([(MEASURING, MEASURING)] * len(self._segments()))

    def _show_numbers(self, measured: dict[str, dict], warnings: list[str]) -> None:
        self._write_numbers([_numbers(measured.get(segment.id)) for segment in self._segments()])
        lines = "".join(f"<tr><td>⚠&nbsp;</td><td>{escape(text)}</td></tr>" for text in warnings)
        self.ui.warningsLabel.text = f"<table>{lines}</table>"
        self.ui.warningsLabel.visible = bool(warnings)

    def _write_numbers(self, texts: list[tuple[str, str]]) -> None:
        table = self.ui.reviewTable
        blocked = table.blockSignals(True)
        for row, (volume, diameter) in enumerate(texts):
            table.item(row, VOLUME).setText(volume)
            table.item(row, DIAMETER).setText(diameter)
        table.blockSignals(blocked)

    # Slices to check

    def _slices(self) -> list[dict]:
        report = results.report(self.node)
        return report["slices_to_check"] if report else []

    def _go_to_slice(self, index: int) -> None:
        self._slice = index
        show_ct(results.ct_of(self.node))
        place = mrml.ras(self._slices()[index]["position_mm"])
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *place, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
        self._update_slices()

    def _update_slices(self) -> None:
        slices = self._slices()
        self.ui.previousSliceButton.enabled = self._slice > 0
        self.ui.nextSliceButton.enabled = self._slice < len(slices) - 1
        if self._slice >= 0:
            text = _("Slice {number} of {count}: {area:.1f} cm² in doubt").format(
                number=self._slice + 1, count=len(slices), area=slices[self._slice]["doubt_cm2"]
            )
        elif slices:
            text = _("{count} slices to check").format(count=len(slices))
        else:
            text = _("No slice stands out")
        self.ui.sliceLabel.text = text if self.node is not None else ""

    # Segment Editor

    def _on_editor_collapsed(self, collapsed: bool) -> None:
        if collapsed and self._editor is not None:
            self._editor.setActiveEffect(None)
        elif not collapsed:
            self._update_editor()

    def _update_editor(self) -> None:
        """The embedded editor is made when it is first wanted: its effects take a moment to set up."""
        if self._editor is None:
            if self.ui.editorCollapsibleButton.collapsed:
                return
            self._editor = slicer.qMRMLSegmentEditorWidget()
            self._editor.setMaximumNumberOfUndoStates(10)
            self._editor.setSwitchToSegmentationsButtonVisible(False)
            self._editor.setSegmentationNodeSelectorVisible(False)
            self._editor.setSourceVolumeNodeSelectorVisible(False)
            self.ui.editorCollapsibleButton.layout().addWidget(self._editor)
        self._editor.setMRMLScene(slicer.mrmlScene)
        self._editor.setMRMLSegmentEditorNode(_editor_node())
        self._editor.setSegmentationNode(self.node)
        self._editor.setSourceVolumeNode(results.ct_of(self.node))
        if self._on_screen:
            self._editor.setupViewObservations()


def _numbers(measured: dict | None) -> tuple[str, str]:
    """Volume and diameter of a segment, or that it has no voxels."""
    if measured is None:
        return NOTHING, NOTHING
    return f"{measured['volume_ml']:.1f} ml", f"{measured['longest_diameter_mm']:.0f} mm"


def show_ct(ct: vtkMRMLVolumeNode | None) -> None:
    """Put a CT into the slice views, unless one of them shows it already."""
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    if ct is not None and not any(layer.GetBackgroundVolumeID() == ct.GetID() for layer in layers):
        slicer.util.setSliceViewerLayers(background=ct, fit=True)


def _editor_node() -> slicer.vtkMRMLSegmentEditorNode:
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node


def _swatch(color: tuple[int, int, int]) -> qt.QIcon:
    pixmap = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(qt.QColor(*color))
    return qt.QIcon(pixmap)
