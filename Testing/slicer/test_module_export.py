"""The patient folder, written from the window."""

import json

import numpy as np
import pytest
import slicer
from module_under_test import TIMEOUT_S, click, erase, export, format_boxes, report_of, voxels
from PySide6.QtCore import Qt

from PediatricRenalSegLib.export.writers import MESH_FORMATS

pytest_plugins = ["module_under_test"]


def test_every_format_of_the_table_can_be_chosen(window, result):
    """A new format is a row of the table, and the window has its box."""
    boxes = format_boxes(window)
    assert list(boxes) == [name.upper() for name in MESH_FORMATS]
    assert [text for text, box in boxes.items() if box.checked] == ["STL"]
    assert all(box.toolTip for box in boxes.values())
    click(boxes["GLB"])
    assert window._parameterNode.meshFormats == "stl,glb" and window.ui.exportButton.enabled
    click(boxes["STL"])
    click(boxes["GLB"])
    assert "Choose at least one format" in window.ui.exportHintLabel.text and not window.ui.exportButton.enabled


def test_format_that_is_no_more(window, result):
    """A scene may name a format that this version does not write."""
    window._parameterNode.meshFormats = "vrml,ply"
    assert [text for text, box in format_boxes(window).items() if box.checked] == ["PLY"]
    window._parameterNode.meshFormats = "vrml"
    assert "Choose at least one format" in window.ui.exportHintLabel.text


@pytest.mark.slow
def test_export_of_edited_segments(window, result, child, wait_until, tmp_path, screenshot):
    erase(result, "kidney_left", child)
    result.GetSegmentation().AddEmptySegment("aorta", "Aorta")
    window.ui.reviewTable.item(0, 0).setCheckState(Qt.CheckState.Checked)
    for name in ("OBJ", "PLY", "GLB"):
        click(format_boxes(window)[name])
    window.ui.caseNameLineEdit.text = "Fall übung 1"
    export(window, wait_until, tmp_path / "Fälle & Pläne")
    folder = tmp_path / "Fälle & Pläne" / "Fall übung 1"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    models = {"kidney_right.stl", "tumor.stl", "kidney_right.ply", "tumor.ply"}
    models |= {"structures.obj", "structures.mtl", "structures.glb"}
    files = {"labelmap.nii.gz", "segmentation.seg.nrrd", "preview.png", "report.json"}
    assert names == files | {f"models/{name}" for name in models}
    report = json.loads((folder / "report.json").read_text())
    assert report["review"]["edited"] and report["review"]["checked"] == ["kidney_right"]
    assert report["model"] == report_of(result)["model"]
    measured = {row["segment_id"]: row["volume_ml"] for row in report["measurements"]["segments"]}
    expected = voxels(result, "tumor", child) * np.prod(child.GetSpacing()) / 1000
    assert set(measured) == {"kidney_right", "tumor"} and measured["tumor"] == pytest.approx(expected, abs=0.01)
    assert "Child" not in (folder / "report.json").read_text()
    told = window.ui.exportStatusLabel
    assert "Written" in told.text and f'href="{folder.as_uri()}"' in told.text and told.openExternalLinks
    assert "Not measured and not exported" in told.text and "Aorta" in told.text
    wait_until(lambda: "Aorta" in window.ui.warningsLabel.text, TIMEOUT_S, "the warning")
    screenshot(window.parent, "exported")


@pytest.mark.slow
def test_existing_folder_is_replaced_only_after_asking(window, result, wait_until, dialogs, tmp_path):
    export(window, wait_until, tmp_path)
    written = (tmp_path / "case-01" / "report.json").stat().st_mtime_ns
    (tmp_path / "case-01" / "notes.txt").write_text("mine")
    dialogs.answer("Cancel")
    export(window, wait_until, tmp_path)
    assert "exists already" in dialogs.texts[0]
    assert (tmp_path / "case-01" / "report.json").stat().st_mtime_ns == written
    dialogs.answer("OK")
    export(window, wait_until, tmp_path)
    assert (tmp_path / "case-01" / "report.json").stat().st_mtime_ns > written
    assert (tmp_path / "case-01" / "notes.txt").read_text() == "mine"


def test_export_folder_is_remembered(window, module_widget, tmp_path):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    window.parent.reload()
    assert slicer.modules.PediatricRenalSegWidget.ui.exportFolderLineEdit.currentPath == str(tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "words"),
    [
        ("", "case-01", "No folder is chosen"),
        ("cases", "case-01", "no complete path"),
        (".", "a/b", "A case needs a name"),
        (".", "..", "A case needs a name"),
    ],
)
def test_export_that_cannot_be_is_one_sentence(window, result, dialogs, tmp_path, folder, name, words):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path) if folder == "." else folder
    window.ui.caseNameLineEdit.text = name
    click(window.ui.exportButton)
    assert words in dialogs.texts[0] and list(tmp_path.iterdir()) == []


def test_cancelled_export_leaves_nothing(window, result, wait_until, tmp_path):
    window.ui.exportFolderLineEdit.currentPath = str(tmp_path)
    click(window.ui.exportButton)
    wait_until(lambda: list(tmp_path.iterdir()) != [], TIMEOUT_S, "the unfinished folder")
    assert window.ui.exportButton.text == "Cancel" and not window.ui.segmentButton.enabled
    click(window.ui.exportButton)
    assert list(tmp_path.iterdir()) == [] and window.ui.exportStatusLabel.text.startswith("Cancelled")
    assert window.ui.exportButton.text == "Write patient folder" and window.ui.segmentButton.enabled


@pytest.mark.slow
def test_export_folder_that_cannot_be_written(window, result, wait_until, dialogs, tmp_path):
    (tmp_path / "drive").write_text("a file")
    export(window, wait_until, tmp_path / "drive" / "cases")
    assert "is a file" in dialogs.texts[0] and window.ui.exportStatusLabel.styleSheet
