"""The part of the window that writes the patient folder."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import ctk
import slicer
from slicer.i18n import tr as _

from ..volume import InputError
from . import results
from .review_panel import ReviewPanel
from .status_panel import StatusPanel

FOLDER_SETTING = "PediatricRenalSeg/ExportFolder"
NOT_IN_NAMES = set('/\\:*?"<>|')


class ExportPanel:
    """Runs the section Export.

    changed: called when an export began or ended.
    """

    def __init__(self, ui, logic, review: ReviewPanel, changed: Callable[[], None]):
        self.ui = ui
        self._logic, self._review, self._changed = logic, review, changed
        self._status = StatusPanel(ui.exportProgressBar, ui.exportStatusLabel, ui.logTextEdit)
        self._node = None
        self._started = False
        ui.exportFolderLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.exportFolderLineEdit.currentPath = slicer.app.settings().value(FOLDER_SETTING, "")
        ui.exportFolderLineEdit.connect("currentPathChanged(QString)", self._on_folder_chosen)
        ui.exportButton.connect("clicked()", self._on_button)

    @property
    def running(self) -> bool:
        """Whether what runs is an export."""
        return self._started and self._logic.running

    def show(self, node) -> None:
        """Bring the widgets up to date with a parameter node, or ``None``."""
        self._node = node
        if node is None:
            return
        problem = self._problem()
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

    def _problem(self) -> str:
        """Why nothing can be exported; empty if it can."""
        if self._node.outputSegmentation is None:
            return _("No result yet: segment a CT, or choose an earlier result under Review.")
        try:
            results.check_exportable(self._node.outputSegmentation)
        except InputError as error:
            return str(error)
        return "" if self._formats() else _("Choose at least one format for the models.")

    def _formats(self) -> list[str]:
        node = self._node
        chosen = {"stl": node.exportStl, "obj": node.exportObj, "ply": node.exportPly, "glb": node.exportGlb}
        return [name for name, is_chosen in chosen.items() if is_chosen]

    def _on_folder_chosen(self, path: str) -> None:
        slicer.app.settings().setValue(FOLDER_SETTING, path)

    def _on_button(self) -> None:
        if self.running:
            self._logic.cancel()
            self._started = False
            self._status.idle(_("Cancelled. Nothing was written."))
        else:
            self._start()
        self._changed()

    def _start(self) -> None:
        segmentation = self._node.outputSegmentation
        try:
            output = self._folder()
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
                self._formats(),
                overwrite,
                waitForCompletion=False,
                onProgress=self._status.progress,
                onDone=lambda error: self._on_done(output, segmentation, error),
            )
        except Exception as error:  # whatever it is, the user is told
            self._started = False
            self._status.error(_("The patient folder cannot be written."), error)

    def _folder(self) -> Path:
        folder, name = self.ui.exportFolderLineEdit.currentPath.strip(), self._node.caseName.strip()
        if not folder:
            raise InputError(_("No folder is chosen: choose where the patient folders go."))
        if not Path(folder).is_absolute():
            raise InputError(
                _('"{folder}" is no complete path: choose the folder with the button.').format(folder=folder)
            )
        if not name.rstrip(".") or set(name) & NOT_IN_NAMES:
            raise InputError(_('A case needs a name without any of / \\ : * ? " < > |, such as case-01.'))
        return Path(folder) / name

    def _on_done(self, output: Path, segmentation, error: Exception | None) -> None:
        self._started = False
        if error is not None:
            self._status.error(_("The patient folder could not be written."), error)
        else:
            link = f'<a href="{output.as_uri()}">{escape(str(output))}</a>'
            text = _("Written: {link}").format(link=link)
            self._status.idle("<br>".join(filter(None, [text, escape(results.left_out(segmentation))])))
        self._changed()
