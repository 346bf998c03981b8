"""A model of another kind, with other structures, through the window: nothing of the module knows it.

The kind "threshold" is a package of its own in ``Testing/plug_in``; the worker finds it as it would find an installed
one.
"""

import json
import os

import numpy as np
import pytest
import slicer
from example_models import FOLDER, LIVER, write_threshold_model
from module_under_test import MILLILITERS, TIMEOUT_S, cell, click, erase, export, format_boxes, voxels
from PySide6.QtCore import Qt

from PediatricRenalSegLib.slicer_module import results

pytest_plugins = ["module_under_test"]

WINDOWS = {"liver": (110.0, 180.0), "liver_tumor": (20.0, 75.0)}
"""What these find in the generated child is a liver and, beside it, what is as dark as a tumor."""


@pytest.fixture
def liver(window, child, wait_until, monkeypatch, tmp_path):
    """The segmentation of a liver, after a click on Segment."""
    on_path = filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(on_path))
    model = write_threshold_model(tmp_path / "liver.pt", LIVER, WINDOWS)
    window.initializeParameterNode()
    window.ui.modelCollapsibleButton.collapsed = False
    window.ui.modelComboBox.currentIndex = window.ui.modelComboBox.count - 1
    window.ui.modelPathLineEdit.currentPath = str(model)
    assert "Liver, Liver tumor" in window.ui.modelInfoLabel.text and "Dice" not in window.ui.modelInfoLabel.text
    click(window.ui.segmentButton)
    wait_until(lambda: not window.logic.running, TIMEOUT_S, "the result")
    return window._parameterNode.outputSegmentation


def names(window) -> list[str]:
    table = window.ui.reviewTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def milliliters(window, row: int) -> float:
    return float(cell(window, row, MILLILITERS).split()[0])


@pytest.mark.slow
def test_a_liver_is_segmented_reviewed_and_exported(window, child, liver, wait_until, tmp_path, screenshot):
    assert names(window) == ["Liver", "Liver tumor"] and liver.GetName() == "Child segmentation"
    assert window.review._task is None, "the run has measured it"
    assert "Segmenting…" in window.ui.logTextEdit.toPlainText(), "the method counts no slices"
    voxel_ml = np.prod(child.GetSpacing()) / 1000
    for row, name in enumerate(("liver", "liver_tumor")):
        assert milliliters(window, row) == pytest.approx(voxels(liver, name, child) * voxel_ml, abs=0.06) != 0
        assert liver.GetClosedSurfaceInternalRepresentation(name).GetNumberOfPoints() > 100
    assert window.ui.nextSliceButton.enabled, "the method says where it is unsure"
    screenshot(window.parent, "liver-done")

    window.ui.reviewTable.item(0, 0).setCheckState(Qt.CheckState.Checked)
    assert results.checked(liver) == {"liver"}
    before = cell(window, 0, MILLILITERS)
    erase(liver, "liver_tumor", child)
    wait_until(lambda: cell(window, 1, MILLILITERS) == "–", TIMEOUT_S, "the new measurements")
    assert cell(window, 0, MILLILITERS) == before
    assert "tumor" not in window.ui.warningsLabel.text and "kidney" not in window.ui.warningsLabel.text

    click(format_boxes(window)["GLB"])
    export(window, wait_until, tmp_path / "cases")
    folder = tmp_path / "cases" / "case-01"
    assert {path.name for path in (folder / "models").iterdir()} == {"liver.stl", "structures.glb"}
    report = json.loads((folder / "report.json").read_text())
    assert [row["segment_id"] for row in report["structures"]] == ["liver", "liver_tumor"]
    assert [row["segment_id"] for row in report["measurements"]["segments"]] == ["liver"]
    assert report["review"]["edited"] and report["review"]["checked"] == ["liver"]
    read = slicer.util.loadSegmentation(str(folder / "segmentation.seg.nrrd"))
    assert [read.GetSegmentation().GetSegment(name).GetName() for name in ("liver", "liver_tumor")] == names(window)
    assert "kidney" not in (folder / "report.json").read_text().lower()
    screenshot(window.parent, "liver-exported")


@pytest.mark.slow
def test_the_window_changes_between_models(window, child, liver, child_segmentation):
    """Each result keeps the structures of its model."""
    assert names(window) == ["Liver", "Liver tumor"]
    window.ui.outputSelector.setCurrentNode(child_segmentation)
    assert names(window) == ["Right kidney", "Left kidney", "Renal tumor"]
    window.ui.outputSelector.setCurrentNode(liver)
    assert names(window) == ["Liver", "Liver tumor"] and milliliters(window, 0) > 50
