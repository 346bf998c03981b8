"""Puts the parts of the stand-in together, once in a process."""

import functools
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import slicer
import slicer.util

from . import _parameter_nodes, _scripted_module, _translation
from ._application import CORE_MODULES, CoreModule, SlicerApplication
from ._ctk import ctk
from ._dialogs import Dialogs, take_over_modal_dialogs
from ._node_selector import qMRMLNodeComboBox
from ._packages import Packages
from ._python_slicer import install_python_slicer
from ._pythonqt import qt
from ._sample_data import make_sample_data_module
from ._scene import MODULE_LOGICS, new_scene
from ._scene_widgets import qMRMLCollapsibleButton, qMRMLWidget, qSlicerWidget
from ._scripted_module import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget
from ._segment_widgets import qMRMLSegmentationShow3DButton, qMRMLSegmentEditorWidget, qMRMLSegmentsTableView
from ._ui_loader import QUiLoader

SLICER_CLASSES = (
    qMRMLCollapsibleButton,
    qMRMLNodeComboBox,
    qMRMLSegmentEditorWidget,
    qMRMLSegmentationShow3DButton,
    qMRMLSegmentsTableView,
    qMRMLWidget,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
    qSlicerWidget,
)
"""Classes of ``slicer`` beside those of MRML."""


@dataclass(frozen=True)
class StandIn:
    """The running stand-in: what tests need beside ``slicer`` itself."""

    application: SlicerApplication
    dialogs: Dialogs
    packages: Packages

    def new_scene(self) -> None:
        """Give ``slicer`` an empty scene, and modules without sample data."""
        self.application.setEnvironment(new_scene())
        slicer.modules.sampleDataSources = {}


@functools.cache
def start() -> StandIn:
    """Start the application; from then on ``qt``, ``ctk`` and all of ``slicer`` can be imported."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    qt.QUiLoader = QUiLoader
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    sys.modules["SampleData"] = make_sample_data_module()
    application = SlicerApplication(new_scene())
    slicer.app = application
    slicer.modules = types.SimpleNamespace(sampleDataSources={})
    slicer.selfTests = {}
    dialogs = take_over_modal_dialogs(ctk)
    _add_what_the_wheel_lacks()
    for name in (*MODULE_LOGICS, *CORE_MODULES):
        application.moduleManager().add(CoreModule(name))
    install_python_slicer(Path(application.slicerHome))
    application.makeMainWindow()
    packages = Packages()
    slicer.util.pip_install = packages.install
    return StandIn(application, dialogs, packages)


def _add_what_the_wheel_lacks() -> None:
    for member in SLICER_CLASSES:
        setattr(slicer, member.__name__, member)
    for name, source in (
        ("i18n", _translation),
        ("parameterNodeWrapper", _parameter_nodes),
        ("ScriptedLoadableModule", _scripted_module),
    ):
        sys.modules[f"slicer.{name}"] = source
        setattr(slicer, name, source)
