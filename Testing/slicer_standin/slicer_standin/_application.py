"""``slicer.app``: the application, its main window, its modules and its views."""

import atexit
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QProcessEnvironment, QSettings, Signal

from ._file_io import CoreIOManager
from ._pythonqt import qt
from ._scene import SceneEnvironment
from ._types import Scene, VtkObject, Widget

VERSIONS = {"5.10": (5, 10), "5.12": (5, 12)}

PANEL_WIDTH = 460
"""Pixels: a usual width of Slicer's module panel."""

FONT_POINTS = 9


class SlicerApplication(qt.QApplication):
    """qSlicerApplication, as far as scripted modules use it."""

    startupCompleted = Signal()

    def __init__(self, environment: SceneEnvironment) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer-stand-in")
        self.setStyle("Fusion")
        font = self.font()
        font.setPointSize(FONT_POINTS)
        self.setFont(font)
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-stand-in-")
        home = Path(self._folder.name)
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(home / "settings"))
        self.slicerHome = str(home)
        self.temporaryPath = str(home / "temporary")
        Path(self.temporaryPath).mkdir()
        self.os = {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux")
        self.setVersion("5.12")
        self._testing = False
        self._io = CoreIOManager()
        self._modules = ModuleManager()
        self._layout = LayoutManager()
        self._environment = environment
        slicer.mrmlScene = environment.scene
        self._window: MainWindow | None = None
        atexit.register(lambda: self._environment.close())

    # ---------------------------------------------------------------- of the stand-in

    def setVersion(self, version: str) -> None:
        """Pretend to be Slicer 5.10 or 5.12: the numbers only, see ``packages`` for what is there."""
        self.majorVersion, self.minorVersion = VERSIONS[version]
        self.applicationVersion = f"{version}.0"
        self.mainApplicationVersion = self.applicationVersion
        self.revision = "0"

    def setTestingEnabled(self, testing: bool) -> None:
        """As ``Slicer --testing``: messages are logged, and questions answered with yes, without a dialog."""
        self._testing = testing

    def setEnvironment(self, environment: SceneEnvironment) -> None:
        """Take another scene, with its logics; the one before ends."""
        self._environment.close()
        self._environment = environment
        slicer.mrmlScene = environment.scene

    def forgetStartup(self) -> None:
        """Disconnect everybody from ``startupCompleted``: each module is loaded as if Slicer just started."""
        self.startupCompleted.disconnect()

    def announceQuit(self) -> None:
        """Emit ``aboutToQuit``, as Slicer does before it ends."""
        self.aboutToQuit.emit()

    def makeMainWindow(self) -> "MainWindow":
        self._window = MainWindow()
        return self._window

    # ---------------------------------------------------------------- of Slicer

    def applicationLogic(self) -> VtkObject:
        return self._environment.application_logic

    def mrmlScene(self) -> Scene:
        return self._environment.scene

    def sliceLogics(self) -> dict[str, VtkObject]:
        return self._environment.slice_logics

    def coreIOManager(self) -> CoreIOManager:
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> "ModuleManager":
        return self._modules

    def layoutManager(self) -> "LayoutManager":
        return self._layout

    def pythonConsole(self) -> None:
        return None

    def testingEnabled(self) -> bool:
        return self._testing

    def settings(self) -> QSettings:
        return qt.QSettings()

    userSettings = revisionUserSettings = settings

    def startupEnvironment(self) -> QProcessEnvironment:
        return qt.QProcessEnvironment.systemEnvironment()

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"

    def pauseRender(self) -> None:
        """Nothing is drawn."""

    resumeRender = pauseRender


class ModuleManager(qt.QObject):
    """qSlicerModuleManager: the modules by name."""

    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def add(self, module: Any) -> None:
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)

    def remove(self, name: str) -> None:
        self.moduleAboutToBeUnloaded.emit(name)
        del self._modules[name]
        delattr(slicer.modules, name.lower())

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    loadedModuleNames = modulesNames

    def factoryManager(self) -> "ModuleManager":
        return self


class MainWindow(qt.QMainWindow):
    """qSlicerMainWindow: the module panel with its selector; no views, menus or toolbars."""

    def __init__(self) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self._selector = ModuleSelector()
        self._panel = qt.QScrollArea()
        self._panel.setWidgetResizable(True)
        self._panel.setFrameShape(qt.QFrame.NoFrame)
        self.setCentralWidget(self._panel)
        self.resize(PANEL_WIDTH, 900)

    def moduleSelector(self) -> "ModuleSelector":
        return self._selector

    def pythonConsole(self) -> None:
        return None

    def showModule(self, widget: Widget) -> None:
        """Put a module into the panel; the one before lives on."""
        self._panel.takeWidget()
        self._panel.setWidget(widget)
        widget.show()


class ModuleSelector(qt.QObject):
    """The selector in the tool bar: leaves one module and enters the next."""

    moduleSelected = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"there is no module {name}")
        if name == self.selectedModule:
            return
        self.leave()
        self.selectedModule = name
        widget = module.widgetRepresentation()
        slicer.util.mainWindow().showModule(widget)
        widget.enter()
        self.moduleSelected.emit(name)

    def leave(self) -> None:
        """Leave the module that is selected."""
        module = slicer.app.moduleManager().module(self.selectedModule)
        self.selectedModule = ""
        if module is not None:
            module.widgetRepresentation().exit()


class CoreModule:
    """A module of Slicer itself: its logic, and an empty panel."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = name
        self.path = ""
        self._widget: ModulePanel | None = None

    def logic(self) -> VtkObject:
        return slicer.app.applicationLogic().GetModuleLogic(self.name)

    def widgetRepresentation(self) -> "ModulePanel":
        self._widget = self._widget or ModulePanel()
        return self._widget


class ModulePanel(qt.QWidget):
    """qSlicerAbstractModuleWidget: knows whether the module is the one on screen."""

    def __init__(self, parent: Widget = None) -> None:
        super().__init__(parent)
        self._entered = False

    isEntered = property(lambda self: self._entered)

    def enter(self) -> None:
        self._entered = True

    def exit(self) -> None:
        self._entered = False


class LayoutManager(qt.QObject):
    """qSlicerLayoutManager: three slice views and a 3D view that are never drawn.

    The nodes and logics of the slice views are real: offsets, orientation and layers can be set and read.
    """

    threeDViewCount = 1

    def __init__(self) -> None:
        super().__init__()
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def sliceViewNames(self) -> list[str]:
        return list(slicer.app.sliceLogics())

    def sliceWidget(self, name: str) -> SimpleNamespace:
        logic = slicer.app.sliceLogics()[name]
        return SimpleNamespace(sliceLogic=lambda: logic, mrmlSliceNode=logic.GetSliceNode)

    def mrmlSliceLogics(self) -> VtkObject:
        logics = vtk.vtkCollection()
        for logic in slicer.app.sliceLogics().values():
            logics.AddItem(logic)
        return logics

    def threeDWidget(self, index: int) -> SimpleNamespace:
        nothing = SimpleNamespace(resetFocalPoint=lambda: None, resetCamera=lambda: None)
        return SimpleNamespace(threeDView=lambda: nothing)

    def resetThreeDViews(self) -> None:
        """Nothing is drawn."""

    def resetSliceViews(self) -> None:
        for logic in slicer.app.sliceLogics().values():
            logic.FitSliceToBackground()

    def setLayout(self, layout: int) -> None:
        self.layout = layout


CORE_MODULES = ("DICOM", "Data", "SegmentEditor", "SegmentStatistics", "SampleData", "ExtensionsManager")
"""Modules that can be selected, and have no logic here."""
