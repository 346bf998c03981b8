"""``slicer.ScriptedLoadableModule`` and the way Slicer loads a scripted module from its file."""

import importlib.util
import logging
import os
import sys
import unittest
from pathlib import Path
from typing import Any

import shiboken6
import slicer

from ._application import ModulePanel
from ._pythonqt import qt
from ._scene_widgets import qMRMLWidget
from ._types import Node, Widget

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleWidget",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
]


class ScriptedLoadableModule:
    """What Slicer shows about a module; subclasses fill ``parent``."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        icon = Path(self.resourcePath(f"Icons/{self.moduleName}.png"))
        if icon.is_file():
            parent.icon = qt.QIcon(str(icon))
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return f'<p><a href="{slicer.app.moduleDocumentationUrl(self.moduleName)}">Documentation</a></p>'

    def runTest(self, msec: int = 100, **options: Any) -> None:
        """Run the self-test of the module, as Reload & Test does."""
        test = getattr(sys.modules[self.__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**options)


class ScriptedLoadableModuleWidget:
    """The panel of a module; subclasses build it in ``setup``."""

    def __init__(self, parent: Widget = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = parent or _own_panel()
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().moduleAboutToBeUnloaded.connect(self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Slicer adds Reload & Test here in developer mode; the stand-in adds nothing."""

    def cleanup(self) -> None:
        """Called before the module is unloaded."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().moduleAboutToBeUnloaded.disconnect(self._onModuleAboutToBeUnloaded)


def _own_panel() -> qMRMLWidget:
    panel = qMRMLWidget()
    panel.setLayout(qt.QVBoxLayout())
    panel.setMRMLScene(slicer.mrmlScene)
    return panel


class ScriptedLoadableModuleLogic:
    """Work without a window; keeps its settings in a parameter node of the scene."""

    def __init__(self, parent: object | None = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The parameter node of the module, made when the scene has none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node:
                # closing the scene removes the attribute
                node.SetAttribute("ModuleName", self.moduleName)
                return node
        else:
            existing = self.getAllParameterNodes()
            if existing:
                return existing[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Node]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Node:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)  # the scene's factory keeps one reference too many
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Self-test of a module."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*(arguments or ("runTest",)), **options)
        self.messageDelay = 100

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def runTest(self) -> None:
        """Subclasses call their tests here."""


class qSlicerScriptedLoadableModule:
    """The module as Slicer holds it: ``parent`` of the module class, and an entry of ``slicer.modules``."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = path.stem
        self.title = self.name
        self.icon = qt.QIcon()
        self.hidden = False
        self.index = -1
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None

    def logic(self) -> None:
        """Scripted modules have none here; use that of the widget."""

    def widgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self.name)
            self._widget.reload()
        return self._widget

    def deleteWidget(self) -> None:
        """Delete the panel at once: a timer that still wants to use it must fail now, and not in another test."""
        if self._widget is not None:
            shiboken6.delete(self._widget)
            self._widget = None


class qSlicerScriptedLoadableModuleWidget(ModulePanel):
    """The panel as Slicer holds it: ``parent`` of the widget class."""

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self._module_name = module_name
        self._python_widget: Any = None
        self.setLayout(qt.QVBoxLayout())

    def self(self) -> Any:
        """The instance of the module's own widget class."""
        return self._python_widget

    def reload(self) -> None:
        """Make the widget class of the module file anew and let it build the panel."""
        widget_class = getattr(sys.modules[self._module_name], f"{self._module_name}Widget")
        self._python_widget = widget_class(self)
        setattr(slicer.modules, f"{self._module_name}Widget", self._python_widget)
        self._python_widget.setup()

    def enter(self) -> None:
        super().enter()
        getattr(self._python_widget, "enter", lambda: None)()

    def exit(self) -> None:
        super().exit()
        getattr(self._python_widget, "exit", lambda: None)()


def load_module(path: Path) -> qSlicerScriptedLoadableModule:
    """Load a scripted module from its file as Slicer does at its start; its panel is not made yet."""
    path = Path(path).resolve()
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    spec.loader.exec_module(source)
    module = qSlicerScriptedLoadableModule(path)
    slicer.app.moduleManager().add(module)
    setattr(slicer.modules, f"{name}Instance", getattr(source, name)(module))
    slicer.app.startupCompleted.emit()
    return module


def unload_module(name: str) -> None:
    """Unload a module as Slicer does when it ends: leave it, let it clean up, delete its panel."""
    selector = slicer.util.moduleSelector()
    if selector.selectedModule == name:
        selector.leave()
    module = slicer.app.moduleManager().module(name)
    slicer.app.moduleManager().remove(name)
    for attribute in (f"{name}Widget", f"{name}Instance"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    module.deleteWidget()
    slicer.selfTests.pop(name, None)
    sys.modules.pop(name, None)
    slicer.app.forgetStartup()
