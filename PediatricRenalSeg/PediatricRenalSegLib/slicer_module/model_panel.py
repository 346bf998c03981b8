"""The part of the window in which a model is chosen and described."""

import ctk
from slicer.i18n import tr as _

from ..errors import InputError
from . import models
from .contracts import Widgets
from .parameters import PediatricRenalSegParameterNode

LOCAL_MODEL = "file"
"""Entry of the list after those of the catalogue: a file of the user's own."""


class ModelPanel:
    """Fills the list of models, the line for a file, and the description of what is chosen.

    What the user chooses goes to the parameter node, and from there back to the widgets with ``show``.
    """

    def __init__(self, ui: Widgets) -> None:
        self.ui = ui
        self.model = ""
        """As the command line takes it; empty for the default."""
        self.problem = ""
        """Why the chosen model cannot be used; empty if it can."""
        self._node: PediatricRenalSegParameterNode | None = None
        ui.modelPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        ui.modelPathLineEdit.nameFilters = [_("Model files (*.pt)")]
        for model, name in models.shipped_models():
            ui.modelComboBox.addItem(name, model)
        ui.modelComboBox.addItem(_("Use a local file…"), LOCAL_MODEL)
        ui.modelComboBox.connect("currentIndexChanged(int)", self._on_model_chosen)
        ui.modelPathLineEdit.connect("currentPathChanged(QString)", self._on_file_chosen)

    def show(self, node: PediatricRenalSegParameterNode | None) -> None:
        """Bring the widgets up to date with a parameter node, or ``None``."""
        self._node = node
        if node is None:
            return
        is_local = node.model == LOCAL_MODEL
        self.model = node.modelFile if is_local else node.model
        self._write(self.ui.modelComboBox.findData(node.model) if node.model else 0, node.modelFile)
        self.ui.modelPathLineEdit.visible = is_local
        if is_local and not self.model:
            self._describe("", _("Choose the model file."))
            return
        try:
            self._describe(models.describe(self.model), "")
        except InputError as error:
            self._describe("", str(error))

    def _write(self, index: int, path: str) -> None:
        """Show what the node holds; writing an equal path would move the cursor of who types it."""
        list_box, line = self.ui.modelComboBox, self.ui.modelPathLineEdit
        blocked = list_box.blockSignals(True), line.blockSignals(True)
        list_box.currentIndex = index
        if line.currentPath != path:
            line.currentPath = path
        list_box.blockSignals(blocked[0])
        line.blockSignals(blocked[1])

    def _describe(self, text: str, problem: str) -> None:
        self.problem = problem
        self.ui.modelInfoLabel.text = text or problem

    def _on_model_chosen(self, index: int) -> None:
        if self._node is not None and index >= 0:
            self._node.model = self.ui.modelComboBox.itemData(index)

    def _on_file_chosen(self, path: str) -> None:
        if self._node is not None:
            self._node.modelFile = path
