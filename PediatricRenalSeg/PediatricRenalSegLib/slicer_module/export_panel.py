"""The part of the window that writes the patient folder."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import ctk
import qt
import slicer
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from ..errors import InputError
from ..export.writers import MESH_FORMATS, MESHES, Writer
from . import results
from .contracts import Logic, Widgets
from .parameters import PediatricRenalSegParameterNode
from .review_panel import ReviewPanel
from .status_panel import StatusPanel

FOLDER_SETTING = "PediatricRenalSeg/ExportFolder"
NOT_IN_NAMES = set('/\\:*?"<>|')
"""Signs that cannot be in the name of a folder on every system."""


class ExportPanel:
    """Runs the section Export.

    changed: called when an export began or ended.
    """

    def __init__(self, ui: Widgets, logic: Logic, review: ReviewPanel, changed: Callable[[], None]) -> None:
        self.ui = ui
        self._logic, self._review, self._changed = logic, review, changed
        self._status = StatusPanel(ui.exportProgressBar, ui.exportStatusLabel, ui.logTextEdit)
        self._node: PediatricRenalSegParameterNode | None = None
        self._started = False
        self._format_boxes = {writer.name: self._add_format_box(writer) for writer in MESHES}
        ui.exportFolderLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.exportFolderLineEdit.currentPath = slicer.app.settings().value(FOLDER_SETTING, "")
        ui.exportFolderLineEdit.connect("currentPathChanged(QString)", self._on_folder_chosen)
        ui.exportButton.connect("clicked()", self._on_button)

    def _add_format_box(self, writer: Writer) -> qt.QCheckBox:
        box = qt.QCheckBox(writer.name.upper())
        box.toolTip = _format_hint(writer)
        box.connect("clicked()", self._on_formats_chosen)
        self.ui.formatsWidget.layout().addWidget(box)
        return box

    @property
    def running(self) -> bool:
        """Whether what runs is an export."""
        return self._started and self._logic.running

    def show(self, node: PediatricRenalSegParameterNode | None) -> None:
        """Bring the widgets up to date with a parameter node, or ``None``."""
        self._node = node
        if node is None:
            return
        formats = _formats(node)
        for name, box in self._format_boxes.items():
            box.checked = name in formats
        problem = _problem(node)
        self.ui.exportHintLabel.text = problem
        self.ui.exportHintLabel.visible = bool(problem)
        self.ui.exportButton.text = _("Cancel") if self.running else _("Write patient folder")
        self.ui.exportButton.enabled = self.running or not (problem or self._logic.running)
        self.ui.exportButton.toolTip = (
            _("Stop; nothing is written.")
            if self.running
            else problem or _("Label map, segmentation, models, preview and report of the segments as they are now.")
        )

    def reset(self) -> None:
        """Forget what was said of an earlier export."""
        self._started = False
        self._status.idle()

    def _on_formats_chosen(self) -> None:
        if self._node is not None:
            self._node.meshFormats = ",".join(name for name, box in self._format_boxes.items() if box.checked)

    def _on_folder_chosen(self, path: str) -> None:
        slicer.app.settings().setValue(FOLDER_SETTING, path)

    def _on_button(self) -> None:
        if self.running:
            self._logic.cancel()
            self._started = False
            self._status.idle(_("Cancelled. Nothing was written."))
        elif self._node is not None:
            self._start(self._node)
        self._changed()

    def _start(self, node: PediatricRenalSegParameterNode) -> None:
        segmentation = node.outputSegmentation
        try:
            output = self._folder(node.caseName.strip())
            overwrite = output.exists()
            question = _("{folder} exists already. Replace the earlier result in it? Files of your own stay.")
            if overwrite and not slicer.util.confirmOkCancelDisplay(question.format(folder=output)):
                return
            self._review.note_time()
            self._status.busy(_("Starting…"))
            self._started = True
            self._logic.export(
                segmentation,
                output,
                _formats(node),
                overwrite,
                waitForCompletion=False,
                onProgress=self._status.progress,
                onDone=lambda error: self._on_done(output, segmentation, error),
            )
        except Exception as error:  # whatever it is, the user is told
            self._started = False
            self._status.error(_("The patient folder cannot be written."), error)

    def _folder(self, name: str) -> Path:
        folder = self.ui.exportFolderLineEdit.currentPath.strip()
        if not folder:
            raise InputError(_("No folder is chosen: choose where the patient folders go."))
        if not Path(folder).is_absolute():
            raise InputError(
                _('"{folder}" is no complete path: choose the folder with the button.').format(folder=folder)
            )
        if not name.rstrip(".") or set(name) & NOT_IN_NAMES:
            raise InputError(_('A case needs a name without any of / \\ : * ? " < > |, such as case-01.'))
        return Path(folder) / name

    def _on_done(self, output: Path, segmentation: vtkMRMLSegmentationNode, error: Exception | None) -> None:
        self._started = False
        if error is not None:
            self._status.error(_("The patient folder could not be written."), error)
        else:
            link = f'<a href="{output.as_uri()}">{escape(str(output))}</a>'
            text = _("Written: {link}").format(link=link)
            self._status.idle("<br>".join(filter(None, [text, escape(results.left_out(segmentation))])))
        self._changed()


def _problem(node: PediatricRenalSegParameterNode) -> str:
    """Why nothing can be exported; empty if it can."""
    if node.outputSegmentation is None:
        return _("No result yet: segment a CT, or choose an earlier result under Review.")
    try:
        results.check_exportable(node.outputSegmentation)
    except InputError as error:
        return str(error)
    return "" if _formats(node) else _("Choose at least one format for the models.")


def _formats(node: PediatricRenalSegParameterNode) -> list[str]:
    """The chosen formats that there are; a scene of another version may name others."""
    return [name for name in node.meshFormats.split(",") if name in MESH_FORMATS]


def _format_hint(writer: Writer) -> str:
    """How many files it makes, and what they are good for where that is known."""
    files = _("One file for each structure.") if "{segment}" in writer.file else _("All structures in one file.")
    uses = {
        "stl": _("For 3D printing."),
        "ply": _("With color."),
        "obj": _("With colors."),
        "glb": _("With colors, for web browsers and headsets."),
    }
    return f"{files} {uses.get(writer.name, '')}".strip()
