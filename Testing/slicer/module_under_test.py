"""Fixtures and steps for the tests of the module: a small generated child, the open window, and what a user does."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import results, task
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.volume import LabelVolume

MODULE = Path(__file__).resolve().parents[2] / "PediatricRenalSeg" / "PediatricRenalSeg.py"
MODEL = MODULE.parent / "Resources" / "Models" / "stn-unet-v1.pt"
SEGMENT_IDS = ["kidney_right", "kidney_left", "tumor"]
TIMEOUT_S = 120
MILLILITERS, MILLIMETERS = 1, 2
"""Columns of the table of the review."""


@pytest.fixture(scope="session")
def child_scan() -> tuple[sitk.Image, sitk.Image]:
    """Image and true segments of a generated child of two years with a tumor, coarse so that a run takes seconds."""
    return training_scan(2.0, seed=10, slices=20, matrix=160).to_sitk()


@pytest.fixture
def child(fresh_slicer: None, child_scan: tuple[sitk.Image, sitk.Image]) -> Any:
    """The child's CT as a volume node."""
    return mrml.add_ct_node(slicer.mrmlScene, child_scan[0], "Child")


@pytest.fixture(scope="session")
def child_run(
    child_scan: tuple[sitk.Image, sitk.Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[LabelVolume, dict]:
    """Labels and report of the bundled model on the child, made once by the command that the worker runs."""
    folder = tmp_path_factory.mktemp("child")
    sitk.WriteImage(child_scan[0], str(folder / "ct.nrrd"))
    arguments = ["segment", "ct.nrrd", "--output", "result", "--write", "segmentation", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=TIMEOUT_S)
    labels = LabelVolume(sitk.ReadImage(str(folder / "result" / "segmentation.seg.nrrd")), RENAL)
    return labels, json.loads((folder / "result" / "report.json").read_text())


@pytest.fixture
def child_segmentation(child: Any, child_run: tuple[LabelVolume, dict]) -> Any:
    """A segmentation node with that result."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Child segmentation")
    results.take(node, *child_run, child, smooth=True)
    return node


@pytest.fixture
def window(
    module_widget: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The module's widget, open in the main window; what still runs at the end of the test is stopped."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    yield module_widget(MODULE)
    task.cancel_all()


@pytest.fixture
def run(window: Any, wait_until: Callable[..., float]) -> Callable[[], float]:
    """Click Segment and wait for the result and its measurements.

    Returns the longest time in seconds between two events while the worker ran.
    """

    def run_once() -> float:
        click(window.ui.segmentButton)
        worker = window.logic._task.worker
        gap = wait_until(lambda: not worker.running, TIMEOUT_S, "the end of the worker")
        wait_until(lambda: not window.logic.running, TIMEOUT_S, "the result")
        wait_until(lambda: "ml" in cell(window, 0, MILLILITERS), TIMEOUT_S, "the measurements")
        return gap

    return run_once


@pytest.fixture
def started(window: Any, child: Any) -> Any:
    """The window just after the click on Segment."""
    window.initializeParameterNode()
    click(window.ui.segmentButton)
    return window


@pytest.fixture
def running(started: Any, wait_until: Callable[..., float]) -> Any:
    """The window while the network is at its slices."""
    wait_until(lambda: "s left" in started.ui.statusLabel.text, TIMEOUT_S, "the first slices")
    return started


@pytest.fixture
def result(window: Any, child_segmentation: Any, wait_until: Callable[..., float]) -> Any:
    """The segmentation of a run, shown for review."""
    window.initializeParameterNode()
    window._parameterNode.outputSegmentation = child_segmentation
    for section in (window.ui.reviewCollapsibleButton, window.ui.exportCollapsibleButton):
        section.collapsed = False
    wait_until(lambda: "ml" in cell(window, 0, MILLILITERS), TIMEOUT_S, "the measurements")
    return child_segmentation


def click(button: Any) -> None:
    assert button.enabled and button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def cell(window: Any, row: int, column: int) -> str:
    return window.ui.reviewTable.item(row, column).text()


def erase(node: Any, segment_id: str, volume: Any) -> None:
    """What erasing a whole segment in the Segment Editor does to the scene."""
    empty = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node, segment_id, volume)


def voxels(node: Any, segment_id: str, volume: Any) -> int:
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).sum())


def format_boxes(window: Any) -> dict[str, Any]:
    """The check boxes for the formats of the models, by their texts, from left to right."""
    layout = window.ui.formatsWidget.layout()
    return {box.text: box for box in (layout.itemAt(index).widget() for index in range(layout.count()))}


def export(window: Any, wait_until: Callable[..., float], folder: Path) -> None:
    window.ui.exportFolderLineEdit.currentPath = str(folder)
    click(window.ui.exportButton)
    wait_until(lambda: not window.logic.running, TIMEOUT_S, "the end of the export")


def report_of(node: Any) -> dict:
    """The report of the run that made a segmentation."""
    report = results.report(node)
    assert report is not None
    return report
