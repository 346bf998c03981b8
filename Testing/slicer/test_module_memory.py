"""What the module lets go of: a CT of a child is large, and Slicer runs for days."""

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import SimpleITK as sitk
import slicer
import slicer_standin
import vtk
from module_under_test import MODULE, TIMEOUT_S

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import results
from PediatricRenalSegLib.volume import LabelVolume

pytest_plugins = ["module_under_test"]


class Nodes:
    """Nodes of the scene that a test watches and does not hold."""

    def __init__(self) -> None:
        self.left: set[str] = set()
        """Names of the nodes that are still in memory."""

    def watch(self, node: Any) -> None:
        name = node.GetName()
        self.left.add(name)
        node.AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: self.left.remove(name))


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
def add_ct(fresh_slicer: None, child_scan: tuple[sitk.Image, sitk.Image], nodes: Nodes) -> Callable[[], Any]:
    """Adds a CT that is watched. The fixture ``child`` would hold its node to the end of the test."""

    def add() -> Any:
        ct = mrml.add_ct_node(slicer.mrmlScene, child_scan[0], "Child")
        nodes.watch(ct)
        return ct

    return add


@pytest.fixture
def add_result(add_ct: Callable[[], Any], child_run: tuple[LabelVolume, dict], nodes: Nodes) -> Callable[[], Any]:
    """Adds a CT and the segmentation of a run, both watched."""

    def add() -> Any:
        ct, segmentation = add_ct(), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Result")
        results.take(segmentation, *child_run, ct, smooth=True)
        nodes.watch(segmentation)
        return segmentation

    return add


@pytest.fixture
def logic(window: Any) -> Any:
    """A logic of one's own, as a script makes it."""
    return sys.modules["PediatricRenalSeg"].PediatricRenalSegLogic()


def clear_scene() -> None:
    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    gc.collect()


def show(window: Any, segmentation: Any, wait_until: Callable[..., float]) -> None:
    """Look at a result with every section open, and wait until it is measured."""
    window.initializeParameterNode()
    window._parameterNode.outputSegmentation = segmentation
    for name in ("model", "review", "export", "editor"):
        getattr(window.ui, f"{name}CollapsibleButton").collapsed = False
    wait_until(lambda: "ml" in window.ui.reviewTable.item(0, 1).text(), TIMEOUT_S, "the measurements")


@pytest.mark.slow
def test_a_run_leaves_nothing_behind(
    logic: Any, add_ct: Callable[[], Any], nodes: Nodes, wait_until: Callable[..., float]
) -> None:
    errors = []

    def done(segmentation: Any, error: Exception | None) -> None:
        nodes.watch(segmentation)
        errors.append(error)

    logic.process(add_ct(), device="cpu", waitForCompletion=False, onDone=done)
    task = weakref.ref(logic._task)
    wait_until(lambda: errors, TIMEOUT_S, "the segmentation")
    assert errors == [None] and not logic.running
    assert nodes.left == {"Child", "Child segmentation"}
    clear_scene()
    assert nodes.left == set() and task() is None


def test_a_cancelled_run_leaves_nothing_behind(logic: Any, add_ct: Callable[[], Any], nodes: Nodes) -> None:
    logic.process(add_ct(), waitForCompletion=False)
    task = weakref.ref(logic._task)
    logic.cancel()
    clear_scene()
    assert nodes.left == set() and task() is None


def test_a_task_that_is_over_holds_no_ct(
    logic: Any, add_result: Callable[[], Any], nodes: Nodes, wait_until: Callable[..., float]
) -> None:
    """Whoever keeps the task does not keep what it was given."""
    measured: list[dict] = []
    segmentation = add_result()
    task = logic.measure(segmentation, lambda values, node=segmentation: measured.append(values), lambda error: None)
    del segmentation
    wait_until(lambda: not task.active, TIMEOUT_S, "the measurements")
    assert len(measured) == 1
    clear_scene()
    assert nodes.left == set()


def test_the_open_window_holds_no_closed_scene(
    window: Any, add_result: Callable[[], Any], nodes: Nodes, wait_until: Callable[..., float]
) -> None:
    show(window, add_result(), wait_until)
    assert nodes.left == {"Child", "Result"}
    clear_scene()
    assert nodes.left == set()


def test_the_closed_window_is_freed(
    add_result: Callable[[], Any], nodes: Nodes, wait_until: Callable[..., float]
) -> None:
    module = slicer_standin.load_module(MODULE)
    slicer.util.mainWindow().show()
    slicer.util.selectModule(module.name)
    window = module.widgetRepresentation().self()
    show(window, add_result(), wait_until)
    parts = (window, window.logic, window.status, window.model, window.devices, window.review, window.export)
    references = [weakref.ref(part) for part in parts]
    slicer_standin.unload_module(module.name)
    del module, window, parts
    clear_scene()
    assert nodes.left == set()
    assert [reference() for reference in references if reference() is not None] == []
